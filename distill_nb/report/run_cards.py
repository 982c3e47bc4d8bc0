"""The cards of runs on the landing page of a scale: what each is, where it is, what it took, and
its curves of loss and accuracy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pandas import DataFrame

from distill_nb.analysis.names import chooses, name_of, printed_rate
from distill_nb.params import BENCHMARKS
from distill_nb.report.headline import name
from distill_nb.report.run_folder import Run, State
from distill_nb.report.sparkline import sparkline
from distill_nb.runtime.durations import in_words

GIB = 2**30


def card(run: Run, where: State, accuracy: DataFrame, speeds: DataFrame) -> dict[str, Any]:
    """What the template shows of a run. accuracy: results.accuracy_table, speeds:
    `answering_speeds`; their rows of this run are taken."""
    own = accuracy[accuracy["folder"] == run.folder.name]
    speeds = speeds[speeds["folder"] == run.folder.name]
    return {
        "name": run.folder.name,
        "state": where,
        "facts": facts(run, speeds),
        "curves": [curve for curve in (_loss(run), _accuracy(run, own)) if curve],
    }


def facts(run: Run, speeds: DataFrame) -> list[tuple[str, str]]:
    """(what, value) of a run, in the order of the card; what nothing says is left out."""
    known, given = run.described, run.parameters
    rows = [("student", name_of(known["student"]))]
    if not run.is_baseline:
        rows.insert(0, ("traces", f"{name_of(known['traces'])}{_data(run)}"))
        rows.append(("trained on", str(known["domain"])))
        if run.trained and "learning_rate" in given:
            rows.append(("learning rate", printed_rate(float(given["learning_rate"]))))
        rows.append(("steps", str(known["max_steps"])))
    rows.append(("seed", str(known["seed"])))
    rows += [(f"{word} took", took(record)) for word, record in _stages(run) if record]
    rows.append(("training speed", _training_speed(run)))
    rows.append(("peak memory", _peak_memory(run)))
    rows += [(f"answering, {words}", f"{s:,.0f} tokens/s") for words, s in _answering(speeds)]
    return [(what, value) for what, value in rows if value not in ("", "?")]


def _data(run: Run) -> str:
    """` (r1_math, 25,000)`: the data set of a run and its size."""
    given = run.parameters
    if "dataset" not in given:
        return ""
    size = f", {given['n_examples']:,}" if "n_examples" in given else ""
    return f" ({Path(str(given['dataset'])).name}{size})"


def _stages(run: Run) -> list[tuple[str, dict]]:
    return [("training", run.trained), ("evaluation", run.evaluated)]


def took(record: dict) -> str:
    """How long the sessions of a stage took together; those that were interrupted do not say."""
    sessions = [*record.get("sessions", []), record]
    known = [s["seconds"] for s in sessions if s.get("seconds")]
    if not known:
        return ""
    more = " and interrupted sessions" if len(known) < len(sessions) else ""
    return f"{in_words(sum(known))}{more}"


def _training_speed(run: Run) -> str:
    """Tokens of prompts and traces a second, over all steps."""
    tokens = seconds = before = 0.0
    for line in run.metrics:
        step, before = line.get("tokens", 0) - before, line.get("tokens", 0)
        if step > 0 and line.get("tokens_per_second"):
            tokens, seconds = tokens + step, seconds + step / line["tokens_per_second"]
    return f"{tokens / seconds:,.0f} tokens/s" if seconds else ""


def _peak_memory(run: Run) -> str:
    """The most that training took: of the GPU where it trained on one, else of the process."""
    peaks = [line["memory_peak_bytes"] for line in run.metrics if line.get("memory_peak_bytes")]
    return f"{max(peaks) / GIB:.1f} GiB" if peaks else ""


def answering_speeds(records: DataFrame) -> DataFrame:
    """Tokens of answers a second, from `results.load_records`: columns folder, step, speed. The
    seconds of an answer are its share of the engine's time. Imported answers may not say it."""
    columns = ["folder", "step", "speed"]
    if not len(records) or "seconds" not in records:
        return DataFrame(columns=columns)
    sums = records.groupby(["folder", "step"])[["completion_tokens", "seconds"]].sum()
    sums = sums[sums["seconds"] > 0]
    return (sums["completion_tokens"] / sums["seconds"]).rename("speed").reset_index()[columns]


def _answering(speeds: DataFrame) -> list[tuple[str, float]]:
    base, rest = (speeds["speed"][mask] for mask in (speeds["step"] == 0, speeds["step"] > 0))
    parts = [("base student", base), ("checkpoints", rest)]
    return [(words, 1 / (1 / own).mean()) for words, own in parts if len(own)]


# ---- curves


def _loss(run: Run) -> dict[str, str] | None:
    """The curve of the training loss."""
    points = [(m["step"], m["loss"]) for m in run.metrics if math.isfinite(m.get("loss", math.nan))]
    if not points:
        return None
    (first, start), (last, end) = points[0], points[-1]
    words = (
        f"Curve of the training loss of {run.folder.name}: {start:.2f} nats a token at step "
        f"{first}, {end:.2f} at step {last}."
    )
    high = max(y for _, y in points)
    label = f"loss {start:.2f} → {end:.2f}"
    return {"label": label, "svg": sparkline(points, words, 0.0, high)}


def _accuracy(run: Run, own: DataFrame) -> dict[str, str] | None:
    """The curve of the accuracy on the benchmark of the run's own domain, else on its first."""
    there = set(own["benchmark"])
    benchmarks = [b for b in BENCHMARKS if b in there] + sorted(there - set(BENCHMARKS))
    if not benchmarks:
        return None
    chosen = chooses(str(run.described["domain"]), benchmarks) or benchmarks[0]
    rows = own[(own["benchmark"] == chosen) & (own["problems"] >= own["asked"])].sort_values("step")
    if not len(rows):
        return None
    points = list(zip(rows["step"], rows["accuracy"], strict=True))
    (first, start), (last, end) = points[0], points[-1]
    course = f"{start:.0f}%" if len(points) == 1 else f"{start:.0f} → {end:.0f}%"
    words = (
        f"Curve of the accuracy of {run.folder.name} on {name(chosen)}: {start:.0f} percent at "
        f"step {first}, {end:.0f} at step {last}."
    )
    curve = sparkline(points, words, 0.0, 100.0, dots=True) if len(points) > 1 else ""
    return {"label": f"{name(chosen)} {course}", "svg": curve}
