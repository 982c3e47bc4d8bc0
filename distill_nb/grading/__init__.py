"""Answers → outcomes. `math.py` compares final answers, `code.py` runs code against tests.

Outcomes given here: correct, wrong, no_answer (nothing to grade was found), truncated (the length limit ended the
completion before an answer), timeout (the candidate's code ran too long), grader_error (the grader itself failed,
which is never the student's fault).
"""
from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

from ..benchmarks import Task

GRADER_VERSION = f"1+math-verify-{version('math-verify')}"
SANDBOX_LEVEL = "process"  # a process with limits, no barrier to hostile code: see code.py


@dataclass(frozen=True)
class Grade:
    """What one completion is worth, by the strict reading and by two others."""

    outcome: str
    answer: str                # what was graded: the boxed answer, or the code; "" if nothing was found
    detail: str = ""           # why, for a reader
    lenient_outcome: str = ""  # math: without a box, the last number; code: also code outside a complete block
    second_outcome: str = ""   # math: equal text after normalisation; "" for code


def visible_text(completion: str) -> str:
    """The completion without its thinking.

    A <think> that is never closed hides everything after it. A </think> that was never opened closes a thinking that
    the prompt began (as R1's template does), so everything before it is hidden."""
    text = re.sub(r"<think>.*?</think>", "", completion, flags=re.DOTALL)
    return text.rpartition("</think>")[2].partition("<think>")[0]


def missing(finish_reason: str) -> str:
    """The outcome of a completion without an answer; finish_reason is stop or length."""
    return "truncated" if finish_reason == "length" else "no_answer"


def grade(task: Task, completion: str, finish_reason: str) -> Grade:
    """Grade one completion. finish_reason: stop | length.

    Code runs in a process of its own (5 s at most for each reading of the completion)."""
    from . import code, math

    return (code if task.kind == "code" else math).grade(task, completion, finish_reason)


def grade_all(tasks: list[Task], completions: list[str], finish_reasons: list[str]) -> list[Grade]:
    """Grade many, in the order given: code side by side (one thread a core, each waiting for its process), math one
    by one in the calling thread."""
    jobs = list(zip(tasks, completions, finish_reasons, strict=True))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pending = {i: pool.submit(grade, *job) for i, job in enumerate(jobs) if job[0].kind == "code"}
        return [pending[i].result() if i in pending else grade(*job) for i, job in enumerate(jobs)]
