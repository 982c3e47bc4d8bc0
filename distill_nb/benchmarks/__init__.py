"""Benchmarks: each file turns a source into a list of tasks and names paper, version and choices.

A task's prompt is the user's message, zero-shot, and is the same for every student, within the
student's own chat template (students/chat.py). A base student (Qwen3-30B-A3B-Base) gets it too. The
field often shows base models a few worked examples instead, but only equal prompts make step 0 the
start of the curves. What a base model loses by it is mostly format, which the outcomes no_answer
and truncated and the lenient reading show. When a prompt changes, so does its PROMPT_VERSION.

task.py             one problem
loading.py          a benchmark by its name, whole or a seeded subset
sources.py          where files come from, what counts as the whole benchmark, how a part is marked
math500.py aime.py humaneval_plus.py mbpp_plus.py livecodebench.py
aime25.py gpqa_diamond.py ifeval.py pocket.py
                    one benchmark each; the second line is not of the published study
own.py              a benchmark of one's own, from a file outside of the package
evalplus_data.py    the problems of HumanEval+ and MBPP+
livecodebench_tests.py  the public and private tests of LiveCodeBench
pocket_problems.py  the problems of the pocket benchmarks and of the generated traces
"""

from distill_nb.benchmarks.task import BOXED, MATH_PROMPT_VERSION, Task

__all__ = ["BOXED", "MATH_PROMPT_VERSION", "Task"]
