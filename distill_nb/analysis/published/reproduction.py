"""Do our runs reproduce the published numbers? Every published cell with ours, unpaired; and all
cells together, which find a small shift that no single cell can show."""

from __future__ import annotations

import numpy as np
import pandas as pd

from distill_nb.analysis import families
from distill_nb.analysis.baseline_changes import difference
from distill_nb.analysis.margins import MARGIN, p_value
from distill_nb.analysis.names import RUN, Cell, name_of
from distill_nb.analysis.published import pooled
from distill_nb.analysis.published.pooled import OPEN

KEY = [*RUN, "step", "benchmark"]
COLUMNS = [
    *KEY, "published", "n_published", "flagged", "ours", "n_ours", "difference", "lo", "hi", "p",
    "p_holm", "verdict",
]  # fmt: skip


def compare(published: pd.DataFrame, ours: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Every published cell with ours: columns COLUMNS, accuracies in percent, difference ours −
    published with its 95% interval in points, in the published order.

    published, ours: tidy tables (accuracies.load_published, tidy.load_runs). A cell is the same
    student, teacher, domain, learning rate, step and benchmark. verdict: `differs` where Holm's p
    over all compared cells is below 5%; else `equal` where the interval lies within the margin
    (points); else `inconclusive`; `not run` where we have none. Both sides answered
    (in part) the same problems, whose answers only we have, so the unpaired interval is too wide
    rather than too narrow."""
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
    small = (table["lo"] > -margin) & (table["hi"] < margin)
    verdicts = np.where(table["p_holm"] < 0.05, "differs", np.where(small, "equal", OPEN))
    return table.assign(verdict=table["verdict"].mask(tested, verdicts))


def _key(cell: Cell) -> tuple:
    """What names a cell. A baseline has no learning rate: nan, which does not equal itself."""
    rate = cell.learning_rate
    known = None if rate != rate else round(rate, 12)
    return cell.student, cell.teacher, cell.domain, known, cell.step, cell.benchmark


def sentence(table: pd.DataFrame, margin: float = MARGIN) -> str:
    """How many of the published cells of `compare` we ran, and how they compare, one by one and
    together (pooled.py); with the margin of `compare`."""
    counts = table["verdict"].value_counts()
    ran = len(table) - counts.get("not run", 0)
    if not ran:
        return f"None of the {len(table)} published cells was run here."
    r = next(pooled.table(table, margin).itertuples())
    small = f", by less than {margin:g} points" if r.lo > -margin and r.hi < margin else ""
    said = {
        "differs": f"as a whole they differ{small}",
        "equal": f"as a whole they are equal, within ±{margin:g} points",
        OPEN: "as a whole that is inconclusive",
    }[r.verdict]
    noise = "more than" if r.scatter_p < 0.05 else "no more than"
    return (
        f"{ran} of the {len(table)} published cells were run here: {counts.get('differs', 0)} "
        f"differ, {counts.get('equal', 0)} are equal within ±{margin:g} points, "
        f"{counts.get(OPEN, 0)} are inconclusive; {counts.get('not run', 0)} were not run. Ours "
        f"are {r.difference:+.1f} points [{r.lo:+.1f}, {r.hi:+.1f}] from them on average over "
        f"{r.runs} runs and baselines ({p_value(r.p)}): {said}. The cells scatter about that "
        f"{noise} sampling explains ({p_value(r.scatter_p)})."
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
