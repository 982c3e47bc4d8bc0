"""Runs that differ in their seed alone: how far they spread, and what that leaves of a difference.

A seed moves all answers of a run a little the same way, and no number of problems averages that
out. So the unit of a comparison of two ways to train is the run. Runs and problems are both random,
and crossed:

    share of correct answers = way + seed of the run + problem + way × problem + rest

`compare` estimates the variance of a difference by mean squares under this model, as radiology does
for readers and cases (Obuchowski & Rockette 1995, doi 10.1080/03610919508813243; with readers of
their own for each way: Hillis 2014, doi 10.1002/sim.5926)."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from distill_nb.analysis import finished, paired, stats

SPREAD = [
    "student", "run", "benchmark", "step", "seeds", "mean", "lo", "hi", "lowest", "highest", "sd",
    "answers_sd", "seed_sd", "seed_sd_lo", "seed_sd_hi",
]  # fmt: skip


class RunDifference(NamedTuple):
    """`compare` of the runs of two ways to train; percent and points."""

    accuracy_first: float
    accuracy_second: float
    change: float  # second - first
    lo: float
    hi: float
    p: float
    seed_sd: float  # SeedSd.sd of both ways together


class RunContrast(NamedTuple):
    """`contrast` of several ways to train; points."""

    change: float
    lo: float
    hi: float
    p: float
    seed_sd: float  # SeedSd.sd of all ways together


class SeedSd(NamedTuple):
    """How far seeds move the whole score of a run, as a standard deviation in points: beyond what
    the chance of its single answers gives. lo, hi: 95%. df: how many seeds, less how many runs."""

    sd: float
    lo: float
    hi: float
    df: int


class _Runs(NamedTuple):
    """The mean squares of [runs × problems]."""

    mean: float
    between: float  # variance of the means of the runs
    answers: float  # the part of it that the chance of single answers gives
    problems: np.ndarray  # [problems] means over the runs


def run_of(folder: str) -> str:
    """The run of which a folder is a replicate: its name without `_seed2`."""
    return re.sub(r"_seed\d+$", "", folder)


def matrix(records: pd.DataFrame) -> pd.DataFrame:
    """[folders × problems]: the share of correct answers; nan as in `paired.matrix`. records: of
    one step of each folder, on one benchmark."""
    return paired.matrix(records.assign(step=records["folder"])).rename_axis("folder")


def _runs(shares: np.ndarray) -> _Runs:
    runs, n = shares.shape
    by_run, by_problem = shares.mean(1), shares.mean(0)
    rest = shares - by_run[:, None] - by_problem + shares.mean()
    answers = float((rest**2).sum() / ((runs - 1) * (n - 1) * n))
    return _Runs(float(shares.mean()), float(by_run.var(ddof=1)), answers, by_problem)


def compare(first: np.ndarray, second: np.ndarray, level: float = stats.LEVEL) -> RunDifference:
    """Two ways to train, from two runs or more of each, on the same problems: `contrast` of second
    less first.

    first, second: [runs × problems] shares of correct answers, 0 to 1. Raises ValueError below two
    runs or two problems, and where the problems are not as many."""
    if min(len(first), len(second), first.shape[-1]) < 2 or second.shape[-1] != first.shape[-1]:
        raise ValueError(
            f"first is {first.shape} and second {second.shape}: give [runs, problems], two or more "
            "of each, on the same problems."
        )
    found = contrast([first, second], [-1, 1], level)
    one, two = (100 * float(shares.mean()) for shares in (first, second))
    return RunDifference(one, two, *found)


def contrast(
    ways: list[np.ndarray], weights: list[float], level: float = stats.LEVEL
) -> RunContrast:
    """A weighted sum of the accuracies of several ways to train, from two runs or more of each, on
    the same problems.

    ways: [runs × problems] shares of correct answers of each, 0 to 1; weights sum to 0. The
    variance has two parts, for two ways with the weights -1 and 1:

    runs      s1² / r1 + s2² / r2, with s² the variance of the means of r runs, or the same with
              both s² pooled where that is more. It has r1 + r2 - 2 degrees of freedom, as of equal
              variances: Welch's would leave two runs of each without power.
    problems  what the difference varies from problem to problem, less the chance of single answers,
              which the runs' part has too; 0 at least.

    In general each way has its weight squared, and a degree of freedom less than its runs. The half
    width of the interval is sqrt(t² runs + z² problems): each part with the quantile of its own
    degrees of freedom, as intervals of independent parts are added (Zou & Donner 2008, doi
    10.1002/sim.3095). By luck a few runs may lie closer together than the chance of their answers
    allows, so t² runs counts as z² times the variance that this chance gives, at least. p is the
    level at which the interval ends at 0. Rates of error and power: bench/simulated_seeds.py."""
    from scipy.optimize import brentq
    from scipy.special import ndtri, stdtrit

    n, made, r = ways[0].shape[-1], [_runs(way) for way in ways], [len(way) for way in ways]
    squares = [w**2 / k for w, k in zip(weights, r, strict=True)]
    df = sum(r) - len(r)
    pooled = sum((k - 1) * m.between for k, m in zip(r, made, strict=True)) / df
    own = sum(q * m.between for q, m in zip(squares, made, strict=True))
    runs = max(own, pooled * sum(squares))
    answers = sum(q * m.answers for q, m in zip(squares, made, strict=True))
    by_problem = sum(w * m.problems for w, m in zip(weights, made, strict=True))
    problems = max(0.0, np.var(by_problem, ddof=1) / n - answers)

    def half(alpha: float) -> float:
        z, t = ndtri(alpha / 2), stdtrit(df, alpha / 2)
        runs_part = max(t**2 * runs, z**2 * answers)
        return float(np.sqrt(runs_part + z**2 * problems))

    change = float(sum(w * m.mean for w, m in zip(weights, made, strict=True)))
    smallest, p = 1e-12, 1.0
    if abs(change) > smallest:
        beyond = half(smallest) < abs(change)
        p = smallest if beyond else brentq(lambda x: half(x) - abs(change), smallest, 1)
    width, most = half(1 - level), sum(map(abs, weights)) / 2
    chance = sum((k - 1) * m.answers for k, m in zip(r, made, strict=True)) / df
    return RunContrast(
        change=100 * change,
        lo=100 * max(-most, change - width),
        hi=100 * min(most, change + width),
        p=p,
        seed_sd=100 * max(0.0, pooled - chance) ** 0.5,
    )


def enough(change: float, problem_se: float, r1: int = 1, r2: int = 1) -> float:
    """The standard deviation between seeds with which r1 and r2 runs of two equal ways would differ
    by `change` or more in one study of twenty; 0 where problems alone give that. In points;
    problem_se: the standard error of the change over problems."""
    from scipy.special import ndtri

    z = ndtri((1 - stats.LEVEL) / 2)
    return max(0.0, ((change / z) ** 2 - problem_se**2) / (1 / r1 + 1 / r2)) ** 0.5


def last_finished(records: pd.DataFrame) -> pd.DataFrame:
    """The records of the last finished checkpoint of each folder on each benchmark."""
    if not len(records):
        return records
    done = finished.progress(records)
    done = done[done["finished"].astype(bool)].reset_index()
    keys = ["folder", "benchmark"]
    last = done[done["step"] > 0].groupby(keys)["step"].max().rename("last")
    if last.empty:
        return records.iloc[:0]
    return records[records["step"] == records.join(last, on=keys)["last"]]


def across_seeds(records: pd.DataFrame) -> pd.DataFrame:
    """Runs with two seeds or more: one row a run, benchmark and step, from `results.load_records`.
    Columns SPREAD; a seed that has not answered all problems of the others is left out.

    mean, lowest, highest (percent, over seeds, on the problems with a sound answer from each); lo,
    hi: t interval of the mean over seeds, cut at 0 and 100; sd between seeds (points); answers_sd:
    the part of it that the chance of single answers gives, seeds alike and problems the same;
    seed_sd: the rest, with its 95% interval (SeedSd). A replicate's base student has its seed."""
    from scipy.stats import t

    rows, groups = [], ()
    if len(records):
        run = records["folder"].map(run_of).rename("run")
        groups = records.groupby(["student", run, "benchmark", "step"])
    for key, group in groups:
        shares = matrix(group) if group["folder"].nunique() > 1 else pd.DataFrame()
        answered = group.groupby("folder")["task_id"].nunique()
        shares = shares.loc[shares.index.isin(answered.index[answered == answered.max()])]
        sound = shares.dropna(axis="columns").to_numpy()
        if min(sound.shape) < 2:
            continue
        found, k = _runs(sound), len(sound)
        x, sd = 100 * sound.mean(1), 100 * found.between**0.5
        half = t.ppf(0.5 + stats.LEVEL / 2, k - 1) * sd / k**0.5
        lo, hi = max(0.0, x.mean() - half), min(100.0, x.mean() + half)
        answers_sd = 100 * found.answers**0.5
        spread = _seed_sd(sd**2, answers_sd**2, k - 1)[:3]
        rows.append((*key, k, x.mean(), lo, hi, x.min(), x.max(), sd, answers_sd, *spread))
    return pd.DataFrame(rows, columns=SPREAD)


def seed_sd(spread: pd.DataFrame) -> SeedSd | None:
    """The standard deviation between seeds of several runs together, from rows of `across_seeds`;
    None where there are none. Each run counts with its seeds less one."""
    if spread.empty:
        return None
    df = spread["seeds"] - 1
    between, answers = ((df * spread[c] ** 2).sum() / df.sum() for c in ("sd", "answers_sd"))
    return _seed_sd(float(between), float(answers), int(df.sum()))


def _seed_sd(between: float, answers: float, df: int) -> SeedSd:
    """From variances in points². The interval is that of the variance between runs, by chi-square,
    less the part of the answers."""
    from scipy.stats import chi2

    tail = (1 - stats.LEVEL) / 2
    ends = [df * between / chi2.isf(p, df) for p in (tail, 1 - tail)]
    sd, lo, hi = (max(0.0, x - answers) ** 0.5 for x in (between, *ends))
    return SeedSd(sd, lo, hi, df)
