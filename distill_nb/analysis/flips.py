"""Completions that flipped between the base student and a checkpoint, side by side, so that a
person can read what was gained and what was lost."""

import pandas as pd

from distill_nb.analysis.names import ERRORS, UNANSWERED

KINDS = {
    "gained": "gained: correct only at the checkpoint",
    "lost": "lost: correct only at the base",
    "lost format": "lost format: the answer is not where it should be",
}
KEYS = ["benchmark", "task_id", "sample"]
SIDES = ["outcome", "lenient_outcome", "answer", "completion"]
COLUMNS = [*KEYS, "kind", *(f"{side}_{end}" for side in SIDES for end in ("base", "step"))]


def flips(records: pd.DataFrame, step: int | None = None) -> pd.DataFrame:
    """One row a problem and sample that is correct at exactly one of the base and a checkpoint
    (default: the last step).

    records: `results.load_records` of one run. Columns benchmark, task_id, sample, kind (KINDS),
    and outcome, answer, completion of each side, _base and _step. An answer that the lenient
    reading still finds, or that was not found or was cut off, is a lost format; errors of sampling
    or grading are no flips."""
    if not len(records) or 0 not in set(records["step"]):
        return pd.DataFrame(columns=COLUMNS)
    base = records[records["step"] == 0]
    after = records[records["step"] == (records["step"].max() if step is None else step)]
    both = base.merge(after, on=KEYS, suffixes=("_base", "_step"))
    both = both[~both["outcome_base"].isin(ERRORS) & ~both["outcome_step"].isin(ERRORS)]
    both = both[(both["outcome_base"] == "correct") != (both["outcome_step"] == "correct")]
    formal = both["outcome_step"].isin(UNANSWERED) | (both["lenient_outcome_step"] == "correct")
    kind = pd.Series("lost", index=both.index, dtype=object).mask(formal, "lost format")
    kind = kind.mask(both["outcome_step"] == "correct", "gained")
    return both.assign(kind=kind)[COLUMNS].sort_values(KEYS, ignore_index=True)


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Flips by benchmark and kind."""
    table = found.groupby(["benchmark", "kind"]).size().unstack(fill_value=0)
    return table.reindex(columns=list(KINDS), fill_value=0)
