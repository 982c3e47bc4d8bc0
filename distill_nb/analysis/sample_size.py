"""What a new study would need: problems, samples and seeds, to find a difference with 80% power.

Two questions need different numbers. Did this checkpoint change from its base student? Both answer
the same problems, and more problems always help (`problems_needed`). Is one way to train better
than another, such as one teacher than another? Then the seed of each run moves its score as well,
more problems do not help against that, and two seeds of each way are the least (`seeds_needed`).

Correlations are of two 0/1 answers to one problem: those of a base student and its checkpoint, of
two runs, of two samples of one run. They say how much of the difficulty of a problem both share.
measured.py takes them from records."""

from dataclasses import dataclass

import numpy as np

from distill_nb.analysis import stats

ALPHA = 0.05  # level of the test, two-sided
POWER = 0.8
MOST_SEEDS, MOST_PROBLEMS = 100, 100_000  # beyond these the answer is None
SEED_SDS = (0.5, 1.0, 2.0, 3.0)  # points: an assumed range, where no records say which


@dataclass(frozen=True)
class Setting:
    """What makes scores differ. The defaults are assumptions and no measurements."""

    accuracy: float = 0.6  # around which the difference lies, 0 to 1
    seed_sd: float = 1.0  # between seeds of one way, of the whole score, points
    checkpoint: float = 0.8  # correlation of a base student and its checkpoint
    ways: float = 0.8  # of runs of two ways
    seeds: float | None = None  # of two seeds of one way; None: as of two ways
    samples: float = 0.9  # of two samples of one run

    def __post_init__(self) -> None:
        if not self.ways <= (self.ways if self.seeds is None else self.seeds) <= self.samples:
            raise ValueError(
                f"ways is {self.ways}, seeds {self.seeds}, samples {self.samples}: samples of one "
                "run agree at least as much as its seeds, and these as much as two ways."
            )


def discordance(first: float, second: float, correlation: float) -> float:
    """The share of problems that exactly one of two students solves, from their accuracies and the
    correlation of their answers; at least the difference of the accuracies."""
    spread = (first * (1 - first) * second * (1 - second)) ** 0.5
    apart = first * (1 - second) + second * (1 - first) - 2 * correlation * spread
    return max(apart, abs(first - second))


def paired_power(difference: float, problems: int, apart: float, alpha: float = ALPHA) -> float:
    """Power of McNemar's mid-p test (`stats.mid_p`), exactly: the sum over the number of discordant
    problems, which is binomial.

    difference: of the accuracies, and apart: the share of discordant problems, as fractions."""
    from scipy.stats import binom

    if apart <= 0 or problems < 1:
        return 0.0
    ends = binom.ppf([1e-10, 1 - 1e-10], problems, apart).astype(int)
    pairs = np.arange(max(1, ends[0]), ends[1] + 1)
    critical = binom.ppf(alpha / 2, pairs, 0.5) + 1
    for _ in range(3):  # the mid-p value of a count is near twice its distribution function
        significant = np.asarray(stats.mid_p(critical, pairs - critical), float) < alpha
        critical = np.where(significant & (critical < pairs / 2), critical, critical - 1)
    up = min(1.0, (apart + abs(difference)) / 2 / apart)
    found = binom.sf(pairs - critical - 1, pairs, up) + binom.cdf(critical, pairs, up)
    return float((binom.pmf(pairs, problems, apart) * np.where(critical >= 0, found, 0)).sum())


def detectable_paired(
    p: float,
    n: int,
    apart: float | None = None,
    correlation: float = Setting.checkpoint,
    alpha: float = ALPHA,
) -> tuple[float, float]:
    """The smallest loss (negative) and gain from p, as fractions, that McNemar's mid-p test at
    level alpha finds with probability POWER on n problems; nan where not even the largest possible
    one.

    apart: the share of discordant problems, as records give it (it grows with a larger difference
    where that needs more); None: from the correlation of the answers. For verdicts by Holm, alpha
    is 5% over the number of comparisons in the family, the level of its first step."""
    from scipy.optimize import brentq

    def missing(change: float) -> float:
        share = discordance(p, p + change, correlation) if apart is None else apart
        return paired_power(change, n, max(share, abs(change)), alpha) - POWER

    def smallest(largest: float) -> float:
        if abs(largest) > 1e-6 and missing(largest) > 0:
            return float(brentq(missing, np.sign(largest) * 1e-6, largest, xtol=1e-5))
        return float("nan")

    return smallest(-p), smallest(1 - p)


def power(
    difference: float,
    problems: float,
    seeds: int,
    samples: int = 1,
    setting: Setting = Setting(),
    alpha: float = ALPHA,
) -> float:
    """Power of `replicates.compare` to find a difference of two ways to train, in points, from as
    many seeds of each; problems may be infinite.

    The mean, over the chi-square distribution of the variance between runs that is found, of the
    normal probability that the difference exceeds its half width."""
    from scipy.special import ndtr, ndtri, stdtrit
    from scipy.stats import chi2

    pq = setting.accuracy * (1 - setting.accuracy)
    between = setting.ways if setting.seeds is None else setting.seeds
    own = (setting.samples - between) + (1 - setting.samples) / samples
    answers = 2 * pq * own / problems / seeds
    common = 2 * pq * (between - setting.ways) / problems
    runs = 2 * (setting.seed_sd / 100) ** 2 / seeds + answers
    df, z = 2 * (seeds - 1), ndtri(alpha / 2)
    grid = chi2.ppf((np.arange(400) + 0.5) / 400, df) / df
    found = np.maximum(stdtrit(df, alpha / 2) ** 2 * runs * grid, z**2 * answers)
    half, sd = np.sqrt(found + z**2 * common), (runs + common) ** 0.5
    if sd == 0:
        return 1.0
    beyond = ndtr((abs(difference) / 100 - half) / sd) + ndtr((-abs(difference) / 100 - half) / sd)
    return float(beyond.mean())


def seeds_needed(
    difference: float,
    problems: float = 500,
    samples: int = 1,
    setting: Setting = Setting(),
    alpha: float = ALPHA,
) -> int | None:
    """How many seeds of each of two ways to train find a difference (points) with probability
    POWER; None where more than MOST_SEEDS."""
    for seeds in range(2, MOST_SEEDS + 1):
        if power(difference, problems, seeds, samples, setting, alpha) >= POWER:
            return seeds
    return None


def problems_needed(
    difference: float,
    seeds: int | None = None,
    samples: int = 1,
    setting: Setting = Setting(),
    apart: float | None = None,
    alpha: float = ALPHA,
) -> int | None:
    """How many problems find a difference (points) with probability POWER; None where more than
    MOST_PROBLEMS, or where no number does, as the spread between seeds hides it.

    seeds: None for one checkpoint against its base student; a number for two ways to train, of so
    many seeds each. apart: the share of problems that exactly one of a base student and its
    checkpoint solves, where it is known, with one sample; None: from setting.checkpoint."""

    def enough(problems: int) -> bool:
        if seeds is None:
            return _checkpoint_power(difference, problems, samples, setting, apart, alpha) >= POWER
        return power(difference, problems, seeds, samples, setting, alpha) >= POWER

    low, high = 2, 4
    while not enough(high):
        low, high = high, 2 * high
        if low >= MOST_PROBLEMS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _checkpoint_power(
    difference: float,
    problems: int,
    samples: int,
    setting: Setting,
    apart: float | None,
    alpha: float,
) -> float:
    """Power for one checkpoint against its base student: McNemar's with one sample, else of the t
    test of the differences of the problems."""
    from scipy.special import ndtr, stdtrit

    change, p = abs(difference) / 100, setting.accuracy
    if apart is None:
        first = min(max(p - change / 2, 0.0), 1 - change)
        apart = discordance(first, first + change, setting.checkpoint)
    if samples == 1:
        return paired_power(change, problems, max(apart, change), alpha)
    # of the variance with one sample, the chance of single answers has the part that samples share
    chance = 2 * p * (1 - p) * (1 - setting.samples)
    variance = max(0.0, apart - chance) + chance / samples - change**2
    se = (max(variance, 1e-12) / problems) ** 0.5
    return float(ndtr(change / se + stdtrit(problems - 1, alpha / 2)))
