"""Intervals and tests for accuracies, as fractions; callers multiply by 100 to print percent.

Unpaired functions take counts. They may be fractional, because of a published accuracy only
accuracy × n is known. Two scores on the same problems are positively correlated, so the unpaired
interval of their difference is too wide rather than too narrow. `paired` is better, but needs the
records. `difference` and `paired` take arrays too; their fields are then arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Counts = float | np.ndarray
LEVEL = 0.95  # of intervals, where nothing else is said


@dataclass(frozen=True)
class Difference:
    """first - second with its interval and the two-sided p value of no difference."""

    difference: float
    lo: float
    hi: float
    p: float


@dataclass(frozen=True)
class Paired(Difference):
    """A Difference on the same n problems; only_first and only_second count the discordant
    pairs."""

    only_first: Counts
    only_second: Counts
    n: Counts


@dataclass(frozen=True)
class Clustered:
    """A mean with its cluster-robust standard error and interval over `clusters` problems."""

    mean: float
    se: float
    lo: float
    hi: float
    clusters: int


def wilson(k: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson score interval for k correct of n, as fractions (Wilson 1927, doi
    10.1080/01621459.1927.10502953); nan where n is 0."""
    if n == 0:
        return float("nan"), float("nan")
    from statsmodels.stats.proportion import proportion_confint

    lo, hi = proportion_confint(k, n, alpha=1 - level, method="wilson")
    # At k = 0 and k = n rounding may put a bound on the wrong side of k / n.
    return min(max(float(lo), 0.0), k / n), max(min(float(hi), 1.0), k / n)


def difference(
    k1: ArrayLike, n1: ArrayLike, k2: ArrayLike, n2: ArrayLike, level: float = LEVEL
) -> Difference:
    """k1/n1 - k2/n2 of independent samples, with its interval at `level`.

    Interval: Newcombe's (1998) method 10, from two Wilson intervals, doi
    10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I. p: pooled score (chi-square)
    test."""
    from scipy.stats import norm
    from statsmodels.stats.proportion import confint_proportions_2indep

    k1, n1, k2, n2 = (np.asarray(x, float) for x in (k1, n1, k2, n2))
    lo, hi = confint_proportions_2indep(k1, n1, k2, n2, method="newcomb", alpha=1 - level)
    d, pooled = k1 / n1 - k2 / n2, (k1 + k2) / (n1 + n2)
    se = np.sqrt(np.maximum(pooled * (1 - pooled), 0) * (1 / n1 + 1 / n2))
    p = 2 * norm.sf(np.divide(abs(d), se, out=np.zeros_like(d), where=se > 0))
    return Difference(*_scalars(d, lo, hi, p))


def _scalars(*values: ArrayLike) -> list:
    """Arrays without a dimension as Python numbers, others as they are."""
    arrays = [np.asarray(value) for value in values]
    return [array.item() if array.ndim == 0 else array for array in arrays]


def contrast(first: Difference, second: Difference, level: float = LEVEL) -> Difference:
    """first - second of two independent differences, such as the drops of two students. level: of
    their intervals, and of the one returned.

    Interval: variances recovered from both intervals (Zou & Donner 2008, doi 10.1002/sim.3095). p:
    normal distribution, with the half of that interval towards 0."""
    from scipy.stats import norm

    d = first.difference - second.difference
    lo = d - np.hypot(first.difference - first.lo, second.hi - second.difference)
    hi = d + np.hypot(first.hi - first.difference, second.difference - second.lo)
    half = d - lo if d > 0 else hi - d
    p = 2 * norm.sf(abs(d) / half * norm.ppf(0.5 + level / 2)) if half > 0 else 1.0
    return Difference(float(d), float(lo), float(hi), float(p))


def mid_p(only_first: ArrayLike, only_second: ArrayLike) -> float:
    """The two-sided p value of no difference from counts of discordant pairs: McNemar's exact
    binomial test with half the probability of what was observed (Fagerland, Lydersen & Laake 2013,
    doi 10.1186/1471-2288-13-91). 1 where the counts are equal.

    The exact test keeps its level by a wide margin and so disagrees with intervals at that level;
    this one is near it. Arrays of counts give an array."""
    from scipy.stats import binom

    b, c = np.asarray(only_first, float), np.asarray(only_second, float)
    fewer, pairs = np.minimum(b, c), b + c
    p = 2 * binom.cdf(fewer, pairs, 0.5) - binom.pmf(fewer, pairs, 0.5)
    return _scalars(np.where(b == c, 1.0, np.minimum(p, 1.0)))[0]


def paired(
    both: Counts, only_first: Counts, only_second: Counts, neither: Counts, level: float = LEVEL
) -> Paired:
    """first - second on the same problems, from the four counts of (first correct?, second
    correct?).

    Interval at `level`: Newcombe's (1998) method 10 for paired data, Wilson intervals with the
    corrected correlation phi, doi
    10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C. p: `mid_p`."""
    from statsmodels.stats.proportion import proportion_confint

    a, b, c, d = (np.asarray(x, float) for x in (both, only_first, only_second, neither))
    n = a + b + c + d
    p1, p2 = (a + b) / n, (a + c) / n
    l1, u1 = proportion_confint(a + b, n, alpha=1 - level, method="wilson")
    l2, u2 = proportion_confint(a + c, n, alpha=1 - level, method="wilson")
    numerator, margins = a * d - b * c, (a + b) * (c + d) * (a + c) * (b + d)
    numerator = np.where(numerator > 0, np.maximum(numerator - n / 2, 0), numerator)
    phi = np.divide(numerator, np.sqrt(margins), out=np.zeros_like(n), where=margins > 0)
    low, high = p1 - l1, u1 - p1
    below, above = p2 - l2, u2 - p2
    lo = p1 - p2 - np.sqrt(np.maximum(low**2 - 2 * phi * low * above + above**2, 0))
    hi = p1 - p2 + np.sqrt(np.maximum(high**2 - 2 * phi * high * below + below**2, 0))
    change, lo, hi = _scalars(p1 - p2, lo, hi)
    total = both + only_first + only_second + neither
    return Paired(change, lo, hi, mid_p(b, c), only_first, only_second, total)


def paired_records(first: ArrayLike, second: ArrayLike, level: float = LEVEL) -> Paired:
    """`paired` from two vectors of booleans, entry i of both being the same problem."""
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape:
        raise ValueError(
            f"first has {first.size} answers and second {second.size}: pair them by problem."
        )
    cells = (first & second, first & ~second, ~first & second, ~first & ~second)
    both, only_first, only_second, neither = (int(cell.sum()) for cell in cells)
    return paired(both, only_first, only_second, neither, level)


def pass_at_k(n: ArrayLike, c: ArrayLike, k: int) -> np.ndarray | float:
    """Probability that one of k samples drawn from n, of which c are correct, is correct: the
    unbiased estimator 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374). Broadcasts.
    Raises ValueError unless 1 <= k <= n, 0 <= c <= n."""
    n, c = np.broadcast_arrays(np.asarray(n, int), np.asarray(c, int))
    if k < 1 or (n < k).any() or (c < 0).any() or (c > n).any():
        raise ValueError(
            f"pass@{k}: give 1 to n samples of which 0 to n are correct, and k of them at most."
        )
    missing = np.prod([np.maximum(n - c - i, 0) / (n - i) for i in range(k)], axis=0)
    return 1 - missing if missing.ndim else float(1 - missing)


def holm(p_values: ArrayLike) -> np.ndarray:
    """p values adjusted for all being tested at once, in the order given (Holm 1979,
    jstor.org/stable/4615733). statsmodels' multipletests says the same, and collects garbage at
    each call: 50 ms and more."""
    p = np.asarray(p_values, float)
    order, adjusted = np.argsort(p), np.empty_like(p)
    steps = np.sort(p) * np.arange(p.size, 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def clustered(values: ArrayLike, problem: ArrayLike, level: float = LEVEL) -> Clustered:
    """Mean of answers where one problem has several, with its interval at `level`.

    values: [answers] 0/1, or paired differences in -1..1; problem: [answers] which problem each
    belongs to. Cluster-robust variance (Liang & Zeger 1986, doi 10.1093/biomet/73.1.13; for
    evaluations Miller 2024, doi 10.48550/arXiv.2411.00640) times G / (G - 1) for G problems, and
    Student's t with G - 1 degrees of freedom. Where all answers are equal that variance is 0, and
    the interval is Wilson's for G problems. Raises ValueError for one problem."""
    from scipy.stats import t

    values = np.asarray(values, float)
    _, index = np.unique(np.asarray(problem), return_inverse=True)
    clusters, mean = int(index.max()) + 1, float(values.mean())
    if clusters < 2:
        raise ValueError("problem: all answers are to one problem: clustering needs two or more.")
    sums = np.bincount(index, values - mean)
    se = float(np.sqrt(clusters / (clusters - 1) * np.sum(sums**2)) / values.size)
    half = t.ppf(0.5 + level / 2, clusters - 1) * se
    lo, hi = mean - half, mean + half
    if se == 0 and mean in (0, 1):
        lo, hi = wilson(mean * clusters, clusters, level)
    return Clustered(mean, se, float(lo), float(hi), clusters)


def power(p1: float, n1: int, p2: float, n2: int, alpha: float = 0.05) -> float:
    """Power of the two-sided test of two independent proportions, pooled variance under no
    difference (Fleiss, Levin & Paik 2003, chapter 4, doi 10.1002/0471445428)."""
    from statsmodels.stats.proportion import power_proportions_2indep

    return float(power_proportions_2indep(p1 - p2, p2, n1, n2 / n1, alpha, return_results=False))


def detectable(p: float, n1: int, n2: int, alpha: float = 0.05) -> tuple[float, float]:
    """The smallest loss (negative) and gain from p, as fractions, that `power` finds with
    probability 0.8 at the level at which verdicts are given: alpha / m, where they are corrected
    for m comparisons. nan where even the largest possible change would be missed."""
    from scipy.optimize import brentq

    def missing(change: float) -> float:
        return power(p + change, n1, p, n2, alpha) - 0.8

    def smallest(largest: float) -> float:
        if abs(largest) > 1e-6 and missing(largest) > 0:
            return float(brentq(missing, np.sign(largest) * 1e-9, largest))
        return float("nan")

    return smallest(-p + 1e-9), smallest(1 - p - 1e-9)
