"""Answers to a benchmark of one's own, by its own function grade(answer, row) (benchmarks/own.py).

There is one reading and one grader: the lenient and the second outcome are the outcome."""

import json

from distill_nb.benchmarks import own
from distill_nb.benchmarks.task import Task
from distill_nb.grading.extract import visible_text
from distill_nb.grading.outcome import Grade, missing


def grade_many(tasks: list[Task], completions: list[str], endings: list[str]) -> list[Grade]:
    """Grade answers, in the order given. A function that raises, or gives something else than True,
    False or None, is a grader_error: never the student's fault."""
    grades = []
    for task, completion, ending in zip(tasks, completions, endings, strict=True):
        text, detail = visible_text(completion).strip(), ""
        try:
            found = own.module_of(task.benchmark).grade(text, json.loads(task.tests))
        except Exception as error:  # of code that is not ours
            found, detail = "error", f"grade failed with {type(error).__name__}: {error}"[:200]
        if found is None:
            outcome, detail = missing(ending), "grade found no answer"
        elif isinstance(found, bool):
            outcome = "correct" if found else "wrong"
        else:
            detail = detail or f"grade gave {found!r}: it must give True, False or None"
            outcome = "grader_error"
        grades.append(Grade(outcome, "", detail, outcome, outcome))
    return grades
