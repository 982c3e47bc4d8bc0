"""The grade of one completion, and the version of the graders."""

from dataclasses import dataclass
from importlib.metadata import version

GRADER_VERSION = f"7+math-verify-{version('math-verify')}"


@dataclass(frozen=True)
class Grade:
    """The outcome of one completion by the strict reading, and by two other ways to grade it."""

    outcome: str
    answer: str  # what was graded: the boxed answer, or the code; "" if nothing was found
    detail: str = ""  # why, for a reader
    # math: the last number where there is no box; code: also code outside a complete block
    lenient_outcome: str = ""
    # math: equal text after normalisation; code: by the benchmark's base tests alone
    second_outcome: str = ""
    sandbox_level: str = ""  # code: bubblewrap, landlock or process (no sandbox)
    sandbox_packages: str = ""  # code: what it could import, as in "numpy 2.3.5, sympy 1.14.0"


def missing(ending: str) -> str:
    """The outcome of a completion without an answer; ending is stop, length or loop (loops.py)."""
    return {"length": "truncated", "loop": "looping"}.get(ending, "no_answer")
