"""The look that all figures share, the figures of one run, and that of the findings. Plots read
saved results and never recompute them.

A teacher has one colour and a domain one marker everywhere, and no teacher's colour means anything
else. Colours are from Okabe and Ito's palette for colour-blind readers (jfly.uni-koeln.de/color),
and greys."""

from __future__ import annotations

import textwrap

from distill_nb.analysis.names import name_of
from distill_nb.report.style import (
    LOSS_COLOURS,
    OUTCOME_COLOURS,
    TEACHER_COLOURS,
    VERDICT_COLOURS,
    describe,
    grid,
    label_points,
    legend_below,
    nothing,
)


def training_curve(metrics, title: str = ""):
    """Training and held-out loss (nats a token) against step, from train.load_metrics."""
    import seaborn as sns

    figure, ((ax,),) = grid(1, 1, 2.6)
    sns.lineplot(
        metrics,
        x="step",
        y="loss",
        ax=ax,
        label="training batch",
        color=LOSS_COLOURS["training batch"],
    )
    heldout = metrics.dropna(subset=["heldout_loss"])
    if len(heldout):
        sns.lineplot(
            heldout,
            x="step",
            y="heldout_loss",
            ax=ax,
            label="held-out traces",
            marker="o",
            color=LOSS_COLOURS["held-out traces"],
        )
    ax.set(xlabel="step", ylabel="cross-entropy (nats per token)", title=title, ylim=(0, None))
    ax.legend()
    return describe(figure, words_of_training_curve(metrics))


def outcome_bars(table):
    """What became of every answer: outcomes stacked by step, one panel a run and benchmark, in
    percent."""
    groups = list(table.groupby(["folder", "benchmark"]))
    columns = min(len(groups), 4)
    rows_needed = -(-len(groups) // columns) if groups else 1
    figure, axes = grid(rows_needed, max(columns, 1), 2.2)
    used = [o for o in OUTCOME_COLOURS if len(table) and table[o].sum()]
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    for ax, ((folder, benchmark), rows) in zip(axes.flat, groups, strict=False):
        steps, bottom = rows["step"].astype(str), 0
        for outcome in used:
            share = 100 * rows[outcome] / rows["n"]
            ax.bar(
                steps,
                share,
                bottom=bottom,
                color=OUTCOME_COLOURS[outcome],
                label=outcome,
                width=0.8,
            )
            bottom = bottom + share
        ax.set(
            title=f"{folder}\n{benchmark}",
            xlabel="step",
            ylim=(0, 100),
            ylabel="answers (%)" if ax in axes[:, 0] else "",
        )
    legend_below(figure, axes)
    return describe(figure, words_of_outcome_bars(table))


def accuracy_against_tokens(table):
    """Accuracy (percent, 95% interval) against the mean tokens of an answer, one panel a benchmark,
    a line through the checkpoints in their order, the base student hollow, each point with its
    step: whether a student that thinks longer answers better."""
    benchmarks = list(dict.fromkeys(table["benchmark"]))
    if not benchmarks:
        return nothing()
    columns = min(len(benchmarks), 3)
    figure, axes = grid(-(-len(benchmarks) // columns), columns, 2.4)
    for ax in axes.flat[len(benchmarks) :]:
        ax.set_axis_off()
    for ax, benchmark in zip(axes.flat, benchmarks, strict=False):
        for folder, rows in table[table["benchmark"] == benchmark].groupby("folder"):
            rows, colour = rows.sort_values("step"), TEACHER_COLOURS[rows["teacher"].iloc[-1]]
            ax.errorbar(
                rows["mean_tokens"],
                rows["accuracy"],
                color=colour,
                marker="o",
                ms=4,
                lw=1,
                elinewidth=0.6,
                label=folder,
                yerr=[rows["accuracy"] - rows["lo"], rows["hi"] - rows["accuracy"]],
            )
            base = rows[rows["step"] == 0]
            ax.plot(
                base["mean_tokens"],
                base["accuracy"],
                ls="",
                marker="o",
                ms=4,
                mec=colour,
                mfc="white",
                zorder=5,
            )
        ax.set(
            title=benchmark,
            xlabel="mean tokens per answer",
            ylabel="accuracy (%)" if ax in axes[:, 0] else "",
            ylim=(-3, 103),
        )
    legend_below(figure, axes)
    figure.draw_without_rendering()  # only now the panels have their places
    for ax, benchmark in zip(axes.flat, benchmarks, strict=False):
        own = table[table["benchmark"] == benchmark]
        label_points(ax, own[["mean_tokens", "accuracy"]].to_numpy(), own["step"].astype(str))
    return describe(figure, words_of_accuracy_against_tokens(table))


def evidence(found):
    """(figure, data) of what findings (findings.check_all) rest on: every comparison as a
    difference in points with its 95% interval, by its verdict; hollow where it does not decide."""
    import pandas as pd

    data = pd.concat(
        [f.numbers.assign(finding=f.number, title=f.title) for f in found], ignore_index=True
    )
    data = data[data["difference"].notna()]
    used = [f for f in found if f.number in set(data["finding"])]
    if not used:
        return nothing(), data
    height = [len(data[data["finding"] == f.number]) + 1.2 for f in used]
    figure, axes = grid(
        len(used), 1, 0.2 * sum(height) / len(used), sharex=True, height_ratios=height
    )
    for ax, f in zip(axes.flat, used, strict=False):
        rows = data[data["finding"] == f.number]
        ax.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
        for y, r in enumerate(rows.itertuples()):
            colour = VERDICT_COLOURS[r.verdict]
            ax.errorbar(
                r.difference,
                y,
                xerr=[[r.difference - r.lo], [r.hi - r.difference]],
                color=colour,
                marker="D",
                ms=4,
                ls="",
                elinewidth=1,
                mfc=colour if r.decides else "white",
                label=r.verdict,
            )
        ax.set(
            yticks=range(len(rows)), yticklabels=rows["comparison"], ylim=(len(rows) - 0.4, -0.6)
        )
        ax.set_title(textwrap.fill(f"{f.number}. {f.title}: {f.verdict}", 80), loc="right")
        ax.tick_params(axis="y", length=0)
    axes.flat[-1].set_xlabel("difference (points)")
    legend_below(figure, axes)
    return describe(figure, words_of_evidence(data)), data


def run_words(r) -> str:
    return f"{name_of(r.student)} with {name_of(r.teacher)} {r.domain}"


def signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def enumerated(parts: list[str], most: int = 8) -> str:
    """The parts in one sentence; of many only the first, and how many are left."""
    left = len(parts) - most
    return "; ".join(parts[:most]) + (f"; and {left} more" if left > 0 else "")


def words_of_training_curve(metrics) -> str:
    first, last, heldout = (
        metrics.iloc[0],
        metrics.iloc[-1],
        metrics.dropna(subset=["heldout_loss"]),
    )
    text = (
        f"A curve of the loss against the step: the training loss goes from {first['loss']:.2f} at "
        "step "
        f"{first['step']:.0f} to {last['loss']:.2f} nats per token at step {last['step']:.0f}"
    )
    if len(heldout):
        text += (
            f", the held-out loss from {heldout['heldout_loss'].iloc[0]:.2f} to "
            f"{heldout['heldout_loss'].iloc[-1]:.2f} "
            "at the last checkpoint"
        )
    return text + "."


def words_of_outcome_bars(table) -> str:
    last = table[table["step"] == table.groupby(["folder", "benchmark"])["step"].transform("max")]
    parts = [
        f"{r.folder} on {name_of(r.benchmark)}, step {r.step}: {100 * r.correct / r.n:.0f}% "
        "correct, "
        f"{100 * r.wrong / r.n:.0f}% wrong, {100 * (r.no_answer + r.truncated) / r.n:.0f}% without "
        "an answer or cut off"
        for r in last.itertuples()
    ]
    return f"Stacked bars of what became of every answer, in percent by step. {enumerated(parts)}."


def words_of_accuracy_against_tokens(table) -> str:
    parts = []
    for (folder, benchmark), rows in table.sort_values("step").groupby(["folder", "benchmark"]):
        a, b = rows.iloc[0], rows.iloc[-1]
        parts.append(
            f"{folder} on {name_of(benchmark)}: {a['accuracy']:.0f}% with {a['mean_tokens']:.0f} "
            "tokens at step "
            f"{a['step']}, {b['accuracy']:.0f}% with {b['mean_tokens']:.0f} at step {b['step']}"
        )
    return (
        "Accuracy against the mean tokens of an answer, a line through the checkpoints of each "
        f"run. {enumerated(parts)}."
    )


def words_of_evidence(data) -> str:
    parts = [
        f"finding {number}, "
        + ", ".join(f"{verdict} {n}" for verdict, n in rows["verdict"].value_counts().items())
        for number, rows in data.groupby("finding")
    ]
    return (
        f"The {len(data)} comparisons that the findings rest on, each a difference in points with "
        "its 95% interval. "
        f"Verdicts: {enumerated(parts)}."
    )


def funnel(counts: dict, name: str):
    """How many rows of the source are left after each reason for rejection. counts: as in
    funnel.json."""
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
    axes.barh(
        places,
        [lost for *_, lost in steps],
        left=[kept for _, kept, _ in steps],
        color="#dd8452",
        alpha=0.55,
    )
    for y, (_, kept, lost) in enumerate(steps):
        axes.text(
            kept + lost,
            y,
            f"  {kept:,}" + (f"  (−{lost:,})" if lost else ""),
            va="center",
            fontsize=9,
        )
    axes.set_yticks(list(places), [label for label, *_ in steps])
    axes.invert_yaxis()
    axes.set_xlim(0, counts["rows"] * 1.22 or 1)
    axes.set_xlabel("rows left (blue) and rejected for this reason (orange)")
    axes.set_title(f"{name}: {counts['kept']:,} traces of {counts['rows']:,} rows", fontsize=11)
    sns.despine(ax=axes, left=True)
    lost = (
        ", ".join(
            f"{n:,} for {reason.replace('_', ' ')}" for reason, n in counts["rejected"].items()
        )
        or "none"
    )
    return describe(
        figure,
        f"Bars of how many rows of {name} are left after each reason for rejection: of "
        f"{counts['rows']:,} "
        f"rows, {counts['kept']:,} are kept; rejected are {lost}.",
    )
