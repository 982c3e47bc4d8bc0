"""One problem of a benchmark, and the instruction that all math prompts share."""

from dataclasses import dataclass

# the instruction of every math prompt, in training too
BOXED = r"Put the final answer in \boxed{}."
MATH_PROMPT_VERSION = "math-1"  # of the problem, an empty line and BOXED


@dataclass(frozen=True)
class Task:
    """One problem. `prompt` is the user's message. Math has a `gold` answer, and choice the letter
    of the right option. Code has `tests`: assert statements, or the sha256 of the `benchmark`'s own
    tests, which are in `file` ("": the default source). The tests of instructions and of one's own
    benchmark are JSON."""

    task_id: str
    prompt: str
    kind: str  # math | code | choice | instructions | own
    gold: str = ""
    tests: str = ""
    # a function, Solution().method, or "" for a program that reads standard input
    entry_point: str = ""
    benchmark: str = ""
    file: str = ""
