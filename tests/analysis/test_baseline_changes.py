"""Bands around a base student's score, from percentages alone."""

import numpy as np
import pytest
from scipy.stats import binom

from distill_nb.analysis import baseline_changes, stats


@pytest.mark.parametrize(("n", "p"), [(500, 0.6), (378, 0.75), (100, 0.5)])
def test_equal_checkpoints_lie_outside_the_band_as_often_as_it_says(n, p):
    """Exactly, over all scores of both: 5% outside this band, and 1 in 6 outside the interval of
    the base student's own score."""
    chance, outside, own = binom.pmf(np.arange(n + 1), n, p), 0.0, 0.0
    for k in np.flatnonzero(chance > 1e-4):
        lo, hi = baseline_changes.equal_band(100 * k / n, n)
        assert lo <= 100 * k / n <= hi
        scores = 100 * np.arange(n + 1) / n
        outside += chance[k] * chance[(scores < lo - 1e-9) | (scores > hi + 1e-9)].sum()
        lo, hi = stats.wilson(k, n)
        own += chance[k] * chance[(scores < 100 * lo) | (scores > 100 * hi)].sum()
    assert outside == pytest.approx(0.05, abs=0.008)
    assert own == pytest.approx(1 / 6, abs=0.02)


def test_a_band_at_the_ends_stays_within_0_and_100():
    assert (
        baseline_changes.equal_band(0, 50)[0] == 0
        and baseline_changes.equal_band(100, 50)[1] == 100
    )
