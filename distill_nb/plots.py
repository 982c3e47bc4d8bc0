"""The look that all figures share, the figures of one run, and that of the findings. Plots read saved results and never
recompute them.

A teacher has one colour and a domain one marker everywhere, and no teacher's colour means anything else. Colours are from
Okabe and Ito's palette for colour-blind readers (jfly.uni-koeln.de/color), and greys."""
from __future__ import annotations

import textwrap

from distill_nb import alt


class _Colours(dict):
    """The colours of the study's teachers; another teacher gets the next free one, and keeps it while the process lives."""

    FREE = ("#332288", "#117733", "#882255", "#999933", "#44AA99", "#AA4499")  # Tol's muted scheme (personal.sron.nl/~pault)

    def __missing__(self, teacher: str) -> str:
        own = teacher.removesuffix(" stand-in")  # params.traces_of: generated in the teacher's place
        if own not in self:
            self[own] = self.FREE[(len(self) - 3) % len(self.FREE)]
        return self[own]


TEACHER_COLOURS = _Colours({"r1": "#0072B2", "sonnet": "#D55E00", "none": "#555555"})
DOMAIN_MARKERS = {"math": "o", "code": "s"}
DOMAIN_LINES = {"math": "-", "code": (0, (4, 1.5))}
MORE_LINES = ((0, (1, 1)), (0, (6, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))  # of more runs of one teacher and domain
OUTCOME_COLOURS = {
    "correct": "#009E73", "wrong": "#BBBBBB", "no_answer": "#E69F00", "truncated": "#56B4E9",
    "timeout": "#CC79A7", "sampling_error": "#F0E442", "grader_error": "#000000",
}
VERDICT_COLOURS = {"supported": "#009E73", "contradicted": "#CC79A7", "confounded": "#E69F00",
                   "within noise": "#999999"}
LOSS_COLOURS = {"training batch": "#999999", "held-out traces": "#000000"}
WIDTH = 6.5  # inches: the text width of a paper on letter or A4 with one-inch margins


def look() -> None:
    """One style for every figure: readable when printed at its own size, fonts embedded."""
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(style="ticks", context="paper", font_scale=0.9)
    mpl.rcParams.update({"font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same bytes everywhere
                         "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
                         "pdf.fonttype": 42, "savefig.dpi": 200, "figure.dpi": 110, "axes.titlesize": "medium"})


def grid(rows: int, columns: int, height: float, width: float = WIDTH, **options):
    """(figure, axes [rows, columns]), `width` inches wide, each row `height` inches high."""
    import matplotlib.pyplot as plt

    look()
    return plt.subplots(rows, columns, figsize=(width, height * rows), squeeze=False, layout="constrained", **options)


def legend_below(figure, axes) -> None:
    """One legend below all panels, each label once."""
    entries = {}
    for ax in axes.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=min(len(entries), 5))


def nothing():
    """The figure of a table without checkpoints."""
    figure, axes = grid(1, 1, 0.5)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, "no checkpoints yet", ha="center", color="#777777")
    return describe(figure, "An empty figure: there are no checkpoints yet.")


def describe(figure, text: str):
    """The figure, with a text that says what it shows to those who do not see it (`show`)."""
    figure.alt_text = text
    return figure


def show(*made) -> None:
    """Show figures, each by itself or as (figure, data), in a notebook, and give their descriptions along where IPython has
    those of images: in the output's metadata, which a report's page turns into alt texts."""
    import matplotlib.pyplot as plt
    from IPython.display import display

    for figure in (m[0] if isinstance(m, tuple) else m for m in made):
        display(figure, metadata={"image/png": {"alt": figure.alt_text}})
        plt.close(figure)  # or the notebook shows it again at the end of the cell


def training_curve(metrics, title: str = ""):
    """Training and held-out loss (nats a token) against step, from train.load_metrics."""
    import seaborn as sns

    figure, ((ax,),) = grid(1, 1, 2.6)
    sns.lineplot(metrics, x="step", y="loss", ax=ax, label="training batch", color=LOSS_COLOURS["training batch"])
    heldout = metrics.dropna(subset=["heldout_loss"])
    if len(heldout):
        sns.lineplot(heldout, x="step", y="heldout_loss", ax=ax, label="held-out traces", marker="o",
                     color=LOSS_COLOURS["held-out traces"])
    ax.set(xlabel="step", ylabel="cross-entropy (nats per token)", title=title, ylim=(0, None))
    ax.legend()
    return describe(figure, alt.words_of_training_curve(metrics))


def outcome_bars(table):
    """What became of every answer: outcomes stacked by step, one panel a run and benchmark, in percent."""
    groups = list(table.groupby(["folder", "benchmark"]))
    columns = min(len(groups), 4)
    rows_needed = -(-len(groups) // columns) if groups else 1
    figure, axes = grid(rows_needed, max(columns, 1), 2.2)
    used = [o for o in OUTCOME_COLOURS if len(table) and table[o].sum()]
    for ax in axes.flat[len(groups):]:
        ax.set_axis_off()
    for ax, ((folder, benchmark), rows) in zip(axes.flat, groups, strict=False):
        steps, bottom = rows["step"].astype(str), 0
        for outcome in used:
            share = 100 * rows[outcome] / rows["n"]
            ax.bar(steps, share, bottom=bottom, color=OUTCOME_COLOURS[outcome], label=outcome, width=0.8)
            bottom = bottom + share
        ax.set(title=f"{folder}\n{benchmark}", xlabel="step", ylim=(0, 100),
               ylabel="answers (%)" if ax in axes[:, 0] else "")
    legend_below(figure, axes)
    return describe(figure, alt.words_of_outcome_bars(table))


def accuracy_against_tokens(table):
    """Accuracy (percent, 95% interval) against the mean tokens of an answer, one panel a benchmark, a line through the
    checkpoints in their order, the base student hollow, each point with its step: whether a student that thinks longer
    answers better."""
    benchmarks = list(dict.fromkeys(table["benchmark"]))
    if not benchmarks:
        return nothing()
    columns = min(len(benchmarks), 3)
    figure, axes = grid(-(-len(benchmarks) // columns), columns, 2.4)
    for ax in axes.flat[len(benchmarks):]:
        ax.set_axis_off()
    for ax, benchmark in zip(axes.flat, benchmarks, strict=False):
        for folder, rows in table[table["benchmark"] == benchmark].groupby("folder"):
            rows, colour = rows.sort_values("step"), TEACHER_COLOURS[rows["teacher"].iloc[-1]]
            ax.errorbar(rows["mean_tokens"], rows["accuracy"], color=colour, marker="o", ms=4, lw=1, elinewidth=0.6,
                        label=folder, yerr=[rows["accuracy"] - rows["lo"], rows["hi"] - rows["accuracy"]])
            base = rows[rows["step"] == 0]
            ax.plot(base["mean_tokens"], base["accuracy"], ls="", marker="o", ms=4, mec=colour, mfc="white", zorder=5)
        ax.set(title=benchmark, xlabel="mean tokens per answer", ylabel="accuracy (%)" if ax in axes[:, 0] else "",
               ylim=(-3, 103))
    legend_below(figure, axes)
    figure.draw_without_rendering()  # only now the panels have their places
    for ax, benchmark in zip(axes.flat, benchmarks, strict=False):
        own = table[table["benchmark"] == benchmark]
        label_points(ax, own[["mean_tokens", "accuracy"]].to_numpy(), own["step"].astype(str))
    return describe(figure, alt.words_of_accuracy_against_tokens(table))


def label_points(ax, points, texts, size: float = 7) -> None:
    """Write each text beside its point [x, y], at the first of some places around it that no other point or text takes;
    above the last of them where all are taken."""
    scale = ax.figure.dpi / 72
    at = ax.transData.transform(points)
    taken = [(x - 3 * scale, y - 3 * scale, x + 3 * scale, y + 3 * scale) for x, y in at]
    for (x, y), point, text in zip(at, points, texts, strict=True):
        width, height = 0.65 * size * len(text) * scale, size * scale
        for dx, dy in ((4, 3), (-4, 3), (4, -3), (-4, -3), (0, 7), (0, -7), (10, 0), (-10, 0), (0, 14), (0, -14)):
            left = x + dx * scale - width * (dx < 0) - width / 2 * (dx == 0)
            low = y + dy * scale - height * (dy < 0) - height / 2 * (dy == 0)
            box = (left, low, left + width, low + height)
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                break
        taken.append(box)
        ax.annotate(text, point, xytext=((box[0] - x) / scale, (box[1] - y) / scale), textcoords="offset points",
                    fontsize=size)


def evidence(found):
    """(figure, data) of what findings (findings.check_all) rest on: every comparison as a difference in points with its
    95% interval, by its verdict; hollow where it does not decide."""
    import pandas as pd

    data = pd.concat([f.numbers.assign(finding=f.number, title=f.title) for f in found], ignore_index=True)
    data = data[data["difference"].notna()]
    used = [f for f in found if f.number in set(data["finding"])]
    if not used:
        return nothing(), data
    height = [len(data[data["finding"] == f.number]) + 1.2 for f in used]
    figure, axes = grid(len(used), 1, 0.2 * sum(height) / len(used), sharex=True, height_ratios=height)
    for ax, f in zip(axes.flat, used, strict=False):
        rows = data[data["finding"] == f.number]
        ax.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
        for y, r in enumerate(rows.itertuples()):
            colour = VERDICT_COLOURS[r.verdict]
            ax.errorbar(r.difference, y, xerr=[[r.difference - r.lo], [r.hi - r.difference]], color=colour, marker="D",
                        ms=4, ls="", elinewidth=1, mfc=colour if r.decides else "white", label=r.verdict)
        ax.set(yticks=range(len(rows)), yticklabels=rows["comparison"], ylim=(len(rows) - 0.4, -0.6))
        ax.set_title(textwrap.fill(f"{f.number}. {f.title}: {f.verdict}", 80), loc="right")
        ax.tick_params(axis="y", length=0)
    axes.flat[-1].set_xlabel("difference (points)")
    legend_below(figure, axes)
    return describe(figure, alt.words_of_evidence(data)), data
