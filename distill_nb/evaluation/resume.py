"""What an evaluation finds on disk: checkpoints, records, and whether they were made with the same
settings."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from distill_nb import grading
from distill_nb.evaluation.engines import start
from distill_nb.params import GENERATION_KEYS, Params, is_baseline
from distill_nb.runtime import jsonl, paths, provenance
from distill_nb.students import chat, sources
from distill_nb.students.adapters import (
    adapter_files,
    adapter_folder,
    refuse_lost_adapters,
    sha256_of_adapter,
)

# Settings that are kept piece by piece, so that a run can be evaluated in several calls: some
# benchmarks now and others later, these with one sample a problem and AIME with 16.
PARTS = {
    "tasks_sha256": "benchmark",
    "adapters_sha256": "the adapter of step",
    "n_samples": "n_samples of",
}


def checkpoint_steps(p: Params) -> list[int]:
    """Steps of the checkpoints on disk, ascending; none for a baseline; max_steps alone for an
    adapter from elsewhere. To grade again, records are enough.

    Raises ValueError if there are none yet, or a finished training has lost them all."""
    if is_baseline(p):
        return []
    if p.adapter != "none":
        return [p.max_steps]
    recorded = paths.run_dir(p).glob("eval/step_*/*.jsonl") if p.regrade else ()
    steps = sorted(
        {*adapter_files(paths.run_dir(p)), *(int(f.parent.name.split("_")[1]) for f in recorded)}
        - {0}
    )
    if not steps:
        refuse_other_checkpoints(p, {})  # a finished run has lost them all
        raise ValueError(
            f"run_name: {paths.run_dir(p).name} has no checkpoints in "
            f"{paths.movable(paths.run_dir(p))}; run "
            "train.ipynb with the same parameters first."
        )
    return steps


def adapters_of(p: Params, steps: list[int]) -> dict[int, Path]:
    """step → the folder of its adapter."""
    return {
        s: adapter_folder(p.adapter) if p.adapter != "none" else paths.checkpoint_dir(p, s)
        for s in steps
    }


def refuse_other_records(p: Params, settings: dict, before: dict, files: list[Path]) -> None:
    """Raises ValueError if the records on disk were made with other settings, or graded by another
    grader."""
    known = before.get("settings", {})
    differing = [k for k in settings if known and k not in PARTS and known.get(k) != settings[k]]
    differing += [
        f"{name} {n}"
        for part, name in PARTS.items()
        for n, h in settings[part].items()
        if known.get(part, {}).get(n, h) != h
    ]
    if differing:
        raise ValueError(
            f"provenance_eval.json in {paths.run_dir(p).name}: the records there were made with "
            "other values "
            f"of {', '.join(differing)}; set overwrite: true to make them again."
        )
    graders = {r["grader"] for file in files for r in jsonl.read(file)}
    if not p.regrade and graders - {grading.GRADER_VERSION}:
        raise ValueError(
            f"run_name: records of {paths.run_dir(p).name} or of its base student were graded by "
            "another "
            f"version ({', '.join(sorted(graders))}, now {grading.GRADER_VERSION}); set regrade: "
            "true to "
            "grade all of them again, without the model."
        )


def refuse_other_checkpoints(p: Params, adapters: dict[str, str]) -> None:
    """Raises ValueError if the run was trained from another student, or its adapters (step →
    sha256) are not those that its training wrote."""
    file = paths.run_dir(p) / "provenance_train.json"
    if p.adapter != "none" or is_baseline(p) or not file.exists():
        return
    trained = provenance.read(file, "train it again with overwrite: true")
    differing = [
        k
        for k in ("student", "student_size", "teacher", "domain")
        if trained["parameters"][k] != getattr(p, k)
    ]
    if differing:
        raise ValueError(
            f"run_name: {paths.run_dir(p).name} was trained with other values of "
            f"{', '.join(differing)}; use its "
            "own parameter file, or choose another run_name."
        )
    refuse_lost_adapters(paths.run_dir(p), trained, adapters)


def settings_of(
    p: Params, tasks: dict[str, list], steps: list[int], before: dict, version: str
) -> dict:
    """All that decides what a run's answers are; version: of hub.check_student, if it was asked.
    Grading again needs no engine and no adapter, and may happen where there are none: then these
    are as they were."""
    known = before.get("settings", {})
    if p.regrade and "adapters_sha256" in known:
        made_by = {
            k: known.get(k, "")
            for k in ("engine", "engine_version", "adapters", "adapters_sha256", "student_version")
        }
    else:
        made_by = {
            "student_version": version or sources.check_student(p),
            "engine": start.engine_name(p),
            "engine_version": start.engine_version(p),
            "adapters": start.adapter_mode(p),
            "adapters_sha256": {
                str(s): sha256_of_adapter(folder) for s, folder in adapters_of(p, steps).items()
            },
        }
    return (
        {k: getattr(p, k) for k in GENERATION_KEYS}
        | made_by
        | {
            "n_samples": dict.fromkeys(tasks, p.n_samples),
            "adapter": p.adapter,
            "template": chat.template_for(p.student, p.chat_template).hash,
            "tasks_sha256": {
                n: provenance.sha256_of_json([asdict(replace(t, file="")) for t in ts])
                for n, ts in tasks.items()
            },
        }
    )
