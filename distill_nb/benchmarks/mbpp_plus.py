"""MBPP+: 378 short Python tasks with one example each, with evalplus's many more tests.

Austin et al. 2021 (arXiv 2108.07732); the sanitised subset and tests by Liu et al. 2023 (arXiv
2305.01210), v0.2.0."""

from distill_nb.benchmarks.evalplus_data import load_tasks
from distill_nb.benchmarks.task import Task

PROMPT = "{}\n\nAnswer with a Python function `{}` in one Python code block."
PROMPT_VERSION = "mbpp_plus-1"


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks, source record). Raises ValueError as `evalplus_data.load_problems` does."""
    return load_tasks("mbpp_plus", file, _prompt, PROMPT_VERSION)


def _prompt(problem: dict) -> str:
    """evalplus's words are a docstring: what to write, and an assert."""
    return PROMPT.format(problem["prompt"].strip().strip('"').strip(), problem["entry_point"])
