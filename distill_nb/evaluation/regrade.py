"""Grading stored completions again, without the model: when the grader has changed, or to see what
it changes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from distill_nb import grading
from distill_nb.evaluation import baseline
from distill_nb.grading import graders
from distill_nb.params import Params
from distill_nb.runtime import jsonl, lock, paths

COMPARED = ("outcome", "answer", "lenient_outcome", "second_outcome")


def regrade(
    p: Params, tasks: dict[str, list], shared: dict[str, Path], steps: list[int]
) -> list[dict]:
    """Grade every stored completion of a run and of its base student again; returns what changed,
    one dict a record.

    shared: benchmark → file of the base student's records. The changes are in the run's
    eval/regraded.jsonl before the records that they change are replaced. Records without a
    completion (sampling_error) stay as they are, and so do those that now meet a grader_error: a
    verdict is not given up for a failure of ours."""
    changes = []
    for name in tasks:
        with lock.locked(baseline.baseline_dir(p)):
            own_file = paths.records_file(p, 0, name)
            # the run may have been copied without it
            file = shared[name] if shared[name].exists() else own_file
            before, after = _graded(p, tasks[name], file)
            own = {_key(r): r for r in jsonl.read(own_file)}
            # What this run showed until now counts: another run may have graded the shared records
            # again before.
            changes += _report(p, 0, name, [own.get(_key(r), r) for r in before], after)
            if after:
                jsonl.write(file, after)
        for step in steps:
            file = paths.records_file(p, step, name)
            before, after = _graded(p, tasks[name], file)
            changes += _report(p, step, name, before, after)
            if after:
                jsonl.write(file, after)
    return changes


def _key(record: dict) -> tuple:
    return record["task_id"], record["sample"]


def _graded(p: Params, tasks: list, file: Path) -> tuple[list[dict], list[dict]]:
    """The records of a file as they are, and as they are graded now."""
    before, by_id = jsonl.read(file, repair=True), {t.task_id: t for t in tasks}
    chosen = [
        i
        for i, r in enumerate(before)
        if r["outcome"] != "sampling_error" and r["task_id"] in by_id
    ]
    grades = graders.grade_all(
        [by_id[before[i]["task_id"]] for i in chosen],
        [before[i]["completion"] for i in chosen],
        [before[i]["finish_reason"] for i in chosen],
        p.allow_unsafe,
    )
    after = [r | {"grader": grading.GRADER_VERSION} for r in before]
    for i, grade in zip(chosen, grades, strict=True):
        if grade.outcome == "grader_error" and before[i]["outcome"] != "grader_error":
            print(
                f"{before[i]['task_id']}: the grader failed now ({grade.detail}); its verdict of "
                "before stays."
            )
            after[i] = before[i]
        else:
            after[i] = after[i] | asdict(grade)
    return before, after


def _report(p: Params, step: int, name: str, before: list[dict], after: list[dict]) -> list[dict]:
    """What differs, written down and returned."""
    changes = []
    for old, new in zip(before, after, strict=True):
        differing = [k for k in COMPARED if old[k] != new[k]]
        if differing:
            changes.append(
                {
                    "step": step,
                    "benchmark": name,
                    "task_id": new["task_id"],
                    "sample": new["sample"],
                    "changed": ", ".join(differing),
                    "grader_before": old["grader"],
                    **{f"{k}_before": old[k] for k in COMPARED},
                    **{k: new[k] for k in COMPARED},
                }
            )
    if changes:
        jsonl.append(paths.run_dir(p) / "eval" / "regraded.jsonl", changes)
    return changes


def changes_table(record: dict):
    """What `regrade` changed in an evaluation, as a DataFrame; None where nothing was graded
    again."""
    import pandas as pd

    if "regraded" not in record:
        return None
    changes = record["regraded"]
    outcomes = sum("outcome" in change["changed"].split(", ") for change in changes)
    print(f"Graded again: {len(changes)} records changed, {outcomes} of them in their outcome.")
    return pd.DataFrame(changes)
