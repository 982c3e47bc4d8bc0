"""Intervals and tests for accuracies. Everything here is a fraction; whoever prints multiplies by
100.

Unpaired functions take counts, which may be fractional: of a published accuracy only accuracy × n
is known. Two scores on the same problems are positively correlated, so for them the unpaired
interval is too wide rather than too narrow, and `paired`, which needs the records, is the better
one. Arrays broadcast in `difference` and `paired`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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

    only_first: int
    only_second: int
    n: int


@dataclass(frozen=True)
class Clustered:
    """A mean with its cluster-robust standard error and interval over `clusters` problems."""

    mean: float
    se: float
    lo: float
    hi: float
    clusters: int


@dataclass(frozen=True)
class Selection:
    """What picking the best of several checkpoints on the test set is worth; indices are rows of
    the matrix."""

    selected: int  # the best on all problems, the first of equals
    naive: float  # its accuracy on the problems that chose it
    corrected: float  # accuracy, on problems that did not choose it, of what the same rule picks
    lo: float
    hi: float
    last: float  # accuracy of the last checkpoint, which nothing chose
    regret: float  # corrected - last: what is lost by taking the last instead; negative = choosing loses
    regret_lo: float
    regret_hi: float


def wilson(k: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval for k correct of n, as fractions (Wilson 1927, doi
    10.1080/01621459.1927.10502953).

    (nan, nan) where n is 0."""
    if n == 0:
        return float("nan"), float("nan")
    from statsmodels.stats.proportion import proportion_confint

    lo, hi = proportion_confint(k, n, alpha=1 - level, method="wilson")
    # At k = 0 and k = n rounding may put a bound on the wrong side of k / n.
    return min(max(float(lo), 0.0), k / n), max(min(float(hi), 1.0), k / n)


def difference(k1, n1, k2, n2, level: float = 0.95) -> Difference:
    """k1/n1 - k2/n2 of independent samples: Newcombe's (1998) method 10, from two Wilson intervals,
    doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I; p of the pooled score
    (chi-square) test."""
    from scipy.stats import norm
    from statsmodels.stats.proportion import confint_proportions_2indep

    k1, n1, k2, n2 = (np.asarray(x, float) for x in (k1, n1, k2, n2))
    lo, hi = confint_proportions_2indep(k1, n1, k2, n2, method="newcomb", alpha=1 - level)
    d, pooled = k1 / n1 - k2 / n2, (k1 + k2) / (n1 + n2)
    se = np.sqrt(np.maximum(pooled * (1 - pooled), 0) * (1 / n1 + 1 / n2))
    p = 2 * norm.sf(np.divide(abs(d), se, out=np.zeros_like(d), where=se > 0))
    return Difference(*(x.item() if x.ndim == 0 else x for x in map(np.asarray, (d, lo, hi, p))))


def contrast(first: Difference, second: Difference, level: float = 0.95) -> Difference:
    """first - second of two independent differences, such as the drops of two students.

    Interval by recovering the variances from both intervals (Zou & Donner 2008, doi
    10.1002/sim.3095); p from the normal distribution with the half of that interval which lies
    towards 0. `level` is that of the inputs."""
    from scipy.stats import norm

    d = first.difference - second.difference
    lo = d - np.hypot(first.difference - first.lo, second.hi - second.difference)
    hi = d + np.hypot(first.hi - first.difference, second.difference - second.lo)
    half = d - lo if d > 0 else hi - d
    p = 2 * norm.sf(abs(d) / half * norm.ppf(0.5 + level / 2)) if half > 0 else 1.0
    return Difference(float(d), float(lo), float(hi), float(p))


def paired(both, only_first, only_second, neither, level: float = 0.95) -> Paired:
    """first - second on the same problems, from the four counts of (first correct?, second
    correct?).

    Interval: Newcombe's (1998) method 10 for paired data, Wilson intervals with the corrected
    correlation phi, doi 10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C. p:
    exact McNemar, a two-sided binomial test of the discordant pairs (McNemar 1947, doi
    10.1007/BF02295996)."""
    from scipy.stats import binom
    from statsmodels.stats.proportion import proportion_confint

    a, b, c, d = (np.asarray(x, float) for x in (both, only_first, only_second, neither))
    n = a + b + c + d
    p1, p2 = (a + b) / n, (a + c) / n
    (l1, u1), (l2, u2) = (
        proportion_confint(k, n, alpha=1 - level, method="wilson") for k in (a + b, a + c)
    )
    numerator, margins = a * d - b * c, (a + b) * (c + d) * (a + c) * (b + d)
    numerator = np.where(numerator > 0, np.maximum(numerator - n / 2, 0), numerator)
    phi = np.divide(numerator, np.sqrt(margins), out=np.zeros_like(n), where=margins > 0)
    low, high = p1 - l1, u1 - p1
    below, above = p2 - l2, u2 - p2
    lo = p1 - p2 - np.sqrt(np.maximum(low**2 - 2 * phi * low * above + above**2, 0))
    hi = p1 - p2 + np.sqrt(np.maximum(high**2 - 2 * phi * high * below + below**2, 0))
    p = np.minimum(1, 2 * binom.cdf(np.minimum(b, c), b + c, 0.5))
    return Paired(
        *(x.item() if x.ndim == 0 else x for x in map(np.asarray, (p1 - p2, lo, hi, p))),
        only_first,
        only_second,
        both + only_first + only_second + neither,
    )


def paired_records(first, second, level: float = 0.95) -> Paired:
    """`paired` from two equally long vectors of booleans, entry i of both being the same
    problem."""
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape:
        raise ValueError(
            f"first has {first.size} answers and second {second.size}: pair them by problem."
        )
    return paired(
        *(int(np.sum((first == x) & (second == y))) for x in (True, False) for y in (True, False)),
        level,
    )


def pass_at_k(n, c, k: int) -> np.ndarray | float:
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


def holm(p_values) -> np.ndarray:
    """p values adjusted for all being tested at once, in the order given (Holm 1979,
    jstor.org/stable/4615733)."""
    from statsmodels.stats.multitest import multipletests

    p_values = np.asarray(p_values, float)
    return multipletests(p_values, method="holm")[1] if p_values.size else p_values


def clustered(values, problem, level: float = 0.95) -> Clustered:
    """Mean of answers where one problem has several. values: [answers] 0/1, or paired differences
    in -1..1; problem: [answers] which problem each belongs to.

    Cluster-robust variance (Liang & Zeger 1986, doi 10.1093/biomet/73.1.13; for evaluations Miller
    2024, doi 10.48550/arXiv.2411.00640) times G / (G - 1) for G problems, and Student's t with G -
    1 degrees of freedom. Where all answers are equal that variance is 0, and the interval is
    Wilson's for G problems instead."""
    from scipy.stats import t

    values = np.asarray(values, float)
    _, index = np.unique(np.asarray(problem), return_inverse=True)
    clusters, mean = int(index.max()) + 1, float(values.mean())
    if clusters < 2:
        raise ValueError("problem: all answers are to one problem: clustering needs two or more.")
    sums = np.bincount(index, values - mean)
    se = float(np.sqrt(clusters / (clusters - 1) * np.sum(sums**2)) / values.size)
    lo, hi = (
        mean - t.ppf(0.5 + level / 2, clusters - 1) * se,
        mean + t.ppf(0.5 + level / 2, clusters - 1) * se,
    )
    if se == 0 and mean in (0, 1):
        lo, hi = wilson(mean * clusters, clusters, level)
    return Clustered(mean, se, float(lo), float(hi), clusters)


def _split_scores(correct, weights, rng):
    """Per row of weights: [checkpoints] accuracy of the pick of one random half on the other half,
    both ways. A half without weight is drawn again: every row has two problems or more with
    weight."""
    half = rng.permuted(np.tile(np.arange(correct.shape[1]) % 2 == 0, (len(weights), 1)), axis=1)
    while (empty := ((weights * half).sum(1) == 0) | ((weights * ~half).sum(1) == 0)).any():
        half[empty] = rng.permuted(half[empty], axis=1)
    scores = [
        (weights * side) @ correct.T / (weights * side).sum(1, keepdims=True)
        for side in (half, ~half)
    ]
    rows = np.arange(len(weights))
    return sum(scored[rows, chosen.argmax(1)] for chosen, scored in (scores, scores[::-1])) / 2


def _bootstrap_weights(n: int, resamples: int, rng):
    """[resamples, n] how often each of n problems is drawn; draws of one problem alone are drawn
    again."""
    weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    while (alone := (weights > 0).sum(1) < 2).any():
        weights[alone] = rng.multinomial(n, np.full(n, 1 / n), size=alone.sum())
    return weights.astype(float)


def selection_corrected(
    correct, seed: int = 0, repeats: int = 200, resamples: int = 400, level: float = 0.95
) -> Selection:
    """The accuracy of "the best checkpoint", scored on problems that did not choose it.

    correct: booleans [checkpoints, problems], the last row the last checkpoint. Half the problems
    choose (the first of equals), the other half scores, both ways, over `repeats` random halves;
    selection bias: Cawley & Talbot 2010, jmlr.org/papers/v11/cawley10a. The choice rests on half
    the problems, so a clear winner is picked a little less often than by all of them. Percentile
    interval from `resamples` bootstraps of the problems (Efron 1979, doi 10.1214/aos/1176344552)
    with ten splits nested in each; copies of a problem stay in one half. It is cautious: a nominal
    95% covers about 99% where checkpoints are equal."""
    correct = np.asarray(correct, float)
    if correct.ndim != 2 or correct.shape[1] < 4:
        raise ValueError(
            f"correct has shape {correct.shape}: give [checkpoints, problems] with 4 problems or "
            "more."
        )
    rng, n = np.random.default_rng(seed), correct.shape[1]
    accuracy = correct.mean(1)
    corrected = float(_split_scores(correct, np.ones((repeats, n)), rng).mean())
    weights = _bootstrap_weights(n, resamples, rng)
    boot = np.mean([_split_scores(correct, weights, rng) for _ in range(10)], axis=0)
    ends = [(1 - level) / 2, (1 + level) / 2]
    lo, hi = np.quantile(boot, ends)
    regret_lo, regret_hi = np.quantile(boot - weights @ correct[-1] / n, ends)
    return Selection(
        int(accuracy.argmax()),
        float(accuracy.max()),
        corrected,
        float(lo),
        float(hi),
        float(accuracy[-1]),
        corrected - float(accuracy[-1]),
        float(regret_lo),
        float(regret_hi),
    )


def selection_inflation(p: float, n: int, checkpoints: int, correlation: float = 0.0) -> float:
    """By how much the best of several checkpoints overstates their common true accuracy p on n
    problems, expected.

    Assumes equal true accuracies, normal errors, and one correlation between any two checkpoints'
    scores (they answer the same problems; 0 is the worst case): sqrt(p (1-p) (1-correlation) / n) ×
    E[largest of m standard normals] (David & Nagaraja 2003, Order Statistics, doi
    10.1002/0471722162)."""
    from scipy.integrate import quad
    from scipy.stats import norm

    largest = quad(
        lambda x: checkpoints * x * norm.pdf(x) * norm.cdf(x) ** (checkpoints - 1), -9, 9
    )[0]
    return float(np.sqrt(p * (1 - p) * (1 - correlation) / n) * largest)


def power(p1: float, n1: int, p2: float, n2: int, alpha: float = 0.05) -> float:
    """Power of the two-sided test of two independent proportions, pooled variance under no
    difference (Fleiss, Levin & Paik 2003, chapter 4, doi 10.1002/0471445428)."""
    from statsmodels.stats.proportion import power_proportions_2indep

    return float(power_proportions_2indep(p1 - p2, p2, n1, n2 / n1, alpha, return_results=False))


def detectable(
    p: float, n1: int, n2: int, alpha: float = 0.05, at_power: float = 0.8
) -> tuple[float, float]:
    """The smallest loss (negative) and gain from p, as fractions, that `power` finds with
    probability at_power.

    nan where even the largest possible change would be missed."""
    from scipy.optimize import brentq

    def missing(change):
        return power(p + change, n1, p, n2, alpha) - at_power

    ends = [-p + 1e-9, 1 - p - 1e-9]
    return tuple(
        float(brentq(missing, np.sign(e) * 1e-9, e))
        if abs(e) > 1e-6 and missing(e) > 0
        else float("nan")
        for e in ends
    )
