"""Parts of benchmarks, pass@k and majority@k, from the records: AIME by year, HumanEval+ on our
hundred beside all 164."""

import numpy as np
import pandas as pd

from distill_nb.analysis import majority, names, results, stats
from distill_nb.benchmarks import humaneval_plus
from distill_nb.benchmarks.sources import PART

OUR_100 = "humaneval_plus, our 100"
COLUMNS = ["folder", "student", "step", "slice", "n", "problems", "accuracy", "lo", "hi", "flagged"]


def slices_of(benchmark: str, task_ids: list[str]) -> dict[str, list[str]]:
    """Slice → its task ids: the whole benchmark first, then `aime 2022` … `aime 2024`, or OUR_100
    where all of them are there. Ids from a file that is only a part (benchmarks/sources.py) have
    slices of their own, which say so."""
    found: dict[str, list[str]] = {}
    for part in (False, True):
        ids, end = [i for i in task_ids if i.startswith(PART) == part], " (part)" if part else ""
        if ids:
            found[benchmark + end] = ids
        if benchmark == "aime":  # ids are like 2024-I-12
            for i in sorted(ids):
                year = i.removeprefix(PART)[:4]
                found.setdefault(f"aime {year}{end}", []).append(i)
        elif benchmark == "humaneval_plus" and set(ids) >= humaneval_plus.OUR_100:
            found[OUR_100] = [i for i in ids if i in humaneval_plus.OUR_100]
    return found


def more_than_scores(table: pd.DataFrame) -> bool:
    """Whether a `table` says more than results.accuracy_table: a benchmark with parts, or several
    samples a problem."""
    parts = table["slice"].str.startswith("aime ") | (table["slice"] == OUR_100)
    return parts.any() or any(name.startswith("pass@") for name in table)


def table(records: pd.DataFrame) -> pd.DataFrame:
    """One row a folder, step and slice, from `results.load_records`.

    accuracy (avg@n: percent, the mean over problems of the share of correct samples) with the
    interval of results.accuracy_table; n answers to `problems` problems; flagged where n includes
    errors of our own, which count as wrong here.

    Where every problem of a slice has several samples, also pass@2, pass@4 … and pass@ their
    number by `stats.pass_at_k`, and for math majority@4, majority@8 … and majority@ their number by
    `majority.by_problem` (majority@2, with ties drawn by lot, would be the accuracy). Percent, each
    with its interval, as in `pass@2 lo`, `pass@2 hi`: results.interval of the estimates of the
    problems. nan where there are fewer samples."""
    drawn: dict[str, set[int]] = {"pass": set(), "majority": set()}
    rows, groups = [], ()
    if len(records):
        groups = records.groupby(["folder", "student", "step", "benchmark"])
    for (folder, student, step, benchmark), group in groups:
        correct = (group["outcome"] == "correct").groupby(group["task_id"]).agg(["sum", "count"])
        errors = set(group["task_id"][group["outcome"].isin(names.ERRORS)])
        for name, ids in slices_of(benchmark, list(correct.index)).items():
            k, n = correct.loc[ids, "sum"].to_numpy(), correct.loc[ids, "count"].to_numpy()
            answers, most = int(n.sum()), int(n.min())
            lo, hi = results.interval(k / n, answers)
            row = {
                "folder": folder,
                "student": student,
                "step": step,
                "slice": name,
                "n": answers,
                "problems": len(ids),
                "accuracy": 100 * float((k / n).mean()),
                "lo": 100 * lo,
                "hi": 100 * hi,
                "flagged": not errors.isdisjoint(ids),
            }
            ks = sorted({2**j for j in range(1, most.bit_length())} | {most} - {1})
            for m in ks:
                row |= _percent(f"pass@{m}", np.asarray(stats.pass_at_k(n, k, m)), answers)
            votes = [m for m in ks if m > 2] if benchmark in majority.MATH else []
            if votes:
                chances = majority.by_problem(group[group["task_id"].isin(ids)], votes)
                for m in votes:
                    row |= _percent(f"majority@{m}", chances[m].to_numpy(), answers)
            drawn["pass"].update(ks)
            drawn["majority"].update(votes)
            rows.append(row)
    heads = [f"{kind}@{m}" for kind, ks in drawn.items() for m in sorted(ks)]
    more = [head + end for head in heads for end in ("", " lo", " hi")]
    return pd.DataFrame(rows, columns=[*COLUMNS, *more])


def _percent(name: str, values: np.ndarray, answers: int) -> dict[str, float]:
    """The mean over problems with its interval, in percent, by the names of the columns."""
    lo, hi = results.interval(values, answers)
    return {name: 100 * float(values.mean()), f"{name} lo": 100 * lo, f"{name} hi": 100 * hi}


def for_reading(table: pd.DataFrame) -> pd.DataFrame:
    """A `table` with each value and its interval in one cell, such as `60.0 [50.1, 69.2]`."""
    ends = {"accuracy": ("lo", "hi")}
    ends |= {name: (f"{name} lo", f"{name} hi") for name in table if f"{name} lo" in table}
    shown = table.copy()
    for name, (lo, hi) in ends.items():
        cells = zip(table[name], table[lo], table[hi], strict=True)
        shown[name] = [f"{x:.1f} [{a:.1f}, {b:.1f}]" if x == x else None for x, a, b in cells]
    return shown.drop(columns=[end for pair in ends.values() for end in pair])
