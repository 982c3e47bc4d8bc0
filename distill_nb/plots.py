"""Seaborn figures of a run. Plots read saved results and never recompute them."""
from __future__ import annotations

OUTCOME_COLOURS = {  # Okabe-Ito, readable for colour-blind readers
    "correct": "#009E73", "wrong": "#D55E00", "no_answer": "#E69F00", "truncated": "#56B4E9",
    "timeout": "#CC79A7", "sampling_error": "#999999", "grader_error": "#000000",
}


def _axes(columns: int = 1, width: float = 4.2, height: float = 3.2):
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="ticks", context="notebook")
    figure, axes = plt.subplots(1, columns, figsize=(width * columns, height), squeeze=False, layout="constrained")
    sns.despine(figure)
    return figure, axes[0]


def training_curve(metrics, title: str = ""):
    """Training and held-out loss (nats a token) against step, from train.load_metrics."""
    import seaborn as sns

    figure, (ax,) = _axes(width=6.5)
    sns.lineplot(metrics, x="step", y="loss", ax=ax, label="training batch", color="#0072B2")
    heldout = metrics.dropna(subset=["heldout_loss"])
    if len(heldout):
        sns.lineplot(heldout, x="step", y="heldout_loss", ax=ax, label="held-out traces", color="#D55E00", marker="o")
    ax.set(xlabel="step", ylabel="cross-entropy (nats per token)", title=title, ylim=(0, None))
    ax.legend(frameon=False)
    return figure


def accuracy_curves(table):
    """Accuracy against step with 95% Wilson intervals, one panel a benchmark, one line a run."""
    import seaborn as sns

    names = list(table["benchmark"].unique())
    figure, axes = _axes(len(names))
    palette = dict(zip(sorted(table["folder"].unique()), sns.color_palette("colorblind"), strict=False))
    for ax, name in zip(axes, names, strict=True):
        for folder, rows in table[table["benchmark"] == name].groupby("folder"):
            ax.errorbar(rows["step"], rows["accuracy"],
                        [rows["accuracy"] - rows["lo"], rows["hi"] - rows["accuracy"]], marker="o", capsize=3,
                        color=palette[folder], label=folder)
        ax.set(title=f"{name} (n = {table[table['benchmark'] == name]['n'].max()})", xlabel="step (0 = base student)",
               ylim=(0, 100), ylabel="accuracy (%)" if ax is axes[0] else "")
    axes[0].legend(frameon=False, fontsize="small")
    return figure


def outcome_bars(table):
    """What became of every answer: outcomes stacked by step, one panel a run and benchmark, in percent."""
    groups = list(table.groupby(["folder", "benchmark"]))
    figure, axes = _axes(len(groups))
    used = [o for o in OUTCOME_COLOURS if table[o].sum()]
    for ax, ((folder, benchmark), rows) in zip(axes, groups, strict=True):
        steps, bottom = rows["step"].astype(str), 0
        for outcome in used:
            share = 100 * rows[outcome] / rows["n"]
            ax.bar(steps, share, bottom=bottom, color=OUTCOME_COLOURS[outcome], label=outcome, width=0.8)
            bottom = bottom + share
        ax.set(title=f"{folder}\n{benchmark}", xlabel="step", ylim=(0, 100),
               ylabel="answers (%)" if ax is axes[0] else "")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(used), frameon=False)
    return figure
