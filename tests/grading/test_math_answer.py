"""The math answer in a completion, read strictly and leniently."""

import time

import pytest

from distill_nb.grading.graders import grade_math
from distill_nb.grading.math_answer import last_boxed, lenient_answer


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"$\boxed 4$", "4"),
        (r"\boxed 42.", "42"),
        (r"\boxed -3/4 of it", "-3/4"),
        (r"\boxed \frac{3}{4}", r"\frac{3}{4}"),
        (r"\boxed \text{yes}.", r"\text{yes}"),
        (r"\boxed x", "x"),
        (r"\boxed{1} no, \boxed 2", "2"),
        (r"\boxed 1 no, \boxed{2}", "2"),
        (r"the \boxed command", None),
        (r"\boxed{}", ""),
    ],
)
def test_a_box_without_braces(text, content):
    assert last_boxed(text) == content


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So it is $\frac{3}{4}$.", r"\frac{3}{4}"),
        (r"So it is \frac{3}{4}.", r"\frac{3}{4}"),
        (r"So $x = 2\sqrt{3}$ is it", r"2\sqrt{3}"),
        (r"at \((3, -4)\).", "(3, -4)"),
        (r"\[ x = \frac{1}{2}. \]", r"\frac{1}{2}"),
        ("$$a = 5$$ and $$b = 2^{10}$$", "2^{10}"),
        ("$5 + 7 = 12$ apples", "12"),
        ("I paid $5 and got $3 back", "3"),
        ("it costs $5 and then some $", "5"),
        ("The answer is 42.", "42"),
        ("3/4 of it", "3/4"),
        (r"5 and \boxed{3} of 7", "3"),
        ("none", None),
        ("$a$ and " * 500 + "\nso $x = 2^{5}$", "2^{5}"),
    ],
)
def test_the_lenient_reading_takes_the_formula_around_the_last_number(text, answer):
    assert lenient_answer(text) == answer


def test_both_readings_are_graded():
    g = grade_math(r"So it is $\frac{3}{4}$.", "0.75")
    assert (g.outcome, g.lenient_outcome) == ("no_answer", "correct")
    assert grade_math(r"So it is $\frac{3}{4}$.", "4").lenient_outcome == "wrong"
    assert grade_math(r"So it is \boxed 4.", "4").outcome == "correct"
    assert grade_math(r"\boxed{37 apples}", "37").lenient_outcome == "correct"
    assert grade_math(r"\boxed{37 or more}", "37").lenient_outcome == "wrong"
    g = grade_math(r"\boxed{9^{9^{9^9}}}", "7")
    assert (g.outcome, g.detail) == ("timeout", "too large a number to compute")


@pytest.mark.timeout(60)  # a quadratic reading of these takes hours
@pytest.mark.parametrize("part", ["$", r"\(", r"\[", "$$", r"\boxed ", r"\frac{1}", "a b ", "$1 "])
def test_a_completion_that_loops_is_read_at_once(part):
    start = time.process_time()
    lenient_answer("7 " + part * 50_000 + "7")
    last_boxed(part * 50_000)
    assert time.process_time() - start < 20
