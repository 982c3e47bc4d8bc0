"""What a change in a score is: a lost format or a lost skill, a real gain or noise; and whether
another grader would say so. Takes `results.load_records`."""

import pandas as pd

from distill_nb.analysis import paired
from distill_nb.analysis.flips import counts, flips
from distill_nb.analysis.names import ERRORS

KEYS = ["folder", "benchmark", "step"]
DIAGNOSIS = [
    *KEYS, "kind", "change", "p_adjusted", "lenient_change", "lenient_p_adjusted", "format_share",
    "unanswered", "gained", "lost", "lost_format",
]  # fmt: skip
GRADERS = [
    *KEYS, "n", "accuracy", "lenient", "second", "only_first", "only_second", "change",
    "second_change", "verdict", "second_verdict",
]  # fmt: skip


def diagnose(records: pd.DataFrame) -> pd.DataFrame:
    """Every checkpoint against its base student, by the strict reading and by the lenient one (the
    last number without a box, code outside a complete block); columns DIAGNOSIS, changes in points.

    A strict loss (`paired.paired_changes`) is a lost format where the lenient reading shows none, a
    lost skill where it loses at least three quarters as much, and both in between. format_share:
    the share of the strict loss that the lenient reading does not show, nan without a loss. A gain
    is one in format or length where the lenient reading shows none, or where more than half of what
    was gained (`unanswered`, percent) is on problems to which the base student's answer was cut off
    or could not be found: then nothing says that it could not have solved them. gained, lost,
    lost_format: how many problems (and samples) flipped, the last of them where the checkpoint's
    answer is right to the lenient reading, or was not found, or was cut off."""
    rows = []
    strict = paired.paired_changes(records)
    if not len(strict):
        return pd.DataFrame(columns=DIAGNOSIS)
    lenient = paired.paired_changes(_read_as(records, "lenient_outcome")).set_index(KEYS)
    for r in strict.itertuples():
        other = lenient.loc[(r.folder, r.benchmark, r.step)]
        own = records[(records["folder"] == r.folder) & (records["benchmark"] == r.benchmark)]
        flipped = counts(flips(own, r.step)).sum()
        share = float("nan")
        if r.change < 0:
            share = min(1.0, max(0.0, 1 - other["change"] / r.change))
        row = {key: getattr(r, key) for key in (*KEYS, "change", "p_adjusted", "unanswered")}
        row |= {
            "kind": _kind(r.verdict, other["verdict"], share, r.unanswered),
            "lenient_change": other["change"],
            "lenient_p_adjusted": other["p_adjusted"],
            "format_share": share,
            "gained": int(flipped["gained"]),
            "lost": int(flipped["lost"]),
            "lost_format": int(flipped["lost format"]),
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=DIAGNOSIS)


def _read_as(records: pd.DataFrame, column: str) -> pd.DataFrame:
    """The records with another reading as their outcome. Errors of ours stay errors."""
    outcome = records[column].where(~records["outcome"].isin(ERRORS), records["outcome"])
    return records.assign(outcome=outcome)


def _kind(strict: str, lenient: str, share: float, unanswered: float) -> str:
    """What a change is, from its verdicts by either reading (margins.VERDICTS)."""
    if strict == "gain":
        real = lenient == "gain" and not unanswered > 50
        return "gain" if real else "gain in format or length"
    if strict == "loss":
        if lenient != "loss":
            return "lost format"
        return "lost skill" if share <= 0.25 else "lost format and skill"
    return "nothing to compare" if strict == "—" else strict


def graders(records: pd.DataFrame) -> pd.DataFrame:
    """What the choice of the grader changes, a row a run, benchmark and step; columns GRADERS.

    accuracy, lenient, second (percent): by the grader that counts, by the lenient reading, and by
    the second grader (of math the text of the answer alone, of code the benchmark's base tests).
    only_first, only_second: answers that only one of both takes for correct; errors count as wrong.
    change, second_change: against the base student in points, each with its verdict in
    `paired.paired_changes`; — at step 0."""
    if not len(records):
        return pd.DataFrame(columns=GRADERS)
    by_second = _read_as(records, "second_outcome")
    first, second = records["outcome"] == "correct", by_second["outcome"] == "correct"
    lenient = _read_as(records, "lenient_outcome")["outcome"] == "correct"
    right = records[KEYS].assign(accuracy=first, lenient=lenient, second=second)
    right = right.assign(only_first=first & ~second, only_second=second & ~first).groupby(KEYS)
    table = 100 * right[["accuracy", "lenient", "second"]].mean()
    table[["only_first", "only_second"]] = right[["only_first", "only_second"]].sum()
    table["n"] = right.size()
    for prefix, read in (("", records), ("second_", by_second)):
        changes = paired.paired_changes(read).set_index(KEYS)
        table[f"{prefix}change"] = changes["change"]
        table[f"{prefix}verdict"] = changes["verdict"]
    return table.reset_index()[GRADERS].fillna({"verdict": "—", "second_verdict": "—"})
