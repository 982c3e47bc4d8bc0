import math

import pytest

from distill_nb.stats import wilson


@pytest.mark.parametrize(("k", "n", "lo", "hi"), [
    (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341), (81, 263, 0.25527, 0.36621)])
def test_wilson_against_known_values(k, n, lo, hi):
    """The last one is Newcombe's (1998) example; the others follow from the formula."""
    assert wilson(k, n) == pytest.approx((lo, hi), abs=2e-5)


def test_wilson_holds_the_estimate_at_every_k():
    for n in (1, 3, 30, 48):
        for k in range(n + 1):
            lo, hi = wilson(k, n)
            assert 0 <= lo <= k / n <= hi <= 1
    assert all(math.isnan(x) for x in wilson(0, 0))
