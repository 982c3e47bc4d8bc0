"""The figures of one training, from what it has on disk. Each comes with its data, and carries a
description in words. What an earlier version did not record is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame, Series

from distill_nb.report import style
from distill_nb.runtime.devices import GIB
from distill_nb.runtime.durations import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Drawn = tuple["Figure", DataFrame]
RAW, LINE = "#999999", "#000000"
PART_COLOURS = {  # of times.PARTS
    "data": "#56B4E9", "load": "#E69F00", "steps": "#BBBBBB", "held-out loss": "#555555",
    "saving": "#CC79A7",
}  # fmt: skip


def window(steps: int) -> int:
    """How many steps around each one a smoothed curve is the mean of: a twentieth of all, but from
    20 steps on 3 at least, and 25 at most; odd."""
    least = 3 if steps >= 20 else 1
    wide = min(max(steps // 20, least), 25)
    return wide - 1 + wide % 2


def smoothed(values: Series) -> Series:
    """The mean of `window` values around each, of fewer at the ends."""
    return values.rolling(window(len(values)), center=True, min_periods=1).mean()


def loss(metrics: DataFrame, title: str = "") -> Drawn:
    """Training and held-out loss (nats a token) by step, from train.load_metrics."""
    figure, ((ax,),) = style.grid(1, 1, 2.6)
    batch, traces = style.LOSS_COLOURS.items()
    data = metrics[["step", "loss"]].assign(loss_smoothed=smoothed(metrics["loss"]))
    data["heldout_loss"] = metrics["heldout_loss"]
    wide = window(len(data))
    ax.plot(data["step"], data["loss"], ".", color=batch[1], ms=3, alpha=0.45)
    label = f"{batch[0]}, mean of {wide} steps" if wide > 1 else batch[0]
    ax.plot(data["step"], data["loss_smoothed"], color=batch[1], lw=1.6, label=label)
    heldout = data.dropna(subset=["heldout_loss"])
    if len(heldout):
        look: style.Look = {"color": traces[1], "marker": "o", "ms": 4, "label": traces[0]}
        ax.plot(heldout["step"], heldout["heldout_loss"], **look)
    ax.set(ylabel="cross-entropy (nats per token)", title=title, ylim=(0, None))
    _over_steps(ax)
    ax.legend()
    first, last = data.iloc[0], data.iloc[-1]
    words = (
        "Loss by step, points for single batches and a line for their mean: the training loss goes "
        f"from {first['loss']:.2f} at step {first['step']:.0f} to {last['loss']:.2f} nats per "
        f"token at step {last['step']:.0f}"
    )
    if len(heldout):
        before, after = heldout["heldout_loss"].iloc[0], heldout["heldout_loss"].iloc[-1]
        words += f", the held-out loss from {before:.2f} to {after:.2f} at the last checkpoint"
    return style.describe(figure, f"{words}."), data


def optimiser(metrics: DataFrame) -> Drawn:
    """The gradient's norm before clipping, and the learning rate, by step."""
    figure, axes = style.grid(1, 2, 2.2)
    data = metrics[["step", "grad_norm", "learning_rate"]].astype(float)
    _points(axes[0, 0], data["step"], data["grad_norm"])
    axes[0, 0].set(ylabel="gradient norm", ylim=(0, None))
    axes[0, 1].plot(data["step"], data["learning_rate"], color=LINE)
    axes[0, 1].set(ylabel="learning rate", ylim=(0, None))
    axes[0, 1].yaxis.set_major_formatter(lambda y, _: f"{y:.2g}")
    _over_steps(*axes.flat)
    highest = data["grad_norm"].max()
    words = (
        "The norm of the gradient before clipping and the learning rate, by step. The norm goes "
        f"from {data['grad_norm'].iloc[0]:.3g} to {data['grad_norm'].iloc[-1]:.3g}, {highest:.3g} "
        f"at most; the learning rate from {data['learning_rate'].iloc[0]:.2g} to "
        f"{data['learning_rate'].iloc[-1]:.2g}."
    )
    return style.describe(figure, words), data


def mean_speed(metrics: DataFrame) -> float:
    """Tokens a second of the whole run: all tokens by all steps' time."""
    tokens = metrics["tokens"].diff().fillna(metrics["tokens"])
    return float(tokens.sum() / (tokens / metrics["tokens_per_second"]).sum())


def speed_and_memory(metrics: DataFrame) -> Drawn:
    """Tokens a second and memory by step, each with the whole run's mean beside its last value."""
    known = "memory_bytes" in metrics
    figure, axes = style.grid(1, 1 + known, 2.3)
    data = metrics[["step", "tokens_per_second"]].copy()
    mean, last = mean_speed(metrics), float(data["tokens_per_second"].iloc[-1])
    _points(axes[0, 0], data["step"], data["tokens_per_second"])
    _mean(axes[0, 0], mean, f"tokens/s: mean {mean:,.0f}, last {last:,.0f}")
    axes[0, 0].set(ylabel="tokens per second", ylim=(0, None))
    axes[0, 0].yaxis.set_major_formatter(_whole)
    _over_steps(*axes.flat)
    words = (
        f"Tokens per second{' and memory' if known else ''} by step, the dashed line the whole "
        f"run's mean. Tokens per second: mean {mean:,.0f}, last {last:,.0f}"
    )
    if known:
        ax, data["memory_gib"] = axes[0, 1], metrics["memory_bytes"] / GIB
        data["memory_peak_gib"] = metrics["memory_peak_bytes"] / GIB
        mean, last = float(data["memory_gib"].mean()), float(data["memory_gib"].iloc[-1])
        most = float(data["memory_peak_gib"].max())
        ax.plot(data["step"], data["memory_gib"], color=LINE)
        _mean(ax, mean, f"memory: mean {mean:.2f} GiB, last {last:.2f} GiB")
        ax.set(ylabel="memory (GiB)", ylim=(0, 1.15 * data["memory_gib"].max()))
        words += f"; memory in GiB: mean {mean:.2f}, last {last:.2f}, at most {most:.2f}"
    return style.describe(figure, f"{words}."), data


def micro_batches(metrics: DataFrame) -> Drawn | None:
    """What a micro-batch held: its tokens, from the smallest to the largest of a step, and its
    sequences. None where it is not recorded."""
    names = ["micro_batch_sequences", "micro_batch_tokens_least", "micro_batch_tokens_most"]
    if not set(names) <= set(metrics):
        return None
    data = metrics[["step", *names]]
    sequences, least, most = (metrics[name] for name in names)
    figure, axes = style.grid(1, 2, 2.2, width_ratios=[2, 1])
    ax, steps = axes[0, 0], data["step"]
    ax.fill_between(steps, least, most, color=RAW, alpha=0.35, lw=0)
    ax.plot(steps, most, color=LINE, lw=1, label="largest of the step")
    ax.plot(steps, least, color=RAW, lw=1, label="smallest of the step")
    ax.set(ylabel="tokens", ylim=(0, 1.15 * most.max()), title="tokens of a micro-batch")
    ax.yaxis.set_major_formatter(_whole)
    ax.legend(loc="lower right")
    _over_steps(*axes.flat)
    axes[0, 1].plot(steps, sequences, color=LINE, drawstyle="steps-mid")
    axes[0, 1].set(ylim=(0, 1.2 * sequences.max()), title="its sequences")
    axes[0, 1].yaxis.get_major_locator().set_params(integer=True)
    words = (
        "What a micro-batch held, by step: its tokens, and its sequences. "
        f"{_range(sequences)} sequences, and {least.min():,.0f} to {most.max():,.0f} tokens."
    )
    return style.describe(figure, words), data


def time_split(seconds: dict[str, float]) -> Drawn | None:
    """What a run's time went to: times.split. None where it is not recorded."""
    total = sum(seconds.values())
    if not total:
        return None
    figure, axes = style.grid(1, 1, 1.15)
    ax, left = axes[0, 0], 0.0
    for part, spent in seconds.items():
        label = f"{part}, {in_words(spent)}"
        ax.barh(0, spent / 60, left=left / 60, color=PART_COLOURS[part], label=label)
        left += spent
    ax.set(xlabel="minutes", yticks=[], xlim=(0, total / 60))
    ax.spines["left"].set_visible(False)
    style.legend_below(figure, axes)
    data = pd.DataFrame({"part": list(seconds), "seconds": list(seconds.values())})
    data["percent"] = 100 * data["seconds"] / total
    parts = [f"{r.part} {in_words(r.seconds)} ({r.percent:.0f}%)" for r in data.itertuples()]
    words = f"What the run's time went to, a bar of {in_words(total)} in its parts. "
    return style.describe(figure, f"{words}{style.enumerated(parts)}."), data


def lengths(ledger: dict, title: str = "") -> Drawn | None:
    """A histogram of the traces' lengths in tokens, the prompt included, as they came, with the
    limit. ledger: of train.prepare, or of a provenance; None where that has no lengths."""
    if "length_bins" not in ledger:
        return None
    width, counts, limit = (
        ledger["length_bins"]["width"], ledger["length_bins"]["counts"], ledger["max_length"],
    )  # fmt: skip
    ends = [width * (i + 1) for i in range(len(counts))]
    data = pd.DataFrame({"tokens_up_to": ends, "traces": counts})
    figure, ((ax,),) = style.grid(1, 1, 2.2)
    for beyond, colour, label in ((False, RAW, "within"), (True, "#E69F00", "over the limit")):
        rows = data[(data["tokens_up_to"] - width >= limit) == beyond]
        if len(rows):
            left = rows["tokens_up_to"] - width
            ax.bar(left, rows["traces"], width, align="edge", color=colour, label=label)
    ax.axvline(limit, color=LINE, lw=1, ls="--", label=f"max_length {limit:,}")
    more = ledger["longest"] > ends[-1]
    label = f"tokens of prompt and trace{'; the last bar: also all longer' if more else ''}"
    ax.set(xlabel=label, ylabel="traces", title=title)
    ax.set_xlim(0, max(ends[-1], limit * 1.05))
    ax.xaxis.set_major_formatter(_whole)
    ax.yaxis.set_major_formatter(_whole)
    ax.legend()
    over = ledger["over_max_length"]
    share = 100 * over / ledger["traces"] if ledger["traces"] else 0
    words = (
        f"Lengths of the {ledger['traces']:,} traces in tokens, with the limit of {limit:,}. "
        f"{over:,} ({share:.1f}%) are over it; half have {ledger['tokens_p50']:,} or fewer, the "
        f"longest has {ledger['longest']:,}."
    )
    return style.describe(figure, words), data


def _over_steps(*axes: Axes) -> None:
    """A step is a whole number."""
    from matplotlib.ticker import MaxNLocator

    for ax in axes:
        ax.set_xlabel("step")
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def _whole(value: float, _: object) -> str:
    return f"{value:,.0f}"


def _points(ax: Axes, steps: Series, values: Series) -> None:
    """Single steps as faint points, and a smoothed line."""
    ax.plot(steps, values, ".", color=RAW, ms=3, alpha=0.45)
    ax.plot(steps, smoothed(values), color=LINE, lw=1.3)


def _mean(ax: Axes, mean: float, title: str) -> None:
    ax.axhline(mean, color=style.FAINT, lw=0.9, ls="--")
    ax.set_title(title)


def _range(values: Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
