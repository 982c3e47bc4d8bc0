"""Parts of benchmarks, and pass@k, from the records: AIME by year, HumanEval+ on our hundred beside
all 164."""

import numpy as np
import pandas as pd

from distill_nb.analysis import names, results, stats
from distill_nb.benchmarks import humaneval_plus
from distill_nb.benchmarks.sources import PART
from distill_nb.params import BENCHMARKS

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
    whole = table["slice"].str.removesuffix(" (part)").isin(BENCHMARKS)
    return not whole.all() or any(name.startswith("pass@") for name in table)


def table(records: pd.DataFrame) -> pd.DataFrame:
    """One row a folder, step and slice, from `results.load_records`.

    accuracy (avg@n: percent, the mean over problems of the share of correct samples) with the
    interval of results.accuracy_table; n answers to `problems` problems; flagged where n includes
    errors of our own, which count as wrong here. Where every problem of a slice has several
    samples, also pass@2, pass@4 … and pass@ their number, in percent, by `stats.pass_at_k`; nan
    where there are fewer."""
    rows, passes, groups = [], set(), ()
    if len(records):
        groups = records.groupby(["folder", "student", "step", "benchmark"])
    for (folder, student, step, benchmark), group in groups:
        correct = (group["outcome"] == "correct").groupby(group["task_id"]).agg(["sum", "count"])
        errors = set(group["task_id"][group["outcome"].isin(names.ERRORS)])
        for name, ids in slices_of(benchmark, list(correct.index)).items():
            k, n = correct.loc[ids, "sum"].to_numpy(), correct.loc[ids, "count"].to_numpy()
            lo, hi = results.interval(k / n)
            row = {
                "folder": folder,
                "student": student,
                "step": step,
                "slice": name,
                "n": int(n.sum()),
                "problems": len(ids),
                "accuracy": 100 * float((k / n).mean()),
                "lo": 100 * lo,
                "hi": 100 * hi,
                "flagged": not errors.isdisjoint(ids),
            }
            most = int(n.min())
            for m in {2**j for j in range(1, most.bit_length())} | {most} - {1}:
                row[f"pass@{m}"] = 100 * float(np.mean(stats.pass_at_k(n, k, m)))
                passes.add(m)
            rows.append(row)
    return pd.DataFrame(rows, columns=[*COLUMNS, *(f"pass@{m}" for m in sorted(passes))])
