"""What may follow a number in a math answer: units, and words that make it another value."""

import pytest

from distill_nb.grading import math, math_pool
from distill_nb.grading.graders import grade_math_all

# gold: what is the same value, and what is not
SAME = {
    "2i": [r"2\,\mathrm{i}", r"2\text{i}"],
    "3+4i": [r"3+4\mathrm{i}"],
    "2e": [r"2\mathrm{e}"],
    "6": [r"6\text{ left over}", r"6\text{ more marbles}", "6 more marbles", r"6\text{ quarts}"],
    "4": [r"\text{Time to school} = 4", r"\text{Number of quarters} = 4", r"\text{Area} = 4"],
    "8": [r"8\text{ fewer}", r"8\text{ less}", r"8\text{ times}", r"8\text{ times per day}"],
    "3": [r"3\text{ half-hours}", r"3\text{ points}", r"3\text{ m}"],
    "11": [r"11\text{ days to go}", r"11\text{ units to the right}", r"11\text{ only}"],
    "9": [r"9\text{th grade}", r"9^{\text{th}}\text{ grade}", r"9\text{ is the answer}"],
    "21": [r"21\text{st century}"],
    "10x": [r"10x\text{ dollars}"],
    "5": [r"5\text{ N}\cdot\text{m}", r"5\,\mu\text{m}", r"5\ \Omega", r"5\,\mathrm{m}/\mathrm{s}"],
    "17": ["17 (base 10)"],
    "12.3": [r"12.3\text{ (to the nearest tenth)}"],
    r"60\text{ mph}": [r"60\text{ miles per hour}"],
    r"40^\circ\text{C}": [r"40^\circ", "40", r"40\text{ degrees Celsius}", 
                          r"40^\circ\text{ Celsius}"],
    r"10\text{ AM}": ["10", r"10\text{ a.m.}", "10 am"],
    r"20\text{ ft}^2": ["20", r"20\text{ ft}", r"20\text{ square feet}", r"20\text{ sq ft}"],
    r"5\text{ m east}": [r"5\text{ m}", r"5\text{ east}"],
}  # fmt: skip
OTHER = {
    "2": [r"2\,\mathrm{e}", r"2\text{i}"],
    "3": [r"3\text{cis}", r"3\text{th root}"],
    "4": [r"\text{Half of it} = 4", r"\text{Twice the area} = 4", r"\text{Not } = 4"],
    "5": [r"5\mathrm{C}", r"5\text{E}", r"5\mathrm{C}3", "5am", r"5\text{ k}\Omega"],
    "7": [r"7\mathrm{i}", r"7\text{ i}", r"7\,\text{e}", r"7\,\mathrm{x}"],
    "12": ["12 or more", "at least 12", "more than 12", r"12\text{ or fewer}",
           r"12\text{ (or more)}", r"12\text{ marbles or more}", r"12\text{ over}"],
    "17": ["17 (base 8)"],
    r"10\text{ AM}": [r"10\text{ PM}", "10 pm"],
    r"4:30\text{ p.m.}": [r"4:30\text{ a.m.}"],
    r"5\text{ east}": [r"5\text{ west}"],
    r"5\text{ m north}": [r"5\text{ m south}"],
    r"40^\circ\text{C}": [r"40^\circ\text{F}", r"40^\circ F", r"40\text{ degrees Fahrenheit}"],
    r"40^\circ\text{ N}": [r"40^\circ\text{ S}"],
    r"20\text{ ft}^2": [r"20\text{ ft}^3", r"20\text{ cubic feet}", r"20\text{ m}^2"],
}  # fmt: skip
# words after a number that make it another value, or a statement about it
CHANGES = [
    "doubled", "halved", "tripled", "twice", "tenths", "quarters", "fifths", "sixths",
    "twentieths", "thirteenths", "pi", "sqrt", "choose", "inverse", "reciprocal", "times ten",
    "times itself", "to the power of two", "quintillion", "lakh", "grand", "score",
    "is impossible", "too small", "is too large", "cannot be", "excluded", "short",
    "when x is even", "point five", "divided by two", "if positive", "only if",
    "is not the answer", "recurring", "repeating", "hex", "binary", "in binary", "tens", "two",
    "twenty", "twenty-two", "marbles and two", "imaginary", "imaginary units", "conjugate",
    "opposite", "negated", "radicals", "factorials", "square", "hundredfold", "basis points",
    "onwards", "through nine", "inclusive", "perhaps", "probably", "instead", "add two",
    "increased by two", "with remainder one", "followed by zeros", "out of ten", "sine", "kilo",
    "permille", "diverges", "absurd", "dne", "mal zehn", "hoch zwei", "fois dix", "au carré",
]  # fmt: skip
COUNTED = [
    "pages", "students", "people", "pieces of candy", "hours later", "cm long", "miles away",
    "total", "in total", "altogether", "each", "per person", "kWh", "mL", "yuan", "years old",
    "red marbles", "marbles in the bag", "possible outcomes", "vertices", "boxes", "classes",
    "buses", "sheep", "sq in", "in", "(approximately)", "Äpfel", "個", "rubles", "kJ/mol",
]  # fmt: skip
SINGULAR = {"1": r"1\text{ marble}", r"\frac{1}{2}": r"\frac{1}{2}\text{ cup}", "9": "9th floor",
            "1/6": r"1/6\text{ chance}", "3": r"3^{\text{rd}}\text{ place}"}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _pool():
    yield
    math_pool.close()


def outcomes(pairs):
    grades = grade_math_all([rf"\boxed{{{a}}}" for _, a in pairs], [gold for gold, _ in pairs])
    return {pair: grade.outcome for pair, grade in zip(pairs, grades, strict=True)}


def test_what_changes_nothing_is_the_same_value():
    found = outcomes([(gold, a) for gold, forms in SAME.items() for a in forms])
    assert {pair: o for pair, o in found.items() if o != "correct"} == {}


def test_what_changes_the_value_is_not_the_same():
    found = outcomes([(gold, a) for gold, forms in OTHER.items() for a in forms])
    assert {pair: o for pair, o in found.items() if o != "wrong"} == {}
    backwards = [(a, gold) for gold, forms in OTHER.items() for a in forms if "text" in gold]
    assert {pair: o for pair, o in outcomes(backwards).items() if o != "wrong"} == {}


def test_words_that_change_a_number():
    pairs = [("7", rf"7\text{{ {words}}}") for words in CHANGES]
    assert {pair: o for pair, o in outcomes(pairs).items() if o != "wrong"} == {}
    assert math.compare(r"7\text{ tenths}", r"7 \text{ tenths}")
    assert not math.compare("0.3", r"0.3\text{ recurring}")
    singular = ["1 negated", r"\frac{1}{2}\text{ inverted}", r"1\text{ exactly two}", "1 mal"]
    assert [a for a in singular if math.compare(a.split("\\text")[0].split()[0], a)] == []


def test_words_that_name_what_is_counted():
    assert [w for w in COUNTED if not math.compare("7", rf"7\text{{ {w}}}")] == []
    assert [w for w in COUNTED if math.compare("8", rf"7\text{{ {w}}}")] == []
    assert [pair for pair in SINGULAR.items() if not math.compare(*pair)] == []


def test_what_is_still_to_be_computed_is_no_number():
    """Else an answer that repeats the question would be right."""
    asked = [("1/2", r"\cos\frac{\pi}{3}"), ("3", r"\log_2 8"), ("x=3", r"x = \log_2 8"),
             ("5050", r"\sum_{k=1}^{100} k"), ("1", r"\sin^2 x + \cos^2 x")]  # fmt: skip
    assert set(outcomes(asked).values()) == {"wrong"}
    done = [("1/2", r"\cos\frac{\pi}{3} = \frac12"), ("5050", r"\sum_{k=1}^{100} k = 5050"),
            ("120", "5!"), ("1024", "2^{10}"), (r"\cot x", r"\frac{\cos x}{\sin x}"),
            ("0.693147181", r"\ln 2")]  # fmt: skip
    assert set(outcomes(done).values()) == {"correct"}
