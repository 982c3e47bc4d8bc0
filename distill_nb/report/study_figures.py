"""The study's figures of accuracies, from a tidy table (`accuracies.load_published` or
`tidy.table`): learning curves and best checkpoints; and all that the study commits.

A figure's function returns (figure, data): the matplotlib figure and the DataFrame that it shows,
which is saved beside it. Nothing is computed but intervals and differences to a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame, Series

from distill_nb.analysis import baseline_changes, results, stats, tidy
from distill_nb.analysis.names import RUN, name_of
from distill_nb.analysis.published import findings
from distill_nb.report import change_figures, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def with_intervals(table: DataFrame) -> DataFrame:
    """The tidy table with lo and hi: 95% Wilson bounds in percent, k taken as accuracy × n. n
    is that of problems, also where they have several samples: then somewhat too wide."""
    bounds = [stats.wilson(r.accuracy * r.n / 100, r.n) for r in table.itertuples()]
    return table.assign(lo=[100 * lo for lo, _ in bounds], hi=[100 * hi for _, hi in bounds])


def _of_base(data: DataFrame) -> Series:
    """(student, benchmark) → accuracy of the base student."""
    return data[data["step"] == 0].set_index(["student", "benchmark"])["accuracy"]


def learning_curves(
    table: DataFrame, benchmarks: tuple[str, ...] | None = None
) -> tuple[Figure, DataFrame]:
    """Accuracy against step: a row a student, a column a benchmark; error bars are 95% Wilson
    intervals, the band is baseline_changes.equal_band, hollow markers are flagged cells."""
    data = with_intervals(table)
    names = [b for b in dict.fromkeys(data["benchmark"]) if benchmarks is None or b in benchmarks]
    data = data[data["benchmark"].isin(names)]
    if data.empty:
        return style.nothing(), data
    students = list(dict.fromkeys(data["student"]))
    height = 1.9 if len(students) > 1 else 2.4  # a row by itself has the legend below it
    figure, axes = style.grid(len(students), len(names), height, sharex=True)
    for row, student in zip(axes, students, strict=True):
        named = style.wrapped(name_of(student), 18)
        for ax, benchmark in zip(row, names, strict=True):
            _curves(ax, data[(data["student"] == student) & (data["benchmark"] == benchmark)])
            _steps(ax, data, 6 if len(names) < 4 else 3)
            ax.set(
                ylim=(-4, 104),
                yticks=range(0, 101, 20),
                title=_with_n(data, benchmark, len(names)) if ax in axes[0] else "",
                xlabel="step" if ax in axes[-1] else "",
                ylabel=f"{named}\naccuracy (%)" if ax is row[0] else "",
            )
    style.legend_below(figure, axes)
    return style.describe(figure, _words_of_learning_curves(data)), data


def published_curves(table: DataFrame) -> list[tuple[Figure, DataFrame]]:
    """The learning curves of the published study: the benchmarks that choose, and those of code,
    which its Llama was not asked."""
    qwen = table[~table["student"].str.contains("Llama")]
    return [
        learning_curves(table, ("math500", "mbpp_plus")),
        learning_curves(qwen, ("humaneval_plus", "livecodebench")),
    ]


def _with_n(data: DataFrame, benchmark: str, columns: int) -> str:
    """A benchmark's name with the number of problems that its scores are of; in two lines where
    many columns are narrow."""
    sizes = sorted(set(data["n"][data["benchmark"] == benchmark].astype(int)))
    n = f"n = {', '.join(map(str, sizes))}"
    return f"{name_of(benchmark)}\n{n}" if columns > 3 else f"{name_of(benchmark)} ({n})"


def _steps(ax: Axes, data: DataFrame, most: int) -> None:
    """Ticks at steps that have scores, at most so many of them."""
    steps = sorted(set(data["step"].astype(int)) - {0})
    if steps:
        ax.set_xticks(steps[:: -(-len(steps) // most)])


def _curves(ax: Axes, cells: DataFrame) -> None:
    """One student's runs on one benchmark."""
    grey = style.TEACHER_COLOURS["none"]
    base = cells[cells["step"] == 0]
    if len(base):
        accuracy, checkpoints = base["accuracy"].iloc[0], cells["n"][cells["step"] > 0]
        n = int(checkpoints.max() if len(checkpoints) else base["n"].iloc[0])
        band = baseline_changes.equal_band(accuracy, n)
        ax.axhline(accuracy, color=grey, lw=1, ls=":", label="baseline")
        ax.axhspan(*band, color=grey, alpha=0.12, lw=0, label="no different, 95%")
    runs = list(style.labelled_runs(cells))
    if not runs:
        ax.text(0.5, 0.5, "not reported", transform=ax.transAxes, ha="center", color=style.FAINT)
    for i, (label, teacher, domain, line, rows) in enumerate(runs):
        colour, accuracy = style.TEACHER_COLOURS[teacher], rows["accuracy"].to_numpy()
        # side by side
        steps = rows["step"].to_numpy() + (i - (len(runs) - 1) / 2) * rows["step"].max() / 120
        bars = abs(rows[["lo", "hi"]].to_numpy().T - accuracy)
        marker, flagged = style.DOMAIN_MARKERS[domain], rows["flagged"].to_numpy(bool)
        look: style.Look = {"color": colour, "ms": 4, "lw": 1.2, "elinewidth": 0.8}
        ax.errorbar(steps, accuracy, bars, marker=marker, ls=line, **look, label=label)
        words = "hollow: with errors" if flagged.any() else None
        hollow: style.Look = style.HOLLOW | {"marker": marker, "mec": colour, "label": words}
        ax.plot(steps[flagged], accuracy[flagged], **hollow)


def _words_of_learning_curves(data: DataFrame) -> str:
    base, changes = _of_base(data), {}
    groups = data[data["step"] > 0].groupby([*RUN, "benchmark"], sort=False, dropna=False)
    for (*_, benchmark), rows in groups:
        last = next(rows.sort_values("step").tail(1).itertuples())
        before = base.get((last.student, benchmark))
        if before is not None:
            run = f"{name_of(last.student)} with {name_of(last.teacher)} {last.domain}"
            change = f"{run} on {name_of(benchmark)} from {before:.0f}% to {last.accuracy:.0f}%"
            changes[change] = last.accuracy - before
    text = (
        "Curves of the accuracy against the step with 95% intervals, beside a band of the scores "
        "that do not differ from the base student's: "
        f"{', '.join(name_of(b) for b in data['benchmark'].unique())}. "
    )
    if not changes:
        return text + "There are no checkpoints."
    worst = min(changes, key=lambda change: changes[change])
    most = max(changes, key=lambda change: changes[change])
    return text + (
        f"By the last step the changes go from {style.signed(changes[worst])} ({worst}) to "
        f"{style.signed(changes[most])} points ({most})."
    )


def best_checkpoints(table: DataFrame) -> tuple[Figure, DataFrame]:
    """Each run's best checkpoint against its baseline on every benchmark: accuracies with 95%
    Wilson intervals."""
    cells, parts = with_intervals(table), []
    for run in tidy.best_checkpoints(table).itertuples():
        own = tidy.of_run(cells, run)
        parts.append(own[own["step"] == run.step])
    if not parts:
        return style.nothing(), cells[:0]
    chosen = pd.concat(parts)
    base = cells[(cells["step"] == 0) & cells["benchmark"].isin(chosen["benchmark"])]
    data = pd.concat([base, chosen])
    names = list(dict.fromkeys(data["benchmark"]))
    runs = []
    for student in dict.fromkeys(data["student"]):
        for label, teacher, domain, _, rows in style.labelled_runs(
            chosen[chosen["student"] == student]
        ):
            runs.append((student, label, teacher, domain, rows))
    figure, axes = style.grid(1, len(names), 0.27 * len(runs) + 1, sharey=True)
    for ax, benchmark in zip(axes[0], names, strict=True):
        for i, (student, label, teacher, domain, rows) in enumerate(runs):
            colour, marker = style.TEACHER_COLOURS[teacher], style.DOMAIN_MARKERS[domain]
            for r in rows[rows["benchmark"] == benchmark].itertuples():
                fill = "white" if r.flagged else colour
                _interval(ax, r, i - 0.15, colour, marker, fill, label)
                own = (base["student"] == student) & (base["benchmark"] == benchmark)
                for b in base[own].itertuples():
                    _interval(ax, b, i + 0.2, style.TEACHER_COLOURS["none"], "|", None, "baseline")
        ax.set_title(name_of(benchmark), fontsize="medium" if len(names) < 5 else "small")
        ax.set(xlim=(-4, 104), xticks=[0, 50, 100], xlabel="accuracy (%)")
        ax.grid(axis="x", color="#eeeeee")
    places = [
        f"{name_of(student)}, {label}, step {rows['step'].iloc[0]}"
        for student, label, _, _, rows in runs
    ]
    axes[0][0].set(yticks=range(len(runs)), ylim=(len(runs) - 0.4, -0.6), yticklabels=places)
    style.legend_below(figure, axes)
    return style.describe(figure, _words_of_best_checkpoints(data)), data


def _interval(
    ax: Axes, cell: results.Score, y: float, colour: str, marker: str, fill: str | None, label: str
) -> None:
    """One accuracy with its interval, lying."""
    bars = [[cell.accuracy - cell.lo], [cell.hi - cell.accuracy]]
    look: style.Look = {"color": colour, "marker": marker, "mfc": fill, "ls": "", "elinewidth": 0.9}
    size = 6 if marker == "|" else 4
    ax.errorbar(cell.accuracy, y, xerr=bars, ms=size, **look, label=label)


def _words_of_best_checkpoints(data: DataFrame) -> str:
    base, parts = _of_base(data), []
    for benchmark, rows in data[data["step"] > 0].groupby("benchmark", sort=False):
        known = [r for r in rows.itertuples() if (r.student, benchmark) in base.index]
        above = sum(r.accuracy > base[r.student, benchmark] for r in known)
        parts.append(f"on {name_of(benchmark)} {above} of {len(known)} are above it")
    words = "Accuracy of each run's best checkpoint with 95% intervals, beside its base student"
    return f"{words}: {style.enumerated(parts)}."


# ---- the committed figures


def study(table: DataFrame) -> dict[str, tuple[Figure, DataFrame]]:
    """name → (figure, data) of every figure of the published study."""
    curves, code_curves = published_curves(table)
    theirs, ours = change_figures.all_evidence(findings.check_all(table))
    return {
        "learning_curves": curves,
        "learning_curves_code": code_curves,
        "forgetting": change_figures.forgetting(table),
        "gains": change_figures.gains(table),
        "best_checkpoints": best_checkpoints(table),
        "findings": theirs,
        "own_domain": ours,
    }


def save(name: str, made: tuple[Figure, DataFrame], folder: Path) -> list[Path]:
    """Write (figure, data) as folder/name.png, .pdf and .csv; the same data give the same bytes.
    Returns the files."""
    import matplotlib.pyplot as plt

    figure, data = made
    Path(folder).mkdir(parents=True, exist_ok=True)
    files = [Path(folder) / f"{name}.{suffix}" for suffix in ("png", "pdf", "csv")]
    figure.savefig(files[0], metadata={"Software": None})
    figure.savefig(files[1], metadata={"CreationDate": None})
    data.round(4).to_csv(files[2], index=False, lineterminator="\n")
    plt.close(figure)
    return files
