"""What the pocket benchmarks and the generated traces are both made of: word problems in two steps,
and small functions.

A hash of its numbers decides whether a word problem belongs to the benchmark or to training, so no
problem is in both."""

from __future__ import annotations

import hashlib
import operator
import random
import re

CODE = [  # (function, what it returns, asserts)
    ("add(a, b)", "the sum of a and b", "add(2, 3) == 5; add(-1, 1) == 0; add(7, -10) == -3"),
    (
        "subtract(a, b)",
        "a minus b",
        "subtract(7, 3) == 4; subtract(1, 5) == -4; subtract(0, -2) == 2",
    ),
    (
        "multiply(a, b)",
        "the product of a and b",
        "multiply(4, 5) == 20; multiply(-2, 3) == -6; multiply(0, 9) == 0",
    ),
    ("square(n)", "n squared", "square(5) == 25; square(-3) == 9; square(1) == 1"),
    ("cube(n)", "n to the third power", "cube(2) == 8; cube(-1) == -1; cube(3) == 27"),
    (
        "is_even(n)",
        "True if n is even and False otherwise",
        "is_even(4) is True; is_even(7) is False; is_even(3) is False; is_even(12) is True",
    ),
    (
        "is_odd(n)",
        "True if n is odd and False otherwise",
        "is_odd(3) is True; is_odd(8) is False; is_odd(2) is False; is_odd(15) is True",
    ),
    (
        "maximum(numbers)",
        "the largest number of a list",
        "maximum([3, 9, 2]) == 9; maximum([-5, -2]) == -2; maximum([8, 1, 4]) == 8; maximum([1, "
        "6]) == 6",
    ),
    (
        "minimum(numbers)",
        "the smallest number of a list",
        "minimum([3, 9, 2]) == 2; minimum([-5, -2]) == -5; minimum([4, 1, 8]) == 1; minimum([1, "
        "6]) == 1",
    ),
    (
        "total(numbers)",
        "the sum of a list of numbers",
        "total([1, 2, 3]) == 6; total([]) == 0; total([5, -8]) == -3",
    ),
    (
        "count_items(items)",
        "the number of items in a list",
        "count_items([7, 7]) == 2; count_items([]) == 0; count_items(['a', 'b', 'c']) == 3",
    ),
    (
        "reverse_string(s)",
        "the string s reversed",
        "reverse_string('abc') == 'cba'; reverse_string('') == ''; reverse_string('Hello') == "
        "'olleH'",
    ),
    (
        "to_upper(s)",
        "the string s in upper case",
        "to_upper('abC') == 'ABC'; to_upper('') == ''; to_upper('x y1') == 'X Y1'",
    ),
    (
        "first_item(items)",
        "the first item of a list",
        "first_item([4, 5]) == 4; first_item(['x']) == 'x'; first_item([9, 1, 2]) == 9",
    ),
    (
        "last_item(items)",
        "the last item of a list",
        "last_item([4, 5]) == 5; last_item(['x']) == 'x'; last_item([9, 1, 2]) == 2",
    ),
    (
        "average(numbers)",
        "the average of a list of numbers",
        "average([2, 4]) == 3; average([5]) == 5; average([1, 2]) == 1.5; average([0, 0, 9]) == 3",
    ),
    (
        "is_positive(n)",
        "True if n is greater than zero and False otherwise",
        "is_positive(3) is True; is_positive(0) is False; is_positive(1) is True; is_positive(-2) "
        "is False",
    ),
    (
        "absolute(n)",
        "the absolute value of n",
        "absolute(-4) == 4; absolute(3) == 3; absolute(0) == 0",
    ),
    (
        "string_length(s)",
        "the length of the string s",
        "string_length('hello') == 5; string_length('') == 0; string_length('a b') == 3",
    ),
    (
        "sort_numbers(numbers)",
        "the list of numbers sorted from smallest to largest",
        "sort_numbers([3, 1, 2]) == [1, 2, 3]; sort_numbers([]) == []; sort_numbers([2, -1, 2]) == "
        "[-1, 2, 2]",
    ),
    (
        "count_vowels(s)",
        "the number of vowels (a, e, i, o, u) in the string s",
        "count_vowels('banana') == 3; count_vowels('xyz') == 0; count_vowels('education') == 5; "
        "count_vowels('') == 0",
    ),
    (
        "is_palindrome(s)",
        "True if the string s reads the same backwards and False otherwise",
        "is_palindrome('level') is True; is_palindrome('ab') is False; "
        "is_palindrome('aa') is True; is_palindrome('abca') is False",
    ),
    (
        "factorial(n)",
        "the factorial of n",
        "factorial(5) == 120; factorial(0) == 1; factorial(1) == 1; factorial(3) == 6",
    ),
    (
        "evens(numbers)",
        "a list of the even numbers of a list",
        "evens([1, 2, 3, 4]) == [2, 4]; evens([1]) == []; evens([6, 0, 5]) == [6, 0]",
    ),
    (
        "double_all(numbers)",
        "a list with every number doubled",
        "double_all([1, 2]) == [2, 4]; double_all([]) == []; double_all([5, -3, 0]) == [10, -6, 0]",
    ),
    (
        "contains(items, x)",
        "True if x is in the list and False otherwise",
        "contains([1, 2], 2) is True; contains([], 1) is False; contains([1, 2], 3) is False; "
        "contains(['a'], 'a') is True",
    ),
    (
        "celsius_to_fahrenheit(c)",
        "the temperature c in degrees Fahrenheit",
        "celsius_to_fahrenheit(100) == 212; celsius_to_fahrenheit(0) == 32; "
        "celsius_to_fahrenheit(-40) == -40",
    ),
    (
        "unique(items)",
        "a sorted list of the distinct items of a list",
        "unique([2, 1, 2]) == [1, 2]; unique([]) == []; unique([9, 3, 5, 3]) == [3, 5, 9]",
    ),
    (
        "join_words(words)",
        "the words of a list joined with spaces",
        "join_words(['a', 'b']) == 'a b'; join_words([]) == ''; join_words(['one', 'two', "
        "'three']) == 'one two three'",
    ),
    (
        "larger(a, b)",
        "the larger one of a and b",
        "larger(2, 9) == 9; larger(5, -5) == 5; larger(4, 4) == 4",
    ),
]


def code_prompt(function: str, returns: str) -> str:
    """The user's message of a code task, in training and evaluation."""
    return (
        f"Write a Python function `{function}` that returns {returns}. Answer with one Python code "
        "block."
    )


NAMES = [
    "Ada",
    "Ben",
    "Cleo",
    "Dan",
    "Eva",
    "Finn",
    "Gia",
    "Hugo",
    "Iris",
    "Jon",
    "Kim",
    "Leo",
    "Mia",
    "Ned",
    "Ola",
    "Pia",
]
THINGS = [
    "apples",
    "books",
    "coins",
    "pens",
    "cards",
    "shells",
    "stamps",
    "stones",
    "marbles",
    "cups",
]
APPLY = {"+": operator.add, "-": operator.sub, "*": operator.mul}
# Word problems in two steps: x and y by the first operation, then z by the second. `tickets` is the
# benchmark's own.
MATH_TEMPLATES = {
    "bought": (
        "{n} has {x} {t}. {n} buys {y} more and then gives away {z}. How many {t} does {n} have "
        "now?",
        "+",
        "-",
    ),
    "boxes": (
        "{n} fills {x} boxes with {y} {t} each and keeps {z} {t} apart. How many {t} are there in "
        "all?",
        "*",
        "+",
    ),
    "lost": (
        "There are {x} {t} on a table. {n} takes {y} of them and puts {z} others down. How many "
        "are there now?",
        "-",
        "+",
    ),
    "shelves": (
        "A shop has {x} shelves with {y} {t} each. {n} sells {z} of the {t}. How many are left?",
        "*",
        "-",
    ),
    "days": (
        "{n} finds {x} {t} on Monday, {y} on Tuesday and {z} on Wednesday. How many {t} is that in "
        "total?",
        "+",
        "+",
    ),
    "bags": (
        "{n} buys {x} bags with {y} {t} each and finds {z} more. How many {t} does {n} have now?",
        "*",
        "+",
    ),
    "tickets": (
        "{n} buys {x} tickets for {y} dollars each and a drink for {z} dollars. How many dollars "
        "does {n} pay?",
        "*",
        "+",
    ),
}
HELD_OUT_TEMPLATE = "tickets"


def _right_operand(operation: str, left: int, rng: random.Random) -> int:
    if operation == "*":
        return rng.randint(3, 9)
    room = 9 - left % 10 if operation == "+" else left % 10  # nothing is carried or borrowed
    return rng.randint(2, room) if room > 1 else 10


def math_problem(
    template: str, rng: random.Random
) -> tuple[str, list[tuple[int, str, int, int]], int]:
    """One problem: its text, its two steps as (left, operation, right, result), its answer.

    The numbers are what a 135M student can learn to work with from a few hundred traces: products
    of one-digit numbers, sums without a carry, differences without borrowing."""
    text, first, second = MATH_TEMPLATES[template]
    x = rng.randint(2, 5) if first == "*" else rng.randint(12, 49)
    y = _right_operand(first, x, rng)
    middle = APPLY[first](x, y)
    z = _right_operand(second, middle, rng)
    answer = APPLY[second](middle, z)
    steps = [(x, first, y, middle), (middle, second, z, answer)]
    return text.format(n=rng.choice(NAMES), t=rng.choice(THINGS), x=x, y=y, z=z), steps, answer


def problem_hash(text: str) -> str:
    """16 hex digits of the sha256 of a text, lower case, with white space folded."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:16]


def is_benchmark(problem: str) -> bool:
    """Whether a generated problem belongs to the benchmark: a fifth of all do, by a hash of their
    numbers, and training skips them. So no trained problem has the numbers of a benchmark problem,
    whatever the names and the order."""
    numbers = sorted(re.findall(r"\d+", problem))
    return int(problem_hash(" ".join(numbers)), 16) % 5 == 0
