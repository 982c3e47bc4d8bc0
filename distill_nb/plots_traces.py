"""Figures of a set of training traces. They read what build.py wrote and compute nothing anew."""
from __future__ import annotations

from distill_nb.plots import describe


def funnel(counts: dict, name: str):
    """How many rows of the source are left after each reason for rejection. counts: as in funnel.json."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    left, steps = counts["rows"], [("rows of the source", counts["rows"], 0)]
    for reason, n in counts["rejected"].items():
        left -= n
        steps.append((reason.replace("_", " "), left, n))
    sns.set_theme(style="white")
    figure, axes = plt.subplots(figsize=(7.5, 0.6 + 0.36 * len(steps)), layout="constrained")
    places = range(len(steps))
    axes.barh(places, [kept for _, kept, _ in steps], color="#4c72b0")
    axes.barh(places, [lost for *_, lost in steps], left=[kept for _, kept, _ in steps], color="#dd8452", alpha=0.55)
    for y, (_, kept, lost) in enumerate(steps):
        axes.text(kept + lost, y, f"  {kept:,}" + (f"  (−{lost:,})" if lost else ""), va="center", fontsize=9)
    axes.set_yticks(list(places), [label for label, *_ in steps])
    axes.invert_yaxis()
    axes.set_xlim(0, counts["rows"] * 1.22 or 1)
    axes.set_xlabel("rows left (blue) and rejected for this reason (orange)")
    axes.set_title(f"{name}: {counts['kept']:,} traces of {counts['rows']:,} rows", fontsize=11)
    sns.despine(ax=axes, left=True)
    lost = ", ".join(f"{n:,} for {reason.replace('_', ' ')}" for reason, n in counts["rejected"].items()) or "none"
    return describe(figure, f"Bars of how many rows of {name} are left after each reason for rejection: of {counts['rows']:,} "
                            f"rows, {counts['kept']:,} are kept; rejected are {lost}.")
