"""Records of our runs → tables of accuracies, one row a run, step and benchmark. `tidy` gives them
the columns of the published study's numbers."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from distill_nb.analysis import finished, stats
from distill_nb.analysis.names import ERRORS, KEYS
from distill_nb.benchmarks.sources import PART
from distill_nb.evaluation.records import OUTCOMES
from distill_nb.params import traces_of
from distill_nb.runtime import provenance
from distill_nb.runtime.jsonl import lines as read_lines

log = logging.getLogger(__name__)
TEXTS = ("completion", "answer", "detail", "problem")  # what is long in a record


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
        if known := provenance.if_readable(file).get("parameters"):
            found[file.parent.name] = known
    return found


def load_records(
    scale_dir: Path, folders: Collection[str] | None = None, texts: bool = True
) -> pd.DataFrame:
    """All records below runs/<scale>/*/eval, one row a problem and sample, the first where a file
    has it twice. Empty where nothing was evaluated.

    folders: of these runs only. texts: False leaves out TEXTS, which are nearly all of the memory.

    `folder` is the run's folder (replicates of one run have folders of their own); teacher is the
    generator (params.traces_of) where the run was trained on generated traces; `asked` how many
    problems the evaluation asks (`finished.asked`), 0 where that is not on record."""
    parameters, asked = training_parameters(scale_dir), finished.asked(scale_dir)
    rows: list[dict] = []
    for file in sorted(Path(scale_dir).glob("*/eval/step_*/*.jsonl")):
        folder = file.parents[2].name
        if folders is not None and folder not in folders:
            continue
        trained = parameters.get(folder, {})
        first: dict[tuple, dict] = {}
        for _, record in read_lines(file):
            if not texts:
                record = {key: value for key, value in record.items() if key not in TEXTS}
            dataset, scale = trained.get("dataset", ""), trained.get("scale", "")
            teacher = traces_of(record["teacher"], dataset, scale)
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
        lo, hi = interval(correct.to_numpy() / 100, len(group))
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


def interval(shares: np.ndarray, answers: int | None = None) -> tuple[float, float]:
    """95% interval of a mean over problems, of shares of correct samples or of other numbers from 0
    to 1. answers: how many samples they are made of, of all problems together; None = one each.

    Wilson's for n / g problems instead of n. g is the variance of the shares, as a part of the
    largest that it can be, p (1 - p): 1 where all samples of a problem agree, so that more of them
    add nothing, and down to n / answers where all problems are alike. n / g is the effective sample
    size (Korn & Graubard 1998, Survey Methodology 24, 193; for evaluations Miller 2024, doi
    10.48550/arXiv.2411.00640). Near 0 and 1 the variance rests on few problems, which may be
    missing by chance. So one problem more, whose samples agree, is counted beside the `rare` ones:
    the sum of the shares, or of what they lack to 1 if that is less. Its coverage:
    bench/simulated_seeds.py."""
    n, p = len(shares), float(shares.mean())
    rare, g = n * min(p, 1 - p), 1.0
    if answers is not None and rare > 0:
        g = (rare * float(shares.var()) / (p * (1 - p)) + 1) / (rare + 1)
        g = min(1.0, max(g, n / answers))
    return stats.wilson(p * n / g, n / g)


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
