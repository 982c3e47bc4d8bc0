"""Small programming tasks of one family are told from each other, and wordings of one are not."""

import pytest

from distill_nb.traces.decontamination.match import EvaluationProblems

TASKS = {
    "digits": "Write a function to count the digits of a given string.",
    "sort": "Write a function to sort the given list of elements.",
    "remove": "Write a function to remove the negative numbers from a list.",
    "ends": "Write a function to find the last digit of the power of a given number.",
    "pairs": "Write a function to find the common items of two lists irrespective of their order.",
    "reverse": "Write a function to reverse each string in a given list of string values.",
    "owls": "The owl number sequence is like the well known sequence of numbers. Write a function "
    "to efficiently compute the n-th element of the owl number sequence, and do not use recursion.",
    "tuple": "Write a function to convert a tuple to a string.",
    "angles": "angles is a string of < and >. Tell if each opening angle has a closing angle.",
}


@pytest.fixture(scope="module")
def known():
    return EvaluationProblems([("mbpp_plus", i, text) for i, text in TASKS.items()])


@pytest.mark.parametrize(
    "text",
    [
        "Write a function to sort the given list of elements by the last digit of each tuple.",
        "Write a function to count the negative numbers in a list.",
        "Write a function to print the negative numbers in a list.",
        "Write a function to find the last two digits of the power of a given number.",
        "Write a function to reverse each list in a given list of lists.",
        "Write a function to check whether a list is in the given tuple of elements.",
        "Write a function to convert a string to a list.",
        TASKS["owls"].replace("owl", "yak"),
        TASKS["angles"].replace("< and >", "( and )"),
    ],
)
def test_another_object_or_operation_is_another_task(known, text):
    found = known.match(text)
    assert found is None or found.kind == "same_template"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("digits", "Write a python function to count the number of digits of a string."),
        ("sort", "Write a function to sort the given array of elements using heap sort."),
        ("remove", "Write a function to drop negative numbers from a given list using lambda."),
        ("ends", "Write a function that gives the last digit of a power of the number."),
        ("pairs", "Write a function to find common items of two lists."),
        ("reverse", "Write a function to reverse each string in a list of strings using map."),
        ("tuple", "Write a function to convert a given tuple to a string."),
        ("owls", TASKS["owls"]),
        ("sort", "My 12 friends have a cube. " + TASKS["sort"]),
        ("angles", TASKS["angles"]),
    ],
)
def test_another_wording_is_the_same_task(known, name, text):
    found = known.match(text)
    assert found and (found.task_id, found.kind) == (name, "contaminated")
