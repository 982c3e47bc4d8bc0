"""How many answers ended in a loop, and what loops cost in tokens, from records."""

import pandas as pd

COLUMNS = [
    "folder", "benchmark", "step", "answers", "looping", "percent", "tokens", "in_loops",
    "not_generated",
]  # fmt: skip


def table(records: pd.DataFrame) -> pd.DataFrame:
    """One row a run, benchmark and step with an answer that loops, or that was stopped for it;
    columns COLUMNS. records: results.load_records.

    looping: answers with this outcome, and percent of all. tokens: of all answers together;
    in_loops: how many of them belong to loops, in answers that loops or the limit ended, also where
    an answer was found before. not_generated: the tokens that `stop_on_loop` left out, up to the
    length limit, which an answer that loops rarely stops before. Records of before loops were named
    count as 0."""
    if records.empty:
        return pd.DataFrame(columns=COLUMNS)
    looping = records["outcome"] == "looping"
    found = records[["folder", "benchmark", "step"]].assign(
        answers=1,
        looping=looping,
        tokens=_numbers(records, "completion_tokens"),
        in_loops=_numbers(records, "loop_tokens"),
        not_generated=_numbers(records, "not_generated"),
    )
    summed = found.groupby(["folder", "benchmark", "step"], as_index=False).sum()
    summed["percent"] = 100 * summed["looping"] / summed["answers"]
    kept = (summed["looping"] > 0) | (summed["in_loops"] > 0) | (summed["not_generated"] > 0)
    return summed[kept][COLUMNS].reset_index(drop=True)


def sentence(found: pd.DataFrame) -> str:
    """What `table` says, in one or two sentences."""
    if found.empty:
        return "No answer ended in a loop."
    tokens, inside = int(found["tokens"].sum()), int(found["in_loops"].sum())
    said = (
        f"{int(found['looping'].sum())} answers loop to their end without an answer; "
        f"{inside:,} of {tokens:,} tokens in the rows below belong to loops."
    )
    if saved := int(found["not_generated"].sum()):
        return f"{said} stop_on_loop left up to {saved:,} tokens out."
    return f"{said} stop_on_loop would leave most of them out."


def _numbers(records: pd.DataFrame, column: str) -> pd.Series:
    if column not in records:
        return pd.Series(0, records.index)
    return pd.to_numeric(records[column], errors="coerce").fillna(0).astype(int)
