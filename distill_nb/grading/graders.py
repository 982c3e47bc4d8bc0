"""Grade completions of either kind, one or many. `math.py` and `code.py` do it; this file sorts the
tasks between them."""

from __future__ import annotations

from distill_nb import benchmarks
from distill_nb.benchmarks import Task
from distill_nb.grading import code, math
from distill_nb.grading.outcome import Grade


def grade_math(completion: str, gold: str, finish_reason: str = "stop") -> Grade:
    """Grade one math answer against the gold answer, both LaTeX. finish_reason: stop | length."""
    return grade_math_all([completion], [gold], [finish_reason])[0]


def grade_math_all(
    completions: list[str], golds: list[str], finish_reasons: list[str] | None = None
) -> list[Grade]:
    """`grade_math` of many, in order, on all cores."""
    return math.grade_many(golds, completions, finish_reasons or ["stop"] * len(golds))


def grade_code(
    benchmark: str,
    task_id: str,
    completion: str,
    finish_reason: str = "stop",
    *,
    file: str | None = None,
    allow_unsafe: bool = False,
) -> Grade:
    """Grade one code answer to a task of pocket_code, humaneval_plus, mbpp_plus or livecodebench,
    in the sandbox.

    file: the benchmark's local file, where it is not the default source. Raises ValueError for an
    unknown task, RuntimeError where no sandbox works here and allow_unsafe is false."""
    return grade_code_all(
        benchmark, [task_id], [completion], [finish_reason], file=file, allow_unsafe=allow_unsafe
    )[0]


def grade_code_all(
    benchmark: str,
    task_ids: list[str],
    completions: list[str],
    finish_reasons: list[str] | None = None,
    *,
    file: str | None = None,
    allow_unsafe: bool = False,
) -> list[Grade]:
    """`grade_code` of many, in order, on all cores."""
    tasks = {task.task_id: task for task in benchmarks.load(benchmark, file)}
    if unknown := [i for i in task_ids if i not in tasks]:
        raise ValueError(
            f"task_id: {benchmark} has no {unknown[0]!r}; its ids look like {next(iter(tasks))!r}."
        )
    return code.grade_many(
        [tasks[i] for i in task_ids],
        completions,
        finish_reasons or ["stop"] * len(task_ids),
        allow_unsafe,
    )


def grade_all(
    tasks: list[Task], completions: list[str], finish_reasons: list[str], allow_unsafe: bool = False
) -> list[Grade]:
    """Grade many of either kind, in the order given, on all cores. finish_reason: stop | length.

    Raises RuntimeError where there is code, no sandbox works here and allow_unsafe is false."""
    jobs = list(enumerate(zip(tasks, completions, finish_reasons, strict=True)))
    grades = {}
    for kind in ("math", "code"):
        chosen = [(i, job) for i, job in jobs if job[0].kind == kind]
        if chosen:
            own, texts, ends = zip(*(job for _, job in chosen), strict=True)
            made = (
                math.grade_many([t.gold for t in own], list(texts), list(ends))
                if kind == "math"
                else code.grade_many(list(own), list(texts), list(ends), allow_unsafe)
            )
            grades |= dict(zip((i for i, _ in chosen), made, strict=True))
    return [grades[i] for i in range(len(jobs))]


def grade(task: Task, completion: str, finish_reason: str = "stop") -> Grade:
    """Grade one completion, as grade_all does."""
    return grade_all([task], [completion], [finish_reason])[0]
