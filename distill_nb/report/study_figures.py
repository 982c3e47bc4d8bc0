"""The study's figures, from a tidy table (`accuracies.load_published` or `tidy.table`): one function
a figure.

    python -m distill_nb.report.study_figures figures      writes name.png, name.pdf and name.csv of the published study

Each function returns (figure, data): the matplotlib figure and the DataFrame that it shows, which
is saved beside it. Figures read tables and compute nothing but intervals and differences to a
baseline."""

from __future__ import annotations

from pathlib import Path

from distill_nb.analysis import baseline_changes, stats, tidy
from distill_nb.analysis.names import RULE, RUN, name_of, printed_rate
from distill_nb.analysis.published import findings
from distill_nb.report import run_figures
from distill_nb.report.run_figures import enumerated, run_words, signed
from distill_nb.report.style import (
    DOMAIN_LINES,
    DOMAIN_MARKERS,
    MORE_LINES,
    TEACHER_COLOURS,
    describe,
    grid,
    legend_below,
    nothing,
)

DOMAIN_OF = {b: domain for domain, names in RULE.items() for b in names}


def with_intervals(table):
    """The tidy table with lo and hi: 95% Wilson bounds in percent, k taken as accuracy × n. Where
    problems have several samples n is still that of problems (tidy.table), which makes them
    somewhat too wide."""
    bounds = [stats.wilson(r.accuracy * r.n / 100, r.n) for r in table.itertuples()]
    return table.assign(lo=[100 * lo for lo, _ in bounds], hi=[100 * hi for _, hi in bounds])


def run_label(run) -> str:
    """`Sonnet math`; the learning rate is added by callers where two runs differ in nothing
    else."""
    return f"{name_of(run.teacher)} {run.domain}"


def _runs_of(table):
    """(label, teacher, domain, line style, rows) of each run in a tidy table's trained rows, in the
    order of the table. Runs that share teacher and domain are told apart by learning rate, and
    those of one student by their line too."""
    trained = table[table["step"] > 0]
    several = trained.groupby(["student", "teacher", "domain"])["learning_rate"].nunique().max() > 1
    seen: dict[tuple, int] = {}
    for _, rows in trained.groupby(RUN, sort=False, dropna=False):
        first = rows.iloc[0]
        label = run_label(first)
        if several:
            label += f", {printed_rate(first.learning_rate)}"
        before = seen.get((first.student, first.teacher, first.domain), 0)
        seen[first.student, first.teacher, first.domain] = before + 1
        line = (
            DOMAIN_LINES[first.domain] if not before else MORE_LINES[(before - 1) % len(MORE_LINES)]
        )
        yield label, first.teacher, first.domain, line, rows.sort_values("step")


def learning_curves(table, benchmarks=None):
    """Accuracy against step: a row a student, a column a benchmark; error bars and the baseline's
    band are 95% Wilson intervals, hollow markers are flagged cells."""
    data = with_intervals(table)
    names = [b for b in dict.fromkeys(data["benchmark"]) if benchmarks is None or b in benchmarks]
    data = data[data["benchmark"].isin(names)]
    if data.empty:
        return nothing(), data
    students = list(dict.fromkeys(data["student"]))
    figure, axes = grid(len(students), len(names), 1.9, sharex=True)
    for row, student in zip(axes, students, strict=True):
        for ax, benchmark in zip(row, names, strict=True):
            _curves(ax, data[(data["student"] == student) & (data["benchmark"] == benchmark)])
            ax.set(
                ylim=(-4, 104),
                yticks=range(0, 101, 20),
                title=name_of(benchmark) if ax in axes[0] else "",
            )
            ax.set(
                xlabel="step" if ax in axes[-1] else "",
                ylabel=f"{name_of(student)}\naccuracy (%)" if ax is row[0] else "",
            )
    legend_below(figure, axes)
    return describe(figure, words_of_learning_curves(data)), data


def _curves(ax, cells) -> None:
    """One student's runs on one benchmark."""
    base = cells[cells["step"] == 0]
    if len(base):
        ax.axhline(
            base["accuracy"].iloc[0], color=TEACHER_COLOURS["none"], lw=1, ls=":", label="baseline"
        )
        ax.axhspan(
            base["lo"].iloc[0], base["hi"].iloc[0], color=TEACHER_COLOURS["none"], alpha=0.12, lw=0
        )
    runs = list(_runs_of(cells))
    if not runs:
        ax.text(0.5, 0.5, "not reported", transform=ax.transAxes, ha="center", color="#777777")
    for i, (label, teacher, domain, line, rows) in enumerate(runs):
        colour, accuracy = TEACHER_COLOURS[teacher], rows["accuracy"].to_numpy()
        # side by side
        steps = rows["step"].to_numpy() + (i - (len(runs) - 1) / 2) * rows["step"].max() / 120
        bars = abs(rows[["lo", "hi"]].to_numpy().T - accuracy)
        ax.errorbar(
            steps,
            accuracy,
            bars,
            color=colour,
            ls=line,
            marker=DOMAIN_MARKERS[domain],
            ms=4,
            lw=1.2,
            elinewidth=0.8,
            label=label,
        )
        flagged = rows["flagged"].to_numpy(bool)
        ax.plot(
            steps[flagged],
            accuracy[flagged],
            ls="",
            marker=DOMAIN_MARKERS[domain],
            ms=4,
            mec=colour,
            mfc="white",
            zorder=5,
        )


def forgetting(table):
    """Change from baseline in points: trained domain × evaluated domain, a panel a student and
    teacher, at the best checkpoint. Diagonal: what was trained; off it: what was forgotten. In
    brackets the 95% interval."""
    import numpy as np

    data = baseline_changes.forgetting_matrix(table)
    if data.empty:
        return nothing(), data
    best = data[data["checkpoint"] == "best"]
    panels = list(best.groupby(["student", "teacher", "learning_rate"], sort=False, dropna=False))
    columns = 3
    figure, axes = grid(-(-len(panels) // columns), columns, 2.1)
    limit = max(10.0, float(best["change"].abs().max()))
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, ((student, teacher, rate), cells) in zip(axes.flat, panels, strict=False):
        matrix = cells.pivot(index="domain", columns="evaluated", values="change").reindex(
            index=["math", "code"], columns=["math", "code"]
        )
        image = ax.imshow(matrix, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
        for r in cells.itertuples():
            i, j = ["math", "code"].index(r.domain), ["math", "code"].index(r.evaluated)
            words = (
                f"{r.change:+.1f}{'*' if r.flagged else ''}\n[{r.lo:+.1f}, {r.hi:+.1f}]".replace(
                    "-", "−"
                )
            )
            ax.text(
                j,
                i,
                words,
                ha="center",
                va="center",
                fontsize=6,
                color="white" if abs(r.change) > 0.6 * limit else "black",
            )
        for i, j in np.argwhere(matrix.isna().to_numpy()):
            ax.text(j, i, "—", ha="center", va="center", color="#777777")
        ax.set(
            xticks=[0, 1],
            xticklabels=["math", "code"],
            yticks=[0, 1],
            yticklabels=["math", "code"],
            title=f"{name_of(student)}\n{name_of(teacher)}"
            + (f" at {printed_rate(rate)}" if rate == rate else ""),
            xlabel="evaluated on",
            ylabel="trained on" if ax in axes[:, 0] else "",
        )
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    figure.colorbar(image, ax=axes, shrink=0.7, label="change (points)")
    return describe(figure, words_of_forgetting(best)), data


def gains(table):
    """What a checkpoint gained in math against what it gained in code, in points over its baseline:
    one point a checkpoint, in the order of steps, the last one filled; a panel a student."""
    import numpy as np
    import pandas as pd

    rows = []
    for run in tidy.best_checkpoints(table).itertuples():
        own = table[
            (table["step"] > 0)
            & (table[RUN[:3]] == [run.student, run.teacher, run.domain]).all(axis=1)
            & table["learning_rate"].isin([run.learning_rate])
        ]
        base = table[(table["step"] == 0) & (table["student"] == run.student)].set_index(
            "benchmark"
        )
        for step, cells in own.groupby("step"):
            found = {
                DOMAIN_OF[c.benchmark]: c
                for c in cells.itertuples()
                if c.benchmark in DOMAIN_OF and c.benchmark in base.index
            }
            if len(found) == 2:
                point = {"step": step, "flagged": any(c.flagged for c in found.values())}
                for domain, c in found.items():
                    b = base.loc[c.benchmark]
                    d = stats.difference(
                        c.accuracy * c.n / 100, c.n, b["accuracy"] * b["n"] / 100, b["n"]
                    )
                    point |= {
                        f"{domain}_change": c.accuracy - b["accuracy"],
                        f"{domain}_lo": 100 * d.lo,
                        f"{domain}_hi": 100 * d.hi,
                    }
                rows.append({k: getattr(run, k) for k in RUN} | point)
    data = pd.DataFrame(rows)
    if data.empty:
        return nothing(), data
    students = list(dict.fromkeys(data["student"]))
    figure, axes = grid(1, len(students), 2.6, sharex=True, sharey=True)
    for ax, student in zip(axes[0], students, strict=True):
        ax.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
        ax.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
        for label, teacher, domain, line, points in _runs_of(data[data["student"] == student]):
            colour, marker = TEACHER_COLOURS[teacher], DOMAIN_MARKERS[domain]
            x, x_lo, x_hi, y, y_lo, y_hi = (
                points[[f"{d}_{c}" for d in DOMAIN_MARKERS for c in ("change", "lo", "hi")]]
                .to_numpy()
                .T
            )
            bars = abs(np.array([y_lo, y_hi]) - y), abs(np.array([x_lo, x_hi]) - x)
            ax.errorbar(x, y, *bars, ls="", ecolor=colour, elinewidth=0.5, alpha=0.35)
            ax.plot(
                x, y, color=colour, ls=line, lw=0.9, marker=marker, ms=4, mfc="white", label=label
            )
            ax.plot(x[-1], y[-1], color=colour, marker=marker, ms=5, ls="")
        ax.set(
            title=name_of(student),
            xlabel="change in math (points)",
            ylabel="change in code (points)" if ax is axes[0][0] else "",
        )
    legend_below(figure, axes)
    return describe(figure, words_of_gains(data)), data


def best_checkpoints(table):
    """Each run's best checkpoint against its baseline on every benchmark: accuracies with 95%
    Wilson intervals."""
    import pandas as pd

    cells, parts = with_intervals(table), []
    for run in tidy.best_checkpoints(table).itertuples():
        own = (
            (cells[RUN[:3]] == [run.student, run.teacher, run.domain]).all(axis=1)
            & (cells["step"] == run.step)
            & cells["learning_rate"].isin([run.learning_rate])
        )
        parts.append(cells[own])
    if not parts:
        return nothing(), cells[:0]
    chosen = pd.concat(parts)
    data = pd.concat(
        [cells[(cells["step"] == 0) & cells["benchmark"].isin(chosen["benchmark"])], chosen]
    )
    names = list(dict.fromkeys(data["benchmark"]))
    runs = [
        (s, label, t, d, rows)
        for s in dict.fromkeys(data["student"])
        for label, t, d, _, rows in _runs_of(chosen[chosen["student"] == s])
    ]
    figure, axes = grid(1, len(names), 0.27 * len(runs) + 1, sharey=True)
    for ax, benchmark in zip(axes[0], names, strict=True):
        for i, (student, label, teacher, domain, rows) in enumerate(runs):
            base = data[
                (data["step"] == 0)
                & (data["student"] == student)
                & (data["benchmark"] == benchmark)
            ]
            for r in rows[rows["benchmark"] == benchmark].itertuples():
                colour = TEACHER_COLOURS[teacher]
                _interval(
                    ax,
                    r,
                    i - 0.15,
                    colour,
                    DOMAIN_MARKERS[domain],
                    "white" if r.flagged else colour,
                    label,
                )
                for b in base.itertuples():
                    _interval(ax, b, i + 0.2, TEACHER_COLOURS["none"], "|", None, "baseline")
        ax.set(title=name_of(benchmark), xlim=(-4, 104), xticks=[0, 50, 100], xlabel="accuracy (%)")
        ax.grid(axis="x", color="#eeeeee")
    axes[0][0].set(
        yticks=range(len(runs)),
        ylim=(len(runs) - 0.4, -0.6),
        yticklabels=[
            f"{name_of(s)}, {label}, step {rows['step'].iloc[0]}" for s, label, _, _, rows in runs
        ],
    )
    legend_below(figure, axes)
    return describe(figure, words_of_best_checkpoints(data)), data


def _interval(ax, cell, y: float, colour: str, marker: str, fill, label: str) -> None:
    """One accuracy with its interval, lying."""
    ax.errorbar(
        cell.accuracy,
        y,
        xerr=[[cell.accuracy - cell.lo], [cell.hi - cell.accuracy]],
        color=colour,
        ls="",
        marker=marker,
        ms=6 if marker == "|" else 4,
        mfc=fill,
        elinewidth=0.9,
        label=label,
    )


def save(name: str, made, folder: Path) -> list[Path]:
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


def study(table) -> dict:
    """name → (figure, data) of every figure of the published study."""
    return {
        "learning_curves": learning_curves(table, ("math500", "mbpp_plus")),
        "learning_curves_code": learning_curves(
            table[~table["student"].str.contains("Llama")], ("humaneval_plus", "livecodebench")
        ),
        "forgetting": forgetting(table),
        "gains": gains(table),
        "best_checkpoints": best_checkpoints(table),
        "findings": run_figures.evidence(findings.check_all(table)),
    }


def words_of_learning_curves(data) -> str:
    base = data[data["step"] == 0].set_index(["student", "benchmark"])["accuracy"]
    parts = {}
    for (*_, benchmark), rows in data[data["step"] > 0].groupby(
        [*RUN, "benchmark"], sort=False, dropna=False
    ):
        last = next(rows.sort_values("step").tail(1).itertuples())
        before = base.get((last.student, benchmark))
        if before is not None:
            parts[
                f"{run_words(last)} on {name_of(benchmark)} from {before:.0f}% to "
                f"{last.accuracy:.0f}%"
            ] = last.accuracy - before
    text = (
        "Curves of the accuracy against the step with 95% intervals, beside a band for the base "
        "student: "
        f"{', '.join(name_of(b) for b in data['benchmark'].unique())}. "
    )
    if not parts:
        return text + "There are no checkpoints."
    return text + (
        f"By the last step the changes go from {signed(min(parts.values()))} "
        f"({min(parts, key=parts.get)}) to "
        f"{signed(max(parts.values()))} points ({max(parts, key=parts.get)})."
    )


def words_of_forgetting(best) -> str:
    parts = []
    for words, rows in (
        ("in the domain that was trained", best[best["domain"] == best["evaluated"]]),
        ("in the other domain", best[best["domain"] != best["evaluated"]]),
    ):
        if len(rows):
            low, high = signed(rows["change"].min()), signed(rows["change"].max())
            parts.append(f"{words} the changes go from {low} to {high} points")
    return (
        "A matrix of changes from the base student for each student and teacher, trained domain by "
        "evaluated domain, at "
        f"the best checkpoint: {', '.join(parts)}."
    )


def words_of_gains(data) -> str:
    last = data.groupby(RUN, dropna=False, sort=False).tail(1)
    return (
        "The change in code against the change in math, in points, a line through the checkpoints "
        "of each run. At the "
        f"last checkpoint {(last['math_change'] > 0).sum()} of {len(last)} runs are above their "
        "base student in math, "
        f"{(last['code_change'] > 0).sum()} in code."
    )


def words_of_best_checkpoints(data) -> str:
    base = data[data["step"] == 0].set_index(["student", "benchmark"])["accuracy"]
    parts = []
    for benchmark, rows in data[data["step"] > 0].groupby("benchmark", sort=False):
        known = [r for r in rows.itertuples() if (r.student, benchmark) in base.index]
        above = sum(r.accuracy > base[r.student, benchmark] for r in known)
        parts.append(f"on {name_of(benchmark)} {above} of {len(known)} are above it")
    return (
        "Accuracy of each run's best checkpoint with 95% intervals, beside its base student: "
        f"{enumerated(parts)}."
    )
