"""The base student's records: made once for all runs that share them, copied into each."""

import re
from pathlib import Path

from distill_nb import params
from distill_nb.evaluation import records
from distill_nb.evaluation.collect import Job
from distill_nb.params import Params
from distill_nb.runtime import jsonl, paths, provenance


def baseline_dir(p: Params) -> Path:
    """The folder of the base student's records, of all runs that would generate the same ones."""
    # without a key that earlier versions did not have, where it changes nothing
    keys = [k for k in params.GENERATION_KEYS if k != "stop_on_loop" or p.stop_on_loop]
    slug = re.sub(r"[^a-z0-9.]+", "-", Path(p.student).name.lower()).strip("-.") or "student"
    return paths.runs() / p.scale / "_base" / f"{slug}-{params.hash_of(p, keys)}"


def shared_files(p: Params, settings: dict) -> dict[str, Path]:
    """benchmark → the shared file of the base student's records. Its name carries a hash of
    template, engine and tasks, so that a change of any of them makes the records anew."""
    keys = ("template", "engine", "engine_version", "student_version")
    own = [settings[k] for k in keys if settings.get(k)]
    return {
        name: baseline_dir(p) / f"{name}-{provenance.sha256_of_json([*own, h])[:8]}.jsonl"
        for name, h in settings["tasks_sha256"].items()
    }


def copy_into(p: Params, shared: dict[str, Path]) -> None:
    """Copy the shared records into the run, under its own labels."""
    labels = {"run_name": p.run_name, "teacher": p.teacher, "domain": p.domain}
    for name, file in shared.items():
        if file.exists():  # a run's folder that was copied here without it keeps what it has
            own = [record | labels for record in records.once(jsonl.read(file))]
            jsonl.write(paths.records_file(p, 0, name), own)


def note_file(file: Path) -> Path:
    """Where a shared file says what made its records, session by session."""
    return file.with_suffix(".made.json")


def sessions(file: Path) -> list[dict]:
    """What made the records of a shared file."""
    return provenance.read(note_file(file), "delete it").get("sessions", [])


def note_session(jobs: list[Job], record: dict | None) -> None:
    """Write down what is going to make missing records of the base. record: its provenance."""
    if not record:
        return
    kept = ("started_at", "code", "packages", "device", "adapters", "moe_config")
    session = {k: record[k] for k in kept if k in record}
    for file in {job.file for job in jobs}:
        provenance.write(note_file(file), {"sessions": [*sessions(file), session]})
