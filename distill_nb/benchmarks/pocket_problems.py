"""Problems of the pocket benchmarks and of the generated traces: word problems in two steps, and
small functions. No word problem is in both (`is_benchmark`)."""

import hashlib
import operator
import random
import re

# A function and what it returns; below it what its asserts compare, without the function's name.
_FUNCTIONS = """
add(a, b): the sum of a and b
    (2, 3) == 5; (-1, 1) == 0; (7, -10) == -3
subtract(a, b): a minus b
    (7, 3) == 4; (1, 5) == -4; (0, -2) == 2
multiply(a, b): the product of a and b
    (4, 5) == 20; (-2, 3) == -6; (0, 9) == 0
square(n): n squared
    (5) == 25; (-3) == 9; (1) == 1
cube(n): n to the third power
    (2) == 8; (-1) == -1; (3) == 27
is_even(n): True if n is even and False otherwise
    (4) is True; (7) is False; (3) is False; (12) is True
is_odd(n): True if n is odd and False otherwise
    (3) is True; (8) is False; (2) is False; (15) is True
maximum(numbers): the largest number of a list
    ([3, 9, 2]) == 9; ([-5, -2]) == -2; ([8, 1, 4]) == 8; ([1, 6]) == 6
minimum(numbers): the smallest number of a list
    ([3, 9, 2]) == 2; ([-5, -2]) == -5; ([4, 1, 8]) == 1; ([1, 6]) == 1
total(numbers): the sum of a list of numbers
    ([1, 2, 3]) == 6; ([]) == 0; ([5, -8]) == -3
count_items(items): the number of items in a list
    ([7, 7]) == 2; ([]) == 0; (['a', 'b', 'c']) == 3
reverse_string(s): the string s reversed
    ('abc') == 'cba'; ('') == ''; ('Hello') == 'olleH'
to_upper(s): the string s in upper case
    ('abC') == 'ABC'; ('') == ''; ('x y1') == 'X Y1'
first_item(items): the first item of a list
    ([4, 5]) == 4; (['x']) == 'x'; ([9, 1, 2]) == 9
last_item(items): the last item of a list
    ([4, 5]) == 5; (['x']) == 'x'; ([9, 1, 2]) == 2
average(numbers): the average of a list of numbers
    ([2, 4]) == 3; ([5]) == 5; ([1, 2]) == 1.5; ([0, 0, 9]) == 3
is_positive(n): True if n is greater than zero and False otherwise
    (3) is True; (0) is False; (1) is True; (-2) is False
absolute(n): the absolute value of n
    (-4) == 4; (3) == 3; (0) == 0
string_length(s): the length of the string s
    ('hello') == 5; ('') == 0; ('a b') == 3
sort_numbers(numbers): the list of numbers sorted from smallest to largest
    ([3, 1, 2]) == [1, 2, 3]; ([]) == []; ([2, -1, 2]) == [-1, 2, 2]
count_vowels(s): the number of vowels (a, e, i, o, u) in the string s
    ('banana') == 3; ('xyz') == 0; ('education') == 5; ('') == 0
is_palindrome(s): True if the string s reads the same backwards and False otherwise
    ('level') is True; ('ab') is False; ('aa') is True; ('abca') is False
factorial(n): the factorial of n
    (5) == 120; (0) == 1; (1) == 1; (3) == 6
evens(numbers): a list of the even numbers of a list
    ([1, 2, 3, 4]) == [2, 4]; ([1]) == []; ([6, 0, 5]) == [6, 0]
double_all(numbers): a list with every number doubled
    ([1, 2]) == [2, 4]; ([]) == []; ([5, -3, 0]) == [10, -6, 0]
contains(items, x): True if x is in the list and False otherwise
    ([1, 2], 2) is True; ([], 1) is False; ([1, 2], 3) is False; (['a'], 'a') is True
celsius_to_fahrenheit(c): the temperature c in degrees Fahrenheit
    (100) == 212; (0) == 32; (-40) == -40
unique(items): a sorted list of the distinct items of a list
    ([2, 1, 2]) == [1, 2]; ([]) == []; ([9, 3, 5, 3]) == [3, 5, 9]
join_words(words): the words of a list joined with spaces
    (['a', 'b']) == 'a b'; ([]) == ''; (['one', 'two', 'three']) == 'one two three'
larger(a, b): the larger one of a and b
    (2, 9) == 9; (5, -5) == 5; (4, 4) == 4
"""


def _code() -> list[tuple[str, str, str]]:
    rows, lines = [], _FUNCTIONS.strip().split("\n")
    for head, cases in zip(lines[::2], lines[1::2], strict=True):
        function, returns = head.split(": ")
        name = function.partition("(")[0]
        asserts = "; ".join(name + case for case in cases.strip().split("; "))
        rows.append((function, returns, asserts))
    return rows


CODE = _code()  # (function, what it returns, what its asserts compare)


def code_prompt(function: str, returns: str) -> str:
    """The user's message of a code task, in training and in evaluation."""
    return (
        f"Write a Python function `{function}` that returns {returns}. Answer with one Python code "
        "block."
    )


NAMES = [
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo",
    "Iris", "Jon", "Kim", "Leo", "Mia", "Ned", "Ola", "Pia",
]  # fmt: skip
THINGS = [
    "apples", "books", "coins", "pens", "cards", "shells", "stamps", "stones", "marbles", "cups",
]  # fmt: skip
APPLY = {"+": operator.add, "-": operator.sub, "*": operator.mul}
# Word problems in two steps: x and y by the first operation, then z by the second. Only the
# benchmark has `tickets`.
MATH_TEMPLATES = {
    "bought": ("{n} has {x} {t}. {n} buys {y} more and then gives away {z}. "
        "How many {t} does {n} have now?", "+", "-"),
    "boxes": ("{n} fills {x} boxes with {y} {t} each and keeps {z} {t} apart. "
        "How many {t} are there in all?", "*", "+"),
    "lost": ("There are {x} {t} on a table. {n} takes {y} of them and puts {z} others down. "
        "How many are there now?", "-", "+"),
    "shelves": ("A shop has {x} shelves with {y} {t} each. {n} sells {z} of the {t}. "
        "How many are left?", "*", "-"),
    "days": ("{n} finds {x} {t} on Monday, {y} on Tuesday and {z} on Wednesday. "
        "How many {t} is that in total?", "+", "+"),
    "bags": ("{n} buys {x} bags with {y} {t} each and finds {z} more. "
        "How many {t} does {n} have now?", "*", "+"),
    "tickets": ("{n} buys {x} tickets for {y} dollars each and a drink for {z} dollars. "
        "How many dollars does {n} pay?", "*", "+"),
}  # fmt: skip
HELD_OUT_TEMPLATE = "tickets"


def _right_operand(operation: str, left: int, rng: random.Random) -> int:
    if operation == "*":
        return rng.randint(3, 9)
    room = 9 - left % 10 if operation == "+" else left % 10  # nothing is carried or borrowed
    return rng.randint(2, room) if room > 1 else 10


Step = tuple[int, str, int, int]  # left, operation, right, result


def math_problem(template: str, rng: random.Random) -> tuple[str, list[Step], int]:
    """One problem: its text, its two steps, its answer. A 135M student can learn its numbers:
    products of one-digit numbers, sums without a carry, differences without borrowing."""
    text, first, second = MATH_TEMPLATES[template]
    x = rng.randint(2, 5) if first == "*" else rng.randint(12, 49)
    y = _right_operand(first, x, rng)
    middle = APPLY[first](x, y)
    z = _right_operand(second, middle, rng)
    answer = APPLY[second](middle, z)
    steps = [(x, first, y, middle), (middle, second, z, answer)]
    return text.format(n=rng.choice(NAMES), t=rng.choice(THINGS), x=x, y=y, z=z), steps, answer


def problem_hash(text: str) -> str:
    """16 hex digits of the sha256 of a text in lower case with white space folded."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:16]


def is_benchmark(problem: str) -> bool:
    """Whether a generated problem belongs to the benchmark, so that training skips it. A fifth do,
    by a hash of their numbers, whatever the names and the order."""
    numbers = sorted(re.findall(r"\d+", problem))
    return int(problem_hash(" ".join(numbers)), 16) % 5 == 0
