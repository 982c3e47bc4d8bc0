"""Code answers: the last complete fenced block outside the thinking, run in the sandbox with the
benchmark's tests.

The sandbox (sandbox/) treats the code as hostile; what it returns is compared with what it should
in this package's own processes. `suites.py` has the tests."""

from __future__ import annotations

import atexit
from functools import cache

from distill_nb.benchmarks import Task
from distill_nb.grading import sandbox
from distill_nb.grading.extract import blocks, lenient_code, visible_text
from distill_nb.grading.outcome import Grade, missing
from distill_nb.grading.suites import suite
from distill_nb.runtime import paths


@cache
def pool(allow_unsafe: bool = False) -> sandbox.Pool:
    """The sandbox's workers, one a core, started once and kept until the program ends.

    Raises RuntimeError, naming the remedy, where no sandbox works here and allow_unsafe is
    false."""
    hidden = (str(paths.ROOT), str(paths.cache()), str(paths.runs()))
    workers = sandbox.Pool(allow_unsafe=allow_unsafe, hidden=hidden)
    workers.__enter__()
    atexit.register(workers.__exit__, None)
    return workers


def level(allow_unsafe: bool = False) -> str:
    """The sandbox level that code is graded at: bubblewrap, landlock or process. Raises
    RuntimeError as `pool` does."""
    return pool(allow_unsafe).level


def grade_many(
    tasks: list[Task], completions: list[str], finish_reasons: list[str], allow_unsafe: bool = False
) -> list[Grade]:
    """Grade code answers, in the order given, on all cores.

    second_outcome is the verdict of the base tests alone (HumanEval's and MBPP's own, where the
    outcome is that of base and plus). The lenient reading is run only where the strict one is not
    correct and reads otherwise."""
    read = []
    for task, completion in zip(tasks, completions, strict=True):
        text = visible_text(completion)
        complete = blocks(text)
        read.append(
            (
                complete[-1] if complete and complete[-1].strip() else "",
                lenient_code(text, task.entry_point),
            )
        )
    results = _run(
        [(task, code) for task, (code, _) in zip(tasks, read, strict=True) if code], allow_unsafe
    )
    differs = [
        bool(lenient.strip())
        and lenient != code
        and not (code and results[task, code].outcome == "correct")
        for task, (code, lenient) in zip(tasks, read, strict=True)
    ]
    results |= _run(
        [(task, lenient) for task, (_, lenient), d in zip(tasks, read, differs, strict=True) if d],
        allow_unsafe,
    )
    grades = []
    for task, (code, lenient), finish_reason, d in zip(
        tasks, read, finish_reasons, differs, strict=True
    ):
        if code:
            found = results[task, code]
            outcome, detail, second = (
                found.outcome,
                found.detail,
                _base_outcome(found, suite(task)[1]),
            )
        else:
            outcome = second = missing(finish_reason)
            detail = "no complete code block outside the thinking"
        lenient_outcome = results[task, lenient].outcome if d else outcome
        grades.append(Grade(outcome, code, detail, lenient_outcome, second, level(allow_unsafe)))
    return grades


def _run(jobs: list[tuple[Task, str]], allow_unsafe: bool) -> dict:
    """(task, code) → what came of it; the same code for the same task is run once."""
    distinct = list(dict.fromkeys(jobs))
    if not distinct:
        return {}
    prepared = [sandbox.Job(code, suite(task)[0], suite(task)[2]) for task, code in distinct]
    return dict(zip(distinct, pool(allow_unsafe).run(prepared), strict=True))


def _base_outcome(result: sandbox.Result, base: int) -> str:
    """The verdict of the first `base` tests. Tests end at the first failure, so where that is later
    they all passed."""
    failed = [t for t in result.tests[:base] if t != "correct"]
    return (
        result.outcome
        if not result.tests or (failed and failed[0] == "not_run")
        else failed[0]
        if failed
        else "correct"
    )
