"""What the folder of a run says: what it is, how far it has come, and whether anybody is at it.

Everything is read from the disk, and nothing is locked or written, so that a page can be made while
runs are under way."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from pandas import DataFrame

from distill_nb import params
from distill_nb.evaluation import imported
from distill_nb.report.notebook_page import is_run
from distill_nb.runtime import lock, provenance
from distill_nb.runtime.durations import in_words

NOT_RUNS = ("report", "traces", "fixtures")
STAGES = ("train", "eval")
QUIET = 600  # seconds without a new file, after which a page says how long ago the last one was


@dataclass(frozen=True)
class State:
    """Where a run is."""

    word: str  # done | running | waiting | stopped | failed
    where: str = ""  # such as `training, step 40 of 100`


@dataclass(frozen=True)
class Run:
    """A run's folder, as it was read."""

    folder: Path
    trained: dict  # provenance of each stage; {} where there is none, or a damaged one
    evaluated: dict
    imported: dict  # of answers made elsewhere
    metrics: list[dict]  # of each training step; a torn line is left out

    @cached_property
    def parameters(self) -> dict:
        """Those of training, else those of the evaluation."""
        return (self.trained or self.evaluated).get("parameters", {})

    @cached_property
    def described(self) -> dict:
        """student, domain, seed, max_steps, and whose traces; "?" where nothing says it."""
        if self.imported:
            return self.imported["run"] | {"seed": "—", "max_steps": "—", "traces": "imported"}
        said = {k: self.parameters.get(k, "?") for k in ("student", "domain", "seed", "max_steps")}
        # the evaluation does not know it
        dataset = self.parameters.get("dataset", "?") if self.trained else "?"
        teacher, scale = (self.parameters.get(key, "?") for key in ("teacher", "scale"))
        return said | {"traces": params.traces_of(teacher, dataset, scale)}

    @property
    def is_baseline(self) -> bool:
        """Whether it only evaluates its student as it comes."""
        return self.described["traces"] in ("none", "imported")

    @cached_property
    def checkpoints(self) -> list[int]:
        """The steps that are to be evaluated, beside the base student."""
        given = self.parameters
        if self.is_baseline:
            return []
        if given.get("adapter", "none") != "none":
            return [given["max_steps"]]
        try:
            return list(range(given["save_every"], given["max_steps"] + 1, given["save_every"]))
        except (KeyError, TypeError, ValueError):
            return []

    @cached_property
    def benchmarks(self) -> list[str]:
        """What it is, or was, evaluated on."""
        given = self.evaluated.get("settings", {}).get("tasks_sha256", {})
        return list(given or self.evaluated.get("benchmarks", {}))


def runs_of(scale_dir: Path) -> list[Path]:
    """The folders of a scale's runs, those that failed before they wrote anything among them."""
    folders = [f for f in sorted(scale_dir.iterdir()) if f.is_dir() and f.name not in NOT_RUNS]
    begun = [f"{stage}.ipynb" for stage in STAGES] + [f"failure_{s}.json" for s in STAGES]
    return [
        f
        for f in folders
        if not f.name.startswith(("_", "."))
        and (is_run(f) or any((f / name).is_file() for name in begun))
    ]


def read(folder: Path) -> Run:
    """The run of a folder; what is damaged counts as missing."""
    lines = []
    try:
        texts = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        texts = []
    for text in texts:
        with contextlib.suppress(ValueError):  # else it is torn, or being written
            lines.append(json.loads(text))
    trained, evaluated = (
        provenance.if_readable(folder / f"provenance_{stage}.json") for stage in STAGES
    )
    lines = [line for line in lines if isinstance(line, dict) and "step" in line]
    return Run(folder, trained, evaluated, provenance.if_readable(folder / imported.FILE), lines)


def state(run: Run, done: DataFrame, failed: dict[str, str]) -> State:
    """Where a run is. done: `finished.progress` of records that have this run's; failed: stage →
    the error of it."""
    if run.imported:
        return State("done", "imported")
    at_work = lock.at_work(run.folder)
    if at_work:
        return State("running", f"{_doing(run, done, at_work)}{_last_sign(run.folder, at_work)}")
    for stage in STAGES:
        record = run.trained if stage == "train" else run.evaluated
        if stage in failed and not record.get("finished"):
            stopped = failed[stage].startswith("Stopped:")
            so_far = _training(run) if stage == "train" else _evaluation(run, done)
            return State("stopped" if stopped else "failed", f"{stage}{so_far and ', ' + so_far}")
    if not run.is_baseline and run.parameters.get("adapter", "none") == "none":
        if not run.trained and not run.evaluated:
            return State("waiting", "not begun")
        if run.trained and not run.trained.get("finished"):
            return State("stopped", f"training, {_training(run)}")
    if run.evaluated.get("finished"):
        return State("done", _evaluation(run, done))
    if run.evaluated:
        return State("stopped", f"evaluation, {_evaluation(run, done)}".removesuffix(", "))
    return State("waiting", "trained, not evaluated yet" if run.trained else "not evaluated yet")


def _doing(run: Run, done: DataFrame, at_work: dict) -> str:
    words = {"being trained": _training(run), "being evaluated": _evaluation(run, done)}
    doing = {"being trained": "training", "being evaluated": "evaluation"}
    where = words.get(at_work["doing"], "")
    return doing.get(at_work["doing"], "starting") + (f", {where}" if where else "")


def _training(run: Run) -> str:
    """`step 40 of 100`."""
    of = run.parameters.get("max_steps") if run.trained else None
    return f"step {run.metrics[-1]['step'] if run.metrics else 0} of {of}" if of else ""


def _evaluation(run: Run, done: DataFrame) -> str:
    """`evaluated 2 of 3 checkpoints, 1,204 of 3,426 problems`; of what is finished the first."""
    own = done[done.index.get_level_values("folder") == run.folder.name] if len(done) else done
    if not len(own):
        of = len(run.checkpoints)
        return f"evaluated 0 of {of} checkpoint{'' if of == 1 else 's'}" if of else ""
    benchmarks = run.benchmarks or sorted(set(own.index.get_level_values("benchmark")))
    whole = {
        step
        for step, rows in own.groupby(level="step")
        if rows["finished"].all() and len(rows) >= len(benchmarks)
    }
    steps = [0, *run.checkpoints]
    checkpoints = run.checkpoints or sorted(whole - {0})
    if checkpoints:
        words = f"evaluated {len(whole & set(checkpoints))} of {len(checkpoints)} checkpoints"
        words = words.replace(" of 1 checkpoints", " of 1 checkpoint")
    elif not benchmarks:
        return ""
    else:
        ready = int(own["finished"].sum())
        words = f"evaluated on {ready} of {len(benchmarks)} benchmarks"
        words = words.replace(" of 1 benchmarks", " of 1 benchmark")
    sizes = own["of"].groupby(level="benchmark").max()
    asked = int(sizes.sum()) * len(steps)
    answered = int(own["answered"].sum())
    if answered < asked and set(sizes.index) == set(benchmarks):
        words += f", {answered:,} of {asked:,} problems"
    return words


def _last_sign(folder: Path, at_work: dict) -> str:
    """How long ago the run wrote anything, where that is long: it may hang, or, on another machine,
    be gone."""
    files = [folder / "metrics.jsonl", folder / lock.FILE, *folder.glob("eval/step_*/*.jsonl")]
    last = max((f.stat().st_mtime for f in files if f.is_file()), default=0.0)
    with contextlib.suppress(KeyError, ValueError):
        last = max(last, datetime.fromisoformat(at_work["since"]).timestamp())
    quiet = time.time() - last
    return f"; its last sign was {in_words(quiet)} ago" if quiet > QUIET else ""
