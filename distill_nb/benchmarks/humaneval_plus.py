"""HumanEval+: 164 functions to complete from signature and docstring, with evalplus's more tests.

Chen et al. 2021 (arXiv 2107.03374); tests by Liu et al. 2023 (arXiv 2305.01210), v0.1.10. The
published study says 100 problems, but not which. The default here is all 164. OUR_100 is a seeded
hundred of ours, not the study's: benchmark_limit: 100 draws it, slices.table shows it as well."""

from distill_nb.benchmarks.evalplus_data import load_tasks
from distill_nb.benchmarks.loading import subset
from distill_nb.benchmarks.task import Task

PROMPT = (
    "Complete this Python function. Answer with the whole function in one Python code "
    "block.\n\n```python\n{}\n```"
)
PROMPT_VERSION = "humaneval_plus-1"
OUR_100 = frozenset(subset([f"HumanEval/{i}" for i in range(164)], 100, seed=0))


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks, source record). Raises ValueError as `evalplus_data.load_problems` does."""
    tasks, source = load_tasks("humaneval_plus", file, _prompt, PROMPT_VERSION)
    # run before a candidate's code (grading/suites.py), as evalplus does not
    return tasks, source | {"imports": "of the prompt"}


def _prompt(problem: dict) -> str:
    return PROMPT.format(problem["prompt"].strip())
