"""What each run's last checkpoint changed, split into parts: the figure, and the table beside it.
The figure carries a description in words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pandas import DataFrame, Series

from distill_nb.analysis import diagnosis
from distill_nb.analysis.change_parts import PARTS
from distill_nb.analysis.names import name_of
from distill_nb.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# part → its hatch in a bar, and its marker beside an interval; colours are style.PART_COLOURS
LOOKS = {
    "cut_off": ("////", "o"),
    "unanswered": ("....", "s"),
    "misformatted": ("\\\\\\\\", "P"),
    "wrong": ("", "X"),
    "timeout": ("xxxx", "*"),
}
SCORES = {"loss": "v", "gain": "^"}  # the whole change: verdict of the score → its marker


def parts(found: DataFrame, split: DataFrame, steps: bool = True) -> tuple[Figure, DataFrame]:
    """The change of each run and benchmark at its last checkpoint, in points: bars of its parts,
    losses to the left of zero and gains to the right, its whole with the interval and a marker by
    its verdict; below, each part with flips and its 95% interval; an axis below each run.
    found: `diagnosis.diagnose`, split: `change_parts.parts`; steps: whether each is named: a
    comparison of two places has none of training's."""
    last = diagnosis.last_checkpoints(found)
    data = split.merge(last[[*diagnosis.KEYS, "verdict"]], on=diagnosis.KEYS)
    data = data[(data["gained"] > 0) | (data["lost"] > 0)]
    if last.empty:
        return style.nothing(), data
    rows = [(r, data[_of(data, r)].set_index("part")) for r in last.itertuples()]
    names = [
        f"{name_of(r.benchmark)}{f', step {r.step}' if steps else ''}: {r.verdict}" for r, _ in rows
    ]
    folders = [r.folder for r, _ in rows]
    ends = [folder != after for folder, after in zip(folders, [*folders[1:], None], strict=True)]
    heights = [0.45 + 0.14 * len(own) for _, own in rows]
    below = 0.7 + 0.4 * (sum(ends) - 1)  # inches: axes, their label, names, and the legend
    height = (sum(heights) + below) / len(rows) + 0.12
    figure, axes = style.grid(len(rows), 1, height, sharex=True, height_ratios=heights)
    for part in [part for part in PARTS if part in set(data["part"])]:  # the legend's order
        axes.flat[0].barh(0, 0, **_bar(part))
    for ax, (r, own), name, new, end in zip(
        axes.flat, rows, names, [True, *ends], ends, strict=False
    ):
        _row(ax, r, own)
        title = textwrap.fill(name, 100)
        ax.set_title(f"{r.folder}\n{title}" if new else title, loc="left", pad=2, fontsize=7.5)
        ax.spines["bottom"].set_visible(end)
        ax.tick_params(axis="x", labelbottom=end, **({} if end else {"length": 0}))
    axes.flat[-1].set_xlabel("change (points)")
    style.legend_below(figure, axes)
    said = [f"{r.folder} on {name}" for (r, _), name in zip(rows, names, strict=True)]
    words = (
        "Bars of what the last checkpoint of each run lost and gained, in points, split by what "
        f"became of the answers, with the intervals of the parts. {style.enumerated(said)}."
    )
    return style.describe(figure, words), data


def _of(data: DataFrame, r: diagnosis.Diagnosed) -> Series:
    """Which rows are of a checkpoint."""
    run = (data["folder"] == r.folder) & (data["benchmark"] == r.benchmark)
    return run & (data["step"] == r.step)


def _bar(part: str) -> style.Look:
    """How the bar of a part looks."""
    look: style.Look = {"color": style.PART_COLOURS[part], "hatch": LOOKS[part][0]}
    return look | {"edgecolor": "white", "lw": 0, "label": part.replace("_", " ")}


def _row(ax: Axes, r: diagnosis.Diagnosed, own: DataFrame) -> None:
    """One checkpoint: its bar at 0, its parts below at 1, 2, …"""
    ends, shown = {False: 0.0, True: 0.0}, [part for part in PARTS if part in own.index]
    for y, part in enumerate(shown, 1):
        p, gain = own.loc[part], bool(own.loc[part, "change"] > 0)
        ax.barh(0, p["change"], 0.9, ends[gain], **_bar(part))
        ends[gain] += p["change"]
        whiskers = [[p["change"] - p["lo"]], [p["hi"] - p["change"]]]
        look: style.Look = {"color": style.PART_COLOURS[part], "marker": LOOKS[part][1], "ms": 4}
        ax.errorbar(p["change"], y, xerr=whiskers, **look, elinewidth=1.2)
    marker = SCORES.get(r.score, "D")
    whole: style.Look = {"color": "black", "marker": marker, "ms": 5, "mfc": "white", "ls": ""}
    whole["label"] = {"v": "a loss", "^": "a gain", "D": "neither"}[marker]
    ax.errorbar(r.change, 0, xerr=[[r.change - r.lo], [r.hi - r.change]], **whole, elinewidth=1)
    ax.axvline(0, color=style.FAINT, lw=0.8, zorder=0)
    ax.set_ylim(len(own) + 0.6, -0.7)
    labels = ["all", *(part.replace("_", " ") for part in shown)]
    ax.set_yticks(range(len(labels)), labels, fontsize=6)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
