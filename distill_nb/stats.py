"""Intervals for accuracies."""
from __future__ import annotations


def wilson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval for k correct of n, as fractions (Wilson 1927, doi 10.1080/01621459.1927.10502953).

    (nan, nan) where n is 0."""
    if n == 0:
        return float("nan"), float("nan")
    from statsmodels.stats.proportion import proportion_confint

    lo, hi = proportion_confint(k, n, alpha=1 - level, method="wilson")
    # At k = 0 and k = n rounding may put a bound on the wrong side of k / n.
    return min(max(float(lo), 0.0), k / n), max(min(float(hi), 1.0), k / n)
