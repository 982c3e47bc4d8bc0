"""Checkpoints × benchmarks → one record a problem and sample, resumable.

A record is one line of runs/<scale>/<run>/eval/step_00100/<benchmark>.jsonl; a rerun goes on at the
first missing one. Those of the base student (step 0) are made once for equal template, engine and
generation settings, kept under runs/<scale>/_base, and copied into every run that shares them."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from distill_nb import benchmarks, grading
from distill_nb.benchmarks import loading
from distill_nb.evaluation import baseline, records, regrade, resume, shards
from distill_nb.evaluation.accuracy_log import AccuracyLog
from distill_nb.evaluation.collect import Job, collect, missing
from distill_nb.evaluation.engines import start, tuned
from distill_nb.evaluation.proofs import Proof
from distill_nb.grading import code, instructions
from distill_nb.grading.sandbox.packages import versions
from distill_nb.params import Params, benchmark_name, is_baseline
from distill_nb.runtime import compiler, disk, lock, paths, provenance, stop, tracking
from distill_nb.runtime.shard import Shard
from distill_nb.students import check_student, generation, proof, student

log = logging.getLogger(__name__)

SUBSET_SEED = 0  # of benchmark_limit: replicates of a run answer the same problems


def load_tasks(p: Params) -> dict[str, list[benchmarks.Task]]:
    """benchmark → its tasks in this run."""
    return {benchmark_name(entry): loading.load(*_taken(p, entry)) for entry in p.benchmarks}


def _taken(p: Params, entry: str) -> tuple:
    """What loading's functions take for one of p.benchmarks."""
    return entry, p.benchmark_files.get(benchmark_name(entry)), p.benchmark_limit, SUBSET_SEED


def tasks_of(p: Params) -> dict[tuple[str, str], benchmarks.Task]:
    """(benchmark, task_id) → the task."""
    return {(name, task.task_id): task for name, tasks in load_tasks(p).items() for task in tasks}


def evaluate(p: Params, notebook: str | Path | None = None, shard: Shard | None = None) -> dict:
    """Evaluate the base student and every checkpoint of a run on p.benchmarks. Returns the
    provenance. It is `finished` when every adapter is proved, every answer is there, and only
    requests that fail for good have failed (the engine dies of one alone, or it does not fit memory
    alone).

    shard: make only that shard's records, in its own folder (shards.py); the provenance is the
    shard's.

    Raises ValueError before any work if a benchmark or checkpoints are missing, if the student or
    an adapter is not whole or they do not belong together, if records on disk were made with other
    settings and `overwrite` is false, or if another process is evaluating this run; RuntimeError if
    code could not be run safely; stop.Stopped; disk.DiskFull."""
    tracking.check(p.track)
    # before benchmarks are downloaded: one has gigabytes
    run_dir = paths.run_dir(p) if shard is None else shards.folder(p, shard)
    file = run_dir / "provenance_eval.json"
    before = {} if p.overwrite else resume.earlier_provenance(file)
    version, notes = "", {}
    if not p.regrade:
        compiler.check(student.device())
        version = check_student.check(p)
        if p.adapter != "none" and not before.get("finished"):
            resume.check_adapters(p, [p.max_steps])
    tasks, steps = load_tasks(p), resume.checkpoint_steps(p)
    asked, why = p, ""
    if not p.regrade:
        p, why = start.decided(p, before.get("settings", {}).get("adapters", ""))
    settings = resume.settings_of(p, tasks, steps, before, version)
    if before.get("settings"):
        # an earlier version's did not say
        before["settings"].setdefault("student_version", settings["student_version"])
        before["settings"].setdefault("stop_on_loop", False)
    shared = baseline.shared_files(p, settings)
    if not p.overwrite:
        stored = [paths.records_file(p, step, name) for step in steps for name in tasks]
        resume.refuse_other_records(p, settings, before, [*shared.values(), *stored])
    if not p.regrade:
        resume.refuse_other_checkpoints(p, settings["adapters_sha256"])
        left = resume.unfinished_steps(p, tasks, steps) if before else steps
        notes = resume.check_adapters(p, left)
        known = before.get("adapter_base", {}).items()
        notes |= {step: note for step, note in known if int(step) not in left}
        resume.say(notes)
    kinds = {task.kind for task_list in tasks.values() for task in task_list}
    has_code = "code" in kinds
    # refused here, before any answer is generated
    if "instructions" in kinds:
        instructions.check()
    packages = tuple(p.sandbox_packages)
    sandbox_level = code.level(p.allow_unsafe, packages) if has_code else ""
    kept = (
        "the answers that are graded are on disk, and the evaluation goes on there when it is "
        "started again."
    )
    with lock.alone(run_dir, "being evaluated"), disk.room(run_dir), stop.raising(kept):
        if p.overwrite and shard is not None:
            shards.remove(p, shard, shared)
        elif p.overwrite:
            _remove_records(p, shared)
        own = {}
        if not p.regrade:
            own = {"student_generation_config": generation.record(p)}
            generation.say(own["student_generation_config"])
        for part in resume.PARTS:
            settings[part] = before.get("settings", {}).get(part, {}) | settings[part]
        record = provenance.collect(
            asked,
            notebook=notebook,
            entry="distill_nb.evaluation.evaluate",
            settings=settings,
            grader=grading.GRADER_VERSION,
            sandbox_level=sandbox_level,
            sandbox_packages=list(versions(packages)) if has_code else [],
            **{key: settings[key] for key in ("engine", "adapters", "template")},
            **own,
        )
        if settings["engine"] == "vllm" and not p.regrade:
            record |= tuned.record(p, settings["adapters"])
        record = provenance.follow(record, before)
        record["benchmarks"] = before.get("benchmarks", {}) | {
            benchmark_name(entry): loading.describe(*_taken(p, entry)) for entry in p.benchmarks
        }
        if p.regrade:  # without the model: what is missing stays missing
            record["regraded"] = regrade.regrade(p, tasks, shared, steps)
            record["finished"] = before.get("finished", False)
            kept_keys = ("failed_requests", "base", "student_generation_config")
            record |= {k: before[k] for k in kept_keys if k in before}
            baseline.copy_into(p, shared)
            record |= {"adapter_proof": _proofs(p, steps), "files": records.sizes(run_dir)}
            record = provenance.finish(record)
            provenance.write(file, record)
            return record
        if steps:
            log.info(f"Adapters: {p.adapters}, as {why}.")
        record |= {"adapters_why": why, "adapter_base": notes}
        if shard is not None:
            return shards.make(p, shard, tasks, steps, shared, before, record, _collect)
        return _evaluate(p, tasks, steps, shared, before, record)


def _remove_records(p: Params, shared: dict[str, Path]) -> None:
    """For overwrite: the run's records, and a baseline's shared ones."""
    run_dir = paths.run_dir(p)
    shutil.rmtree(run_dir / "eval", ignore_errors=True)
    (run_dir / "provenance_eval.json").unlink(missing_ok=True)
    tracking.forget(run_dir, "eval")
    if is_baseline(p):  # runs only share these
        for file in shared.values():
            file.unlink(missing_ok=True)
            baseline.note_file(file).unlink(missing_ok=True)


def _evaluate(
    p: Params,
    tasks: dict[str, list[benchmarks.Task]],
    steps: list[int],
    shared: dict[str, Path],
    before: dict,
    record: dict,
) -> dict:
    """Make what is missing, once everything is checked and the run's folder is locked."""
    file = paths.run_dir(p) / "provenance_eval.json"
    if not before:
        provenance.write(file, record)
    lines = AccuracyLog(p, tasks, shared)
    with tracking.mirrored(p.track, file.parent, "eval", lines.file, record["parameters"]):
        lines.look_at_all(steps)
        made = _make(p, tasks, shared, steps, record, lines.look)
        lines.look_at_all(steps)
    sessions = {name: baseline.sessions(f) for name, f in shared.items()}
    record["base"] = before.get("base", {}) | sessions
    counts = ", ".join(f"{step}: {n}" for step, n in made.items())
    rest = "." if any(made.values()) else "; all records were there already."
    log.info(f"Answers generated now, by step: {counts}{rest}")
    if before.get("finished") and not any(made.values()):  # so what is on record stays true
        same = before | {"base": record["base"], "files": records.sizes(paths.run_dir(p))}
        if same != before:
            provenance.write(file, same)
        return {k: v for k, v in same.items() if k != "regraded"}
    proofs = _proofs(p, steps)
    expected = {
        paths.records_file(p, step, name): len(task_list) * p.n_samples
        for step in (0, *steps)
        for name, task_list in tasks.items()
    }
    absent, failed = records.state(expected)
    again = [r for r in failed if not r.get("failed_for_good")]
    if failed:
        remedy = "They would fail here again."
        if again:
            remedy = "Start the evaluation again, and it asks them again."
        log.info(
            f"{len(failed)} requests failed and count as sampling_error, the first because: "
            f"{(again or failed)[0]['detail']}. {remedy}"
        )
    record = provenance.finish(record) | {
        "finished": not absent and not again and all(found["passed"] for found in proofs),
        "adapter_proof": proofs,
        "failed_requests": len(failed),
        "files": records.sizes(paths.run_dir(p)),
    }
    provenance.write(file, record)
    return record


def _make(
    p: Params,
    tasks: dict[str, list[benchmarks.Task]],
    shared: dict[str, Path],
    steps: list[int],
    record: dict | None = None,
    done: Callable[[int, str], None] = lambda step, benchmark: None,
) -> dict[int, int]:
    """Make what is missing of the base student and of all checkpoints; returns step → records made.
    record: the provenance, noted beside the base's records, which are copied into the run before
    others may change them. While another process makes these, the checkpoints come first."""
    own = []
    for step in steps:
        own += missing(p, step, tasks, {name: paths.records_file(p, step, name) for name in tasks})
    base_dir = baseline.baseline_dir(p)
    with lock.locked(base_dir, wait=False) as unlock:
        base = missing(p, 0, tasks, shared) if unlock else []

        def base_done() -> None:
            baseline.copy_into(p, shared)
            if unlock:
                unlock()

        if unlock and not base:
            base_done()
        baseline.note_session(base, record)
        proofs = _collect(p, base, own, base_done, done)
    if not unlock:
        with lock.locked(base_dir):
            base = missing(p, 0, tasks, shared)
            baseline.note_session(base, record)
            _collect(p, base, [], lambda: None, done)
            baseline.copy_into(p, shared)
    if not base:
        log.info(
            f"Base student: reusing the records in {paths.movable(base_dir)} (same student, "
            "template, engine and generation settings)."
        )
    unproven = {found.step for found in proofs if not found.passed}
    made = Counter(job.step for job in [*base, *own])
    return {step: 0 if step in unproven else made[step] for step in (0, *steps)}


def _collect(
    p: Params,
    base: list[Job],
    own: list[Job],
    base_done: Callable[[], None],
    done: Callable[[int, str], None] = lambda step, benchmark: None,
) -> list[Proof]:
    """The records of the base student and of checkpoints, by one engine; returns the proofs. done:
    as of `collect`."""
    jobs = [*base, *own]
    if not jobs:
        return []
    check_student.check_weights(p)
    adapters = resume.adapters_of(p, sorted({job.step for job in own}))
    # of an adapter from elsewhere, what Transformers and PEFT make of the first prompt
    references = {step: proof.of(p, folder, own[0].prompt) for step, folder in adapters.items()}

    def keep(made: Proof) -> None:
        provenance.write(_proof_file(p, made.step), asdict(made))

    texts = [reference["tokens"] for reference in references.values()]
    with start.start(p, adapters, [job.prompt for job in jobs], texts) as engine:
        return collect(p, engine, jobs, references, base_done, keep, done)


def _proof_file(p: Params, step: int) -> Path:
    return paths.run_dir(p) / "eval" / paths.step_name(step) / proof.FILE


def _proofs(p: Params, steps: list[int]) -> list[dict]:
    """The proofs on which a run's records rest, by step."""
    files = [_proof_file(p, step) for step in steps]
    return [json.loads(file.read_text()) for file in files if file.exists()]
