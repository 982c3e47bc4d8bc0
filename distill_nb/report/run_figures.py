"""The figures of one run's answers or of a set of traces, from saved results. Each carries a
description in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandas import DataFrame

from distill_nb.analysis.names import name_of
from distill_nb.report import style
from distill_nb.report.point_labels import label_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_LABELS = 12  # in one panel


def outcome_bars(table: DataFrame) -> Figure:
    """What became of every answer: outcomes stacked by step, in percent; a row a run, a panel a
    benchmark. table: results.accuracy_table."""
    if table.empty:
        return style.nothing()
    folders, benchmarks = (list(dict.fromkeys(table[key])) for key in ("folder", "benchmark"))
    if len(folders) > 1:
        steps = table.groupby(["folder", "benchmark"])["step"].agg(lambda own: tuple(sorted(own)))
        shared = {"sharey": True, "sharex": steps.nunique() == 1}
        figure, axes = style.grid(len(folders), len(benchmarks), 1.5, **shared)
    else:
        figure, axes = style.panels(len(benchmarks), 4, 2.2)
    used = [o for o in style.OUTCOME_COLOURS if table[o].sum()]
    rows_of, parts = dict(list(table.groupby(["folder", "benchmark"]))), []
    places = [(folder, benchmark) for folder in folders for benchmark in benchmarks]
    for ax, place in zip(axes.flat, places, strict=False):
        if place not in rows_of:
            ax.set_axis_off()
            continue
        folder, benchmark = place
        _bars(ax, rows_of[place].sort_values("step"), used, axes.shape[1])
        first = benchmark == benchmarks[0]  # of a run, whose name stands above its row
        ax.set_title(f"{folder if first else ''}\n{name_of(benchmark)}", loc="left")
        ax.set(ylim=(0, 100), ylabel="answers (%)" if ax in axes[:, 0] else "")
        last = rows_of[place].loc[rows_of[place]["step"].idxmax()]
        correct, wrong = 100 * last.correct / last.n, 100 * last.wrong / last.n
        none = 100 * (last.no_answer + last.truncated + last.looping) / last.n
        parts.append(
            f"{folder} on {name_of(benchmark)}, step {last.step}: {correct:.0f}% correct, "
            f"{wrong:.0f}% wrong, {none:.0f}% without an answer or cut off"
        )
    for ax in axes[-1]:
        ax.set_xlabel("step")
    style.legend_below(figure, axes)
    words = "Stacked bars of what became of every answer, in percent by step"
    return style.describe(figure, f"{words}. {style.enumerated(parts)}.")


def _bars(ax: Axes, rows: DataFrame, outcomes: list[str], columns: int) -> None:
    """The bars of one run on one benchmark, in one of so many columns of panels."""
    bottom, steps = 0, list(rows["step"].astype(str))
    for outcome in outcomes:
        share = 100 * rows[outcome] / rows["n"]
        colour, label = style.OUTCOME_COLOURS[outcome], outcome.replace("_", " ")
        ax.bar(range(len(rows)), share, bottom=bottom, color=colour, lw=0, label=label)
        bottom = bottom + share
    wide = sum(len(step) + 1.5 for step in steps)  # characters; 100 of them fill the figure
    every = max(1, -(-int(wide * columns) // 75))
    ax.set_xticks(range(0, len(steps), every), steps[::every])


def accuracy_against_tokens(table: DataFrame) -> Figure:
    """Accuracy (percent, 95% interval) against the mean tokens of an answer, one panel a benchmark,
    a line through the checkpoints in their order, the base student hollow, each point with its
    step (of many points only the last of each run): whether a student that thinks longer answers
    better. table: results.accuracy_table."""
    if table.empty:
        return style.nothing()
    benchmarks = list(dict.fromkeys(table["benchmark"]))
    figure, axes = style.panels(len(benchmarks), 3, 2.4)
    for ax, benchmark in zip(axes.flat, benchmarks, strict=False):
        for folder, rows in table[table["benchmark"] == benchmark].groupby("folder"):
            _tokens_line(ax, rows.sort_values("step"), folder)
        ax.set(
            title=name_of(benchmark),
            xlabel="mean tokens per answer",
            ylabel="accuracy (%)" if ax in axes[:, 0] else "",
            ylim=(-3, 103),
        )
    style.legend_below(figure, axes)
    figure.draw_without_rendering()  # only now the panels have their places
    for ax, benchmark in zip(axes.flat, benchmarks, strict=False):
        own = table[table["benchmark"] == benchmark]
        if len(own) > MOST_LABELS:
            own = own.sort_values("step").groupby("folder").tail(1)
        label_points(ax, own[["mean_tokens", "accuracy"]].to_numpy(), own["step"].astype(str))
    parts = []
    for (folder, benchmark), rows in table.sort_values("step").groupby(["folder", "benchmark"]):
        a, b = rows.iloc[0], rows.iloc[-1]
        parts.append(
            f"{folder} on {name_of(benchmark)}: {a['accuracy']:.0f}% with {a['mean_tokens']:.0f} "
            f"tokens at step {a['step']}, {b['accuracy']:.0f}% with {b['mean_tokens']:.0f} at step "
            f"{b['step']}"
        )
    words = (
        "Accuracy against the mean tokens of an answer, a line through the checkpoints of each "
        f"run. {style.enumerated(parts)}."
    )
    return style.describe(figure, words)


def _tokens_line(ax: Axes, rows: DataFrame, label: str) -> None:
    """One run on one benchmark."""
    colour = style.TEACHER_COLOURS[rows["teacher"].iloc[-1]]
    tokens, accuracy = rows["mean_tokens"], rows["accuracy"]
    bars = [accuracy - rows["lo"], rows["hi"] - accuracy]
    look: style.Look = {"color": colour, "marker": "o", "ms": 4, "lw": 1, "elinewidth": 0.6}
    ax.errorbar(tokens, accuracy, bars, **look, label=label)
    base = rows["step"] == 0
    ax.plot(tokens[base], accuracy[base], **style.HOLLOW, marker="o", mec=colour)


def funnel(counts: dict, name: str) -> Figure:
    """How many rows of the source are left after each reason for rejection. counts: as in
    funnel.json."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    rejected = {reason.replace("_", " "): n for reason, n in counts["rejected"].items()}
    left, steps = counts["rows"], [("rows of the source", counts["rows"], 0)]
    for reason, n in rejected.items():
        left -= n
        steps.append((reason, left, n))
    sns.set_theme(style="white")
    figure, axes = plt.subplots(figsize=(7.5, 0.6 + 0.36 * len(steps)), layout="constrained")
    labels, kept, lost = zip(*steps, strict=True)
    places = range(len(steps))
    axes.barh(places, kept, color="#4c72b0")
    axes.barh(places, lost, left=kept, color="#dd8452", alpha=0.55)
    for y in places:
        text = f"  {kept[y]:,}" + (f"  (−{lost[y]:,})" if lost[y] else "")
        axes.text(kept[y] + lost[y], y, text, va="center", fontsize=9)
    axes.set_yticks(list(places), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, counts["rows"] * 1.22 or 1)
    axes.set_xlabel("rows left (blue) and rejected for this reason (orange)")
    axes.set_title(f"{name}: {counts['kept']:,} traces of {counts['rows']:,} rows", fontsize=11)
    sns.despine(ax=axes, left=True)
    words = ", ".join(f"{n:,} for {reason}" for reason, n in rejected.items()) or "none"
    text = (
        f"Bars of how many rows of {name} are left after each reason for rejection: of "
        f"{counts['rows']:,} rows, {counts['kept']:,} are kept; rejected are {words}."
    )
    return style.describe(figure, text)
