"""Which checkpoint of a run is its best.

`select_on: test` is the study's rule: the best of all checkpoints on the very problems that then
score it, which makes it look too good. `select_on: dev` splits those problems in halves, the same
in every run: one chooses, the other scores. `tidy.best_checkpoints` then finds the chosen step in
the table."""

import hashlib
import logging

import numpy as np
import pandas as pd

from distill_nb.analysis import finished, results
from distill_nb.analysis.names import RULE, name_of

log = logging.getLogger(__name__)

CHOOSE = [benchmark for names in RULE.values() for benchmark in names]
COLUMNS = [
    "folder", "benchmark", "test_step", "test_accuracy", "dev_step", "dev_accuracy", "accuracy",
    "lo", "hi", "n", "same_half",
]  # fmt: skip


def in_dev(task_id: str) -> bool:
    """Whether a problem is of the dev half: by the parity of its id's sha256, the same in every
    run."""
    return hashlib.sha256(task_id.encode()).digest()[0] % 2 == 0


def _halves(records: pd.DataFrame) -> list[pd.DataFrame]:
    """results.accuracy_of the dev half and of the other half, by folder, step and benchmark."""
    dev = records["task_id"].map(in_dev).astype(bool)
    halves = (records[dev], records[~dev])
    keys = ["folder", "step", "benchmark"]
    return [results.accuracy_of(half).set_index(keys) for half in halves]


def rescored(ours: pd.DataFrame, records: pd.DataFrame, select_on: str) -> pd.DataFrame:
    """A tidy table of our runs (tidy.load_runs) with the accuracies that a rule needs; records:
    results.load_records.

    `test` leaves it as it is. `dev` gives the benchmarks that choose (names.RULE) the accuracy of
    the half that did not choose, and a column `dev` with that of the half that does: nan for other
    benchmarks, and where a half is empty, which is logged. Errors count as wrong in both, as in
    every accuracy here."""
    if select_on == "test" or ours.empty:
        return ours
    (dev, rest), ours = _halves(records), ours.assign(dev=np.nan)
    for r in ours[ours["benchmark"].isin(CHOOSE)].itertuples():
        key = (r.source, r.step, r.benchmark)
        if key in dev.index and key in rest.index:
            other = rest.loc[key]
            values = [other["accuracy"], other["problems"], other["flagged"]]
            columns = ["accuracy", "n", "flagged", "dev"]
            ours.loc[r.Index, columns] = [*values, dev.loc[key, "accuracy"]]
    without = ours[ours["benchmark"].isin(CHOOSE) & ours["dev"].isna()]
    for r in without.drop_duplicates(["source", "benchmark"]).itertuples():
        log.warning(
            f"{r.benchmark} of {r.source} cannot choose: all of its {r.n} problems are in one half."
        )
    return ours.astype({"n": int, "flagged": bool})


def both_rules(records: pd.DataFrame) -> pd.DataFrame:
    """The best checkpoint of each run by either rule, one row a run, by the benchmark that chooses
    (names.RULE).

    test_step: the best on all problems, with test_accuracy on the same problems. dev_step: the best
    on the dev half (`in_dev`), the earliest of equals, with dev_accuracy there and its accuracy
    with 95% interval lo, hi on the other half of n problems; same_half: the accuracy of test_step
    there. Percent, errors counted as wrong. Runs with nothing to choose from are left out;
    `sentences` says why."""
    return pd.DataFrame(
        [_chosen(choice) for choice in finished.choices(records) if not _why_not(choice)],
        columns=COLUMNS,
    )


def _chosen(choice: finished.Choice) -> dict:
    """A row of `both_rules`."""
    own = results.accuracy_of(choice.records).set_index("step").sort_index()
    dev, rest = (half.droplevel(["folder", "benchmark"]) for half in _halves(choice.records))
    best = own["accuracy"].idxmax()
    chosen = dev["accuracy"].sort_index().idxmax()
    r = rest.loc[chosen]
    row = {
        "folder": choice.folder,
        "benchmark": choice.benchmark,
        "test_step": int(best),
        "test_accuracy": own.loc[best, "accuracy"],
        "dev_step": int(chosen),
        "dev_accuracy": dev.loc[chosen, "accuracy"],
        "n": int(r["problems"]),
        "same_half": rest.loc[best, "accuracy"],
    }
    return row | {key: r[key] for key in ("accuracy", "lo", "hi")}


def _why_not(choice: finished.Choice) -> str:
    """Why a run has no row in `both_rules`; empty where it has."""
    if choice.why_not:
        return choice.why_not
    ids = choice.records["task_id"].unique()
    if len({in_dev(task_id) for task_id in ids}) == 2:
        return ""
    return f"all {len(ids)} problems of {name_of(choice.benchmark)} are in one half"


def sentences(records: pd.DataFrame, select_on: str) -> str:
    """One sentence a run with checkpoints, of `results.load_records`: its best checkpoint by the
    rule that counts here and by the other, or why there is nothing to choose."""
    lines = []
    chosen = {r.folder: r for r in both_rules(records).itertuples()}
    for choice in finished.choices(records):
        if why := _why_not(choice):
            lines.append(f"{choice.folder}: there is nothing to choose, as {why}.")
            continue
        r = chosen[choice.folder]
        test = f"step {r.test_step} ({r.test_accuracy:.1f}% on the problems that chose it)"
        dev = (
            f"step {r.dev_step} ({r.accuracy:.1f}% [{r.lo:.1f}, {r.hi:.1f}] on the {r.n} problems "
            "that did not choose it)"
        )
        by = f"{r.folder}: best by {name_of(r.benchmark)} on"
        if select_on == "test":
            lines.append(f"{by} all problems is {test}; on one half of them, {dev}.")
        else:
            lines.append(f"{by} one half of the problems is {dev}; on all of them, {test}.")
    return "\n".join(lines) or "No run has a checkpoint to choose yet."
