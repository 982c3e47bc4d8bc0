"""Grading: from a completion to an outcome.

Outcomes given here: correct, wrong, no_answer (nothing to grade was found), truncated (the length
limit ended the completion before an answer), looping (so it did, and the end repeats), timeout (the
candidate's code, or the comparison of its answer, ran too long), grader_error (the grader itself
failed, never the student's fault).

outcome.py      the grade of one completion
loops.py        whether an answer ends in a loop
extract.py      the part of a completion that is graded
blocks.py       the fenced code blocks of a text
code_answer.py  which code of a completion is its answer
math_answer.py  the math answer in it
graders.py      grade one or many, of either kind
math.py         final answers against gold answers
math_forms.py   the forms of an answer, each brought to one form by one rule
math_signs.py   signs of Unicode and of LaTeX
math_units.py   units, and what only looks like one
math_counted.py words that name what is counted
math_numbers.py numbers, compared exactly
math_values.py  everything else, compared by Math-Verify
math_pool.py    the processes in which it runs
math_worker.py  one of them
choice.py       letters of multiple choice
instructions.py instructions of IFEval
own.py          answers to a benchmark of one's own
code.py         code, run against a benchmark's tests
suites.py       these tests
sandbox/        where model-written code runs
"""

from distill_nb.grading.outcome import GRADER_VERSION, Grade

__all__ = ["GRADER_VERSION", "Grade"]
