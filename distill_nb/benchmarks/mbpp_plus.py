"""MBPP+: 378 short Python tasks with one example each, with evalplus's many more tests.

Austin et al. 2021 (arXiv 2108.07732); the sanitised subset and tests by Liu et al. 2023 (arXiv
2305.01210), v0.2.0, from evalplus or a local file. All 378 are the default."""

from __future__ import annotations

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.evalplus_data import load_problems
from distill_nb.benchmarks.task import Task

PROMPT = "{}\n\nAnswer with a Python function `{}` in one Python code block."
PROMPT_VERSION = "mbpp_plus-1"


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks, source record); the prompt is evalplus's: what to write, and an assert. Raises
    ValueError as `evalplus_data.load_problems` does."""
    problems, source = load_problems("mbpp_plus", file)
    tasks = [
        Task(
            sources.prefix(source) + task_id,
            PROMPT.format(p["prompt"].strip().strip('"').strip(), p["entry_point"]),
            "code",
            entry_point=p["entry_point"],
            benchmark="mbpp_plus",
            file=file or "",
            tests=source["content_sha256"],
        )
        for task_id, p in problems.items()
    ]
    return tasks, source | {"prompt_version": PROMPT_VERSION}
