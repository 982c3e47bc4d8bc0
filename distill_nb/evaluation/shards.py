"""One run's evaluation by several jobs, on as many machines: each makes its shard of the records,
and shard_merge.py puts them together to what one process makes.

A shard is a slice of the problems of some steps, which depends on the steps, the benchmark's task
ids and the number of shards alone. Its records are in

    runs/<scale>/<run>/eval/shards/2_of_4/step_00100/<benchmark>.jsonl

and those of its slice of the base student, which all runs share, in

    runs/<scale>/_base/<student>-<hash>/shards/2_of_4/<benchmark>-<hash>.jsonl

What the run or the base student has already is not made again, and a shard that was killed goes on
at its first missing record."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distill_nb import benchmarks
from distill_nb.evaluation import baseline, records
from distill_nb.evaluation.collect import Job, missing
from distill_nb.evaluation.proofs import Proof
from distill_nb.params import Params, is_baseline
from distill_nb.runtime import jsonl, lock, paths, provenance
from distill_nb.runtime.shard import Shard

log = logging.getLogger(__name__)

FOLDER = "shards"
RECORD = "provenance_eval.json"
Tasks = dict[str, list[benchmarks.Task]]
# base's jobs, own jobs, what to call when the base's are done → the proofs
Collect = Callable[[Params, list[Job], list[Job], Callable[[], None]], list[Proof]]


@dataclass(frozen=True)
class Part:
    """What a shard makes of one step and benchmark: its tasks, the shard's file of records, and the
    file that they are for, of the run or of the base student."""

    step: int
    benchmark: str
    tasks: list[benchmarks.Task]
    file: Path
    whole: Path


def folder(p: Params, shard: Shard) -> Path:
    """Where a shard's records of the run's checkpoints are, and its provenance."""
    return paths.run_dir(p) / "eval" / FOLDER / str(shard)


def base_folder(p: Params, shard: Shard) -> Path:
    """Where a shard's records of the base student are."""
    return baseline.baseline_dir(p) / FOLDER / str(shard)


def slice_of(
    shard: Shard, benchmark: str, tasks: list[benchmarks.Task], number: int = 0, steps: int = 1
) -> list[benchmarks.Task]:
    """The shard's tasks of a benchmark at the step `number` (from 0) of so many `steps`, in their
    order.

    The steps follow each other, and within each the tasks by a hash of their ids; this row is cut
    into equal shards. So a shard has few steps, each of which must be loaded, and of each benchmark
    as many problems as the others, hard ones and easy ones, whichever other benchmarks there
    are."""
    by_hash = sorted(tasks, key=lambda t: provenance.sha256_of_json([benchmark, t.task_id]))
    places = {t.task_id: (number + (i + 0.5) / len(tasks)) / steps for i, t in enumerate(by_hash)}
    return [task for task in tasks if shard.has(places[task.task_id])]


def parts(
    p: Params, shard: Shard, tasks: Tasks, steps: list[int], shared: dict[str, Path]
) -> list[Part]:
    """All that a shard makes, the base student's first, also where that is nothing. shared: as of
    baseline.shared_files."""
    found = []
    for name, all_ in tasks.items():
        file = base_folder(p, shard) / shared[name].name
        found.append(Part(0, name, slice_of(shard, name, all_), file, shared[name]))
    for number, step in enumerate(steps):
        for name, all_ in tasks.items():
            own = slice_of(shard, name, all_, number, len(steps))
            file = folder(p, shard) / paths.step_name(step) / f"{name}.jsonl"
            found.append(Part(step, name, own, file, paths.records_file(p, step, name)))
    return found


def key_of(record: dict) -> tuple[str, int]:
    """What tells a record from the others of its file."""
    return record["task_id"], record["sample"]


def _answered(file: Path) -> set[tuple[str, int]]:
    """The records that need not be made again. The file is only read: others may be at it."""
    return {key_of(r) for r in jsonl.read(file) if r["outcome"] != "sampling_error"}


def _jobs(p: Params, some: list[Part]) -> list[Job]:
    """What is missing of some parts."""
    found = []
    for part in some:
        done, name = _answered(part.whole), part.benchmark
        found += [
            job
            for job in missing(p, part.step, {name: part.tasks}, {name: part.file})
            if (job.task.task_id, job.sample) not in done
        ]
    return found


def remove(p: Params, shard: Shard, shared: dict[str, Path]) -> None:
    """For overwrite: the shard's records, and those of the run that it would be merged with; of a
    baseline those that runs share, too. What other shards have made since stays."""
    run_dir = paths.run_dir(p)
    for file in (*run_dir.glob("eval/step_*/*.jsonl"), run_dir / RECORD):
        file.unlink(missing_ok=True)
    for file in folder(p, shard).glob("step_*"):
        shutil.rmtree(file, ignore_errors=True)
    (folder(p, shard) / RECORD).unlink(missing_ok=True)
    if is_baseline(p):
        for whole in shared.values():
            for file in (whole, base_folder(p, shard) / whole.name):
                file.unlink(missing_ok=True)
                baseline.note_file(file).unlink(missing_ok=True)


def make(
    p: Params,
    shard: Shard,
    tasks: Tasks,
    steps: list[int],
    shared: dict[str, Path],
    before: dict,
    record: dict,
    collect: Collect,
) -> dict:
    """Make what is missing of a shard, once evaluate.py has checked everything and locked the
    shard's folder. Returns its provenance, which is `finished` as that of an evaluation is.

    before, record: its provenance of earlier and now. While another run makes the same shard of
    the base student's records, the checkpoints come first."""
    file = folder(p, shard) / RECORD
    record = record | {"shard": str(shard)}
    if not before:
        provenance.write(file, record)
    all_parts = parts(p, shard, tasks, steps, shared)
    of_base = [part for part in all_parts if part.step == 0]
    own = _jobs(p, [part for part in all_parts if part.step])
    with lock.locked(base_folder(p, shard), wait=False) as unlock:
        base = _jobs(p, of_base) if unlock else []
        baseline.note_session(base, record)
        if unlock and not base:
            unlock()
        proofs = collect(p, base, own, unlock or (lambda: None))
    if not unlock:
        with lock.locked(base_folder(p, shard)):
            base = _jobs(p, of_base)
            baseline.note_session(base, record)
            collect(p, base, [], lambda: None)
    absent, again = _state(p, all_parts)
    unproven = [f"step {found.step}: {found.why}" for found in proofs if not found.passed]
    log.info(
        f"Shard {shard.number} of {shard.of}: {len(base) + len(own)} answers were to be made; "
        f"{absent} are missing, and {again} requests failed and are asked again."
    )
    record = provenance.finish(record) | {
        "finished": not (absent or again or unproven),
        "unproven": unproven,
        "failed_requests": again,
    }
    provenance.write(file, record)
    return record


def _state(p: Params, all_parts: list[Part]) -> tuple[int, int]:
    """(answers that are missing, requests that failed and are asked again)."""
    absent = again = 0
    for part in all_parts:
        done = _answered(part.whole)
        found = {key_of(r): r for r in records.once(jsonl.read(part.file))}
        for key in {(t.task_id, k) for t in part.tasks for k in range(p.n_samples)} - done:
            if key not in found:
                absent += 1
            elif found[key]["outcome"] == "sampling_error":
                again += not found[key].get("failed_for_good")
    return absent, again
