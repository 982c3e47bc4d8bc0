"""The records of an evaluation: one a problem and sample, each with its outcome."""

import logging
from pathlib import Path

from distill_nb.evaluation import record_fields
from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.runtime.jsonl import read, write

log = logging.getLogger(__name__)

ERRORS = ("sampling_error", "grader_error")  # of ours, not of the student
OUTCOMES = tuple(record_fields.OUTCOMES)


def unfinished(file: Path) -> list[dict]:
    """The records that a file's writer goes on with: repaired, each answer once, and without failed
    requests (sampling_error), which are removed from the file and asked again."""
    found = read(file, repair=True)
    single = once(found)
    kept = [r for r in single if r["outcome"] != "sampling_error"]
    if failed := len(single) - len(kept):
        name = f"{file.parent.name}/{file.name}"
        log.info(f"{name}: {failed} requests had failed and are tried again.")
    if len(kept) < len(found):
        write(file, kept)
    return kept


def once(found: list[dict]) -> list[dict]:
    """The first record of each answer: without locks, two processes may have made one each."""
    first: dict[tuple, dict] = {}
    for record in found:
        first.setdefault((record["task_id"], record.get("sample")), record)
    return list(first.values())


def state(files: dict[Path, int]) -> tuple[int, list[dict]]:
    """(missing answers, records of failed requests). files: file → answers that it should have."""
    absent, failed = 0, []
    for file, count in files.items():
        found = read(file)
        absent += max(0, count - len(once(found)))
        failed += [r for r in found if r["outcome"] == "sampling_error"]
    return absent, failed


def count(p: Params) -> int:
    """The number of records that a run has, those of the base student among them."""
    return sum(len(read(file)) for file in _files(paths.run_dir(p)))


def sizes(run_dir: Path) -> dict[str, int]:
    """Bytes of each file of records, by its place below eval/: a study sees that none was lost."""
    folder = run_dir / "eval"
    return {f.relative_to(folder).as_posix(): f.stat().st_size for f in _files(run_dir)}


def _files(run_dir: Path) -> list[Path]:
    return sorted(run_dir.glob("eval/step_*/*.jsonl"))
