"""Durations as people say them."""

import pytest

from distill_nb.runtime.durations import in_words, range_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (0.04, "less than 0.1 seconds"),
        (0.44, "0.4 seconds"),
        (1.0, "1 second"),
        (4.24, "4.2 seconds"),
        (9.96, "10 seconds"),
        (83, "83 seconds"),
        (89.6, "1.5 minutes"),
        (280, "4.7 minutes"),
        (5399, "90 minutes"),
        (5400, "1.5 hours"),
        (36000, "10 hours"),
        (129600, "1.5 days"),
        (86400 * 1234, "1,234 days"),
    ],
)
def test_a_duration_has_the_unit_that_people_use(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (83, 280, "1.4 to 4.7 minutes"),
        (20, 280, "20 seconds to 4.7 minutes"),
        (2, 3 * 3600, "2 seconds to 3 hours"),
        (3600, 7200, "1 to 2 hours"),
        (1, 1, "1 second"),
        (0.2, 0.9, "0.2 to 0.9 seconds"),
        (7200, 7210, "2 hours"),
        (80, 89.6, "1.3 to 1.5 minutes"),
    ],
)
def test_a_range_says_its_unit_once_where_it_can(least, most, words):
    assert range_in_words(least, most) == words
