"""Completions that flipped between the base student and a checkpoint, side by side, so that a
person can read what was gained and what was lost."""

import pandas as pd

from distill_nb.analysis.change_parts import PARTS, WORDS, classes

# what a flip is called → what that means
KINDS = {WORDS[part][0]: f"{WORDS[part][0]}: {what}" for part, what in PARTS.items()}
KINDS |= {WORDS[part][1]: f"{WORDS[part][1]}; before: {what}" for part, what in PARTS.items()}
KEYS = ["benchmark", "task_id", "sample"]
SIDES = ["outcome", "lenient_outcome", "answer", "completion"]
COLUMNS = [*KEYS, "kind", *(f"{side}_{end}" for side in SIDES for end in ("base", "step"))]


def flips(records: pd.DataFrame, step: int | None = None) -> pd.DataFrame:
    """One row a problem and sample that is correct at exactly one of the base and a checkpoint
    (default: the last step).

    records: `results.load_records` of one run. Columns benchmark, task_id, sample, kind (KINDS: of
    the side that is not correct, `change_parts.classes`), and outcome, lenient_outcome, answer,
    completion of each side, _base and _step. Errors of sampling or grading are no flips."""
    if not len(records) or 0 not in set(records["step"]):
        return pd.DataFrame(columns=COLUMNS)
    records = records.assign(was=classes(records))
    base = records[records["step"] == 0]
    after = records[records["step"] == (records["step"].max() if step is None else step)]
    both = base.merge(after, on=KEYS, suffixes=("_base", "_step"))
    both = both[(both["was_base"] != "error") & (both["was_step"] != "error")]
    both = both[(both["was_base"] == "correct") != (both["was_step"] == "correct")]
    lost = both["was_step"].map({part: words[0] for part, words in WORDS.items()})
    gained = both["was_base"].map({part: words[1] for part, words in WORDS.items()})
    return both.assign(kind=lost.fillna(gained))[COLUMNS].sort_values(KEYS, ignore_index=True)


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Flips by benchmark and kind, of the kinds that there are."""
    table = found.groupby(["benchmark", "kind"]).size().unstack(fill_value=0)
    return table.reindex(columns=[kind for kind in KINDS if kind in table])
