"""IFEval's instructions, checked by if-verifiable (github.com/joancabezas/if-verifiable): Google's
own checks as a package of few needs. The lm-evaluation-harness has the same ones, but its needs do
not resolve beside what is pinned.

The text outside the thinking is checked, as it is. `outcome` is the prompt-level strict accuracy:
correct if every instruction is followed. The lenient outcome is the prompt-level loose one, which
also tries the text without its first line, its last, both, and without asterisks. There is no
second grader: the second outcome is the first one. A text without anything outside the thinking has
no answer."""

import json
from importlib.util import find_spec

from distill_nb.benchmarks.task import Task
from distill_nb.grading.extract import visible_text
from distill_nb.grading.outcome import Grade, missing
from distill_nb.runtime import imports

NEEDS = ("if_verifiable", "datasets", "langdetect", "nltk")


def check() -> None:
    """Raises ValueError where the checks, or the data of NLTK that they need, are not installed."""
    if absent := [name for name in NEEDS if find_spec(name) is None]:
        command = imports.install("ifeval")
        raise ValueError(f"benchmarks: ifeval needs {absent[0]}; install it with {command}.")
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        raise ValueError(
            "benchmarks: ifeval needs NLTK's data punkt_tab to count sentences; fetch it with "
            "python -m nltk.downloader punkt_tab, or name its folder in NLTK_DATA."
        ) from None


def grade_many(tasks: list[Task], completions: list[str], endings: list[str]) -> list[Grade]:
    """Grade answers to IFEval, in the order given. Raises ValueError as `check` does."""
    if not tasks:
        return []
    check()
    from langdetect import DetectorFactory

    DetectorFactory.seed = 0  # or the same text is of one language now and of another later
    grades = []
    for task, completion, ending in zip(tasks, completions, endings, strict=True):
        text = visible_text(completion).strip()
        if text:
            grades.append(_grade(task, text))
        else:
            nothing = missing(ending)
            grades.append(Grade(nothing, "", "no text outside the thinking", nothing, nothing))
    return grades


def _grade(task: Task, text: str) -> Grade:
    from if_verifiable import IFEvalSample, evaluate_output_for_sample

    names, kwargs = json.loads(task.tests)
    asked = IFEvalSample(
        key=task.task_id, prompt=task.prompt, instruction_id_list=names, kwargs=kwargs
    )
    try:
        found, scores = evaluate_output_for_sample("ifeval", asked, text)
        if len(found) < len(names):  # it passes over those that it does not know
            raise KeyError(next(n for n in names if n not in {f.instruction_id for f in found}))
    except Exception as error:  # of many checks, on any text
        detail = f"the check failed: {type(error).__name__}: {error}"[:200]
        return Grade("grader_error", "", detail, "grader_error", "grader_error")
    outcome = "correct" if scores.binary_strict == 1 else "wrong"
    loose = "correct" if scores.binary_loose == 1 else "wrong"
    broken = [f.instruction_id for f in found if not f.strict_pass]
    detail = f"not followed: {', '.join(broken)}" if broken else ""
    answer = f"{len(names) - len(broken)} of {len(names)} instructions followed"
    return Grade(outcome, answer, detail, loose, outcome)
