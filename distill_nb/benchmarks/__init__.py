"""Benchmarks: each a file of its own that turns a source into a list of tasks.

The files name paper, source, version and choices; sources.py says what counts as the whole
benchmark and what becomes of a part. A task's prompt is the message of the user, zero-shot, and is
the same for every student. What goes around it is the student's own chat template (chat.py), in
training and in evaluation. A base student (Qwen3-30B-A3B-Base) gets the same: the field often shows
base models a few worked examples instead, but the students are distilled from this one under this
template, so only equal prompts make step 0 the start of their curves; what a base model loses by it
is mostly format, which the outcomes no_answer and truncated, and the lenient reading, show.
Wherever a prompt changes, so does its PROMPT_VERSION, which is recorded.

task.py             what one problem is
load.py             a benchmark by its name, whole or a seeded subset
sources.py          where files come from, and what counts as the whole benchmark
math500.py aime.py humaneval_plus.py mbpp_plus.py livecodebench.py pocket.py: one benchmark each
evalplus_data.py    the problems of HumanEval+ and MBPP+
livecodebench_tests.py  the hidden tests of LiveCodeBench
pocket_problems.py  what the pocket benchmarks and the generated traces are made of
"""

from distill_nb.benchmarks.load import describe, load, subset
from distill_nb.benchmarks.task import BOXED, MATH_PROMPT_VERSION, Task

__all__ = ["BOXED", "MATH_PROMPT_VERSION", "Task", "describe", "load", "subset"]
