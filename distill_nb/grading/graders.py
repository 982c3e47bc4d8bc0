"""Grade completions of any kind, one or many. math.py, code.py, choice.py, instructions.py and
own.py do the grading."""

from distill_nb.benchmarks import Task, loading
from distill_nb.grading import choice, code, instructions, math, own
from distill_nb.grading.outcome import Grade


def grade_math(completion: str, gold: str, finish_reason: str = "stop") -> Grade:
    """Grade one math answer against the gold answer, both LaTeX. finish_reason: stop | length, or
    loop where the answer ends in one (loops.py)."""
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
    """Grade one code answer to a task of pocket_code, humaneval_plus, mbpp_plus or livecodebench.

    file: the benchmark's local file, where it is not the default source. Raises ValueError for an
    unknown task, RuntimeError where no sandbox works here and allow_unsafe is false."""
    lists = ([task_id], [completion], [finish_reason])
    return grade_code_all(benchmark, *lists, file=file, allow_unsafe=allow_unsafe)[0]


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
    by_id = {task.task_id: task for task in loading.load(benchmark, file)}
    if unknown := [i for i in task_ids if i not in by_id]:
        raise ValueError(
            f"task_id: {benchmark} has no {unknown[0]!r}; its ids look like {next(iter(by_id))!r}."
        )
    tasks, reasons = [by_id[i] for i in task_ids], finish_reasons or ["stop"] * len(task_ids)
    return code.grade_many(tasks, completions, reasons, allow_unsafe)


def grade_all(
    tasks: list[Task],
    completions: list[str],
    finish_reasons: list[str],
    allow_unsafe: bool = False,
    packages: code.Packages = None,
) -> list[Grade]:
    """Grade many of any kind, in the order given, on all cores. packages: as in code.pool.
    Raises RuntimeError where there is code, no sandbox works here and allow_unsafe is false."""
    jobs = list(zip(tasks, completions, finish_reasons, strict=True))
    grades: dict[int, Grade] = {}
    for kind in dict.fromkeys(task.kind for task in tasks):
        places = [i for i, task in enumerate(tasks) if task.kind == kind]
        texts, reasons = [jobs[i][1] for i in places], [jobs[i][2] for i in places]
        of_kind, golds = [tasks[i] for i in places], [tasks[i].gold for i in places]
        if kind == "math":
            made = math.grade_many(golds, texts, reasons)
        elif kind == "choice":
            made = choice.grade_many(golds, texts, reasons)
        elif kind == "instructions":
            made = instructions.grade_many(of_kind, texts, reasons)
        elif kind == "own":
            made = own.grade_many(of_kind, texts, reasons)
        else:
            made = code.grade_many(of_kind, texts, reasons, allow_unsafe, packages)
        grades |= dict(zip(places, made, strict=True))
    return [grades[i] for i in range(len(tasks))]


def grade(task: Task, completion: str, finish_reason: str = "stop") -> Grade:
    """Grade one completion, as grade_all does."""
    return grade_all([task], [completion], [finish_reason])[0]
