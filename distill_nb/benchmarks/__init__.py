"""Benchmarks: each a file of its own that turns a source into a list of tasks."""
from __future__ import annotations

import random
from dataclasses import dataclass

BOXED = r"Put the final answer in \boxed{}."  # the instruction of every math prompt, in training too


@dataclass(frozen=True)
class Task:
    """One problem. `prompt` is the user's message; math has a `gold` answer, code has `tests` (assert statements)."""

    task_id: str
    prompt: str
    kind: str  # math | code
    gold: str = ""
    tests: str = ""
    entry_point: str = ""


def load(name: str, file: str | None = None, limit: int = 0, seed: int = 0) -> list[Task]:
    """The tasks of a benchmark, in its own order; `limit` > 0 takes a subset drawn with `seed`.

    Raises ValueError for a benchmark that is not implemented, or whose file is missing or not as it should be."""
    from . import math500, pocket

    if name == "pocket_math":
        tasks = pocket.pocket_math()
    elif name == "pocket_code":
        tasks = pocket.pocket_code()
    elif name == "math500":
        tasks = math500.load(file)
    else:
        raise ValueError(f"benchmarks: {name} is not implemented yet; pocket_math, pocket_code and math500 are.")
    if limit and limit < len(tasks):
        chosen = set(random.Random(seed).sample(range(len(tasks)), limit))
        tasks = [t for i, t in enumerate(tasks) if i in chosen]
    return tasks
