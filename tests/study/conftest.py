"""The world of `doctor --online` (online_world.py), sound at the beginning of each test."""

import pytest
from fake_hub import FakeHub
from online_world import World, sound


@pytest.fixture(scope="session")
def one_world(tmp_path_factory):
    with FakeHub() as hub:
        made = World(hub, tmp_path_factory.mktemp("world"))
        yield made
        made.end()


@pytest.fixture
def world(one_world):
    sound(one_world.hub)
    return one_world
