"""Records of our runs → tables of accuracies, one row a run, step and benchmark. `tidy` gives them
the columns of the published study's numbers."""

import json
import logging
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from distill_nb.analysis import finished, stats
from distill_nb.analysis.names import ERRORS, KEYS
from distill_nb.benchmarks.sources import PART
from distill_nb.evaluation.records import OUTCOMES
from distill_nb.params import traces_of
from distill_nb.runtime.jsonl import read as read_records

log = logging.getLogger(__name__)

SEED_COLUMNS = [
    "student", "run_name", "benchmark", "step", "seeds", "mean", "sd", "lo", "hi", "lowest",
    "highest", "sampling_sd",
]  # fmt: skip


class Score(Protocol):
    """What `accuracy_of` says of a run (names.KEYS), step and benchmark, beside the count of each
    outcome. Accuracies are in percent, the mean over problems."""

    accuracy: float
    n: int  # answers
    problems: int
    k: int  # correct answers
    lo: float  # 95% interval of accuracy: `interval`
    hi: float
    lenient: float  # accuracy by the lenient reading of the answers
    second: float  # accuracy by the second grader
    bounds_lo: float  # accuracy if every sampling or grader error were wrong
    bounds_hi: float  # and if every one were correct
    flagged: bool  # the bounds differ
    mean_tokens: float
    asked: int  # problems that the evaluation asks, by its provenance; `problems` if that is silent
    part: bool  # the answers came from a file that is not the whole benchmark


def training_parameters(scale_dir: Path) -> dict[str, dict]:
    """Folder → parameters of every run of a scale that has been trained, from its provenance, where
    that can be read."""
    found = {}
    for file in sorted(Path(scale_dir).glob("*/provenance_train.json")):
        try:
            found[file.parent.name] = json.loads(file.read_text(encoding="utf-8"))["parameters"]
        except ValueError:  # damaged: what it would say is unknown
            continue
    return found


def load_records(scale_dir: Path) -> pd.DataFrame:
    """All records below runs/<scale>/*/eval, one row a problem and sample, the first where a file
    has it twice. Empty where nothing was evaluated.

    `folder` is the run's folder (replicates of one run have folders of their own); teacher is a
    stand-in (params.traces_of) where the run was trained on generated traces; `asked` how many
    problems the evaluation asks (`finished.asked`), 0 where that is not on record."""
    parameters, asked = training_parameters(scale_dir), finished.asked(scale_dir)
    rows: list[dict] = []
    for file in sorted(Path(scale_dir).glob("*/eval/step_*/*.jsonl")):
        folder = file.parents[2].name
        dataset = parameters.get(folder, {}).get("dataset", "")
        first: dict[tuple, dict] = {}
        for record in read_records(file):
            teacher = traces_of(record["teacher"], dataset)
            row = record | {"folder": folder, "teacher": teacher}
            row["asked"] = asked.get((folder, file.stem), 0)
            first.setdefault((record["task_id"], record["sample"]), row)
        rows += first.values()
    return pd.DataFrame(rows)


def accuracy_table(scale_dir: Path) -> pd.DataFrame:
    """`accuracy_of` all records of a scale."""
    return accuracy_of(load_records(scale_dir))


def accuracy_of(records: pd.DataFrame) -> pd.DataFrame:
    """One row a run (names.KEYS), step and benchmark, from records, with the columns of Score and a
    count of each outcome."""
    *columns, asked, part = Score.__annotations__
    if records.empty:
        return pd.DataFrame(columns=[*KEYS, *columns, *OUTCOMES, asked, part])
    rows = []
    for keys, group in records.groupby(KEYS, sort=False):
        correct = _percent(group, group["outcome"] == "correct")
        errors = _percent(group, group["outcome"].isin(ERRORS))
        accuracy, counts = correct.mean(), group["outcome"].value_counts()
        lo, hi = interval(correct.to_numpy() / 100)
        row = dict(zip(KEYS, keys, strict=True)) | {
            "accuracy": accuracy,
            "n": len(group),
            "problems": len(correct),
            "k": int(counts.get("correct", 0)),
            "lo": 100 * lo,
            "hi": 100 * hi,
            "lenient": _percent(group, group["lenient_outcome"] == "correct").mean(),
            "second": _percent(group, group["second_outcome"] == "correct").mean(),
            "bounds_lo": accuracy,
            "bounds_hi": accuracy + errors.mean(),
            "flagged": bool(errors.any()),
            "mean_tokens": group["completion_tokens"].mean(),
        }
        row |= {outcome: int(counts.get(outcome, 0)) for outcome in OUTCOMES}
        row["asked"] = max(len(correct), int(group["asked"].max()) if "asked" in group else 0)
        rows.append(row | {"part": bool(group["task_id"].str.startswith(PART).any())})
    return pd.DataFrame(rows).sort_values(["folder", "benchmark", "step"], ignore_index=True)


def _percent(records: pd.DataFrame, chosen: pd.Series) -> pd.Series:
    """Percent of the answers to each problem that are chosen."""
    return 100 * chosen.groupby(records["task_id"]).mean()


def interval(shares: np.ndarray) -> tuple[float, float]:
    """95% interval of a mean accuracy, from the share of correct samples of each problem.

    Wilson's where all shares are 0 or 1 (one sample each, or samples that all agree), else
    `stats.clustered`, as samples of one problem are alike, or Wilson's where that has no width."""
    n, mean = len(shares), float(shares.mean())
    if n > 1 and not set(shares) <= {0.0, 1.0}:
        c = stats.clustered(shares, range(n))
        if c.se > 0:
            return max(0.0, c.lo), min(1.0, c.hi)
    return stats.wilson(mean * n, n)


def full(table: pd.DataFrame, column: str) -> pd.Series:
    """The largest value of a column in the folder and benchmark of each row: its size when
    finished."""
    return table.groupby(["folder", "benchmark"])[column].transform("max")


def score(row: Score, decimals: int = 0) -> str:
    """A row of accuracy_table as `47.9* [35, 61]`, with so many decimals of the interval; * where
    it is flagged."""
    flag = "*" if row.flagged else ""
    return f"{row.accuracy:.1f}{flag} [{row.lo:.{decimals}f}, {row.hi:.{decimals}f}]"


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """accuracy_table for reading: a row a run and step, a column a benchmark and its number of
    problems, cells like `47.9 [35, 61]`. Where there are no records, that is logged.

    An asterisk marks a score whose n includes sampling or grader errors, `of 20/56` one of 20 of 56
    answers, where an evaluation is not finished, `math500, part` what a partial file gave
    (benchmarks/sources.py)."""
    if table.empty:
        log.info("There are no records of this scale yet: run train.ipynb and eval.ipynb.")
        return table
    cells, columns = [], []
    size = full(table, "asked")
    samples = np.ceil(full(table, "n") / full(table, "problems")).astype(int)
    whole = table.assign(full=size * samples, size=size)
    for r in whole.itertuples():
        cells.append(score(r) + (f" of {r.n}/{r.full}" if r.n < r.full else ""))
        samples = f" × {r.full / r.size:g} samples" if r.full > r.size else ""
        part = ", part" if r.part else ""
        columns.append(f"{r.benchmark}{part} (n = {r.size}{samples})")
    wide = whole.assign(cell=cells, column=columns).pivot_table(
        index=["folder", "step"], columns="column", values="cell", aggfunc="first"
    )
    return wide.fillna("—").rename_axis(columns="benchmark")


def across_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Runs that differ in their seed alone: one row a run, step and benchmark with two seeds or
    more, columns SEED_COLUMNS.

    table: accuracy_table. seeds, mean (percent), sd between seeds and lo, hi (a t interval of the
    mean over seeds, cut at 0 and 100), lowest, highest; sampling_sd: the standard deviation that
    the sampling of answers alone would give, sqrt(p (1 - p) / n), were the seeds alike and the
    problems new each time. A replicate's base student is that of its own seed."""
    from scipy.stats import t

    rows = []
    groups = table.groupby(["student", "run_name", "benchmark", "step"]) if len(table) else ()
    for key, group in groups:
        x, k = group["accuracy"].to_numpy(), len(group)
        if k < 2:
            continue
        mean, sd = x.mean(), x.std(ddof=1)
        half = t.ppf(0.975, k - 1) * sd / k**0.5
        lo, hi = max(0.0, mean - half), min(100.0, mean + half)
        sampling_sd = (mean * (100 - mean) / group["problems"].min()) ** 0.5
        rows.append((*key, k, mean, sd, lo, hi, x.min(), x.max(), sampling_sd))
    return pd.DataFrame(rows, columns=SEED_COLUMNS)
