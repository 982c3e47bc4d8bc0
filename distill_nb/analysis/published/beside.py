"""Our runs beside the published ones, and replicates of a run beside each other."""

from __future__ import annotations

import numpy as np
import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.names import RUN, name_of

KEY = [*RUN, "step", "benchmark"]
COLUMNS = [
    *KEY,
    "published",
    "n_published",
    "flagged",
    "ours",
    "n_ours",
    "difference",
    "lo",
    "hi",
    "p",
    "p_holm",
    "verdict",
]


def beside(published, ours):
    """Every published cell with ours: columns COLUMNS, accuracies in percent, difference ours −
    published with its 95% interval in points, in the published order.

    published, ours: tidy tables (results.load_published, results.load_runs). A cell is the same
    student, teacher, domain, learning rate, step and benchmark. verdict: `within noise` where
    Holm's p over all compared cells is at least 5%, `differs` below it, `not run` where we have
    none. Both sides answered (in part) the same problems, whose answers only we have, so that the
    unpaired interval is too wide rather than too narrow."""
    chosen = {tuple(_plain(v) for v in (getattr(r, k) for k in KEY)): r for r in ours.itertuples()}
    rows = []
    for r in published.itertuples():
        key = tuple(getattr(r, k) for k in KEY)
        own = chosen.get(tuple(map(_plain, key)))
        if own is None:
            rows.append((*key, r.accuracy, r.n, r.flagged, *(np.nan,) * 7, "not run"))
            continue
        d = stats.difference(own.accuracy * own.n / 100, own.n, r.accuracy * r.n / 100, r.n)
        rows.append(
            (
                *key,
                r.accuracy,
                r.n,
                r.flagged or own.flagged,
                own.accuracy,
                own.n,
                *(100 * x for x in (d.difference, d.lo, d.hi)),
                d.p,
                np.nan,
                "",
            )
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    tested = table["p"].notna()
    table.loc[tested, "p_holm"] = stats.holm(table["p"][tested].astype(float))
    table.loc[tested, "verdict"] = np.where(
        table["p_holm"][tested] < 0.05, "differs", "within noise"
    )
    return table


def _plain(value):
    """A value that equals itself: nan, the learning rate of a baseline, does not."""
    return (
        None
        if isinstance(value, float) and value != value
        else round(value, 12)
        if isinstance(value, float)
        else value
    )


def sentence(table) -> str:
    """How many of the published cells we ran, and how they compare."""
    counts = table["verdict"].value_counts()
    ran = len(table) - counts.get("not run", 0)
    if not ran:
        return f"None of the {len(table)} published cells was run here."
    return (
        f"{ran} of the {len(table)} published cells were run here: {counts.get('within noise', 0)} "
        "within noise, "
        f"{counts.get('differs', 0)} differ; {counts.get('not run', 0)} were not run."
    )


def shown(table):
    """The table for a reader: names as the study prints them."""

    def number(value, form="{:.1f}"):
        return "—" if value != value else form.format(value)

    return pd.DataFrame(
        [
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
        ]
    )
