"""Two checkpoints compared, problem by problem: `distill-nb compare`, a page without a notebook."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pandas as pd

from distill_nb.analysis import change_parts, diagnosis, flips, margins, paired
from distill_nb.analysis.names import name_of
from distill_nb.analysis.pairing import Pairing, Place, differences
from distill_nb.report import accessible, answers_page, markup, part_figures, style, tables
from distill_nb.runtime.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 40  # differing answers that are listed, those that only one has right
BETTER = {"gain": "the second is better", "loss": "the first is better"}
LOOKS = {"gain": "^", "loss": "v", "equivalent": "s", "no worse": "D"}  # markers, by verdict


def file_name(first: str, first_step: int, second: str, second_step: int) -> str:
    """The name of the page of two checkpoints."""
    return f"compare_{first}_{first_step}_and_{second}_{second_step}.html"


def write(
    pairing: Pairing,
    page: Path,
    margin: float = margins.MARGIN,
    metas: dict[str, str] | None = None,
) -> Path:
    """Write the page of a comparison. margin: points below which a change does not matter; metas:
    name → content of more <meta> in its head."""
    changes = paired.paired_changes(pairing.records, margin)
    split = change_parts.parts(pairing.records)
    found = diagnosis.diagnose(pairing.records, changes, split)
    figures = [(forest(changes, pairing), _table(changes))]
    if len(diagnosis.last_checkpoints(found)):
        figures.append(part_figures.parts(found, split, steps=False))
    values = {
        "title": f"{pairing.first.name} and {pairing.second.name}",
        "metas": {"description": short(changes)} | (metas or {}),
        "sentences": sentences(changes, found, margin),
        "left_out": pairing.left_out,
        "alone": pairing.first.run_dir != pairing.second.run_dir,
        "figures": [style.embedded(*figure) for figure in figures],
        "benchmarks": tables.to_html(_table(changes), "By benchmark"),
        "differ": _differ(pairing),
        "answers": _answers(pairing, page),
        "read": _link(pairing, page),
        "index": Path(os.path.relpath(_index(pairing), page.parent)).as_posix(),
    }
    write_text(page, accessible.page(markup.fill("compare.html.j2", **values)))
    return page


def sentences(changes: pd.DataFrame, found: pd.DataFrame, margin: float) -> list[str]:
    """What came out, one sentence a benchmark: both accuracies, the change with its interval, the
    verdict, and what became of the answers where that says more."""
    verdicts = found.set_index("benchmark")["verdict"]
    said = []
    for r in changes.itertuples():
        head = f"{name_of(r.benchmark)}: {r.base:.1f}% and {r.accuracy:.1f}%"
        if r.p != r.p:
            said.append(f"{name_of(r.benchmark)}: {r.n} problems to compare: nothing can be said.")
            continue
        words = margins.words(r, margin)
        if r.verdict in BETTER:
            words = words.replace(f"a {r.verdict}", BETTER[r.verdict], 1)
            words = words.replace("better of more", "better by more")
            words = words.replace("better, smaller than", "better, by less than")
        text = (
            f"{head}, {r.change:+.1f} points {margins.interval(r.lo, r.hi, r.level)} on {r.n} "
            f"problems, {margins.p_value(r.p_adjusted)}: {words}"
        )
        why = verdicts.get(r.benchmark, "")
        plain = (r.verdict, diagnosis.NONE, "")
        said.append(
            f"{text}. What became of the answers: {why}." if why not in plain else f"{text}."
        )
    return said


def short(changes: pd.DataFrame) -> str:
    """`MATH-500 -13.0 points, the first is better; MBPP+ +0.5 points, equivalent`."""
    parts = []
    for r in changes.itertuples():
        word = BETTER.get(r.verdict, r.verdict) if r.p == r.p else "too few problems to say"
        change = f" {style.signed(r.change)} points," if r.p == r.p else ""
        parts.append(f"{name_of(r.benchmark).replace('_', ' ')}{change} {word}")
    return "; ".join(parts)


def forest(changes: pd.DataFrame, pairing: Pairing) -> Figure:
    """The change on each benchmark with its interval, by its verdict."""
    figure, axes = style.grid(1, 1, 0.6 + 0.35 * len(changes))
    ax = axes[0, 0]
    ax.axvline(0, color="#999999", lw=0.8)
    said = []
    for y, r in enumerate(changes.itertuples()):
        marker = LOOKS.get(r.verdict, "o")
        if r.p == r.p:
            bars = [[r.change - r.lo], [r.hi - r.change]]
            ax.errorbar(
                r.change, y, xerr=bars, color="#333333", marker=marker, ms=6, elinewidth=1.2
            )
            word = BETTER.get(r.verdict, r.verdict)
            ax.annotate(
                word, (r.hi, y), (6, 0), textcoords="offset points", va="center", fontsize=8
            )
            said.append(f"{name_of(r.benchmark)} {style.signed(r.change)}, {word}")
    names = [f"{name_of(r.benchmark)} (n = {r.n})" for r in changes.itertuples()]
    ax.set_yticks(range(len(changes)), names)
    ax.set_ylim(len(changes) - 0.5, -0.5)
    ax.set_xlabel("second less first (points)")
    ax.margins(x=0.25)
    words = (
        f"What {pairing.second.name} has more than {pairing.first.name} on each benchmark, in "
        f"points, with intervals at the level of the verdict. {style.enumerated(said)}."
    )
    return style.describe(figure, words)


def _table(changes: pd.DataFrame) -> pd.DataFrame:
    """The numbers behind the sentences."""
    rows = changes.assign(benchmark=changes["benchmark"].map(name_of))
    names = {
        "base": "first (%)", "accuracy": "second (%)", "change": "change (points)", "n": "problems",
        "only_base": "only the first right", "only_step": "only the second right",
    }  # fmt: skip
    columns = ["benchmark", "n", "base", "accuracy", "change", "lo", "hi", "level", "p_adjusted",
               "verdict", "only_base", "only_step", "errors", "method"]  # fmt: skip
    return rows[columns].rename(columns=names)


def _differ(pairing: Pairing) -> str:
    """The table of what else the two differ in."""
    table = differences(pairing.first, pairing.second)
    table["what"] = table["what"].map(tables.head)
    return tables.to_html(table, "In the first and in the second") if len(table) else ""


def _answers(pairing: Pairing, page: Path) -> list[dict]:
    """The answers that only one of both has right, SHOWN of them by turns, with addresses."""
    found = flips.flips(pairing.records, 1)
    turn = found.groupby(["benchmark", "kind"]).cumcount().sort_values(kind="stable")
    rows = []
    for r in found.loc[turn.index[:SHOWN]].itertuples():
        key = json.dumps([r.benchmark, r.task_id, int(r.sample)], separators=(",", ":"))
        words = f"{r.outcome_base} → {r.outcome_step}".replace("_", " ")
        address = _link(pairing, page, answer=key)
        rows.append({"name": f"{r.task_id}", "words": words, "href": address})
    return rows


def _link(pairing: Pairing, page: Path, **more: str) -> str:
    """The address of the two side by side on the page of answers (answers.js); empty where the two
    are of different scales, or the first has no such page."""
    first, second = pairing.first, pairing.second
    target = first.run_dir / answers_page.PAGE
    if not target.is_file() or first.run_dir.parent != second.run_dir.parent:
        return ""
    sides = {"left": _side(first), "right": _side(second)}
    place = quote(Path(os.path.relpath(target, page.parent)).as_posix())
    return f"{place}#{urlencode(sides | {'change': 'flipped'} | more)}"


def _side(checkpoint: Place) -> str:
    return json.dumps([checkpoint.run_dir.name, checkpoint.step], separators=(",", ":"))


def _index(pairing: Pairing) -> Path:
    return pairing.first.run_dir.parent / "report" / "index.html"
