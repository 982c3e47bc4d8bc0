"""Stored completions graded again, without the model: when or before the grader changes."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb import grading
from distill_nb.evaluation import baseline
from distill_nb.grading import graders, loops
from distill_nb.params import Params
from distill_nb.runtime import jsonl, lock, paths

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

COMPARED = ("outcome", "answer", "lenient_outcome", "second_outcome")


def regrade(
    p: Params, tasks: dict[str, list], shared: dict[str, Path], steps: list[int]
) -> list[dict]:
    """Grade every stored completion of a run and of its base student again; returns what changed,
    one dict a record.

    shared: benchmark → file of the base student's records. The run's eval/regraded.jsonl has the
    changes before the records do. Records without a completion (sampling_error) stay, and those
    that now meet a grader_error: a verdict is not given up for a failure of ours."""
    changes = []
    for name in tasks:
        with lock.locked(baseline.baseline_dir(p)):
            own = paths.records_file(p, 0, name)
            # What this run showed until now counts: another run may have graded the shared records
            # again before. The run may have been copied here without them.
            file = shared[name] if shared[name].exists() else own
            changes += _regrade(p, tasks[name], 0, name, file, own)
        for step in steps:
            file = paths.records_file(p, step, name)
            changes += _regrade(p, tasks[name], step, name, file)
    return changes


def _regrade(
    p: Params, tasks: list, step: int, name: str, file: Path, shown: Path | None = None
) -> list[dict]:
    """Grade a file again; returns what differs from its records, or from the file `shown`."""
    before, after = _graded(p, tasks, file)
    own = {_key(r): r for r in jsonl.read(shown)} if shown else {}
    changes = _changes(step, name, [own.get(_key(r), r) for r in before], after)
    if changes:
        jsonl.append(paths.run_dir(p) / "eval" / "regraded.jsonl", changes)
    if after:
        jsonl.write(file, after)
    return changes


def _key(record: dict) -> tuple:
    return record["task_id"], record["sample"]


def _ending(record: dict) -> str:
    """How an answer ended, as the graders take it. Records of before loops were named have no
    tokens, and their text says it."""
    if "loop_tokens" in record:
        return "loop" if record["loop_tokens"] else record["finish_reason"]
    return loops.ending_of_text(record["finish_reason"], record["completion"])


def _graded(p: Params, tasks: list, file: Path) -> tuple[list[dict], list[dict]]:
    """The records of a file as they are, and as they are graded now."""
    before, by_id = jsonl.read(file, repair=True), {t.task_id: t for t in tasks}
    chosen = [i for i, record in enumerate(before) if record["task_id"] in by_id]
    chosen = [i for i in chosen if before[i]["outcome"] != "sampling_error"]
    grades = graders.grade_all(
        [by_id[before[i]["task_id"]] for i in chosen],
        [before[i]["completion"] for i in chosen],
        [_ending(before[i]) for i in chosen],
        p.allow_unsafe,
        tuple(p.sandbox_packages),
    )
    after = [r | {"grader": grading.GRADER_VERSION} for r in before]
    for i, grade in zip(chosen, grades, strict=True):
        if grade.outcome == "grader_error" and before[i]["outcome"] != "grader_error":
            log.info(
                f"{before[i]['task_id']}: the grader failed now ({grade.detail}); its verdict of "
                "before stays."
            )
            after[i] = before[i]
        else:
            after[i] = after[i] | asdict(grade)
    return before, after


def _changes(step: int, name: str, before: list[dict], after: list[dict]) -> list[dict]:
    """What differs, one dict a record."""
    changes = []
    for old, new in zip(before, after, strict=True):
        differing = [k for k in COMPARED if old[k] != new[k]]
        if differing:
            change = {"step": step, "benchmark": name}
            change |= {"task_id": new["task_id"], "sample": new["sample"]}
            change |= {"changed": ", ".join(differing), "grader_before": old["grader"]}
            change |= {f"{k}_before": old[k] for k in COMPARED}
            changes.append(change | {k: new[k] for k in COMPARED})
    return changes


def changes_table(record: dict) -> pd.DataFrame | None:
    """What `regrade` changed, by the provenance; None where nothing was graded again."""
    import pandas as pd

    if "regraded" not in record:
        return None
    changes = record["regraded"]
    outcomes = sum("outcome" in change["changed"].split(", ") for change in changes)
    log.info(f"Graded again: {len(changes)} records changed, {outcomes} of them in their outcome.")
    return pd.DataFrame(changes)
