"""What train.ipynb shows of a run: before it trains the length ledger of its traces and its plan,
afterwards its log and how training went. All of it is on disk, so that a finished run that is
executed again shows the same."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame

from distill_nb.params import Params
from distill_nb.plan import plan as planning
from distill_nb.plan.devices import Device
from distill_nb.plan.estimate import estimate
from distill_nb.report import style, tables, training_figures
from distill_nb.runtime import durations, paths, provenance
from distill_nb.runtime.devices import GIB
from distill_nb.traces import ledger
from distill_nb.training import resume, times

if TYPE_CHECKING:
    from distill_nb.training.train import Data

REMEDY = "set overwrite: true to train it again"


def length_ledger(p: Params, data: Data) -> DataFrame:
    """What max_length does to the traces of a run."""
    return ledger.table({p.student: data.ledger}).rename_axis("length ledger")


def show_lengths(p: Params, data: Data) -> None:
    """Show how long the traces are, with the limit."""
    if drawn := training_figures.lengths(data.ledger, f"traces for {p.run_name}"):
        style.show(drawn)


def show_plan(p: Params, data: Data | None = None, device: str | Device = "this") -> dict:
    """Show the plan of a run; of a finished one that with which it was trained. Returns it for
    train.train: `recompute` (on | off, its decision), `rows` (of its table), `notes`. Raises
    ValueError where the run does not fit."""
    from IPython.display import display

    before = provenance.read(paths.run_dir(p) / "provenance_train.json", REMEDY)
    finished = before.get("finished") and not p.overwrite
    if finished and "plan" not in before:
        print("This run is finished. An earlier version trained it, which did not keep its plan.")
        return {}
    made = None
    if finished:
        print("This run is finished. It was trained with this plan:")
        plan = before["plan"]
    else:
        made = estimate(p, device, data)
        rows = planning.table(made)[made.run_name].to_dict()
        recompute = "on" if made.recompute else "off"
        plan = {"recompute": recompute, "rows": rows, "notes": list(made.notes)}
    display(tables.show(pd.DataFrame({"value": plan["rows"]}).rename_axis("plan")))
    print("; ".join(plan["notes"]) + ".")
    if made is not None:
        planning.refuse(p, made)
        if made.best_micro_batch_size > p.micro_batch_size:
            print(f"micro_batch_size {made.best_micro_batch_size} would fit too.")
    return plan


def show_log(p: Params) -> None:
    """Show the starts of a run, and what they said."""
    from IPython.display import HTML, display

    folder = paths.run_dir(p)
    record = provenance.read(folder / "provenance_train.json", REMEDY)
    display(tables.show(starts(record), "This run was not started yet."))
    if not (folder / resume.LOG).exists():
        print("An earlier version trained this run, which kept no log.")
        return
    text = escape((folder / resume.LOG).read_text(encoding="utf-8", errors="replace"))
    summary = "<summary>training log (UTC)</summary>"
    pre = f'<pre style="white-space: pre-wrap">{text}</pre>'
    display(HTML(f"<details>{summary}\n{pre}\n</details>"))


def starts(record: dict) -> DataFrame:
    """One row a start of a run: when, from which step on, how long, on what. record: its
    provenance; of an earlier version's some cells are empty."""
    if not record:
        return DataFrame()
    rows = []
    for one in (*record.get("sessions", []), record):
        seconds, device = one.get("seconds"), one.get("device", {})
        step = one.get("resumed_at")
        rows.append({
            "started (UTC)": one["started_at"][:19].replace("T", " "),
            "at step": None if step is None else str(step),
            "minutes": "interrupted" if seconds is None else f"{seconds / 60:.1f}",
            "device": device.get("name"),
            "back end": one.get("backend"),
            "activations recomputed": one.get("recompute"),
        })  # fmt: skip
    return DataFrame(rows, dtype=object)


def in_numbers(p: Params, metrics: DataFrame) -> DataFrame:
    """What was measured, its mean over the whole run beside the last step's value, as texts."""
    last = metrics.iloc[-1]
    rows = {
        "loss (nats per token)": (metrics["loss"].mean(), last["loss"], ".3f"),
        "gradient norm": (metrics["grad_norm"].mean(), last["grad_norm"], ".3g"),
        "tokens per second": (
            training_figures.mean_speed(metrics), last["tokens_per_second"], ",.0f",
        ),
    }  # fmt: skip
    if "seconds" in metrics:
        rows["seconds of a step"] = (metrics["seconds"].mean(), last["seconds"], ",.2f")
    if "memory_bytes" in metrics:
        held, most = metrics["memory_bytes"] / GIB, metrics["memory_peak_bytes"].max() / GIB
        rows["memory (GiB)"] = (held.mean(), held.iloc[-1], ".2f")
        rows["memory, at most (GiB)"] = (most, None, ".2f")
    if "micro_batch_sequences" in metrics:
        sequences = metrics["micro_batch_sequences"]
        tokens = metrics["tokens"].diff().fillna(metrics["tokens"]) * sequences / p.batch_size
        rows["tokens of a micro-batch"] = (tokens.mean(), tokens.iloc[-1], ",.0f")
        rows["sequences of a micro-batch"] = (sequences.mean(), sequences.iloc[-1], ".3g")
    texts = {
        name: {"mean of the run": _text(mean, form), "last step": _text(value, form)}
        for name, (mean, value, form) in rows.items()
    }
    return DataFrame(texts).T.rename_axis("measured")


def _text(value: float | None, form: str) -> str:
    return tables.NONE if value is None or value != value else format(value, form)


def show_course(p: Params, metrics: DataFrame) -> None:
    """Show how training went: numbers, then figures, then what is missing of a run of an earlier
    version."""
    from IPython.display import display

    display(tables.show(in_numbers(p, metrics)))
    drawn = {
        "gradient norm and learning rate": training_figures.optimiser(metrics),
        "speed and memory": training_figures.speed_and_memory(metrics),
        "what a micro-batch held": training_figures.micro_batches(metrics),
        "what the time went to": training_figures.time_split(times.split(p, metrics)),
    }
    style.show(*(figure for figure in drawn.values() if figure is not None))
    missing = [name for name, figure in drawn.items() if figure is None]
    if "memory_bytes" not in metrics:
        missing.insert(0, "memory")
    if missing:
        print(f"An earlier version trained this run, which did not record: {', '.join(missing)}.")


def ending(p: Params, metrics: DataFrame, record: dict) -> str:
    """The last words of a training: losses, tokens, and how long it took. metrics:
    train.load_metrics, record: the run's provenance."""
    first, last = metrics["loss"].iloc[0], metrics["loss"].iloc[-1]
    took = durations.in_words(record["seconds"])
    return (
        f"Loss {first:.3f} at step 1, {last:.3f} at step {p.max_steps}; "
        f"{metrics['tokens'].iloc[-1]:,} tokens, {took} with {record['backend']}."
    )
