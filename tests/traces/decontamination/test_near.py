"""What only the second look finds, and what it leaves alone."""

import pytest

from distill_nb.traces.decontamination.match import EvaluationProblems

TASKS = {
    "square": "Write a function that returns the perimeter of a square given its side length.",
    "gaps": "Write a python function to find the widest gap between neighbours in a sorted list "
    "(neighbours are items that follow each other).",
    "vowels": "Write a function to reverse only the vowels of a given string.",
    "hex": "Write a function to find the nth hexagonal number.",
    "odd": "Write a function to find the sum of cubes of the first n odd natural numbers.",
    "even": "Write a function to count the even numbers in a list.",
}
PROBLEMS = {
    "ferry": "Clara pays 14 dollars for a ferry ticket and 3 dollars for each of 5 bags. Clara has "
    "a purse with 60 dollars. How many dollars does Clara keep after the journey?",
    "cube": "What is the smallest positive perfect cube that can be written as the sum of three "
    "consecutive integers?",
    "letters": "In how many ways can the letters of the word THOUSAND be arranged in a row?",
    "balls": "How many ways are there to put 5 balls into 2 boxes if the boxes are not "
    "distinguishable?",
    "marbles": "Iris has 36 marbles. Iris buys 3 more and then gives away 2. How many marbles does "
    "Iris have now?",
    "room": "In a room of 12 chairs, 7 guests sit down so that nobody sits alone at the door.",
}


@pytest.fixture(scope="module")
def known():
    rows = [("mbpp_plus", i, text) for i, text in TASKS.items()]
    rows += [("math500", i, text) for i, text in PROBLEMS.items()]
    return {second_look: EvaluationProblems(rows, second_look) for second_look in (False, True)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("square", "Write a function to find the perimeter of a square."),
        ("gaps", "Write a function to find the widest gap between neighbors of a sorted array."),
        ("vowels", "Write a function to revers just the vowels of a string, using regex."),
        ("even", "Write a function to count even numbers in a mixed list using lambda function."),
        ("marbles", PROBLEMS["marbles"].replace("Iris", "Tariq")),
        ("cube", PROBLEMS["cube"].replace("that can be written as", "which is")),
        ("letters", "Find the number of ways to order the letters of the word THOUSAND in a row."),
    ],
)
def test_a_reworded_problem_is_found(known, name, text):
    found = known[True].match(text)
    assert (found.task_id, found.kind) == (name, "contaminated") and 0.3 < found.share <= 1
    first = known[False].match(text)
    assert first is None or first.kind != "contaminated"


@pytest.mark.parametrize(
    "text",
    [
        "Write a function to find the area of a circle.",
        "Write a function to find the nth octagonal number.",
        TASKS["odd"].replace(" odd", ""),
        TASKS["odd"].replace("odd", "even"),
        "Write a function to count the positive numbers in a list.",
        PROBLEMS["ferry"].replace("14", "17").replace("Clara", "Tariq"),
        PROBLEMS["ferry"].replace("3 dollars", "5 dollars").replace("of 5 bags", "of 3 bags"),
        PROBLEMS["letters"].replace("THOUSAND", "MILLION"),
        PROBLEMS["balls"].replace("not distinguishable", "distinguishable"),
        PROBLEMS["room"].replace("nobody sits", "somebody sits"),
        "",
        "Find it.",
    ],
)
def test_another_problem_is_none(known, text):
    found = known[True].match(text)
    assert found is None or found.kind == "same_template"


def test_sentences_may_stand_in_another_order(known):
    one, two, question = PROBLEMS["ferry"].split(". ")
    found = known[True].match(f"{two}. {one}. {question}")
    assert (found.task_id, found.kind) == ("ferry", "contaminated")


def test_a_word_weighs_the_more_the_fewer_problems_have_it():
    many = [
        ("mbpp_plus", str(i), f"Write a function to sort item{chr(97 + i)}s.") for i in range(9)
    ]
    weights = EvaluationProblems([*many, ("mbpp_plus", "x", "Count owls.")]).near.weights[0]
    assert weights["owl"] > weights["sort"] > 0
