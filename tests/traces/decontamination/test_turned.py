import pytest

from distill_nb.traces.decontamination.forms import words_of
from distill_nb.traces.decontamination.synonyms import OPPOSITES, SYNONYMS
from distill_nb.traces.decontamination.turned import Turns, turned


def is_turned(one, other):
    return turned(Turns(words_of(one)), Turns(words_of(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find $x + 2y$.", "Find $x - 2y$."),
        ("Solve ax + by = n", "Solve ax - by = n"),
        ("the sum of its digits", "the product of its digits"),
        ("Nobody shares a room", "Somebody shares a room"),
        ("If no one shares a room", "If someone shares a room"),
        ("convert miles to kilometres", "convert kilometres to miles"),
        ("from a snake case string to a camel case one", "from camel case to a snake case string"),
        ("the largest of two and the smallest of three", "the largest of two and of three"),
        ("at least 3 of them", "at most 3 of them"),
        ("in ascending order", "in descending order"),
        ("a list of non-negative numbers", "a list of non-positive numbers"),
        (r"where $x \le 3$", "where $x < 3$"),
        ("the sum of the positive factors of 24", "the sum of the positive even factors of 24"),
        ("the sum of the factors of 24", "the sum of the prime factors of 24"),
        ("every number of the list", "every alternate number of the list"),
        ("the longest common prefix", "the longest common suffix"),
        ("the area of a triangle", "the area of a square"),
        ("the largest of its rows", "the sum of its rows"),
        ("the greatest common divisor of 8 and 12", "the least common multiple of 8 and 12"),
        ("their greatest common divisor", "their least common divisor"),
    ],
)
def test_a_turned_problem_is_another_one(one, other):
    if "largest of two" in one:
        other = other.replace("of three", "the largest of three")
    assert is_turned(one, other) and is_turned(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the greatest of them", "the maximum of them"),
        ("Find $x + y$ for all pairs.", "Find the sum of $x$ and $y$ for all pairs."),
        ("Find $x + y$", "I sold 5 red - and blue - hats. Find $x + y$, or the product."),
        ("convert miles to kilometres", "Here miles are to be changed to kilometres"),
        ("Given a list, find its largest", "find the largest of a list"),
        ("the sub-list", "the sublist"),
        ("is the number even", "is the number even or odd"),
        (
            "the sum of its factors",
            "Nia is at home at even hours and has a look at the sum of its factors",
        ),
    ],
)
def test_a_reworded_problem_is_not_turned(one, other):
    assert not is_turned(one, other)


def test_no_word_is_replaced_by_one_that_is_replaced_itself():
    assert not SYNONYMS.keys() & set(SYNONYMS.values())
    assert not SYNONYMS.keys() & set().union(*OPPOSITES)
