"""The world of `doctor --online` (online_world.py), sound at the beginning of each test; a tiny run
to publish, and a hub that takes it (publish_hub.py)."""

import shutil

import pytest
from fake_hub import FakeHub
from helpers import tiny
from online_world import World, sound
from publish_hub import PublishHub
from trace_rows import settings, write_source

from distill_nb.evaluation import evaluate
from distill_nb.runtime import paths
from distill_nb.traces import build, show
from distill_nb.training import train


@pytest.fixture(scope="session")
def one_world(tmp_path_factory):
    for package in ("evalplus", "anthropic", "openai"):
        pytest.importorskip(package, reason=f"{package} is not installed: make setup-study")
    with FakeHub() as hub:
        made = World(hub, tmp_path_factory.mktemp("world"))
        yield made
        made.end()


@pytest.fixture
def world(one_world):
    sound(one_world.hub)
    return one_world


@pytest.fixture(scope="session")
def one_run(tmp_path_factory):
    """The runs folder of a tiny run, trained and evaluated once."""
    runs = tmp_path_factory.mktemp("published") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(runs))
        train.train(tiny())
        evaluate.evaluate(tiny())
    return runs


@pytest.fixture
def run(one_run, runs_dir):
    """The folder of a copy of it, which a test may spoil."""
    shutil.copytree(one_run, runs_dir)
    return paths.run_dir(tiny())


@pytest.fixture
def hub(monkeypatch):
    """A hub on loopback that huggingface_hub asks, in this process and those that it starts."""
    from huggingface_hub import constants

    with PublishHub() as made:
        monkeypatch.setattr(constants, "ENDPOINT", made.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # LFS, which the hub speaks
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name, value in (
            ("HF_ENDPOINT", made.url),
            ("HF_TOKEN", made.token),
            ("HF_HUB_DISABLE_XET", "1"),
            ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
            ("HF_HUB_OFFLINE", "0"),
        ):
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture(scope="session")
def one_set(tmp_path_factory):
    """The runs folder of a pocket set of 40 traces, with its length ledger."""
    folder = tmp_path_factory.mktemp("set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(folder / "runs"))
        p = settings(write_source(folder), same_template="remove")
        build.build(p)
        show.ledgers(p)
    return folder / "runs"
