"""Do our runs reproduce the published numbers? Every published cell with ours, unpaired."""

from __future__ import annotations

import numpy as np
import pandas as pd

from distill_nb.analysis import families
from distill_nb.analysis.baseline_changes import difference
from distill_nb.analysis.names import RUN, Cell, name_of

KEY = [*RUN, "step", "benchmark"]
COLUMNS = [
    *KEY, "published", "n_published", "flagged", "ours", "n_ours", "difference", "lo", "hi", "p",
    "p_holm", "verdict",
]  # fmt: skip


def compare(published: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """Every published cell with ours: columns COLUMNS, accuracies in percent, difference ours −
    published with its 95% interval in points, in the published order.

    published, ours: tidy tables (accuracies.load_published, tidy.load_runs). A cell is the same
    student, teacher, domain, learning rate, step and benchmark. verdict: `within noise` where
    Holm's p over all compared cells is at least 5%, `differs` below it, `not run` where we have
    none. Both sides answered (in part) the same problems, whose answers only we have, so the
    unpaired interval is too wide rather than too narrow."""
    own_cells = {_key(r): r for r in ours.itertuples()}
    rows = []
    for r in published.itertuples():
        start = (*(getattr(r, k) for k in KEY), r.accuracy, r.n)
        own = own_cells.get(_key(r))
        if own is None:
            rows.append((*start, r.flagged, *(np.nan,) * 7, "not run"))
            continue
        d = difference(own, r)
        points = (100 * x for x in (d.difference, d.lo, d.hi))
        flagged = r.flagged or own.flagged
        rows.append((*start, flagged, own.accuracy, own.n, *points, d.p, np.nan, ""))
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["p_holm"] = families.adjust(table["p"].astype(float)).p
    tested = table["p"].notna()
    differs = table["p_holm"] < 0.05
    table.loc[tested, "verdict"] = np.where(differs[tested], "differs", "within noise")
    return table


def _key(cell: Cell) -> tuple:
    """What names a cell. A baseline has no learning rate: nan, which does not equal itself."""
    rate = cell.learning_rate
    known = None if rate != rate else round(rate, 12)
    return cell.student, cell.teacher, cell.domain, known, cell.step, cell.benchmark


def sentence(table: pd.DataFrame) -> str:
    """How many of the published cells we ran, and how they compare."""
    counts = table["verdict"].value_counts()
    ran = len(table) - counts.get("not run", 0)
    if not ran:
        return f"None of the {len(table)} published cells was run here."
    return (
        f"{ran} of the {len(table)} published cells were run here: {counts.get('within noise', 0)} "
        f"within noise, {counts.get('differs', 0)} differ; {counts.get('not run', 0)} were not run."
    )


def for_reading(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `compare` with names as the study prints them."""

    def number(value: float, form: str = "{:.1f}") -> str:
        return "—" if value != value else form.format(value)

    return pd.DataFrame(
        {
            "student": name_of(r.student),
            "trained on": "—" if r.teacher == "none" else f"{name_of(r.teacher)} {r.domain}",
            "step": r.step,
            "benchmark": name_of(r.benchmark),
            "published": f"{r.published:g}{'*' if r.flagged else ''}",
            "ours": number(r.ours),
            "difference": number(r.difference, "{:+.1f}"),
            "95% interval": "—" if r.lo != r.lo else f"[{r.lo:+.1f}, {r.hi:+.1f}]",
            "verdict": r.verdict,
        }
        for r in table.itertuples()
    )
