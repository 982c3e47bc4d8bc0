"""HumanEval+: 164 functions to complete from signature and docstring, with evalplus's many more
tests.

Chen et al. 2021 (arXiv 2107.03374); tests by Liu et al. 2023 (arXiv 2305.01210), v0.1.10, from
evalplus or a local file. The published study says 100 problems and not which. The default here is
all 164; OUR_100 is a seeded hundred, ours and not the study's, which benchmark_limit: 100 draws,
and which slices.table shows beside the 164 from the same records."""

from __future__ import annotations

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.evalplus_data import load_problems
from distill_nb.benchmarks.load import subset
from distill_nb.benchmarks.task import Task

PROMPT = (
    "Complete this Python function. Answer with the whole function in one Python code "
    "block.\n\n```python\n{}\n```"
)
PROMPT_VERSION = "humaneval_plus-1"
OUR_100 = frozenset(subset([f"HumanEval/{i}" for i in range(164)], 100, seed=0))


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks, source record). Raises ValueError as `evalplus_data.load_problems` does."""
    problems, source = load_problems("humaneval_plus", file)
    tasks = [
        Task(
            sources.prefix(source) + task_id,
            PROMPT.format(p["prompt"].strip()),
            "code",
            entry_point=p["entry_point"],
            benchmark="humaneval_plus",
            file=file or "",
            tests=source["content_sha256"],
        )
        for task_id, p in problems.items()
    ]
    return tasks, source | {"prompt_version": PROMPT_VERSION}
