"""Names of columns, outcomes, students, teachers and benchmarks in the tables of results, and how
numbers are printed."""

from __future__ import annotations

import re

ERRORS = ["sampling_error", "grader_error"]
UNANSWERED = ["no_answer", "truncated"]  # there was nothing to grade: format or length
KEYS = ["run_name", "student", "teacher", "domain", "folder", "step", "benchmark"]
RUN = ["student", "teacher", "domain", "learning_rate"]
COLUMNS = [
    "student",
    "teacher",
    "domain",
    "step",
    "benchmark",
    "accuracy",
    "decimals",
    "n",
    "flagged",
    "learning_rate",
    "source",
]
# The names that the study prints, and ours. The study also ran AIME, on one baseline, and prints no
# number of it.
NAMES = {
    "Qwen Base": "Qwen/Qwen3-30B-A3B-Base", "Qwen Instruct": "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "Llama 8B": "meta-llama/Llama-3.1-8B-Instruct", "R1": "r1", "Sonnet": "sonnet",
    "R1 stand-in": "r1 stand-in", "Sonnet stand-in": "sonnet stand-in",  # params.traces_of
    "MATH-500": "math500", "MBPP+": "mbpp_plus", "HumanEval+": "humaneval_plus", "HE+": "humaneval_plus",
    "LiveCodeBench": "livecodebench", "LiveCodeBench v5": "livecodebench", "LCB": "livecodebench", "AIME": "aime",
}  # fmt: skip

# What chooses the best checkpoint: the first of these that the run has.
RULE = {"math": ("math500", "pocket_math"), "code": ("mbpp_plus", "pocket_code")}


def name_of(key: str) -> str:
    """The study's first name of a student, teacher or benchmark, or the key itself."""
    return next((name for name, k in NAMES.items() if k == key), key)


def printed(r) -> str:
    """A cell as the study prints it: 60%*."""
    return f"{r.accuracy:.{r.decimals}f}%{'*' if r.flagged else ''}"


def printed_rate(rate: float) -> str:
    """A learning rate as the study prints it: 2e-5; unknown for nan."""
    return "unknown" if rate != rate else re.sub(r"\.?0*e-0?", "e-", f"{rate:.2e}")
