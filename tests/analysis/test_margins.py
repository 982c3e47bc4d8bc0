"""Verdicts beside a margin: each word for what it means, and none that contradicts the numbers."""

from types import SimpleNamespace

import numpy as np
import pytest

from distill_nb.analysis import margins, stats


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
        margin_level=90,
    )


@pytest.mark.parametrize(
    ("change", "half", "p", "verdict", "words"),
    [
        (8, 2, 0.001, "gain", "a gain of more than 5 points [+6.3, +9.7 at 90%]"),
        (6, 3, 0.001, "gain", "a gain"),
        (2, 1, 0.001, "gain", "a gain, smaller than 5 points [+1.2, +2.8 at 90%]"),
        (-2, 1, 0.001, "loss", "a loss, smaller than 5 points [-2.8, -1.2 at 90%]"),
        (-6, 3, 0.001, "loss", "a loss"),
        (-9, 3, 0.001, "loss", "a loss of more than 5 points [-11.5, -6.5 at 90%]"),
        (1, 3, 0.5, "equivalent", "equivalent, within ±5 points [-1.5, +3.5 at 90%]"),
        (3, 4, 0.1, "no worse", "no worse: a loss of 5 points or more is excluded [-0.4, +6.4 at "
         "90%]"),
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
    assert margins.words(row(-2, 1, 0.001), 1) == "a loss of more than 1 point [-2.8, -1.2 at 90%]"


def drawn(true, n, rng, correlated):
    """A comparison of n problems with this true change from 60%, alone in its family: on the same
    problems, whose answers are correlated 0.8, or on others."""
    first, second = 0.6, 0.6 + true
    if not correlated:
        k1, k2 = rng.binomial(n, first), rng.binomial(n, second)
        at = [stats.difference(k2, n, k1, n, level) for level in (0.95, 0.9)]
    else:
        both = first * second + 0.8 * (first * (1 - first) * second * (1 - second)) ** 0.5
        cells = [both, second - both, first - both, 1 - first - second + both]
        counts = rng.multinomial(n, cells)
        at = [stats.paired(*counts, level=level) for level in (0.95, 0.9)]
    wide, near = at
    return SimpleNamespace(
        change=100 * wide.difference,
        lo=100 * wide.lo,
        hi=100 * wide.hi,
        p_adjusted=wide.p,
        margin_lo=100 * near.lo,
        margin_hi=100 * near.hi,
        margin_level=90,
    )


@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("n", [500, 100_000])
def test_a_true_null_is_equivalent_and_a_true_loss_of_8_never(n, correlated):
    rng = np.random.default_rng(0)
    null, loss = ([drawn(true, n, rng, correlated) for _ in range(200)] for true in (0, -0.08))
    assert not any(margins.verdict(r) == "equivalent" for r in loss)
    places = [margins.place(r.margin_lo, r.margin_hi, 5) for r in null]
    if n == 100_000:  # all within the margin, and 5% of them significant, as any test at 5%
        assert set(places) == {"within"}
        assert sum(margins.verdict(r) == "equivalent" for r in null) >= 180
        assert all(margins.words(r).startswith("a loss of more than 5 points") for r in loss)
    elif correlated:
        assert sum(margins.verdict(r) == "equivalent" for r in null) > 160


@pytest.mark.parametrize("correlated", [True, False])
def test_a_change_as_large_as_the_margin_is_rarely_called_smaller(correlated):
    """The two one-sided tests keep their 5% at the margin itself; half the rate on either side."""
    rng = np.random.default_rng(1)
    found = [drawn(-0.05, 500, rng, correlated) for _ in range(1000)]
    within = sum(margins.place(r.margin_lo, r.margin_hi, 5) == "within" for r in found)
    assert within <= 70


def test_a_p_value_is_never_surer_than_its_test():
    said = {0.0114: "p = 0.011", 1.0: "p = 1", 0.0001: "p = 0.0001", 3.4e-136: "p < 0.0001"}
    assert {p: margins.p_value(p) for p in said} == said
