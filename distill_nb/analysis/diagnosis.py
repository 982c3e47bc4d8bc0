"""What a change in a score is: lost or gained to length, to format, to skill, or to several of
them; what moved under a score that did not; and whether another grader would say so. Takes
`results.load_records`."""

from typing import Protocol

import numpy as np
import pandas as pd

from distill_nb.analysis import change_parts, families, margins, paired
from distill_nb.analysis.change_parts import PARTS, UNKNOWN, WORDS
from distill_nb.analysis.names import ERRORS

KEYS = change_parts.KEYS
DIAGNOSIS = [
    *KEYS, "verdict", "score", "change", "lo", "hi", *PARTS, "skill_least", "skill_most",
]  # fmt: skip
GRADERS = [
    *KEYS, "n", "accuracy", "lenient", "second", "only_first", "only_second", "change",
    "second_change", "verdict", "second_verdict",
]  # fmt: skip
# Of a run's diagnoses at most 5% are to be wrong. Half of that is for what is named, the other half
# for how much of a change it is: the lower end of a 95% interval is too high in 2.5%.
ALPHA = 0.025
MOST, NEARLY_ALL = 50, 75  # percent of a change, by the lower end of a share's interval
NONE = "no verdict"
METHODS = {families.PRIMARY: "holm", families.EXPLORATORY: "fdr"}  # as in paired.paired_changes


class Part(Protocol):
    """A row of `adjusted`, of what verdicts are made of."""

    change: float
    before: float
    after: float
    share_lo: float
    p_adjusted: float


class Diagnosed(Protocol):
    """A row of `diagnose`, of what figures and sentences say."""

    folder: str
    benchmark: str
    step: int
    verdict: str
    score: str
    change: float
    lo: float
    hi: float
    skill_least: float
    skill_most: float


def diagnose(
    records: pd.DataFrame, changes: pd.DataFrame | None = None, split: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Every checkpoint against its base student, one row each; columns DIAGNOSIS, in points.

    changes, split: `paired.paired_changes` and `change_parts.parts` of the records, made where they
    are not given. verdict: `verdict_of`; score: the verdict in changes. PARTS add up to the change.
    skill_least, skill_most: by what the share of solved problems may have changed if every answer
    that nobody can know to be right or wrong (cut off, unanswered, out of time) were wrong after
    and right before, or the other way: bounds that assume nothing (Manski 1990,
    jstor.org/stable/2006592)."""
    changes = paired.paired_changes(records) if changes is None else changes
    split = change_parts.parts(records) if split is None else split
    p_scores, tested = adjusted(split, changes)
    by_row: dict[tuple, dict[str, Part]] = {}
    for part in tested.itertuples():
        by_row.setdefault((part.folder, part.benchmark, part.step), {})[part.part] = part
    rows = []
    for r, p_score in zip(changes.itertuples(), p_scores, strict=True):
        row = {name: getattr(r, name) for name in (*KEYS, "change", "lo", "hi")}
        own = by_row.get((r.folder, r.benchmark, r.step))
        row |= {"verdict": NONE, "score": r.verdict}
        if own is not None:
            row |= {name: part.change for name, part in own.items()} | _skill_bounds(own)
            row["verdict"] = verdict_of(r.verdict, p_score, own)
        rows.append(row)
    return pd.DataFrame(rows, columns=DIAGNOSIS)


def last_checkpoints(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of `diagnose` of each run's last checkpoint with a verdict, one a benchmark."""
    return found[found["verdict"] != NONE].groupby(["folder", "benchmark"]).tail(1)


def adjusted(split: pd.DataFrame, changes: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """(p_adjusted of the scores of `changes`, change_parts.parts with p_adjusted). A family is one
    of `changes`, with all parts of its checkpoints: so what a diagnosis says of a run, by its
    scores or their parts, is one family, corrected by the family's method. nan outside any."""
    rows = pd.MultiIndex.from_frame(split[KEYS])
    parts = split.assign(family=changes.set_index(KEYS)["family"].reindex(rows).to_numpy())
    every = pd.concat([changes[["folder", "family", "p"]], parts], ignore_index=True)
    p = np.full(len(every), np.nan)
    for family, method in METHODS.items():
        own = (every["family"] == family).to_numpy()
        p[own] = families.adjust(every["p"][own].astype(float), every["folder"][own], method).p
    return p[: len(changes)], parts.assign(p_adjusted=p[len(changes) :])


def _skill_bounds(own: dict[str, Part]) -> dict[str, float]:
    form, unknown = own["misformatted"], [own[part] for part in UNKNOWN]
    known = sum(part.change for part in own.values()) + form.after - form.before
    return {
        "skill_least": known - sum(part.before for part in unknown),
        "skill_most": known + sum(part.after for part in unknown),
    }


def verdict_of(score: str, p_score: float, own: dict[str, Part]) -> str:
    """What a checkpoint's change is. score: its verdict in `paired.paired_changes`; p_score, own:
    its p and its parts by name, as of `adjusted`.

    A part is named, by change_parts.WORDS, where it moved (p_adjusted < ALPHA). Where the score
    did, a part is the change (`lost skill`) if its share of it is surely above NEARLY_ALL and no
    other moved with it, most of it if surely above MOST (`mostly lost skill, also lost format`),
    and else a part of it (`lost skill, in part`; `lost format and lost skill`). What moved the
    other way follows (`less gained format`). A score that moved without any part is `an
    undetermined loss`, and `undetermined` where only the score's own, smaller family says that it
    moved. What moved under a score that did not is named beside it (`lost skill and gained format;
    score equivalent`). Without a part the verdict is that of the score."""
    if score == margins.UNTESTED:
        return NONE
    moved = [name for name, part in own.items() if part.p_adjusted < ALPHA]
    moved.sort(key=lambda name: -abs(own[name].change))
    gains = {name: own[name].change > 0 for name in moved}
    words = {name: WORDS[name][int(gains[name])] for name in moved}
    if score not in ("gain", "loss") or not p_score < ALPHA:
        score = "undetermined" if score in ("gain", "loss") else score
        named = sorted(words, key=lambda part: gains[part])  # losses first
        return f"{' and '.join(words[part] for part in named)}; score {score}" if named else score
    along = [part for part in words if gains[part] == (score == "gain")]
    against = [words[part] for part in words if part not in along]
    less = f", less {' and '.join(against)}" if against else ""
    if not along:
        return f"an undetermined {score}{less}"
    first, *others = [words[part] for part in along]
    sure = own[along[0]].share_lo
    if sure > NEARLY_ALL and not others:
        return first + less
    if sure > MOST:
        return f"mostly {first}{', also ' if others else ''}{' and '.join(others)}{less}"
    return (" and ".join([first, *others]) if others else f"{first}, in part") + less


def _read_as(records: pd.DataFrame, column: str) -> pd.DataFrame:
    """The records with another reading as their outcome. Errors of ours stay errors."""
    outcome = records[column].where(~records["outcome"].isin(ERRORS), records["outcome"])
    return records.assign(outcome=outcome)


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
