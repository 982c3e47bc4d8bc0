"""Verdicts beside a margin: each word for what it means, and none that contradicts the numbers."""

from types import SimpleNamespace

import pytest

from distill_nb.analysis import margins


def row(change, half, p, near=None):
    """A change with intervals of these half widths."""
    near = 0.84 * half if near is None else near
    return SimpleNamespace(
        change=change,
        lo=change - half,
        hi=change + half,
        p_adjusted=p,
        margin_lo=change - near,
        margin_hi=change + near,
    )


@pytest.mark.parametrize(
    ("change", "half", "p", "verdict", "words"),
    [
        (8, 2, 0.001, "gain", "a gain of more than 5 points"),
        (6, 3, 0.001, "gain", "a gain"),
        (2, 1, 0.001, "gain", "a gain, smaller than 5 points"),
        (-2, 1, 0.001, "loss", "a loss, smaller than 5 points"),
        (-6, 3, 0.001, "loss", "a loss"),
        (-9, 3, 0.001, "loss", "a loss of more than 5 points"),
        (1, 3, 0.5, "equivalent", "equivalent, within ±5 points"),
        (3, 4, 0.1, "no worse", "no worse: a loss of 5 points or more is excluded, a gain of as "
         "much is not"),
        (-3, 4, 0.1, "inconclusive", "inconclusive: no change and a loss of 5 points or more are "
         "both possible"),
        (1, 9, 0.8, "inconclusive", "inconclusive: no change and a loss of 5 points or more are "
         "both possible"),
        (1, 9, float("nan"), "—", "not tested"),
    ],
)  # fmt: skip
def test_every_word_for_what_it_means(change, half, p, verdict, words):
    found = row(change, half, p)
    assert (margins.verdict(found), margins.words(found)) == (verdict, words)


def test_a_change_needs_its_p_and_its_interval():
    for p, half in ((0.06, 7), (0.04, 9)):  # the interval without 0 and with it
        found = row(-8, half, p)
        assert margins.verdict(found) == "inconclusive"
        assert "p and the interval disagree about 0" in margins.words(found)


def test_another_margin_is_another_question():
    found = row(1, 3, 0.5)
    assert margins.verdict(found, 3) == "no worse" and margins.verdict(found, 1) == "inconclusive"
    assert margins.words(row(-2, 1, 0.001), 1) == "a loss of more than 1 point"
