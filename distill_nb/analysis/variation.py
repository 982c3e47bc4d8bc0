"""How much answers vary, from records: what sample_size.py needs to know of a benchmark.

A correlation here is of two 0/1 answers to one problem. With several samples it is still that of
single answers: samples of different runs share nothing but the problem, so that the covariance of
shares is that of answers."""

from itertools import combinations

import numpy as np
import pandas as pd

from distill_nb.analysis import replicates
from distill_nb.analysis.replicates import run_of
from distill_nb.analysis.sample_size import Setting

COLUMNS = [
    "benchmark", "problems", "samples_a_problem", "accuracy", "discordant", "checkpoint", "ways",
    "seeds", "samples", "seed_sd", "seed_sd_lo", "seed_sd_hi", "replicates",
]  # fmt: skip
KNOWN = ("checkpoint", "ways", "seeds", "samples", "seed_sd")  # as in Setting


def measured(records: pd.DataFrame) -> pd.DataFrame:
    """One row a benchmark, from `results.load_records`; nan where there is nothing to tell from.

    Each run counts at its last finished checkpoint. accuracy: percent, the mean of these; problems,
    samples_a_problem: the largest. discordant: the percent of problems that exactly one of a single
    answer of the base student and one of its checkpoint solves. Correlations: checkpoint (with the
    base student), ways (of two runs of one student and domain that differ in more than their seed),
    seeds, samples; each the mean over pairs. seed_sd, its 95% interval and replicates, the degrees
    of freedom of it: `replicates.seed_sd`, points."""
    last, rows, groups = replicates.last_finished(records), [], ()
    if len(last):
        groups = last.groupby("benchmark")
        spread = replicates.across_seeds(last)
    for benchmark, group in groups:
        shares = replicates.matrix(group)
        bases = replicates.matrix(records[_base(records, benchmark, shares.index)])
        first = group.groupby("folder")[["student", "domain"]].first()
        pairs: dict[str, list[float]] = {"ways": [], "seeds": []}
        checkpoints, discordant = [], []
        for folder in shares.index.intersection(bases.index):
            p, q, covariance = _together(bases.loc[folder], shares.loc[folder])
            checkpoints.append(_correlation(p, q, covariance))
            discordant.append(100 * (p + q - 2 * (p * q + covariance)))
        for one, other in combinations(shares.index, 2):
            if tuple(first.loc[one]) == tuple(first.loc[other]):
                kind = "seeds" if run_of(one) == run_of(other) else "ways"
                pairs[kind].append(_correlation(*_together(shares.loc[one], shares.loc[other])))
        found = replicates.seed_sd(spread[spread["benchmark"] == benchmark])
        rows.append(
            {
                "benchmark": benchmark,
                "problems": shares.shape[1],
                "samples_a_problem": group["sample"].nunique(),
                "accuracy": 100 * float(shares.mean(axis=1).mean()),
                "discordant": _mean(discordant),
                "checkpoint": _mean(checkpoints),
                **{kind: _mean(values) for kind, values in pairs.items()},
                "samples": _mean([_of_samples(own) for _, own in group.groupby("folder")]),
                "seed_sd": found.sd if found else np.nan,
                "seed_sd_lo": found.lo if found else np.nan,
                "seed_sd_hi": found.hi if found else np.nan,
                "replicates": found.df if found else 0,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def setting(row: pd.Series) -> Setting:
    """A row of `measured` as a Setting; what was not measured stays as assumed there. Samples of
    one run agree at least as much as seeds, and these as much as ways: where estimates do not, the
    larger is taken for both."""
    known = {name: float(row[name]) for name in KNOWN if row[name] == row[name]}
    ways = known.setdefault("ways", known.get("seeds", Setting.ways))
    seeds = max(ways, known.get("seeds", ways))
    samples = max(seeds, known.get("samples", Setting.samples))
    return Setting(float(row["accuracy"]) / 100, **known | {"seeds": seeds, "samples": samples})


def _base(records: pd.DataFrame, benchmark: str, folders: pd.Index) -> pd.Series:
    """Which records are of the base students of these folders on a benchmark."""
    own = (records["benchmark"] == benchmark) & records["folder"].isin(folders)
    return own & (records["step"] == 0)


def _together(one: pd.Series, other: pd.Series) -> tuple[float, float, float]:
    """The means of two rows of shares, and their covariance, over the problems that both have."""
    both = pd.concat([one, other], axis="columns").dropna().to_numpy()
    if len(both) < 2:
        return float("nan"), float("nan"), float("nan")
    p, q = both.mean(0)
    return float(p), float(q), float(np.cov(both.T)[0, 1])


def _correlation(p: float, q: float, covariance: float) -> float:
    spread = (p * (1 - p) * q * (1 - q)) ** 0.5
    return covariance / spread if spread > 0 else float("nan")


def _of_samples(own: pd.DataFrame) -> float:
    """Correlation of two samples of one run on a benchmark: nan with one sample."""
    counts = own.assign(correct=own["outcome"] == "correct")
    counts = counts.groupby("task_id")["correct"].agg(["sum", "size"])
    k, m = counts["sum"].to_numpy(float), counts["size"].to_numpy(float)
    if len(m) < 2 or m.min() < 2:
        return float("nan")
    p, n = float((k / m).mean()), len(m)
    between = float(np.var(k / m, ddof=1)) / n
    both = float((k * (k - 1) / (m * (m - 1))).mean())
    square = p**2 - between  # of the mean, without what chance adds to it
    return _correlation(p, p, both - square) if 0 < p < 1 else float("nan")


def _mean(values: list[float]) -> float:
    known = [x for x in values if x == x]
    return float(np.mean(known)) if known else float("nan")
