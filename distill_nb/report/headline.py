"""What came out of a scale's runs, in one sentence or one a run, with the words of the verdicts
(analysis/margins.py) and nothing beyond them."""

from __future__ import annotations

from collections import Counter

from pandas import DataFrame

from distill_nb.analysis.families import PRIMARY
from distill_nb.analysis.margins import UNTESTED, VERDICTS
from distill_nb.analysis.names import ASKS_FOR, chooses, name_of
from distill_nb.analysis.paired import Change

FEW = 6  # comparisons that are each named; of more, how many came to what
WORDS = {"gain": "a gain", "loss": "a loss", UNTESTED: "too few problems to say"}
FORMAT = ", in format or length as much as in skill"


def sentence(changes: DataFrame) -> str:
    """What the last finished checkpoint of each run came to, from `paired.paired_changes`; "" where
    none is finished."""
    last = changes[changes["family"] == PRIMARY]
    if not len(last):
        return ""
    return _each(last) if len(last) <= FEW else _counts(last)


def _each(last: DataFrame) -> str:
    """`Math 0 → 89%, a gain; code 60 → 53%, inconclusive.`; of several runs a line each."""
    said = []
    for folder, rows in last.groupby("folder", sort=False):
        own = chooses(rows["domain"].iloc[0], set(rows["benchmark"]))
        ordered = sorted(rows.itertuples(), key=lambda r: r.benchmark != own)
        text = "; ".join(f"{name(r.benchmark)} {outcome(r)}" for r in ordered)
        said.append((str(folder), text))
    if len(said) == 1:
        text = said[0][1]
        return f"{text[0].upper()}{text[1:]}."
    return "\n".join(f"{folder}: {text}." for folder, text in said)


def name(benchmark: str) -> str:
    """A benchmark's name in words; the pocket run's are called by their domain."""
    return name_of(benchmark).removeprefix("pocket_").replace("_", " ")


def outcome(r: Change) -> str:
    """`0 → 89%, a gain`."""
    if r.p != r.p:
        return WORDS[UNTESTED]
    why = FORMAT if r.verdict == "gain" and r.unanswered > 50 else ""
    return f"{r.base:.0f} → {r.accuracy:.0f}%, {WORDS.get(r.verdict, r.verdict)}{why}"


def _counts(last: DataFrame) -> str:
    """How many comparisons came to what, in the domain that a run was trained on and elsewhere."""
    runs = last["folder"].nunique()
    own = last["benchmark"].map(ASKS_FOR) == last["domain"]
    parts = []
    for words, rows in (("in their own domain", last[own]), ("elsewhere", last[~own])):
        if len(rows):
            found = Counter(rows["verdict"])
            counts = [
                f"{found[verdict]} {_plural(verdict, found[verdict])}"
                for verdict in (*VERDICTS, UNTESTED)
                if found[verdict]
            ]
            parts.append(f"{words} {', '.join(counts)}")
    text = f"{runs} run{'' if runs == 1 else 's'}, each at its last checkpoint: {'; '.join(parts)}."
    changed = last[last["verdict"].isin(["gain", "loss"])]
    if len(changed):
        largest = changed.loc[changed["change"].abs().idxmax()]
        where = f"{largest['folder']} on {name(largest['benchmark'])}"
        text += f" The largest change is of {where}: {outcome(largest)}."
    if runs > 1:
        text += (
            " Each run is judged by itself: the more runs, the likelier is a false gain or loss in "
            "one of them."
        )
    return text


def _plural(verdict: str, n: int) -> str:
    if verdict == UNTESTED:
        return "untested"
    return {"gain": "gains", "loss": "losses"}.get(verdict, verdict) if n > 1 else verdict
