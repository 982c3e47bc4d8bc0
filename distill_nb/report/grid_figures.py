"""The heat map of a grid: accuracy by setting, a panel a student, domain and teacher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame

from distill_nb.analysis.grid import value_in_words
from distill_nb.analysis.grid_choice import Choice
from distill_nb.analysis.names import name_of, printed_rate
from distill_nb.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

NOTE = "★ the best by the half of the problems that chose; accuracies are of the other half."
MOST = 3  # panels in a row


def heat_map(choices: list[Choice]) -> tuple[Figure, DataFrame]:
    """Accuracy of each setting on the half of the problems that did not choose, in percent, the
    mean over its seeds: columns the values of the first key that varies, rows those of the second;
    further keys have panels of their own."""
    data = pd.concat([_cells(choice) for choice in choices]) if choices else DataFrame()
    if data.empty:
        return style.nothing(), data
    panels = list(data.groupby("panel", sort=False))
    columns = min(MOST, len(panels))
    rows = max(len(cells["row"].unique()) for _, cells in panels)
    width = style.WIDTH * (columns + 0.5) / (MOST + 0.5)
    figure, axes = style.grid(-(-len(panels) // columns), columns, 1.0 + 0.42 * rows, width)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    low, high = data["accuracy"].min(), data["accuracy"].max()
    for ax, (title, cells) in zip(axes.flat, panels, strict=False):
        image = _panel(ax, cells, low, max(high, low + 1))
        ax.set_title(title, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8, label="accuracy (%)")
    figure.supxlabel(NOTE, fontsize=6.5, color=style.FAINT)
    parts = [
        f"{', '.join(title.splitlines())}: {', '.join(_said(cells))}" for title, cells in panels
    ]
    words = f"A map of accuracy by setting, a panel a teacher. {style.enumerated(parts)}."
    return style.describe(figure, words), data


def _cells(choice: Choice) -> DataFrame:
    """One row a setting of a grid: its panel, row and column in words, accuracy, whether best."""
    grid, rows = choice.grid, []
    for i, setting in enumerate(grid.settings):
        words = [value_in_words(k, v) for k, v in zip(grid.keys, setting.values, strict=True)]
        title = [f"{name_of(grid.student)}, {grid.domain}", name_of(setting.teacher), *words[2:]]
        values = [
            printed_rate(v) if k == "learning_rate" else str(v)
            for k, v in zip(grid.keys, setting.values, strict=True)
        ]
        rows.append(
            {
                "panel": "\n".join(title),
                "x_key": grid.keys[0].replace("_", " "),
                "y_key": grid.keys[1].replace("_", " ") if len(grid.keys) > 1 else "",
                "column": values[0],
                "row": values[1] if len(values) > 1 else "",
                "seeds": len(setting.folders),
                "accuracy": choice.rest[i],
                "best": i == choice.best,
                "benchmark": name_of(grid.benchmark),
            }
        )
    return DataFrame(rows)


def _panel(ax: Axes, cells: DataFrame, low: float, high: float) -> AxesImage:
    columns, rows = (list(dict.fromkeys(cells[c])) for c in ("column", "row"))
    matrix = cells.pivot_table(index="row", columns="column", values="accuracy", aggfunc="mean")
    matrix = matrix.reindex(index=rows, columns=columns)
    image = ax.imshow(matrix, cmap="cividis", vmin=low, vmax=high, aspect="auto")
    for r in cells.itertuples():
        place = columns.index(r.column), rows.index(r.row)
        dark = r.accuracy < (low + high) / 2
        star = " ★" if r.best else ""
        ax.text(
            *place, f"{r.accuracy:.1f}{star}", ha="center", va="center", fontsize=7,
            color="white" if dark else "black",
        )  # fmt: skip
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel=cells["x_key"].iloc[0], ylabel=cells["y_key"].iloc[0])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return image


def _said(cells: DataFrame) -> Iterator[str]:
    for r in cells.itertuples():
        row = f" and {r.y_key} {r.row}" if r.row else ""
        best = " (the best)" if r.best else ""
        yield f"{r.accuracy:.1f}% at {r.x_key} {r.column}{row}{best}"
