"""The small curves of the landing page."""

import re
from xml.etree import ElementTree

import pytest

from distill_nb.report.sparkline import EDGE, HEIGHT, MOST, WIDTH, sparkline


def places(svg):
    found = re.search(r'polyline points="([^"]*)"', svg)[1].split()
    return [tuple(map(float, place.split(","))) for place in found]


def test_points_lie_where_their_values_are():
    svg = sparkline([(0, 0), (10, 50), (30, 100)], "a <curve>", 0, 100, dots=True)
    right, bottom = WIDTH - EDGE, HEIGHT - EDGE
    third = EDGE + (WIDTH - 2 * EDGE) / 3
    middle = HEIGHT / 2
    assert places(svg) == [(EDGE, bottom), pytest.approx((third, middle), abs=0.1), (right, EDGE)]
    assert ElementTree.fromstring(svg).get("aria-label") == "a <curve>"
    assert svg.count("<circle") == 3


def test_one_point_and_equal_values_have_a_place():
    assert places(sparkline([(5, 1.0)], "", 0, 1)) == [(EDGE, EDGE)]
    assert sparkline([], "", 0, 1) == ""
    assert len(places(sparkline([(0, 0), (1, 0)], "", 0, 0))) == 2


def test_of_many_points_neighbours_are_averaged():
    values = [(step, step % 2) for step in range(500)]
    found = places(sparkline(values, "", 0, 1))
    assert len(found) == MOST
    middle = HEIGHT / 2
    assert all(abs(y - middle) < 3 for _, y in found)
