"""Which checkpoint of a run is its best: by all problems of the benchmark that chooses, or by a
fixed half of them.

`select_on: test` is the study's rule: the best of all checkpoints on the very problems that then
score it, which makes it look too good. `select_on: dev` splits those problems in halves, the same
in every run: one chooses, the other scores. Both are computed here from records;
`results.best_checkpoints` then finds the chosen step in the table."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from distill_nb.analysis import results, stats
from distill_nb.analysis.names import RULE, name_of
from distill_nb.analysis.paired import matrix

CHOOSE = [benchmark for names in RULE.values() for benchmark in names]
COLUMNS = [
    "folder",
    "benchmark",
    "test_step",
    "test_accuracy",
    "dev_step",
    "dev_accuracy",
    "accuracy",
    "lo",
    "hi",
    "n",
    "same_half",
]


def in_dev(task_id: str) -> bool:
    """Whether a problem is of the dev half: by the parity of its id's sha256, the same in every
    run."""
    return hashlib.sha256(task_id.encode()).digest()[0] % 2 == 0


def _halves(records):
    """results.accuracy_of the dev half and of the other half, by folder, step and benchmark."""
    dev = records["task_id"].map(in_dev).astype(bool)
    return [
        results.accuracy_of(half).set_index(["folder", "step", "benchmark"])
        for half in (records[dev], records[~dev])
    ]


def scored(ours, records, select_on: str):
    """A tidy table of our runs (results.load_runs) as a rule needs it; records:
    results.load_records.

    `test` leaves it as it is. `dev` gives the benchmarks that choose (results.RULE) the accuracy of
    the half that did not choose, and a column `dev` with that of the half that does: nan for other
    benchmarks, and where a half is empty, which is said. Errors count as wrong in both, as in every
    accuracy here."""
    if select_on == "test" or ours.empty:
        return ours
    (dev, rest), ours = _halves(records), ours.assign(dev=np.nan)
    for r in ours[ours["benchmark"].isin(CHOOSE)].itertuples():
        key = (r.source, r.step, r.benchmark)
        if key in dev.index and key in rest.index:
            other = rest.loc[key]
            ours.loc[r.Index, ["accuracy", "n", "flagged", "dev"]] = [
                other["accuracy"],
                other["problems"],
                other["flagged"],
                dev.loc[key, "accuracy"],
            ]
    without = ours[ours["benchmark"].isin(CHOOSE) & ours["dev"].isna()].drop_duplicates(
        ["source", "benchmark"]
    )
    for r in without.itertuples():
        print(
            f"{r.benchmark} of {r.source} cannot choose: all of its {r.n} problems are in one half."
        )
    return ours.astype({"n": int, "flagged": bool})


def selections(records):
    """Both rules for choosing a run's checkpoint, one row a run, by the benchmark that chooses
    (results.RULE).

    test_step: the best on all problems, the study's rule, with test_accuracy on the same problems
    (too good by construction). dev_step: the best on the dev half (`in_dev`), the earliest of
    equals, with dev_accuracy there and its accuracy with 95% interval lo, hi on the other half of n
    problems, which did not choose it; same_half: the accuracy of test_step there. Percent, errors
    counted as wrong. Runs without two finished checkpoints, or without problems in a half, are left
    out."""
    if not len(records):
        return pd.DataFrame(columns=COLUMNS)
    table, (dev, rest), rows = results.accuracy_of(records), _halves(records), []
    for folder, run in table[table["step"] > 0].groupby("folder"):
        name = next(
            (b for b in RULE.get(run["domain"].iloc[0], ()) if b in set(run["benchmark"])), None
        )
        own = run[run["benchmark"] == name]
        own = own[own["n"] == own["n"].max()].set_index("step").sort_index()
        keys = [(folder, step, name) for step in own.index]
        if len(own) < 2 or not all(key in half.index for key in keys for half in (dev, rest)):
            continue
        best, chosen = (
            own["accuracy"].idxmax(),
            max(keys, key=lambda key: (dev.loc[key, "accuracy"], -key[1])),
        )
        r = rest.loc[chosen]
        rows.append(
            (
                folder,
                name,
                int(best),
                own.loc[best, "accuracy"],
                int(chosen[1]),
                dev.loc[chosen, "accuracy"],
                r["accuracy"],
                r["lo"],
                r["hi"],
                int(r["problems"]),
                rest.loc[(folder, best, name), "accuracy"],
            )
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def sentences(chosen, select_on: str) -> str:
    """One sentence a run of `selections`: its best checkpoint by the rule that counts here, and by
    the other."""
    lines = []
    for r in chosen.itertuples():
        test = f"step {r.test_step} ({r.test_accuracy:.1f}% on the problems that chose it)"
        dev = (
            f"step {r.dev_step} ({r.accuracy:.1f}% [{r.lo:.1f}, {r.hi:.1f}] on the {r.n} problems "
            "that did not choose it)"
        )
        first, second = (test, dev) if select_on == "test" else (dev, test)
        words = (
            ("all problems", "one half of them")
            if select_on == "test"
            else ("one half of the problems", "all of them")
        )
        lines.append(
            f"{r.folder}: best by {name_of(r.benchmark)} on {words[0]} is {first}; on {words[1]}, "
            f"{second}."
        )
    return "\n".join(lines) or "No run has two finished checkpoints to choose from yet."


def choosing(records):
    """(folder, benchmark, `matrix` of its finished checkpoints) of every run that has the benchmark
    which chooses (RULE)."""
    for folder, run in records[records["step"] > 0].groupby("folder") if len(records) else ():
        name = next(
            (b for b in RULE.get(run["domain"].iloc[0], ()) if b in set(run["benchmark"])), None
        )
        own = run[run["benchmark"] == name]
        if len(own):
            answers = own["step"].value_counts()
            yield (
                folder,
                name,
                matrix(own[own["step"].isin(answers.index[answers == answers.max()])]),
            )


def selection(records, seed: int = 0):
    """What choosing the best checkpoint on the test set is worth, one row a run, by the benchmark
    that chooses (RULE).

    Columns: folder, benchmark, n (problems), checkpoints, step (chosen), naive, corrected, lo, hi,
    last (percent), regret, regret_lo, regret_hi (points; `stats.selection_corrected`), errors
    (problems left out, as an answer at one of the checkpoints is an error). Unfinished checkpoints
    are left out."""
    rows = []
    for folder, name, every in choosing(records):
        shares = every.dropna(axis="columns")
        if len(shares) < 2 or shares.shape[1] < 4:
            continue
        s = stats.selection_corrected(shares.to_numpy(), seed=seed)
        percent = (s.naive, s.corrected, s.lo, s.hi, s.last, s.regret, s.regret_lo, s.regret_hi)
        rows.append(
            (
                folder,
                name,
                shares.shape[1],
                len(shares),
                int(shares.index[s.selected]),
                *(100 * x for x in percent),
                every.shape[1] - shares.shape[1],
            )
        )
    return pd.DataFrame(
        rows,
        columns=[
            "folder",
            "benchmark",
            "n",
            "checkpoints",
            "step",
            "naive",
            "corrected",
            "lo",
            "hi",
            "last",
            "regret",
            "regret_lo",
            "regret_hi",
            "errors",
        ],
    )
