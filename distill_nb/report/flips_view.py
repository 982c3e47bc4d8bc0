"""Answers that flipped between the base student and a checkpoint, side by side, with a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandas import DataFrame

from distill_nb.analysis.flips import KINDS
from distill_nb.report import markup

if TYPE_CHECKING:
    from IPython.display import HTML

    from distill_nb.benchmarks import Task

SHOWN = 300  # flips in one view
LONGEST = 6000  # characters of a completion: its beginning and its end


def view(found: DataFrame, tasks: dict[tuple[str, str], Task], step: int) -> HTML:
    """HTML of flips (analysis.flips.flips) that a notebook shows and its page keeps.

    tasks: (benchmark, task_id) → Task; of others the problem is not shown. Of more than SHOWN flips
    the first ones of each benchmark and kind are taken in turn."""
    from IPython.display import HTML

    turn = found.groupby(["benchmark", "kind"]).cumcount().sort_values(kind="stable")
    chosen = found.loc[turn.index[:SHOWN]].sort_values(["benchmark", "kind", "task_id"])
    flips = []
    for r in chosen.itertuples():
        task = tasks.get((r.benchmark, r.task_id))
        sides = [
            ("base", r.outcome_base, r.answer_base, r.completion_base),
            (f"step {step}", r.outcome_step, r.answer_step, r.completion_step),
        ]
        flip = {key: getattr(r, key) for key in ("benchmark", "kind", "task_id", "sample")}
        flip |= {
            "problem": _short(task.prompt) if task else "",
            "gold": task.gold if task else "",
            "sides": [
                {"where": where, "outcome": outcome, "answer": answer, "completion": _short(s)}
                for where, outcome, answer, s in sides
            ],
        }
        flips.append(flip)
    html = markup.fill(
        "flips.html.j2",
        flips=flips,
        benchmarks={name: name for name in chosen["benchmark"].unique()},
        kinds={kind: KINDS[kind] for kind in KINDS if kind in set(chosen["kind"])},
        left=len(found) - len(chosen),
        step=step,
    )
    return HTML(html)


def _short(text: str) -> str:
    """A text without its middle where it is too long."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n[… {len(text) - LONGEST} characters …]\n{text[-half:]}"
