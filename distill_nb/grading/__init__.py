"""Grading: from a completion to an outcome.

Outcomes given here: correct, wrong, no_answer (nothing to grade was found), truncated (the length
limit ended the completion before an answer), timeout (the candidate's code, or the comparison of
its answer, ran too long), grader_error (the grader itself failed, never the student's fault).

outcome.py      the grade of one completion
extract.py      the part of a completion that is graded
graders.py      grade one or many, of either kind
math.py         final answers, compared by Math-Verify in the processes of math_pool.py (each runs
                math_worker.py)
code.py         code, run against the tests of suites.py
sandbox/        where model-written code runs
"""

from distill_nb.grading.outcome import GRADER_VERSION, Grade

__all__ = ["GRADER_VERSION", "Grade"]
