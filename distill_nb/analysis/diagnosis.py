"""What a change in a score is: a lost format or a lost skill, a real gain or noise; and whether
another grader would say so.

Takes `results.load_records`.
"""

from __future__ import annotations

import pandas as pd

from distill_nb.analysis import paired
from distill_nb.analysis.flips import counts, flips
from distill_nb.analysis.names import ERRORS

KINDS = (
    "gain",
    "gain in format or length",
    "lost skill",
    "lost format",
    "lost format and skill",
    "within noise",
    "nothing to compare",
)
DIAGNOSIS = [
    "folder",
    "benchmark",
    "step",
    "kind",
    "change",
    "p_holm",
    "lenient_change",
    "lenient_p_holm",
    "format_share",
    "unanswered",
    "gained",
    "lost",
    "lost_format",
]
GRADERS = [
    "folder",
    "benchmark",
    "step",
    "n",
    "accuracy",
    "lenient",
    "second",
    "only_first",
    "only_second",
    "change",
    "second_change",
    "verdict",
    "second_verdict",
]


def diagnose(records):
    """Every checkpoint against its base student, by the strict reading and by the lenient one (the
    last number without a box, code outside a complete block); columns DIAGNOSIS, changes in points.

    A strict loss (Holm's p < 5%) is a lost format where the lenient reading shows no loss, a lost
    skill where it loses at least three quarters as much, and both in between. format_share: the
    share of the strict loss that the lenient reading does not show, nan without a loss. A gain is
    one in format or length where the lenient reading shows none, or where more than half of what
    was gained (`unanswered`, percent) is on problems to which the base student's answer was cut off
    or could not be found: then nothing says that it could not have solved them. gained, lost,
    lost_format: how many problems (and samples) flipped, the last of them where the checkpoint's
    answer is right to the lenient reading, or was not found, or was cut off."""
    rows = []
    strict = paired.paired_changes(records)
    if not len(strict):
        return pd.DataFrame(columns=DIAGNOSIS)
    # Errors of ours stay errors; everything else is read as leniently as can be.
    lenient_outcome = records["lenient_outcome"].where(
        ~records["outcome"].isin(ERRORS), records["outcome"]
    )
    lenient = paired.paired_changes(records.assign(outcome=lenient_outcome)).set_index(
        ["folder", "benchmark", "step"]
    )
    for r in strict.itertuples():
        other = lenient.loc[(r.folder, r.benchmark, r.step)]
        own = records[(records["folder"] == r.folder) & (records["benchmark"] == r.benchmark)]
        flipped = counts(flips(own, r.step)).sum()
        share = (
            float("nan") if not r.change < 0 else min(1.0, max(0.0, 1 - other["change"] / r.change))
        )
        rows.append(
            (
                r.folder,
                r.benchmark,
                r.step,
                _kind(r, other, share),
                r.change,
                r.p_holm,
                other["change"],
                other["p_holm"],
                share,
                r.unanswered,
                *(int(flipped[kind]) for kind in ("gained", "lost", "lost format")),
            )
        )
    return pd.DataFrame(rows, columns=DIAGNOSIS)


def _kind(strict, lenient, share: float) -> str:
    if strict.p != strict.p:
        return "nothing to compare"
    if not strict.p_holm < 0.05:
        return "within noise"
    if strict.change > 0:
        shown = lenient["change"] > 0 and lenient["p_holm"] < 0.05
        return "gain" if shown and not strict.unanswered > 50 else "gain in format or length"
    if not (lenient["change"] < 0 and lenient["p_holm"] < 0.05):
        return "lost format"
    return "lost skill" if share <= 0.25 else "lost format and skill"


def graders(records):
    """What the choice of the grader changes, a row a run, benchmark and step; columns GRADERS.

    accuracy, lenient, second (percent): by the grader that counts, by the lenient reading, and by
    the second grader (of math the text of the answer alone, of code the benchmark's base tests).
    only_first, only_second: answers that only one of both takes for correct; errors count as wrong.
    change, second_change: against the base student in points, each with its verdict by Holm's p at
    5% (`gain`, `loss`, `within noise`); — at step 0."""
    if not len(records):
        return pd.DataFrame(columns=GRADERS)
    read = {
        column: records[column].where(
            ~records["outcome"].isin(ERRORS), records["outcome"]
        )  # an error of ours is one
        for column in ("outcome", "lenient_outcome", "second_outcome")
    }
    first, lenient, second = (outcome == "correct" for outcome in read.values())
    marked = records.assign(
        first=first,
        lenient=lenient,
        second=second,
        only_first=first & ~second,
        only_second=second & ~first,
    )
    keys = ["folder", "benchmark", "step"]
    table = marked.groupby(keys).agg(
        n=("first", "size"),
        accuracy=("first", "mean"),
        lenient=("lenient", "mean"),
        second=("second", "mean"),
        only_first=("only_first", "sum"),
        only_second=("only_second", "sum"),
    )
    table[["accuracy", "lenient", "second"]] *= 100
    for prefix, outcome in (("", read["outcome"]), ("second_", read["second_outcome"])):
        changes = paired.paired_changes(records.assign(outcome=outcome)).set_index(keys)
        table[f"{prefix}change"] = changes["change"]
        table[f"{prefix}verdict"] = changes.apply(paired.verdict, axis=1) if len(changes) else None
    return table.reset_index()[GRADERS].fillna({"verdict": "—", "second_verdict": "—"})
