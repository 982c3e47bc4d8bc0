"""Intervals and one-sided tests, against statsmodels and each other."""

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from distill_nb.analysis import stats
from distill_nb.analysis.published import bounds


@pytest.mark.parametrize(("k1", "n1", "k2", "n2"), [(440, 500, 360, 500), (0, 100, 3, 164)])
def test_intervals_of_one_two_and_four_shares(k1, n1, k2, n2):
    one = bounds.interval([(1, k1, n1)])
    assert one == pytest.approx(proportion_confint(k1, n1, method="wilson"), abs=1e-12)
    two = bounds.interval([(1, k1, n1), (-1, k2, n2)])
    assert two == pytest.approx(confint_proportions_2indep(k1, n1, k2, n2, method="newcomb"))
    parts = [(1, k1, n1), (-1, k2, n2), (-1, 50, 90), (1, 20, 80)]
    both = stats.difference(k1, n1, k2, n2), stats.difference(50, 90, 20, 80)
    expected = stats.contrast(*both)
    assert bounds.interval(parts) == pytest.approx((expected.lo, expected.hi))


@pytest.mark.parametrize("value", [-0.05, 0.0, 0.05, 0.3])
def test_a_test_is_the_level_at_which_the_bound_reaches_the_value(value):
    parts = [(1, 218, 378), (-1, 174, 378)]
    p = bounds.p_at_most(parts, value)
    end = 0 if bounds.difference(parts) > value else 1
    alpha = 2 * min(p, 1 - p)
    bound = confint_proportions_2indep(218, 378, 174, 378, method="newcomb", alpha=alpha)[end]
    assert bound == pytest.approx(value, abs=1e-6)
    lo, hi = bounds.interval(parts)
    assert (p < bounds.ONE_SIDED) == (lo > value) and (1 - p < bounds.ONE_SIDED) == (hi < value)


def test_one_share_is_the_score_test():
    p = bounds.p_at_most([(1, 40, 500)], 0.05)
    assert p == pytest.approx(norm.sf((0.08 - 0.05) / np.sqrt(0.05 * 0.95 / 500)))


def test_what_no_level_reaches_is_certain_and_what_is_equal_is_open():
    assert bounds.p_at_most([(1, 5, 500)], 0.0) == 0
    assert bounds.p_at_most([(1, 0, 500), (-1, 0, 500)], 0.0) == 0.5
    assert bounds.p_at_most([(1, 0, 500)], 0.05) == pytest.approx(1, abs=1e-6)


def test_one_sided_errors_at_the_margin_are_rare():
    """A true loss of five points: shown to be smaller, and to be larger, in 2.5% each."""
    rng = np.random.default_rng(0)
    first, second = rng.binomial(500, 0.75, 2000), rng.binomial(500, 0.8, 2000)
    p = np.array(
        [
            bounds.p_at_most([(1, a, 500), (-1, b, 500)], -0.05)
            for a, b in zip(first, second, strict=True)
        ]
    )
    # 2.5% ± 3.3 standard errors of 2,000 draws
    assert 0.013 < (p < 0.025).mean() < 0.037 and 0.013 < (p > 0.975).mean() < 0.037
