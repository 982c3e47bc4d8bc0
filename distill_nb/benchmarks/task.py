"""What one problem of a benchmark is, and the instruction that all math prompts share."""

from __future__ import annotations

from dataclasses import dataclass

# the instruction of every math prompt, in training too
BOXED = r"Put the final answer in \boxed{}."
MATH_PROMPT_VERSION = "math-1"  # of the problem, an empty line and BOXED


@dataclass(frozen=True)
class Task:
    """One problem. `prompt` is the user's message; math has a `gold` answer, code has `tests`
    (assert statements), or is a problem of the `benchmark` whose own tests are in `file` (default
    source: ""); `tests` is then their sha256."""

    task_id: str
    prompt: str
    kind: str  # math | code
    gold: str = ""
    tests: str = ""
    # a function, Solution().method, or "" for a program that reads standard input
    entry_point: str = ""
    benchmark: str = ""
    file: str = ""
