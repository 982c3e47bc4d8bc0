"""What became of a source's rows: each reason for which one is left out, and counts that add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

REASONS = {  # in the order in which they are tested; the first that holds is the one recorded
    "no_problem": "no statement",
    "no_statement": "statement not in the row, and no file of statements given",
    "no_trace": "no trace",
    "incomplete": "thinking not closed, cut off, or nothing after it",
    "not_verified": "no complete generation is marked correct",
    "no_code": "no complete code block",
    "does_not_compile": "code does not compile",
    "contaminated": "problem of an evaluation set",
    "same_template": "evaluation problem with another number, sign or opposite word",
    "same_problem": "another trace of its problem was taken, and with regrade graded",
    "near_duplicate": "problem nearly repeats another",
    "regraded_wrong": "answer not correct by our grader",
    # of an API teacher, whose problems are judged before it is asked
    "wrong": "no attempt was correct by our grader",
    "no_answer": "no attempt had an answer to grade",
    "failed": "no attempt can be used: refused, hidden thinking, or given up",
    "not_asked": "not asked: max_cost was reached",
    "not_needed": "good, and not needed",
}


def funnel_of(rows: int, reasons: dict[str, int], kept: int) -> dict:
    """{"rows", "rejected": {reason: rows}, "kept"}; RuntimeError where they do not add up."""
    ordered = {reason: reasons[reason] for reason in REASONS if reasons.get(reason)}
    if sum(ordered.values()) + kept != rows:
        raise RuntimeError(
            f"{rows} rows, {kept} kept, {sum(ordered.values())} rejected: the count does not "
            "add up."
        )
    return {"rows": rows, "rejected": ordered, "kept": kept}


def explained(counts: dict) -> pd.DataFrame:
    """A funnel as a table: reason, what it means, rows."""
    import pandas as pd

    rows = [
        (reason.replace("_", " "), REASONS[reason], n) for reason, n in counts["rejected"].items()
    ]
    rows += [("kept", "in the set", counts["kept"]), ("all", "rows of the source", counts["rows"])]
    return pd.DataFrame(rows, columns=["reason", "meaning", "rows"])
