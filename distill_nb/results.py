"""Records → tidy tables.

`python -m distill_nb.results runs/pocket` prints the table of accuracies of all runs of one scale.
"""
from __future__ import annotations

import sys
from pathlib import Path

from . import stats
from .evaluate import OUTCOMES, read_records

ERRORS = ["sampling_error", "grader_error"]
KEYS = ["run_name", "student", "teacher", "domain", "folder", "step", "benchmark"]


def load_runs(scale_dir: Path):
    """All records below runs/<scale>/*/eval as a DataFrame, one row a problem and sample; column `folder` is the
    run's folder (replicates of one run have folders of their own). Empty where nothing was evaluated."""
    import pandas as pd

    rows = []
    for file in sorted(Path(scale_dir).glob("*/eval/step_*/*.jsonl")):
        rows += [r | {"folder": file.parents[2].name} for r in read_records(file)]
    return pd.DataFrame(rows)


def accuracy_table(scale_dir: Path):
    """One row a run, step and benchmark, from the records of a scale.

    accuracy, lo, hi (95% Wilson), lenient, second: percent. bounds_lo, bounds_hi: accuracy if every sampling or
    grader error were wrong, or correct; `flagged` where they differ. n answers, k correct, and a count of each
    outcome. Several samples of a problem count as answers of their own here."""
    import pandas as pd

    records = load_runs(scale_dir)
    if records.empty:
        return pd.DataFrame(columns=[*KEYS, "accuracy", "n", "k", "lo", "hi", "bounds_lo", "bounds_hi", "flagged"])
    rows = []
    for keys, group in records.groupby(KEYS, sort=False):
        n, counts = len(group), group["outcome"].value_counts()
        k, errors = int(counts.get("correct", 0)), int(counts.reindex(ERRORS).fillna(0).sum())
        lo, hi = stats.wilson(k, n)
        rows.append(dict(zip(KEYS, keys, strict=True)) | {
            "accuracy": 100 * k / n, "n": n, "k": k, "lo": 100 * lo, "hi": 100 * hi,
            "lenient": 100 * (group["lenient_outcome"] == "correct").mean(),
            "second": 100 * (group["second_outcome"] == "correct").mean(),
            "bounds_lo": 100 * k / n, "bounds_hi": 100 * (k + errors) / n, "flagged": errors > 0,
            "mean_tokens": group["completion_tokens"].mean(),
        } | {o: int(counts.get(o, 0)) for o in OUTCOMES})
    return pd.DataFrame(rows).sort_values(["folder", "benchmark", "step"], ignore_index=True)


def wide_table(table):
    """accuracy_table for reading: a row a run and step, a column a benchmark, cells like `47.9 [35, 61]`; an
    asterisk marks a score whose n includes sampling or grader errors."""
    if table.empty:
        return table
    cells = table.assign(cell=[f"{r.accuracy:.1f}{'*' if r.flagged else ''} [{r.lo:.0f}, {r.hi:.0f}]"
                               for r in table.itertuples()])
    return cells.pivot_table(index=["folder", "step"], columns="benchmark", values="cell", aggfunc="first").fillna("—")


def change_table(table):
    """Last checkpoint against the base student, one row a run and benchmark: both accuracies (percent) and the
    difference in points with a 95% interval for two independent proportions (Newcombe 1998, method 10, doi
    10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I).

    The answers are to the same problems, so the interval is wider than a paired one would be."""
    import pandas as pd
    from statsmodels.stats.proportion import confint_proportions_2indep

    rows = []
    for (folder, benchmark), group in table.groupby(["folder", "benchmark"]):
        first, last = group.iloc[0], group.iloc[-1]
        if first["step"] != 0 or last["step"] == 0:
            continue
        lo, hi = confint_proportions_2indep(last["k"], last["n"], first["k"], first["n"], method="newcomb")
        rows.append({"folder": folder, "domain": last["domain"], "benchmark": benchmark, "step": last["step"],
                     "base": first["accuracy"], "accuracy": last["accuracy"],
                     "change": last["accuracy"] - first["accuracy"], "lo": 100 * lo, "hi": 100 * hi,
                     "n": last["n"]})
    return pd.DataFrame(rows, columns=["folder", "domain", "benchmark", "step", "base", "accuracy", "change", "lo",
                                       "hi", "n"]).round(1)


def change_sentence(row) -> str:
    """One sentence for a row of change_table, its verdict from the interval alone."""
    verdict = "a gain" if row.lo > 0 else "a loss" if row.hi < 0 else "within noise"
    return (f"{row.folder}, {row.benchmark}: {row.base:.1f}% → {row.accuracy:.1f}% at step {row.step}, "
            f"{row.change:+.1f} points [{row.lo:+.1f}, {row.hi:+.1f}] on {row.n} answers: {verdict}.")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m distill_nb.results runs/<scale>   (the folder of an evaluated scale)")
    print("Accuracy in percent with 95% Wilson intervals; step 0 is the base student.")
    print(wide_table(accuracy_table(Path(sys.argv[1]))).to_string())
