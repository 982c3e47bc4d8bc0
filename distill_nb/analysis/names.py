"""Names of columns, outcomes, students, teachers and benchmarks in the tables of results, and how
numbers are printed."""

import re
from collections.abc import Collection
from typing import Protocol

ERRORS = ["sampling_error", "grader_error"]
UNANSWERED = ["no_answer", "truncated", "looping"]  # there was nothing to grade: format or length
KEYS = ["run_name", "student", "teacher", "domain", "folder", "step", "benchmark"]
RUN = ["student", "teacher", "domain", "learning_rate"]
NAMES = {  # the names that the study prints, and ours
    "Qwen Base": "Qwen/Qwen3-30B-A3B-Base", "Qwen Instruct": "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "Llama 8B": "meta-llama/Llama-3.1-8B-Instruct", "R1": "r1", "Sonnet": "sonnet",
    "Generator": "generator", "Generator, thinking": "generator, thinking",  # params.traces_of
    "MATH-500": "math500", "MBPP+": "mbpp_plus", "HumanEval+": "humaneval_plus",
    "HE+": "humaneval_plus", "LiveCodeBench": "livecodebench", "LiveCodeBench v5": "livecodebench",
    "LCB": "livecodebench",
    "AIME 2025": "aime25", "GPQA Diamond": "gpqa_diamond", "IFEval": "ifeval",
    "AIME": "aime",  # the study ran it on one baseline and prints no number of it
}  # fmt: skip
# What chooses the best checkpoint: the first of these that the run has.
RULE = {"math": ("math500", "pocket_math"), "code": ("mbpp_plus", "pocket_code")}
ASKS_FOR = {  # the domain of each built-in benchmark; one of one's own is a domain of its own
    "math500": "math", "aime": "math", "aime25": "math", "pocket_math": "math",
    "mbpp_plus": "code", "humaneval_plus": "code", "livecodebench": "code", "pocket_code": "code",
    "gpqa_diamond": "science", "ifeval": "instructions",
}  # fmt: skip


class Cell(Protocol):
    """A row of a tidy table, as `itertuples` gives it; step 0 is the base student."""

    student: str
    teacher: str  # "none" at step 0
    domain: str  # trained on; "none" at step 0
    step: int
    benchmark: str
    accuracy: float  # percent
    decimals: int  # how many of accuracy are printed
    n: int  # problems
    flagged: bool  # sampling or grader errors are among the answers: the study's asterisk
    learning_rate: float  # nan at step 0, and where it is unknown
    source: str  # where the number comes from: a section of the study, or a run's folder


COLUMNS = list(Cell.__annotations__)


def chooses(domain: str, benchmarks: Collection[str]) -> str | None:
    """The benchmark that chooses the best checkpoint of a run with these benchmarks (RULE); None
    where it has none of them."""
    return next((name for name in RULE.get(domain, ()) if name in benchmarks), None)


def beyond(benchmarks: Collection[str]) -> dict[str, str]:
    """Subject → benchmark, of those benchmarks that are neither of math nor of code: what a student
    may forget that no run of the study trains."""
    subjects = {name: ASKS_FOR.get(name, name) for name in sorted(benchmarks)}
    return {subject: name for name, subject in subjects.items() if subject not in RULE}


def name_of(key: str) -> str:
    """The study's first name of a student, teacher or benchmark, or the key itself."""
    return next((name for name, k in NAMES.items() if k == key), key)


def printed(cell: Cell) -> str:
    """A cell as the study prints it: 60%*."""
    return f"{cell.accuracy:.{cell.decimals}f}%{'*' if cell.flagged else ''}"


def printed_rate(rate: float) -> str:
    """A learning rate as the study prints it: 2e-5; unknown for nan."""
    return "unknown" if rate != rate else re.sub(r"\.?0*e-0?", "e-", f"{rate:.2e}")
