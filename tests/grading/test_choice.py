import pytest

from distill_nb.benchmarks import Task
from distill_nb.grading.graders import grade


def graded(completion, gold="B", ending="stop"):
    return grade(Task("t", "", "choice", gold=gold), completion, ending)


@pytest.mark.parametrize(
    "completion",
    [
        "Answer: B",
        "So.\n\nAnswer: B.",
        "**Answer:** (B)",
        "**Answer: B**",
        "answer: $B$",
        "The final answer is: B",
        r"\boxed{B}",
        r"$\boxed{\text{B}}$",
        r"\boxed{\text{(B) 5 m}}",
        r"\boxed{B) 5 m}",
        r"Answer: A. No, \boxed{B}",
        r"\boxed{A}, and so Answer: B",
        "<think>Answer: A</think> Answer: B",
    ],
)
def test_a_letter_is_read_however_it_is_named(completion):
    made = graded(completion)
    assert (made.outcome, made.answer, made.lenient_outcome) == ("correct", "B", "correct")
    assert graded(completion, gold="C").outcome == "wrong"
    assert graded(completion, gold="AB").outcome == "correct"


@pytest.mark.parametrize(
    ("completion", "lenient"),
    [
        ("The correct option is (B).", "correct"),
        ("It follows that\n(B)", "correct"),
        ("So it is\n**B**", "correct"),
        ("The right choice is A.", "wrong"),
        ("A rod is long. I do not know.", "no_answer"),
        (r"\boxed{5 m}", "no_answer"),
        ("Answer: Because of this", "no_answer"),
        ("<think>Answer: B", "no_answer"),
        ("", "no_answer"),
    ],
)
def test_where_no_letter_is_named_as_asked_only_the_lenient_reading_may_find_one(
    completion, lenient
):
    made = graded(completion)
    assert (made.outcome, made.answer, made.lenient_outcome) == ("no_answer", "", lenient)
    assert made.second_outcome == "no_answer"


def test_the_second_grader_reads_as_simple_evals_does():
    assert graded(r"\boxed{B}").second_outcome == "no_answer"
    assert graded("Answer: B").second_outcome == "correct"
    assert graded(r"Answer: A, or rather \boxed{B}").second_outcome == "wrong"


def test_an_answer_that_was_cut_off_says_so():
    assert graded("thinking", ending="length").outcome == "truncated"
    assert graded("thinking", ending="loop").outcome == "looping"
