"""Diagnoses for reading: a sentence and a row of a table for the last checkpoint of each run and
benchmark."""

import pandas as pd

from distill_nb.analysis import diagnosis, families, margins
from distill_nb.analysis.change_parts import KEYS, PARTS, UNKNOWN
from distill_nb.analysis.diagnosis import Diagnosed
from distill_nb.analysis.names import name_of

LEAST = 1.0  # percent of answers: fewer that nobody can know are not spoken of


def sentences(found: pd.DataFrame, split: pd.DataFrame) -> str:
    """A line a run and benchmark: the verdict at the last checkpoint, the change with its parts,
    the largest part's share of a gain or loss, and what nobody can know. found:
    `diagnosis.diagnose`; split: `change_parts.parts`."""
    rows = dict(list(split.groupby(KEYS)))
    lines = []
    for r in diagnosis.last_checkpoints(found).itertuples():
        own = rows[r.folder, r.benchmark, r.step].set_index("part")
        flipped = own[(own["gained"] > 0) | (own["lost"] > 0)]
        parts = [f"{_points(p)} {_name(part)}" for part, p in flipped.iterrows()]
        line = f"{r.folder}, {name_of(r.benchmark)}, step {r.step}: {r.verdict}. "
        line += f"{r.change:+.1f} points = {', '.join(parts)}." if parts else "No answer flipped."
        if r.score in ("gain", "loss") and flipped["share"].notna().any():
            part = (flipped["change"] * (1 if r.score == "gain" else -1)).idxmax()
            p = flipped.loc[part]
            line += f" Share of the {r.score}: {_name(part)} {p['share']:.0f}% "
            line += f"[{p['share_lo']:.0f}, {p['share_hi']:.0f}]."
        lines.append(line + _unknown(r, own))
    return "\n".join(lines)


def headlines(changes: pd.DataFrame, found: pd.DataFrame) -> dict[str, str]:
    """Run → its last finished checkpoint on each benchmark in a few words: `step 500: MATH-500 40%
    → 52%, a gain (gained skill); MBPP+ …`. changes: `paired.paired_changes`, found: `diagnose` of
    the same records."""
    diagnosed = found.set_index(KEYS)["verdict"]
    lines: dict[str, str] = {}
    for folder, own in changes.groupby("folder", sort=False):
        last = own[own["family"] == families.PRIMARY]
        by_step: dict[int, list[str]] = {}
        for r in last.itertuples():
            line = f"{name_of(r.benchmark)} {r.base:.0f}% → {r.accuracy:.0f}%, "
            line += _headline(r.verdict, diagnosed.get((folder, r.benchmark, r.step)))
            by_step.setdefault(r.step, []).append(line)
        said = [f"step {step}: {'; '.join(each)}" for step, each in by_step.items()]
        left = [name_of(b) for b in own["benchmark"].unique() if b not in set(last["benchmark"])]
        if left:
            said.append(f"{', '.join(left)}: not finished")
        lines[folder] = ". ".join(said)
    return lines


def _headline(score: str, verdict: str | None) -> str:
    """A change in words: the verdict of the score, and what it is made of where that is known."""
    if verdict in (None, diagnosis.NONE) or score == margins.UNTESTED:
        return "too few problems to say"
    if score in ("gain", "loss") and "undetermined" not in verdict:
        return f"a {score} ({verdict})"
    return verdict


def for_reading(found: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """One row a run and benchmark at its last checkpoint: the verdict, the change and each part
    that any of them has, with intervals; solved: by what the share of solved problems changed,
    depending on what could not be graded."""
    last = diagnosis.last_checkpoints(found)
    if last.empty:
        return pd.DataFrame()
    flipped = split[(split["gained"] > 0) | (split["lost"] > 0)]
    cells = flipped.assign(cell=[_points(p) for _, p in flipped.iterrows()])
    wide = cells.pivot_table(index=KEYS, columns="part", values="cell", aggfunc="first")
    table = last[[*KEYS, "verdict"]].assign(
        change=[f"{r.change:+.1f} [{r.lo:+.1f}, {r.hi:+.1f}]" for r in last.itertuples()]
    )
    solved = [f"{r.skill_least:+.1f} to {r.skill_most:+.1f}" for r in last.itertuples()]
    shown = [part for part in PARTS if part in wide]
    table = table.merge(wide[shown].reset_index(), on=KEYS, how="left")
    return table.rename(columns=_name).assign(solved=solved)


def _name(column: str) -> str:
    return column.replace("_", " ")


def _points(p: pd.Series) -> str:
    return f"{p['change']:+.1f} [{p['lo']:+.1f}, {p['hi']:+.1f}]"


def _unknown(r: Diagnosed, own: pd.DataFrame) -> str:
    """What nobody can know of a checkpoint, in words; empty where that is next to nothing."""
    unknown = own.loc[list(UNKNOWN)]
    if unknown[["before", "after"]].sum().max() < LEAST:
        return ""
    words, cut = "", own.loc["cut_off"]
    if cut["after"] >= LEAST:
        words = (
            f" {cut['after']:.1f}% of its answers were cut off, {cut['lost']:.1f} points on "
            "problems that the base student solved: without a limit the score would be higher by "
            f"0 to {cut['after']:.1f} points."
        )
    return words + (
        " Depending on what could not be graded (cut off, unanswered, out of time), the share of "
        f"problems solved changed by {r.skill_least:+.1f} to {r.skill_most:+.1f} points."
    )
