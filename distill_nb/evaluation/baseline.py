"""The base student's records: made once for all runs that would make the same ones, and copied into
each of them.

A shared file's name carries a hash of template, engine and tasks, so that a change of any of them
makes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from distill_nb import params
from distill_nb.evaluation import records
from distill_nb.evaluation.collect import Job
from distill_nb.params import Params
from distill_nb.runtime import jsonl, paths, provenance


def shared_files(p: Params, settings: dict) -> dict[str, Path]:
    """benchmark → the shared file of the base student's records. Its name carries a hash of
    template, engine and tasks, so that a change of any of them makes the records anew."""
    own = [
        settings[k]
        for k in ("template", "engine", "engine_version", "student_version")
        if settings.get(k)
    ]
    return {
        name: baseline_dir(p) / f"{name}-{provenance.sha256_of_json([*own, h])[:8]}.jsonl"
        for name, h in settings["tasks_sha256"].items()
    }


def copy_into(p: Params, shared: dict[str, Path]) -> None:
    for name, file in shared.items():
        if not file.exists():  # a run's folder that was copied here without it keeps what it has
            continue
        jsonl.write(
            paths.records_file(p, 0, name),
            [
                r | {"run_name": p.run_name, "teacher": p.teacher, "domain": p.domain}
                for r in records.once(jsonl.read(file))
            ],
        )


def note_file(file: Path) -> Path:
    """Where a shared file says what made its records, session by session."""
    return file.with_suffix(".made.json")


def note_session(jobs: list[Job], record: dict) -> None:
    """Write down what is going to make the base student's missing records."""
    for file in {job.file for job in jobs} if record else ():
        sessions = provenance.read(note_file(file), "delete it").get("sessions", [])
        provenance.write(
            note_file(file),
            {"sessions": [*sessions, {k: record[k] for k in ("started_at", "code", "packages")}]},
        )


def baseline_dir(p) -> Path:
    """The folder of the base student's records, shared by all runs that would generate the same
    ones."""
    slug = re.sub(r"[^a-z0-9.]+", "-", Path(p.student).name.lower()).strip("-.") or "student"
    return paths.runs() / p.scale / "_base" / f"{slug}-{params.hash_of(p, params.GENERATION_KEYS)}"
