"""What an evaluation finds on disk, and whether the same settings made it."""

import logging
from dataclasses import asdict, replace
from pathlib import Path

from distill_nb import grading
from distill_nb.evaluation import records
from distill_nb.evaluation.engines import start
from distill_nb.params import GENERATION_KEYS, Params, is_baseline
from distill_nb.runtime import jsonl, paths, provenance
from distill_nb.students import adapters, chat, check_adapter, sources

log = logging.getLogger(__name__)

# Settings that are kept piece by piece, so that a run can be evaluated in several calls: some
# benchmarks now and others later, these with one sample a problem and AIME with 16.
PARTS = {  # key → what a ValueError calls it
    "tasks_sha256": "benchmark",
    "adapters_sha256": "the adapter of step",
    "n_samples": "n_samples of",
}


def earlier_provenance(file: Path) -> dict:
    """The provenance that an earlier evaluation left, {} if there was none."""
    before = provenance.read(file, "set overwrite: true to make them again")
    settings = before.get("settings", {})
    # an earlier version's one number for all benchmarks
    if isinstance(settings.get("n_samples"), int):
        settings["n_samples"] = dict.fromkeys(settings["tasks_sha256"], settings["n_samples"])
    return before


def checkpoint_steps(p: Params) -> list[int]:
    """Steps of the checkpoints on disk, ascending; none for a baseline; max_steps alone for an
    adapter from elsewhere. To grade again, records are enough. Raises ValueError if there are none
    yet, or if a finished training has lost them all."""
    if is_baseline(p):
        return []
    if p.adapter != "none":
        return [p.max_steps]
    run_dir = paths.run_dir(p)
    steps = set(adapters.adapter_files(run_dir))
    if p.regrade:
        steps |= {int(f.parent.name.split("_")[1]) for f in run_dir.glob("eval/step_*/*.jsonl")}
    steps -= {0}
    if not steps:
        refuse_other_checkpoints(p, {})  # a finished run has lost them all
        raise ValueError(
            f"run_name: {run_dir.name} has no checkpoints in {paths.movable(run_dir)}; run "
            "train.ipynb with the same parameters first."
        )
    return sorted(steps)


def adapters_of(p: Params, steps: list[int]) -> dict[int, Path]:
    """step → the folder of its adapter."""
    return {
        s: adapters.adapter_folder(p.adapter) if p.adapter != "none" else paths.checkpoint_dir(p, s)
        for s in steps
    }


def unfinished_steps(p: Params, tasks: dict[str, list], steps: list[int]) -> list[int]:
    """Those of the steps of which an answer is missing, or is asked again."""
    left = []
    for step in steps:
        files = {paths.records_file(p, step, n): len(ts) * p.n_samples for n, ts in tasks.items()}
        if records.state(files) != (0, []):
            left.append(step)
    return left


def check_adapters(p: Params, steps: list[int]) -> dict[str, str]:
    """step → what is to be noted of its adapter, where that is anything. Raises ValueError as
    check_adapter.check does."""
    notes = {str(s): check_adapter.check(p, f) for s, f in adapters_of(p, steps).items()}
    return {step: note for step, note in notes.items() if note}


def say(notes: dict[str, str]) -> None:
    """Log what is noted of adapters, each sentence once."""
    for note in dict.fromkeys(notes.values()):
        log.info(note)


def differing_parts(known: dict, settings: dict) -> list[str]:
    """What of PARTS two settings both have, with different values: each with both."""
    return [
        f"{name} {n} ({provenance.both(known[part][n], value)})"
        for part, name in PARTS.items()
        for n, value in settings[part].items()
        if known.get(part, {}).get(n, value) != value
    ]


def refuse_other_records(p: Params, settings: dict, before: dict, files: list[Path]) -> None:
    """Raises ValueError if the records on disk have other settings or another grader."""
    known = before.get("settings", {})
    whole = [k for k in settings if known and k not in PARTS]
    differing = provenance.differing(known, settings, whole) + differing_parts(known, settings)
    if differing:
        raise ValueError(
            f"provenance_eval.json in {paths.run_dir(p).name}: the records there were made with "
            f"other values of {', '.join(differing)}; set overwrite: true to make them again."
        )
    graders = {r["grader"] for file in files for r in jsonl.read(file)}
    if not p.regrade and graders - {grading.GRADER_VERSION}:
        raise ValueError(
            f"run_name: records of {paths.run_dir(p).name} or of its base student were graded by "
            f"another version ({', '.join(sorted(graders))}, now {grading.GRADER_VERSION}); set "
            "regrade: true to grade all of them again, without the model."
        )


def refuse_other_checkpoints(p: Params, sha256s: dict[str, str]) -> None:
    """Raises ValueError if the run's student is another, or its adapters' `sha256s` by step."""
    file = paths.run_dir(p) / "provenance_train.json"
    if p.adapter != "none" or is_baseline(p) or not file.exists():
        return
    trained = provenance.read(file, "train it again with overwrite: true")
    keys = ("student", "student_size", "teacher", "domain")
    differing = provenance.differing(trained["parameters"], asdict(p), keys)
    if differing:
        raise ValueError(
            f"run_name: {paths.run_dir(p).name} was trained with other values of "
            f"{', '.join(differing)}; use its own parameter file, or choose another run_name."
        )
    adapters.refuse_lost_adapters(paths.run_dir(p), trained, sha256s)


def settings_of(
    p: Params, tasks: dict[str, list], steps: list[int], before: dict, version: str
) -> dict:
    """All that decides what a run's answers are. version: of sources.check_student, "" if it was
    not asked. Grading again may happen where there is no engine and no adapter: these are then as
    in `before`, the earlier provenance."""
    known = before.get("settings", {})
    if p.regrade and "adapters_sha256" in known:
        keys = ("engine", "engine_version", "adapters", "adapters_sha256", "student_version")
        made_by = {k: known.get(k, "") for k in keys}
    else:
        made_by = {
            "student_version": version or sources.check_student(p),
            "engine": start.engine_name(p),
            "engine_version": start.engine_version(p),
            "adapters": start.adapter_mode(p),
            "adapters_sha256": {
                str(s): adapters.sha256_of_adapter(folder)
                for s, folder in adapters_of(p, steps).items()
            },
        }
    return {
        **{k: getattr(p, k) for k in GENERATION_KEYS},
        **made_by,
        "n_samples": dict.fromkeys(tasks, p.n_samples),
        "adapter": p.adapter,
        "template": chat.template_for(p.student, p.chat_template).hash,
        "tasks_sha256": {
            n: provenance.sha256_of_json([asdict(replace(t, file="")) for t in ts])
            for n, ts in tasks.items()
        },
    }
