"""What one completion is worth, and the version of the graders that said so."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

GRADER_VERSION = f"4+math-verify-{version('math-verify')}"


@dataclass(frozen=True)
class Grade:
    """What one completion is worth, by the strict reading and by two others."""

    outcome: str
    answer: str  # what was graded: the boxed answer, or the code; "" if nothing was found
    detail: str = ""  # why, for a reader
    # math: without a box, the last number; code: also code outside a complete block
    lenient_outcome: str = ""
    # math: equal text after normalisation; code: by the benchmark's base tests alone
    second_outcome: str = ""
    sandbox_level: str = ""  # code: bubblewrap, landlock or process (no sandbox)


def missing(finish_reason: str) -> str:
    """The outcome of a completion without an answer; finish_reason is stop or length."""
    return "truncated" if finish_reason == "length" else "no_answer"
