"""Checkpoints × benchmarks → one record a problem and sample, resumable.

A record is one line of runs/<scale>/<run>/eval/step_00100/<benchmark>.jsonl. A rerun goes on at the first missing
record. The base student's records (step 0) are made once for equal template, engine and generation settings, kept under
runs/<scale>/_base, and copied into every run that shares them. A checkpoint's answers count only once the engine has
proved that it applies the adapter (proof.py).
"""
from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from distill_nb import benchmarks, generate, grading, regrade
from distill_nb.grading import code
from distill_nb.params import GENERATION_KEYS, Params, is_baseline
from distill_nb.runtime import disk, jsonl, lock, paths, provenance, stop
from distill_nb.students import chat, proof, sources
from distill_nb.students.adapters import adapter_files, adapter_folder, refuse_lost_adapters, sha256_of_adapter
from distill_nb.sweep import Job, missing, sweep

# Settings that are kept piece by piece, so that a run can be evaluated in several calls: some benchmarks now and others
# later, these with one sample a problem and AIME with 16.
PARTS = {"tasks_sha256": "benchmark", "adapters_sha256": "the adapter of step", "n_samples": "n_samples of"}
SUBSET_SEED = 0  # of benchmark_limit: replicates of a run answer the same problems


def checkpoint_steps(p: Params) -> list[int]:
    """Steps of the checkpoints on disk, ascending; none for a baseline; max_steps alone for an adapter from elsewhere. To
    grade again, records are enough.

    Raises ValueError if there are none yet, or a finished training has lost them all."""
    if is_baseline(p):
        return []
    if p.adapter != "none":
        return [p.max_steps]
    recorded = paths.run_dir(p).glob("eval/step_*/*.jsonl") if p.regrade else ()
    steps = sorted({*adapter_files(paths.run_dir(p)), *(int(f.parent.name.split("_")[1]) for f in recorded)} - {0})
    if not steps:
        _refuse_other_checkpoints(p, {})  # a finished run has lost them all
        raise ValueError(f"run_name: {paths.run_dir(p).name} has no checkpoints in {paths.movable(paths.run_dir(p))}; run "
                         "train.ipynb with the same parameters first.")
    return steps


def load_tasks(p: Params) -> dict[str, list]:
    """benchmark → its tasks in this run."""
    return {name: benchmarks.load(name, p.benchmark_files.get(name), p.benchmark_limit, SUBSET_SEED) for name in p.benchmarks}


def tasks_of(p: Params) -> dict[tuple[str, str], benchmarks.Task]:
    """(benchmark, task_id) → the task."""
    return {(name, task.task_id): task for name, tasks in load_tasks(p).items() for task in tasks}


def shared_files(p: Params, settings: dict) -> dict[str, Path]:
    """benchmark → the shared file of the base student's records. Its name carries a hash of template, engine and tasks,
    so that a change of any of them makes the records anew."""
    own = [settings[k] for k in ("template", "engine", "engine_version", "student_version") if settings.get(k)]
    return {name: paths.baseline_dir(p) / f"{name}-{provenance.sha256_of_json([*own, h])[:8]}.jsonl"
            for name, h in settings["tasks_sha256"].items()}


def _references(p: Params, adapters: dict[int, Path], jobs: list[Job]) -> dict[int, dict]:
    """step → what the trainer left in its checkpoint; of an adapter from elsewhere what Transformers and PEFT make of the
    first prompt."""
    return {step: proof.read(folder) or proof.reference(p, folder, jobs[0].prompt) for step, folder in adapters.items()}


def _copy_base(p: Params, shared: dict[str, Path]) -> None:
    for name, file in shared.items():
        if not file.exists():  # a run's folder that was copied here without it keeps what it has
            continue
        jsonl.write(paths.records_file(p, 0, name), [
            r | {"run_name": p.run_name, "teacher": p.teacher, "domain": p.domain} for r in jsonl.once(jsonl.read(file))])


def _adapters(p: Params, steps: list[int]) -> dict[int, Path]:
    """step → the folder of its adapter."""
    return {s: adapter_folder(p.adapter) if p.adapter != "none" else paths.checkpoint_dir(p, s) for s in steps}


def _keep_proof(p: Params, made: proof.Proof) -> None:
    provenance.write(paths.run_dir(p) / "eval" / paths.step_name(made.step) / proof.FILE, asdict(made))


def _proofs(p: Params, steps: list[int]) -> list[dict]:
    """The proofs on which a run's records rest, by step."""
    files = [paths.run_dir(p) / "eval" / paths.step_name(step) / proof.FILE for step in steps]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def _note(file: Path) -> Path:
    """Where a shared file says what made its records, session by session."""
    return file.with_suffix(".made.json")


def _note_base(jobs: list[Job], record: dict) -> None:
    """Write down what is going to make the base student's missing records."""
    for file in {job.file for job in jobs} if record else ():
        sessions = provenance.read(_note(file), "delete it").get("sessions", [])
        provenance.write(_note(file), {"sessions": [*sessions, {k: record[k] for k in ("started_at", "code", "packages")}]})


def _make(p: Params, tasks: dict[str, list], shared: dict[str, Path], steps: list[int], record: dict | None = None
          ) -> dict[int, int]:
    """Make what is missing of the base student and of all checkpoints; returns step → records made. record: of this
    evaluation, noted beside the base student's records, which are copied into the run before others may change them.

    Where another process is at the base student's records, the checkpoints come first, and then what it has left."""
    own = [job for s in steps for job in missing(p, s, tasks, {n: paths.records_file(p, s, n) for n in tasks})]
    adapters = _adapters(p, sorted({job.step for job in own}))
    references = _references(p, adapters, own)
    proofs = []
    with lock.locked(paths.baseline_dir(p), wait=False) as unlock:
        base = missing(p, 0, tasks, shared) if unlock else []

        def base_done():
            _copy_base(p, shared)
            unlock()

        if unlock and not base:
            base_done()
        _note_base(base, record)
        if own or base:
            with generate.start(p, adapters, [*base, *own], [r["tokens"] for r in references.values()]) as engine:
                proofs = sweep(p, engine, [*base, *own], references, base_done, lambda made: _keep_proof(p, made))
    if not unlock:
        with lock.locked(paths.baseline_dir(p)):
            base = missing(p, 0, tasks, shared)
            _note_base(base, record)
            if base:
                with generate.start(p, {}, base) as engine:
                    sweep(p, engine, base, {})
            _copy_base(p, shared)
    if not base:
        print(f"Base student: reusing the records in {paths.movable(paths.baseline_dir(p))} "
              "(same student, template, engine and generation settings).")
    unproven = {found.step for found in proofs if not found.passed}
    return {s: sum(job.step == s for job in [*base, *own]) if s not in unproven else 0 for s in (0, *steps)}


def _refuse_other_records(p: Params, settings: dict, before: dict, files: list[Path]) -> None:
    """Raises ValueError if the records on disk were made with other settings, or graded by another grader."""
    known = before.get("settings", {})
    differing = [k for k in settings if known and k not in PARTS and known.get(k) != settings[k]]
    differing += [f"{name} {n}" for part, name in PARTS.items() for n, h in settings[part].items()
                  if known.get(part, {}).get(n, h) != h]
    if differing:
        raise ValueError(f"provenance_eval.json in {paths.run_dir(p).name}: the records there were made with other values "
                         f"of {', '.join(differing)}; set overwrite: true to make them again.")
    graders = {r["grader"] for file in files for r in jsonl.read(file)}
    if not p.regrade and graders - {grading.GRADER_VERSION}:
        raise ValueError(f"run_name: records of {paths.run_dir(p).name} or of its base student were graded by another "
                         f"version ({', '.join(sorted(graders))}, now {grading.GRADER_VERSION}); set regrade: true to "
                         "grade all of them again, without the model.")


def _refuse_other_checkpoints(p: Params, adapters: dict[str, str]) -> None:
    """Raises ValueError if the run was trained from another student, or its adapters (step → sha256) are not those that its
    training wrote."""
    file = paths.run_dir(p) / "provenance_train.json"
    if p.adapter != "none" or is_baseline(p) or not file.exists():
        return
    trained = provenance.read(file, "train it again with overwrite: true")
    differing = [k for k in ("student", "student_size", "teacher", "domain") if trained["parameters"][k] != getattr(p, k)]
    if differing:
        raise ValueError(f"run_name: {paths.run_dir(p).name} was trained with other values of {', '.join(differing)}; use its "
                         "own parameter file, or choose another run_name.")
    refuse_lost_adapters(paths.run_dir(p), trained, adapters)


def _settings(p: Params, tasks: dict[str, list], steps: list[int], before: dict, version: str) -> dict:
    """All that decides what a run's answers are; version: of hub.check_student, if it was asked. Grading again needs no engine
    and no adapter, and may happen where there are none: then these are as they were."""
    known = before.get("settings", {})
    if p.regrade and "adapters_sha256" in known:
        made_by = {k: known.get(k, "") for k in ("engine", "engine_version", "adapters", "adapters_sha256", "student_version")}
    else:
        made_by = {"student_version": version or sources.check_student(p), "engine": generate.engine_name(p),
                   "engine_version": generate.engine_version(p), "adapters": generate.adapter_mode(p), "adapters_sha256": {
                       str(s): sha256_of_adapter(folder) for s, folder in _adapters(p, steps).items()}}
    return {k: getattr(p, k) for k in GENERATION_KEYS} | made_by | {
        "n_samples": dict.fromkeys(tasks, p.n_samples), "adapter": p.adapter,
        "template": chat.template_for(p.student, p.chat_template).hash,
        "tasks_sha256": {n: provenance.sha256_of_json([asdict(replace(t, file="")) for t in ts]) for n, ts in tasks.items()}}


def evaluate(p: Params, notebook: Path | None = None) -> dict:
    """Evaluate the base student and every checkpoint of a run on p.benchmarks. Returns the provenance; it is `finished` when
    every adapter is proved to be applied, every answer is there, and no request has failed but for good (of which the engine
    dies, or memory runs out, alone).

    Raises ValueError before any work if a benchmark or the run's checkpoints are missing, if records on disk were made with
    other settings and `overwrite` is false, or if another process is at this run; RuntimeError if code could not be run
    safely; stop.Stopped when it is asked to end; disk.DiskFull."""
    version = "" if p.regrade else sources.check_student(p)  # before benchmarks are downloaded: one has gigabytes
    tasks, steps = load_tasks(p), checkpoint_steps(p)
    run_dir, file = paths.run_dir(p), paths.run_dir(p) / "provenance_eval.json"
    before = {} if p.overwrite else provenance.read(file, "set overwrite: true to make them again")
    known = before.get("settings", {})
    if isinstance(known.get("n_samples"), int):  # an earlier version's one number for all benchmarks
        known["n_samples"] = dict.fromkeys(known["tasks_sha256"], known["n_samples"])
    settings = _settings(p, tasks, steps, before, version)
    if known:
        known.setdefault("student_version", settings["student_version"])  # an earlier version's did not say
    shared = shared_files(p, settings)
    if not p.overwrite:
        stored = [paths.records_file(p, step, name) for step in steps for name in tasks]
        _refuse_other_records(p, settings, before, [*shared.values(), *stored])
    if not p.regrade:
        _refuse_other_checkpoints(p, settings["adapters_sha256"])
    has_code = any(task.kind == "code" for task_list in tasks.values() for task in task_list)
    sandbox_level = code.level(p.allow_unsafe) if has_code else ""  # refused here, before any answer is generated
    with lock.alone(run_dir, "being evaluated"), disk.room(run_dir), stop.raising(
            "the answers that are graded are on disk, and the evaluation goes on there when it is started again."):
        if p.overwrite:
            shutil.rmtree(run_dir / "eval", ignore_errors=True)
            file.unlink(missing_ok=True)
            for base_file in shared.values() if is_baseline(p) else ():  # runs only share these
                base_file.unlink(missing_ok=True)
                _note(base_file).unlink(missing_ok=True)
        for part in PARTS:
            settings[part] = before.get("settings", {}).get(part, {}) | settings[part]
        record = provenance.collect(p, notebook=notebook, entry="distill_nb.evaluate", settings=settings,
                                    grader=grading.GRADER_VERSION,
                                    sandbox_level=sandbox_level, engine=settings["engine"], adapters=settings["adapters"],
                                    template=settings["template"])
        record = provenance.follow(record, before) | {"benchmarks": before.get("benchmarks", {}) | {
            n: benchmarks.describe(n, p.benchmark_files.get(n), p.benchmark_limit, SUBSET_SEED) for n in tasks}}
        return _evaluate(p, tasks, steps, shared, before, record)


def _evaluate(p: Params, tasks: dict[str, list], steps: list[int], shared: dict[str, Path], before: dict,
              record: dict) -> dict:
    """`evaluate`, once everything is checked and nobody else is at it."""
    file = paths.run_dir(p) / "provenance_eval.json"
    if p.regrade:  # without the model: what is missing stays missing
        record |= {"regraded": regrade.regrade(p, tasks, shared, steps), "finished": before.get("finished", False)}
        record |= {k: before[k] for k in ("failed_requests", "base") if k in before}
        _copy_base(p, shared)
        record = provenance.finish(record | {"adapter_proof": _proofs(p, steps), "files": jsonl.sizes(paths.run_dir(p))})
        provenance.write(file, record)
        return record
    if not before:
        provenance.write(file, record)
    made = _make(p, tasks, shared, steps, record)
    record["base"] = before.get("base", {}) | {n: provenance.read(_note(f), "delete it").get("sessions", [])
                                               for n, f in shared.items()}
    print("Answers generated now, by step: " + ", ".join(f"{s}: {n}" for s, n in made.items())
          + ("; all records were there already." if not any(made.values()) else "."))
    if before.get("finished") and not any(made.values()):  # nothing was made, so what is on record stays true
        same = before | {"base": record["base"], "files": jsonl.sizes(paths.run_dir(p))}
        if same != before:
            provenance.write(file, same)
        return {k: v for k, v in same.items() if k != "regraded"}
    proofs = _proofs(p, steps)
    absent, failed = jsonl.state({paths.records_file(p, step, name): len(task_list) * p.n_samples
                                    for step in (0, *steps) for name, task_list in tasks.items()})
    again = [r for r in failed if not r.get("failed_for_good")]
    if failed:
        print(f"{len(failed)} requests failed and count as sampling_error, the first because: {(again or failed)[0]['detail']}"
              + (". Start the evaluation again, and it asks them again." if again else ". They would fail here again."))
    finished = not absent and not again and all(found["passed"] for found in proofs)
    record = provenance.finish(record) | {"finished": finished, "adapter_proof": proofs, "failed_requests": len(failed),
                                          "files": jsonl.sizes(paths.run_dir(p))}
    provenance.write(file, record)
    return record
