"""Our runs in the columns of the published study's numbers (names.COLUMNS): one row a student,
teacher, domain, learning rate, step and benchmark. Findings, tables and figures then do not know
whose numbers they show."""

import logging
from pathlib import Path
from typing import Protocol

import pandas as pd

from distill_nb.analysis.names import COLUMNS, RUN, chooses
from distill_nb.analysis.results import accuracy_table, full, training_parameters

log = logging.getLogger(__name__)


class Best(Protocol):
    """A row of `best_checkpoints`: a run, and its best checkpoint."""

    student: str
    teacher: str
    domain: str
    learning_rate: float
    benchmark: str  # that chose
    step: int
    accuracy: float  # percent
    n: int
    flagged: bool
    ties: list[int]  # other steps with the same printed score
    last_step: int
    checkpoints: int


def load_runs(scale_dir: Path) -> pd.DataFrame:
    """The runs of a scale as a tidy table."""
    parameters = training_parameters(scale_dir)
    rates = {folder: float(given["learning_rate"]) for folder, given in parameters.items()}
    return table(accuracy_table(scale_dir), rates)


def table(accuracies: pd.DataFrame, rates: dict[str, float] | None = None) -> pd.DataFrame:
    """results.accuracy_table as a tidy table; source is the run's folder, decimals 1.

    rates: folder → peak learning rate; unknown = nan. n counts problems,
    also where each has several samples: intervals and differences made from it are then somewhat
    too wide, never too narrow. Left out, and logged: unfinished cells (a batch holds the longest
    prompts first, so they are biased), and cells whose own baseline is another than the one that
    stands for the student (`_one_base`). Replicates are left out where their run is there; of
    several folders with one student, teacher, domain and rate the first by name is taken, so that
    no problem counts twice. accuracy_table has them all."""
    asked = full(accuracies, "asked" if "asked" in accuracies else "problems")
    few = (accuracies["n"] < full(accuracies, "n")) | (accuracies["problems"] < asked)
    unfinished = accuracies[few]
    if len(unfinished):
        cells = [f"{r.folder} step {r.step} {r.benchmark}" for r in unfinished.itertuples()]
        log.warning(f"Left out, as they are not finished: {', '.join(cells)}.")
    own = accuracies.drop(unfinished.index)
    replicate = (own["folder"] != own["run_name"]) & own["run_name"].isin(own["folder"])
    own = _one_base(own[~replicate])
    base = own["step"] == 0
    out = own.assign(
        teacher=own["teacher"].mask(base, "none"),
        domain=own["domain"].mask(base, "none"),
        decimals=1,
        n=own["problems"],
        learning_rate=own["folder"].map(rates or {}).astype(float).mask(base),
        source=own["folder"],
    )
    out = out.sort_values(["source", "benchmark", "step"])
    first = out.groupby(RUN, dropna=False)["source"].transform("first")
    out = out[base.reindex(out.index) | (out["source"] == first)]
    return out.drop_duplicates([*RUN, "step", "benchmark"])[COLUMNS].reset_index(drop=True)


def _one_base(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one baseline a student and benchmark: the largest, then the one of most
    folders. Cells of folders with another baseline (evaluated with other settings, or on other
    problems) are left out, which is logged."""
    for (student, benchmark), own in table.groupby(["student", "benchmark"]):
        bases = own[own["step"] == 0]
        kinds = bases.groupby(["n", "accuracy"])["folder"].agg(list).to_dict()
        if not kinds:
            continue
        n, accuracy = max(kinds, key=lambda kind: (kind[0], len(kinds[kind])))
        chosen = kinds[n, accuracy]
        without = own[~own["folder"].isin(bases["folder"])]
        other = set(bases["folder"]) - set(chosen)
        other |= {f for f, rows in without.groupby("folder") if (rows["n"] != n).any()}
        if other:
            log.warning(
                f"{benchmark} of {', '.join(sorted(other))} is left out: the base student "
                f"{student} has other answers there than in {chosen[0]} (n = {n}, "
                f"{accuracy:.1f}%); evaluate them with the same settings, or look at runs of one "
                "kind at a time."
            )
            table = table.drop(own.index[own["folder"].isin(other)])
    return table


def of_run(table: pd.DataFrame, run: Best) -> pd.DataFrame:
    """The rows of a run's checkpoints."""
    own = (table["student"] == run.student) & (table["teacher"] == run.teacher)
    own &= (table["domain"] == run.domain) & table["learning_rate"].isin([run.learning_rate])
    return table[own]


def checkpoints_of(table: pd.DataFrame, run: Best, benchmark: str) -> pd.DataFrame:
    """The rows of a run's checkpoints on one benchmark, by step."""
    own = of_run(table, run)
    return own[own["benchmark"] == benchmark].sort_values("step")


def best_checkpoints(table: pd.DataFrame) -> pd.DataFrame:
    """The study's choice for each run of a tidy table, columns of Best: best MATH-500 for a
    math-distilled student, best MBPP+ for a code-distilled one (names.RULE), the earliest of
    equals. Where the table has a column `dev` (selection.rescored) that chooses instead of the
    accuracy. Runs without the benchmark are left out."""
    rows, score = [], "dev" if "dev" in table else "accuracy"
    checkpoints = table[(table["step"] > 0) & table[score].notna()]
    for keys, run in checkpoints.groupby(RUN, sort=False, dropna=False):
        benchmark = chooses(keys[2], set(run["benchmark"]))
        if benchmark is None:
            continue
        scores = run[run["benchmark"] == benchmark].sort_values("step")
        best = scores.loc[scores[score].idxmax()]
        equals = scores["step"][scores[score] == best[score]]
        row = dict(zip(RUN, keys, strict=True)) | {
            "benchmark": best["benchmark"],
            "step": int(best["step"]),
            "accuracy": best["accuracy"],
            "n": int(best["n"]),
            "flagged": bool(best["flagged"]),
            "ties": [int(step) for step in equals if step != best["step"]],
            "last_step": int(scores["step"].max()),
            "checkpoints": len(scores),
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(Best.__annotations__))
