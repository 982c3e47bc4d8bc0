"""Answers made elsewhere (foreign.py), stored as the records of a run, which the analysis and the
page of answers read as they read ours.

A run's folder has a provenance_import.json: each file with its hash, tool, model, and what it does
not say."""

from pathlib import Path

from distill_nb.evaluation.foreign import Log
from distill_nb.runtime import files, jsonl, provenance

FILE = "provenance_import.json"


def store(logs: list[Log], run_dir: Path, step: int, about: dict[str, str]) -> list[Path]:
    """Write logs as the records of a step (0: the base student) of a run. Returns the files.

    about: `student`, `teacher` and `domain` of the run, as the analysis groups by them; of a run
    that has records already, they are those.

    Raises ValueError where that step has records of a benchmark from another file, or where two
    logs are of one benchmark."""
    file = run_dir / FILE
    said = provenance.read(file, "import into another run") if file.is_file() else {"files": {}}
    if not said["files"] and (run_dir / "eval").is_dir():
        raise ValueError(
            f"{run_dir} has answers that were made here: give the imported run another name."
        )
    about = said.get("run") or about
    written: dict[Path, list[dict]] = {}
    for log in logs:
        place = f"step_{step:05d}/{log.benchmark}.jsonl"
        source = {"sha256": provenance.sha256_of_file(log.file), "score": log.score}
        earlier = said["files"].get(place)
        if earlier and {key: earlier[key] for key in source} != source:
            raise ValueError(
                f"{log.file}: step {step} of {run_dir.name} has answers to {log.benchmark} from "
                f"{earlier['name']}: give another --step or --run, or remove {run_dir}."
            )
        if run_dir / "eval" / place in written:
            raise ValueError(f"{log.file}: another file has answers to {log.benchmark}, too.")
        written[run_dir / "eval" / place] = [
            _whole(log, record, step, about) for record in log.records
        ]
        said["files"][place] = source | {
            "name": log.file.name,
            "tool": log.tool,
            "model": log.model,
            "lacks": log.lacks,
        }
    for target, records in written.items():
        jsonl.write(target, records)
    files.write_json(file, {"run": about} | said)
    return list(written)


def _whole(log: Log, record: dict, step: int, about: dict[str, str]) -> dict:
    known = {"run_name": about["run_name"], "step": step, "model": log.model}
    known |= {key: about[key] for key in ("student", "teacher", "domain")}
    return known | record | {"engine": log.tool, "grader": f"{log.tool}: {log.score}"}


def lacks(run_dir: Path) -> list[str]:
    """What the answers of an imported run do not say; nothing of a run of our own."""
    file = run_dir / FILE
    if not file.is_file():
        return []
    said = provenance.read(file, "import it again")
    return sorted({text for source in said["files"].values() for text in source["lacks"]})
