"""Code answers: the code of a completion (code_answer.py), run with the benchmark's tests
(suites.py) in the sandbox, which treats the code as hostile (sandbox/).

The base tests of all answers run before the further tests of any. So all that an answer can learn
from being run again is that it passed the base tests, when these are decided for every other answer
too; and an answer that failed them costs no more time."""

import atexit
import os
from dataclasses import replace
from functools import cache

from distill_nb.benchmarks import Task
from distill_nb.grading import code_answer, sandbox
from distill_nb.grading.extract import visible_text
from distill_nb.grading.outcome import Grade, missing
from distill_nb.grading.sandbox.packages import chosen, versions
from distill_nb.grading.suites import prepare, suite
from distill_nb.runtime import data_files, paths

Packages = tuple[str, ...] | None


def pool(allow_unsafe: bool = False, packages: Packages = None) -> sandbox.Pool:
    """The sandbox's workers, one a core, started once and kept until the program ends. packages:
    what code may import beside the standard library; None is the usual ones (sandbox/packages.py).
    Raises RuntimeError with the remedy where no sandbox works here and allow_unsafe is false,
    ValueError for a package that is not installed."""
    return _pool(allow_unsafe, chosen(packages))


@cache
def _pool(allow_unsafe: bool, packages: tuple[str, ...]) -> sandbox.Pool:
    own = paths.ROOT if paths.CHECKOUT else paths.PACKAGE
    hidden = (str(own), str(paths.cache()), str(paths.runs()), *_caches())
    workers = sandbox.Pool(allow_unsafe=allow_unsafe, hidden=hidden, packages=packages)
    workers.__enter__()
    atexit.register(workers.__exit__, None)
    return workers


def _caches() -> tuple[str, ...]:
    """Where the hub's files and evalplus's lie, if not in the home."""
    names = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "XDG_CACHE_HOME")
    return tuple(os.environ[name] for name in names if os.environ.get(name))


def run(
    jobs: list[sandbox.Job], allow_unsafe: bool = False, packages: Packages = None
) -> list[sandbox.Result]:
    """The results of jobs, in order, by code that sees no file of data which this process read."""
    workers = pool(allow_unsafe, packages)
    workers.hide(data_files.opened())
    return workers.run(jobs)


def level(allow_unsafe: bool = False, packages: Packages = None) -> str:
    """The level of `pool`: bubblewrap, landlock or process. Raises as it does."""
    return pool(allow_unsafe, packages).level


def grade_many(
    tasks: list[Task],
    completions: list[str],
    finish_reasons: list[str],
    allow_unsafe: bool = False,
    packages: Packages = None,
) -> list[Grade]:
    """Grade code answers, in the order given, on all cores.

    second_outcome is the verdict of the base tests alone. The lenient reading is run only where the
    strict one is not correct and it finds other code."""
    if not tasks:  # math alone needs no sandbox
        return []
    read = []
    for task, completion in zip(tasks, completions, strict=True):
        text = visible_text(completion)
        read.append((task, code_answer.strict(text, task.entry_point), text))
    results = _run([(task, code) for task, code, _ in read if code], allow_unsafe, packages)
    also_lenient = {}  # completion's number → (task, code)
    for i, (task, code, text) in enumerate(read):
        if code and results[task, code].outcome == "correct":
            continue
        lenient = code_answer.lenient(text, task.entry_point)
        if lenient.strip() and lenient != code:
            also_lenient[i] = (task, lenient)
    results |= _run(list(also_lenient.values()), allow_unsafe, packages)
    sandbox_used = level(allow_unsafe, packages), ", ".join(versions(chosen(packages)))
    grades = []
    for i, ((task, code, _), finish_reason) in enumerate(zip(read, finish_reasons, strict=True)):
        if code:
            found = results[task, code]
            outcome, detail = found.outcome, found.detail
            second = _base_outcome(found, suite(task).base)
        else:
            outcome = second = missing(finish_reason)
            detail = f"no block outside the thinking {_wanted(task)}"
        lenient_outcome = results[also_lenient[i]].outcome if i in also_lenient else outcome
        grades.append(Grade(outcome, code, detail, lenient_outcome, second, *sandbox_used))
    return grades


def _wanted(task: Task) -> str:
    return f"defines {task.entry_point}" if task.entry_point else "is a program"


def _run(
    jobs: list[tuple[Task, str]], allow_unsafe: bool, packages: Packages
) -> dict[tuple[Task, str], sandbox.Result]:
    """(task, code) → its result; the same code for the same task is run once."""
    distinct = list(dict.fromkeys(jobs))
    if not distinct:
        return {}
    tasks = list(dict.fromkeys(task for task, _ in distinct))
    prepare(tasks)
    suites = {task: suite(task) for task in tasks}
    found: dict[tuple[Task, str], sandbox.Result] = {}
    for group in (0, 1):
        asked = [job for job in distinct if len(suites[job[0]].groups) > group]
        if group:
            asked = [job for job in asked if found[job].outcome == "correct"]
        # What takes longest starts first, so that it does not run on alone in the end.
        asked.sort(key=lambda job: suites[job[0]].usual[group], reverse=True)
        prepared = [
            sandbox.Job(code, suites[task].groups[group], suites[task].prelude)
            for task, code in asked
        ]
        for job, result in zip(asked, run(prepared, allow_unsafe, packages), strict=True):
            found[job] = _joined(found[job], result) if group else result
    return found


def _joined(base: sandbox.Result, further: sandbox.Result) -> sandbox.Result:
    """The result of all tests, of which the base tests passed."""
    detail = f"after the base tests, {further.detail}" if further.detail else ""
    tests, seconds = base.tests + further.tests, base.seconds + further.seconds
    return replace(further, detail=detail, tests=tests, seconds=round(seconds, 4))


def _base_outcome(result: sandbox.Result, base: int) -> str:
    """The verdict of the first `base` tests; they passed if the run's first failure comes later."""
    failed = [t for t in result.tests[:base] if t != "correct"]
    if not result.tests or (failed and failed[0] == "not_run"):
        return result.outcome
    return failed[0] if failed else "correct"
