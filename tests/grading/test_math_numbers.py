"""Numbers compared exactly, and expressions by SymPy without its rounding."""

from fractions import Fraction

import pytest

from distill_nb.grading import math_numbers, math_values


@pytest.mark.parametrize(
    ("plain", "value", "percent"),
    [
        ("12", 12, False),
        ("-0.5", Fraction(-1, 2), False),
        (".25", Fraction(1, 4), False),
        ("3/4", Fraction(3, 4), False),
        (r"\frac{3}{4}", Fraction(3, 4), False),
        (r"-\frac{3}{4}", Fraction(-3, 4), False),
        (r"\frac{-3}{4}", Fraction(-3, 4), False),
        (r"-1\frac{1}{4}", Fraction(-5, 4), False),
        (r"15\%", 15, True),
        (r"6.72\times 10^{-5}", Fraction(672, 10**7), False),
        (r"2\cdot 10^6", 2_000_000, False),
    ],
)
def test_a_number_in_digits(plain, value, percent):
    assert math_numbers.number(plain) == (value, percent)


@pytest.mark.parametrize(
    "plain", ["", "x", "2x", "1/0", "12!", "1,2", "2^3", r"1\frac{-1}{4}", "1 2"]
)
def test_what_is_no_number_in_digits(plain):
    assert math_numbers.number(plain) is None


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (".0000672", "0.0000672", True),
        (".0000672", "0.0000674", False),
        ("1/3", "0.333333", True),
        ("0.333333", "1/3", True),
        ("1/3", "0.33333", False),
        ("1/3", "0.333334", False),
        ("1/30000", "0.000033", False),  # six decimals, but two digits
        ("1/30000", "0.0000333333", True),
        ("2", "2.0000001", False),
        ("12345678", "12345678.0000001", False),
        (r"10\%", "10", True),
        ("0.1", r"10\%", True),
        ("0.1", r"0.1\%", False),
        (r"12.5\%", "12.5", True),
    ],
)
def test_numbers_are_compared_exactly(one, other, equal):
    assert math_numbers.same(math_numbers.number(one), math_numbers.number(other)) is equal


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("52_{8}", "52_{8}", True),
        ("52_{8}", "052_{8}", True),
        ("52_{8}", "52", True),
        ("52_{8}", "52_{9}", False),
        ("52_{8}", "42", False),
        ("42", "52_{8}", False),
        ("10", "10_{2}", False),
        ("10", "10_{10}", True),
        ("10", "12", None),
    ],
)
def test_a_base_is_part_of_a_number(gold, answer, same):
    assert math_numbers.same_in_base(gold, answer) is same


SAME, OTHER = "equal", "different"


@pytest.mark.parametrize(
    ("gold", "answer", "said"),
    [
        (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}", SAME),
        (r"\frac{\sqrt{3}}{3}", "0.577350", SAME),
        (r"\frac{\sqrt{3}}{3}", "0.577", OTHER),
        (r"288\pi", "904.778684", SAME),
        (r"288\pi", "904.78", OTHER),
        (r"\frac{1}{2^{100}}", "2^{-100}", SAME),
        ("2^{-100}", "2^{-101}", OTHER),  # Math-Verify chops both to 0
        (r"\sqrt{2}\cdot 10^{-60}", r"\sqrt{3}\cdot 10^{-60}", OTHER),
        ("0.3x", "0.1x+0.2x", SAME),
        ("0.00000067x", "0.00000068x", OTHER),
        (r"(0.0000672,\pi)", r"(0.0000674,\pi)", OTHER),
        (r"(0.5,\pi)", r"(\frac{1}{2},\pi)", SAME),
        (r"\begin{pmatrix} 1/2 \\ 3 \end{pmatrix}",
        r"\begin{pmatrix} 0.5 \\ 3 \end{pmatrix}", SAME),
        (r"\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}",
         r"-\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}", SAME),
        (r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}", r"\begin{pmatrix} 3 \\ 1 \end{pmatrix}", OTHER),
        ("1.5", r"\frac{3}{2}=1.5", SAME),
        ("p-q", r"\infty", OTHER),
        (r"\infty", r"-\infty", OTHER),
        ("12:00", "1:00", OTHER),  # to SymPy two divisions by zero
        ("x+1", "y+1", OTHER),
        (r"\sin^2 x+\cos^2 x", "1", SAME),
        ("(x+1)^2", "x^2+2x+1", SAME),
        ("y=2x+3", "-2x+y=3", SAME),
        ("3t", "3", OTHER),  # Math-Verify takes the t for a unit
    ],
)  # fmt: skip
def test_expressions_are_compared_by_their_values(gold, answer, said):
    assert math_values.verdict(gold, answer, 30) == said


@pytest.mark.parametrize(
    "huge",
    ["9^{9^{9^9}}", "-9^{9^9}+1", "(10!)!", "99999999!", "2^{10000000000}", r"\sqrt{9^{9^9}}",
     "9^{-9^{9^9}}", "1.5^{9^9}", "x^{9^{9}}", "((9^9)^9)^{9^9}", "(1,9^{9^9})", "x=9^{9^9}",
     r"\prod_{k=1}^{10000000}k", r"\begin{pmatrix}9^{9^9}\\1\end{pmatrix}"],
)  # fmt: skip
def test_a_number_too_large_is_not_computed(huge):
    assert math_values.verdict("7", huge, 30) == "too large"


def test_a_large_number_that_can_be_computed_is():
    assert math_values.verdict("2^{1000}", "4^{500}", 30) == SAME
    assert math_values.verdict("2^{1000}", "4^{501}", 30) == OTHER
    assert math_values.verdict("9^{9^{9}}", "9^{9^{9}}", 30) == SAME


def test_the_limit_is_processor_time():
    assert math_values.verdict("7", r"\binom{10^9}{10^8}", 0.2) == "timeout"
    assert math_values.verdict("1/2", "0.5", 30) == SAME
