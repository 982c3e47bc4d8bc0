"""Checkpoints × benchmarks → one record a problem and sample, resumable.

A record is one line of runs/<scale>/<run>/eval/step_00100/<benchmark>.jsonl. A rerun goes on at the
first missing record. The base student's records (step 0) are made once for equal template, engine
and generation settings, kept under runs/<scale>/_base, and copied into every run that shares them.
A checkpoint's answers count only once the engine has proved that it applies the adapter (proof.py).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from distill_nb import benchmarks, grading
from distill_nb.evaluation import baseline, records, regrade
from distill_nb.evaluation.collect import Job, collect, missing
from distill_nb.evaluation.engines import start
from distill_nb.evaluation.proofs import Proof
from distill_nb.evaluation.resume import (
    PARTS,
    adapters_of,
    checkpoint_steps,
    refuse_other_checkpoints,
    refuse_other_records,
    settings_of,
)
from distill_nb.grading import code
from distill_nb.params import Params, is_baseline
from distill_nb.runtime import disk, lock, paths, provenance, stop
from distill_nb.students import proof, sources

SUBSET_SEED = 0  # of benchmark_limit: replicates of a run answer the same problems


def load_tasks(p: Params) -> dict[str, list]:
    """benchmark → its tasks in this run."""
    return {
        name: benchmarks.load(name, p.benchmark_files.get(name), p.benchmark_limit, SUBSET_SEED)
        for name in p.benchmarks
    }


def tasks_of(p: Params) -> dict[tuple[str, str], benchmarks.Task]:
    """(benchmark, task_id) → the task."""
    return {(name, task.task_id): task for name, tasks in load_tasks(p).items() for task in tasks}


def _references(p: Params, adapters: dict[int, Path], jobs: list[Job]) -> dict[int, dict]:
    """step → what the trainer left in its checkpoint; of an adapter from elsewhere what
    Transformers and PEFT make of the first prompt."""
    return {
        step: proof.read(folder) or proof.reference(p, folder, jobs[0].prompt)
        for step, folder in adapters.items()
    }


def _keep_proof(p: Params, made: Proof) -> None:
    provenance.write(
        paths.run_dir(p) / "eval" / paths.step_name(made.step) / proof.FILE, asdict(made)
    )


def _proofs(p: Params, steps: list[int]) -> list[dict]:
    """The proofs on which a run's records rest, by step."""
    files = [paths.run_dir(p) / "eval" / paths.step_name(step) / proof.FILE for step in steps]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def _make(
    p: Params,
    tasks: dict[str, list],
    shared: dict[str, Path],
    steps: list[int],
    record: dict | None = None,
) -> dict[int, int]:
    """Make what is missing of the base student and of all checkpoints; returns step → records made.
    record: of this evaluation, noted beside the base student's records, which are copied into the
    run before others may change them.

    Where another process is at the base student's records, the checkpoints come first, and then
    what it has left."""
    own = [
        job
        for s in steps
        for job in missing(p, s, tasks, {n: paths.records_file(p, s, n) for n in tasks})
    ]
    adapters = adapters_of(p, sorted({job.step for job in own}))
    references = _references(p, adapters, own)
    proofs = []
    with lock.locked(baseline.baseline_dir(p), wait=False) as unlock:
        base = missing(p, 0, tasks, shared) if unlock else []

        def base_done():
            baseline.copy_into(p, shared)
            unlock()

        if unlock and not base:
            base_done()
        baseline.note_session(base, record)
        if own or base:
            with start.start(
                p, adapters, [*base, *own], [r["tokens"] for r in references.values()]
            ) as engine:
                proofs = collect(
                    p,
                    engine,
                    [*base, *own],
                    references,
                    base_done,
                    lambda made: _keep_proof(p, made),
                )
    if not unlock:
        with lock.locked(baseline.baseline_dir(p)):
            base = missing(p, 0, tasks, shared)
            baseline.note_session(base, record)
            if base:
                with start.start(p, {}, base) as engine:
                    collect(p, engine, base, {})
            baseline.copy_into(p, shared)
    if not base:
        print(
            f"Base student: reusing the records in {paths.movable(baseline.baseline_dir(p))} "
            "(same student, template, engine and generation settings)."
        )
    unproven = {found.step for found in proofs if not found.passed}
    return {
        s: sum(job.step == s for job in [*base, *own]) if s not in unproven else 0
        for s in (0, *steps)
    }


def evaluate(p: Params, notebook: Path | None = None) -> dict:
    """Evaluate the base student and every checkpoint of a run on p.benchmarks. Returns the
    provenance; it is `finished` when every adapter is proved to be applied, every answer is there,
    and no request has failed but for good (of which the engine dies, or memory runs out, alone).

    Raises ValueError before any work if a benchmark or the run's checkpoints are missing, if
    records on disk were made with other settings and `overwrite` is false, or if another process is
    at this run; RuntimeError if code could not be run safely; stop.Stopped when it is asked to end;
    disk.DiskFull."""
    # before benchmarks are downloaded: one has gigabytes
    version = "" if p.regrade else sources.check_student(p)
    tasks, steps = load_tasks(p), checkpoint_steps(p)
    run_dir, file = paths.run_dir(p), paths.run_dir(p) / "provenance_eval.json"
    before = {} if p.overwrite else provenance.read(file, "set overwrite: true to make them again")
    known = before.get("settings", {})
    if isinstance(
        known.get("n_samples"), int
    ):  # an earlier version's one number for all benchmarks
        known["n_samples"] = dict.fromkeys(known["tasks_sha256"], known["n_samples"])
    settings = settings_of(p, tasks, steps, before, version)
    if known:
        # an earlier version's did not say
        known.setdefault("student_version", settings["student_version"])
    shared = baseline.shared_files(p, settings)
    if not p.overwrite:
        stored = [paths.records_file(p, step, name) for step in steps for name in tasks]
        refuse_other_records(p, settings, before, [*shared.values(), *stored])
    if not p.regrade:
        refuse_other_checkpoints(p, settings["adapters_sha256"])
    has_code = any(task.kind == "code" for task_list in tasks.values() for task in task_list)
    # refused here, before any answer is generated
    sandbox_level = code.level(p.allow_unsafe) if has_code else ""
    with (
        lock.alone(run_dir, "being evaluated"),
        disk.room(run_dir),
        stop.raising(
            "the answers that are graded are on disk, and the evaluation goes on there when it is "
            "started again."
        ),
    ):
        if p.overwrite:
            shutil.rmtree(run_dir / "eval", ignore_errors=True)
            file.unlink(missing_ok=True)
            for base_file in shared.values() if is_baseline(p) else ():  # runs only share these
                base_file.unlink(missing_ok=True)
                baseline.note_file(base_file).unlink(missing_ok=True)
        for part in PARTS:
            settings[part] = before.get("settings", {}).get(part, {}) | settings[part]
        record = provenance.collect(
            p,
            notebook=notebook,
            entry="distill_nb.evaluation.evaluate",
            settings=settings,
            grader=grading.GRADER_VERSION,
            sandbox_level=sandbox_level,
            engine=settings["engine"],
            adapters=settings["adapters"],
            template=settings["template"],
        )
        record = provenance.follow(record, before) | {
            "benchmarks": before.get("benchmarks", {})
            | {
                n: benchmarks.describe(n, p.benchmark_files.get(n), p.benchmark_limit, SUBSET_SEED)
                for n in tasks
            }
        }
        return _evaluate(p, tasks, steps, shared, before, record)


def _evaluate(
    p: Params,
    tasks: dict[str, list],
    steps: list[int],
    shared: dict[str, Path],
    before: dict,
    record: dict,
) -> dict:
    """`evaluate`, once everything is checked and nobody else is at it."""
    file = paths.run_dir(p) / "provenance_eval.json"
    if p.regrade:  # without the model: what is missing stays missing
        record |= {
            "regraded": regrade.regrade(p, tasks, shared, steps),
            "finished": before.get("finished", False),
        }
        record |= {k: before[k] for k in ("failed_requests", "base") if k in before}
        baseline.copy_into(p, shared)
        record = provenance.finish(
            record | {"adapter_proof": _proofs(p, steps), "files": records.sizes(paths.run_dir(p))}
        )
        provenance.write(file, record)
        return record
    if not before:
        provenance.write(file, record)
    made = _make(p, tasks, shared, steps, record)
    record["base"] = before.get("base", {}) | {
        n: provenance.read(baseline.note_file(f), "delete it").get("sessions", [])
        for n, f in shared.items()
    }
    print(
        "Answers generated now, by step: "
        + ", ".join(f"{s}: {n}" for s, n in made.items())
        + ("; all records were there already." if not any(made.values()) else ".")
    )
    if before.get("finished") and not any(
        made.values()
    ):  # nothing was made, so what is on record stays true
        same = before | {"base": record["base"], "files": records.sizes(paths.run_dir(p))}
        if same != before:
            provenance.write(file, same)
        return {k: v for k, v in same.items() if k != "regraded"}
    proofs = _proofs(p, steps)
    absent, failed = records.state(
        {
            paths.records_file(p, step, name): len(task_list) * p.n_samples
            for step in (0, *steps)
            for name, task_list in tasks.items()
        }
    )
    again = [r for r in failed if not r.get("failed_for_good")]
    if failed:
        print(
            f"{len(failed)} requests failed and count as sampling_error, the first because: "
            f"{(again or failed)[0]['detail']}"
            + (
                ". Start the evaluation again, and it asks them again."
                if again
                else ". They would fail here again."
            )
        )
    finished = not absent and not again and all(found["passed"] for found in proofs)
    record = provenance.finish(record) | {
        "finished": finished,
        "adapter_proof": proofs,
        "failed_requests": len(failed),
        "files": records.sizes(paths.run_dir(p)),
    }
    provenance.write(file, record)
    return record
