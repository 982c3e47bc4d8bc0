"""A harmless change of form never changes a verdict; another value never passes."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill_nb.grading.graders import grade_math_all

QUIET = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# ways to write an answer that change nothing, whatever the answer is
STYLES = [
    "{}", " {} ", "{{{}}}", "${}$", r"\[{}\]", r"\displaystyle {}", r"\mathbf{{{}}}",
    r"\textcolor{{blue}}{{{}}}", r"\color{{red}}{{{}}}", r"\boldsymbol{{{}}}", r"\underline{{{}}}",
    "{}.", "{};", r"{}\ ", r"\,{}\,", r"{}\tag{{1}}", r"\phantom{{0}}{}",
    r"\text{{The answer is }} {}",
    "The answer is {}", r"{} \checkmark", "\n{}\n",
]  # fmt: skip
UNITS = ["{}", r"{}\text{{ cm}}", r"{}\text{{ cm}}^2", r"{}\ \mathrm{{km/h}}",
r"{}~\text{{dollars}}",
         r"{}^\circ", "{}°", r"\${}", r"{}\text{{ square units}}", "{}个"]  # fmt: skip


def tex(value):
    """A fraction as LaTeX."""
    sign, value = ("-" if value < 0 else ""), abs(value)
    if value.denominator == 1:
        return f"{sign}{value}"
    return rf"{sign}\frac{{{value.numerator}}}{{{value.denominator}}}"


def decimal(value):
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return f"{exact:.12f}".rstrip("0").rstrip(".")


def grouped(value, comma):
    return f"{value:,}".replace(",", comma)


def wrong(golds, answers, expected):
    """The (gold, answer, outcome) that are not as expected."""
    grades = grade_math_all([rf"\boxed{{{a}}}" for a in answers], golds)
    graded = zip(golds, answers, grades, strict=True)
    return [(gold, a, g.outcome) for gold, a, g in graded if g.outcome != expected]


small = st.fractions(min_value=-999, max_value=999, max_denominator=60)
styled = st.lists(st.sampled_from(STYLES), min_size=1, max_size=2)


def dressed(answer, styles):
    for style in styles:
        answer = style.format(answer)
    return answer


@QUIET
@given(small, small, styled, st.sampled_from(UNITS))
def test_a_number_in_any_dress(value, other, styles, unit):
    written = dressed(unit.format(tex(value)), styles)
    assert wrong([tex(value)], [written], "correct") == []
    if value != other and 100 * value != other and value != 100 * other:
        assert wrong([tex(other)], [written], "wrong") == []


@QUIET
@given(
    st.integers(1000, 10**9), st.sampled_from([",", "{,}", r"\,", r",\!", r"\ ", " ", "~"]), styled
)
def test_a_number_in_groups_of_three(value, comma, styles):
    written = dressed(grouped(value, comma), styles)
    assert wrong([str(value)], [written], "correct") == []
    assert wrong([str(value + 1), str(value * 10)], [written] * 2, "wrong") == []


@QUIET
@given(st.integers(-(10**6), 10**6), st.integers(0, 9), st.integers(-9, 9))
def test_a_decimal_is_exact(digits, places, off):
    value, other = Fraction(digits, 10**places), Fraction(digits + off, 10**places)
    expected = "correct" if off == 0 else "wrong"
    assert wrong([decimal(value)], [decimal(other)], expected) == []
    assert wrong([decimal(value)], [tex(other)], expected) == []


@QUIET
@given(st.integers(2, 36), st.integers(2, 36), st.integers(1, 10**4), st.integers(1, 10**4))
def test_a_base_counts(base, other_base, value, other):
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

    def in_base(n, b):
        return (in_base(n // b, b) if n >= b else "") + digits[n % b]

    base, other_base = min(base, 16), min(other_base, 16)
    gold = rf"{in_base(value, base)}_{{{base}}}"
    assert wrong([gold], [rf"({in_base(value, base)})_{{{base}}}"], "correct") == []
    if value != other:
        assert wrong([gold], [rf"{in_base(other, base)}_{{{base}}}"], "wrong") == []
    if base != other_base:
        assert wrong([gold], [rf"{in_base(value, base)}_{{{other_base}}}"], "wrong") == []


@QUIET
@given(st.lists(small, min_size=2, max_size=3), small, styled)
def test_a_point_in_any_dress(values, other, styles):
    gold = f"({','.join(map(tex, values))})"
    for left, right in (("(", ")"), (r"\left(", r"\right)"), (r"\bigl(", r"\bigr)"), ("（", "）")):
        written = left + r",\ ".join(map(tex, values)) + right
        assert wrong([gold], [dressed(written, styles)], "correct") == []
    if other != values[0]:
        changed = f"({','.join(map(tex, [other, *values[1:]]))})"
        assert wrong([gold], [dressed(changed, styles)], "wrong") == []


@settings(QUIET, max_examples=15)
@given(st.integers(2, 50), st.integers(1, 20), st.integers(1, 9), styled)
def test_a_root_in_any_dress(radicand, factor, off, styles):
    gold = rf"{factor}\sqrt{{{radicand}}}"
    same = [
        rf"{factor}√{radicand}",
        rf"\sqrt{{{radicand}}}\cdot {factor}",
        rf"\sqrt{{{factor**2 * radicand}}}",
    ]
    for written in same:
        assert wrong([gold], [dressed(written, styles)], "correct") == []
    other = rf"{factor}\sqrt{{{radicand + off}}}"
    assert wrong([gold], [dressed(other, styles)], "wrong") == []


WORDS = ["or more", "or less", "at most", "at least", "and 1", "or 1", "x", "million", "!",
"^2", "+",
         "dozen", "oder mehr", "以上", "万"]  # fmt: skip


@QUIET
@given(st.integers(3, 10**6), st.sampled_from(WORDS), st.booleans())
def test_more_than_a_number_is_not_the_number(value, word, in_text):  # 2! is 2
    word = rf"\text{{ {word}}}" if in_text and word not in ("!", "^2", "+", "x") else f" {word}"
    assert wrong([str(value)], [f"{value}{word}"], "wrong") == []
