"""times.jsonl of a run: what its time went to beside its steps, whose seconds are in metrics.jsonl.

Each start adds a line for its data and one for loading the student; each checkpoint one for the
held-out loss and one for saving. A line that belongs to a step after the one that a resumed run
goes on from is dropped, as those of metrics.jsonl are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import jsonl, paths

if TYPE_CHECKING:
    import pandas as pd

FILE = "times.jsonl"
PARTS = ("data", "load", "steps", "held-out loss", "saving")


def note(run_dir: Path, step: int, part: str, seconds: float) -> None:
    """Append a line. step: after which the time was spent."""
    jsonl.append(run_dir / FILE, [{"step": step, "part": part, "seconds": round(seconds, 3)}])


def split(p: Params, metrics: pd.DataFrame) -> dict[str, float]:
    """part → seconds, of all starts of a run; {} for one of an earlier version, which did not
    record them. The time that steps waited for their data counts as data."""
    lines = jsonl.read(paths.run_dir(p) / FILE)
    if not lines or "seconds" not in metrics:
        return {}
    found = dict.fromkeys(PARTS, 0.0)
    for line in lines:
        found[line["part"]] += line["seconds"]
    waited = float(metrics["data_seconds"].sum())
    found["steps"] = float(metrics["seconds"].sum()) - waited
    found["data"] += waited
    return found
