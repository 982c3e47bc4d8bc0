"""All runs of a scale in one figure: accuracy by step, for its landing page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandas import DataFrame

from distill_nb.analysis import results
from distill_nb.analysis.names import name_of
from distill_nb.params import BENCHMARKS
from distill_nb.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MORE_MARKERS = ("D", "^", "v", "P", "X")  # of more runs of one teacher and domain
COLUMNS = ["run", "student", "teacher", "domain", "benchmark", "step", "accuracy", "lo", "hi", "n"]


def accuracy_by_step(table: DataFrame) -> tuple[Figure, DataFrame]:
    """(figure, data). Accuracy in percent with 95% intervals against the step: a line a run, from
    its base student (step 0, hollow) through its checkpoints; a panel a benchmark, and a column a
    student where there are several. table: results.accuracy_table. Unfinished evaluations are left
    out: their problems are no fair sample."""
    whole = (table["n"] >= results.full(table, "n")) & (
        table["problems"] >= results.full(table, "asked")
    )
    left_out = sorted(set(table["folder"][~whole]))
    data = _without_bases_twice(table[whole])
    if data.empty:
        return style.nothing(), data.reindex(columns=COLUMNS)
    order = [b for b in BENCHMARKS if b in set(data["benchmark"])]
    benchmarks = order + sorted(set(data["benchmark"]) - set(order))
    students = list(dict.fromkeys(data["student"]))
    if len(students) > 1:
        figure, axes = style.grid(len(benchmarks), len(students), 1.75, sharex="col", sharey=True)
        places = {
            (b, s): axes[i, j] for i, b in enumerate(benchmarks) for j, s in enumerate(students)
        }
    else:
        figure, axes = style.panels(len(benchmarks), 3, 2.4)
        places = {(b, students[0]): ax for b, ax in zip(benchmarks, axes.flat, strict=False)}
    looks = _looks(data)
    for (benchmark, student), ax in places.items():
        own = data[(data["benchmark"] == benchmark) & (data["student"] == student)]
        _panel(ax, own, looks)
        sizes = sorted({int(n) for n in own["problems"]})
        title = f"{_name(benchmark)} (n = {', '.join(map(str, sizes))})" if sizes else ""
        first = len(students) == 1 or benchmark == benchmarks[0]
        ax.set_title(f"{name_of(student)}\n{title}" if len(students) > 1 and first else title)
        if len(students) == 1 or benchmark == benchmarks[-1]:
            ax.set_xlabel("step")
        if ax in axes[:, 0]:
            ax.set_ylabel("accuracy (%)")
    style.legend_below(figure, axes)
    columns = {"folder": "run"}
    return style.describe(figure, _words(data, left_out)), data.rename(columns=columns)[COLUMNS]


def _name(benchmark: str) -> str:
    return name_of(benchmark).replace("_", " ")


def _without_bases_twice(table: DataFrame) -> DataFrame:
    """The table without baselines of students that have runs: each run has its base student."""
    runs = set(table["student"][table["step"] > 0])
    trained = table.groupby("folder")["step"].transform("max") > 0
    return table[trained | ~table["student"].isin(runs)]


def _looks(data: DataFrame) -> dict[str, style.Look]:
    """How each run is drawn, and its label: teacher and domain where no student has two such runs,
    else the run's name."""
    kinds = data.sort_values("step").groupby("folder", sort=False).last()
    several = kinds.groupby(["student", "teacher", "domain"]).size().max() > 1
    looks: dict[str, style.Look] = {}
    seen: dict[tuple, int] = {}
    for folder, r in kinds.iterrows():
        alike = (r["student"], r["teacher"], r["domain"])
        before = seen.get(alike, 0)
        seen[alike] = before + 1
        marker = style.DOMAIN_MARKERS.get(r["domain"], "o")
        line = style.DOMAIN_LINES.get(r["domain"], "-")
        if before:
            marker = MORE_MARKERS[(before - 1) % len(MORE_MARKERS)]
            line = style.MORE_LINES[(before - 1) % len(style.MORE_LINES)]
        label = f"{name_of(r['teacher'])} {r['domain']}"
        if several or len(kinds) == 1:
            label = str(folder)
        if r["step"] == 0:
            label = "base student"
        colour = style.TEACHER_COLOURS[r["teacher"]]
        looks[str(folder)] = {"color": colour, "marker": marker, "ls": line, "label": label}
    return looks


def _panel(ax: Axes, own: DataFrame, looks: dict[str, style.Look]) -> None:
    """The runs of one student on one benchmark, a little beside each other."""
    folders = list(dict.fromkeys(own["folder"]))
    steps = sorted(set(own["step"]))
    for i, folder in enumerate(folders):
        rows = own[own["folder"] == folder].sort_values("step")
        beside = (i - (len(folders) - 1) / 2) * max(steps[-1], 1) / 90
        at, accuracy = rows["step"].to_numpy() + beside, rows["accuracy"].to_numpy()
        bars = abs(rows[["lo", "hi"]].to_numpy().T - accuracy)
        ax.errorbar(at, accuracy, bars, **looks[folder], ms=4, lw=1.2, elinewidth=0.8)
        base = (rows["step"] == 0).to_numpy()
        marker, colour = looks[folder]["marker"], looks[folder]["color"]
        ax.plot(at[base], accuracy[base], **style.HOLLOW, marker=marker, mec=colour)
    if not folders:
        ax.text(0.5, 0.5, "not evaluated", transform=ax.transAxes, ha="center", color=style.FAINT)
    else:
        ax.set_xticks(steps[:: -(-len(steps) // 6)])
    ax.set(ylim=(-4, 104), yticks=range(0, 101, 25))


def _words(data: DataFrame, left_out: list[str]) -> str:
    parts = []
    for (folder, benchmark), rows in data.sort_values("step").groupby(["folder", "benchmark"]):
        a, b = rows.iloc[0], rows.iloc[-1]
        course = f"{a['accuracy']:.0f}%"
        if len(rows) > 1:
            course += f" at step {a['step']}, {b['accuracy']:.0f}% at step {b['step']}"
        parts.append(f"{folder} on {_name(benchmark)}: {course}")
    words = (
        "Accuracy of every run by step, with 95% intervals; hollow at step 0 is the base student. "
        f"{style.enumerated(parts)}."
    )
    if left_out:
        words += f" Evaluations that are not finished are left out: of {', '.join(left_out)}."
    return words
