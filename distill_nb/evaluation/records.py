"""The records of an evaluation: one a problem and sample, each with its outcome."""

from __future__ import annotations

from pathlib import Path

from distill_nb.runtime.jsonl import read, write

OUTCOMES = (
    "correct",
    "wrong",
    "no_answer",
    "truncated",
    "timeout",
    "sampling_error",
    "grader_error",
)


def unfinished(file: Path) -> list[dict]:
    """The records of a file that its writer is to go on with: repaired, each answer once, and
    without those of failed requests (sampling_error), which are taken out of the file and tried
    again."""
    found = read(file, repair=True)
    single = once(found)
    kept = [r for r in single if r["outcome"] != "sampling_error"]
    if len(kept) < len(single):
        print(
            f"{file.parent.name}/{file.name}: {len(single) - len(kept)} requests had failed and "
            "are tried again."
        )
    if len(kept) < len(found):
        write(file, kept)
    return kept


def once(found: list[dict]) -> list[dict]:
    """The records without those of answers that came before: two processes made them where the file
    system has no locks."""
    first: dict[tuple, dict] = {}
    for record in found:
        first.setdefault((record["task_id"], record.get("sample")), record)
    return list(first.values())


def state(files: dict[Path, int]) -> tuple[int, list[dict]]:
    """(answers that are not there, records of failed requests), of files of which each should have
    so many answers."""
    absent, failed = 0, []
    for file, count in files.items():
        found = read(file)
        absent += max(0, count - len(once(found)))
        failed += [r for r in found if r["outcome"] == "sampling_error"]
    return absent, failed


def sizes(run_dir: Path) -> dict[str, int]:
    """Bytes of a run's files of records, by their place below eval/: so a study sees without
    reading that none was lost."""
    folder = run_dir / "eval"
    return {
        f.relative_to(folder).as_posix(): f.stat().st_size
        for f in sorted(folder.glob("step_*/*.jsonl"))
    }
