"""Each rule of math_forms.py: what it forgives, what it must not forgive, and that it is needed."""

import re
import time

import pytest

from distill_nb.grading import math, math_forms, math_pool, math_units
from distill_nb.grading.graders import grade_math_all
from distill_nb.runtime import paths

# rule: (gold, another form of it) …, and (gold, what is not it) …
CASES = {
    "signs of Unicode": (
        [
            (r"\sqrt{2}", "√2"), ("3\\sqrt{13}", "3√13"), (r"\frac{1}{2}", "½"), ("17", "１７"),
            ("17", "١٧"), ("-3", "−3"), ("x^{12}", "x¹²"), (r"2\pi", "2π"), (r"\sqrt[3]{5}", "∛5"),
            (r"(2, \infty)", "（2，∞）"), ("7", "7。"), (r"1\frac{1}{2}", "1½"),
        ],
        [(r"\sqrt{2}", "√3"), (r"\frac{1}{2}", "¼"), ("17", "１１"), ("x2", "x²"), ("-3", "–4")],
    ),
    "other names": (
        [
            (r"\emptyset", r"\varnothing"), (r"\emptyset", r"\{\}"), ("3:2", r"3\colon 2"),
            (r"\frac{3}{4}", r"\tfrac{3}{4}"),
            (r"(\frac{1}{5},2)", r"\\left(\\frac{1}{5},2\\right)"),
            (r"x \le 5", r"x \leqslant 5"), ("x>5", r"x \gt 5"),
            (r"15\mbox{ cm}", r"15\mathrm{ cm}"),
        ],
        [(r"\emptyset", "0"), ("3:2", r"2\colon 3"), (r"x \le 5", r"x \geqslant 5")],
    ),
    "delimiters": (
        [
            ("24", r"\[24\]"), ("24", "$24$"), ("24", r"\(24\)"), ("24", "**24**"),
            ("x=4", r"\begin{aligned}x&=4\end{aligned}"),
        ],
        [("24", r"\[25\]"), ("12", "$1$ $3$"), ("24", "2**4")],
    ),
    "styles": (
        [
            ("24", r"\textcolor{blue}{24}"), ("24", r"\color{red}{24}"), ("24", r"\color{blue}24"),
            ("90", r"\mathbf{90^\circ}"), ("24", r"\underline{24}"), ("24", r"{\bf 24}"),
            ("(2,3)", r"\boldsymbol{(2,3)}"), ("24", r"\displaystyle 24"),
        ],
        [("24", r"\textcolor{blue}{42}"), ("24", r"\color{red}{2}"), ("0.3", r"0.\overline{3}")],
    ),
    "marks": (
        [
            ("24", r"24\tag{1}"), ("24", r"\hspace{1cm}24"), ("24", r"\phantom{0}24"),
            ("24", r"24 \checkmark"), ("24", r"24 \blacksquare"),
        ],
        [("241", r"24\tag{1}"), ("124", r"24\hspace{1cm}")],
    ),
    "sizes of brackets": (
        [("(3,4)", r"\bigl(3,4\bigr)"), ("(3,4]", r"\left(3,4\right]"), ("(3,4)",
         r"\Big(3,4\Big)")],
        [("(3,4)", r"\bigl[3,4\bigr]"), ("(3,4)", r"\left(3,4\right]"), ("(3,4)",
         r"\Big(4,3\Big)")],
    ),
    "text": (
        [("24", r"\text{24}"), ("24", r"\text{24 cm}"), ("0.5", r"\text{0.50}")],
        [("24", r"\text{25}"), ("24", r"\text{24 or more}"), ("24", r"\text{-24}")],
    ),
    "thousands": (
        [
            ("58500", "58,500"), ("58500", "58{,}500"), ("27000", r"27\,000"), ("N=58500",
            "N = 58,500"),
            ("10080", r"10,\!080"), ("11111100", r"11,\! 111,\! 100"), (r"\frac{20000}{\pi}",
            r"\frac{20\,000}{\pi}"),
        ],
        [
            ("58500", "58,50"), ("58500", "58.500"), ("(1,234)", "1234"), ("(3,100)", "(3100)"),
            ("25", "2 5"), ("111", "0,111"), ("1,2,3", "123"),
        ],
    ),
    "spaces": (
        [("10:30", r"10\!:\!30"), ("24", "24\\ "), ("(3,4)", r"(3,\;4)"), ("24", r"24~\quad")],
        [("12", r"1\;2"), ("234", r"2\ 34")],
    ),
    "lead-ins": (
        [
            ("42", r"\text{The answer is 42}"), ("42", r"\text{The answer is } 42"), ("42",
            "Answer: 42"),
            ("42", "答案是42"), ("42", r"\text{Area} = 42"), ("42", r"\text{about } 42"),
        ],
        [
            ("42", r"\text{The answer is not 42}"), ("42", r"\text{The answer is at least } 42"),
            ("42", r"\text{about half of } 42"), ("42", r"\text{Area} > 42"),
        ],
    ),
    "ordinals": (
        [("12", r"12^{\text{th}}"), ("12", r"12^{\mathrm{th}}\text{ grade}"), ("3", "3rd"),
         ("2", r"2\text{nd}")],
        [("12", "12^{t}"), ("12", r"12^{\text{th}}x"), ("12", "13th"), ("4",
         r"4\text{th root of }2")],
    ),
    "repeating decimals": (
        [(r"\frac13", r"0.\overline{3}"), (r"\frac16", r"0.1\bar{6}"), (r"\frac43",
         r"1.\overline{3}")],
        [(r"\frac13", r"0.\overline{33}4"), ("0.3", r"0.\overline{3}"), (r"\frac4{11}",
         r"0.3\overline{6}")],
    ),
    "fractions": (
        [
            (r"\frac{4}{3}", r"\frac43"), (r"\frac{4}{3}", r"{4\over3}"), (r"1\frac{4}{5}",
            "1 4/5"),
            (r"\sqrt{5}", r"\sqrt5"), (r"\frac{\pi}{2}", r"\frac{\pi}2"),
        ],
        [(r"\frac{4}{3}", r"\frac34"), (r"1\frac{4}{5}", "14/5"), (r"\frac{4}{3}", r"{3\over4}")],
    ),
    "percent": (
        [(r"20\%", "20%"), (r"20\%", "20 percent"), (r"20\%", r"20\text{ percent}"), ("0.15",
         r"15\%")],
        [(r"20\%", "2 percent"), ("0.15", r"0.15\%"), ("73", "0.73"), ("15", r"150\%")],
    ),
    "bases": (
        [
            ("52_8", "(52)_8"), ("52_8", "52_{8}"), ("52_8", r"52_{\text{eight}}"), ("52_8", "52"),
            ("A_{11}", "(A)_{11}"),
            ("52_8", r"52\text{ in base }8"), ("10", "10_{10}"), (r"\mathrm{A5}_{16}", "A5_{16}"),
        ],
        [
            ("52_8", "52_9"), ("52_8", "25_8"), ("52_8", "52_{10}"), ("10", "10_2"), ("52_8", "42"),
            ("5", "12_3"), ("a_1", "a_2"), ("42", "52_8"),
        ],
    ),
    "numbers in words": (
        [("2000000", r"2\text{ million}"), ("2500000", "2.5 million dollars"), ("120000", "12万")],
        [("2", r"2\text{ million}"), ("2000000", r"2\text{ billion}"), ("12", "12万")],
    ),
    "units": (
        [
            ("27000", r"27000\text{ cm}^3"), ("36", r"36~\text{dollars}"), (r"\$36", "36"),
            ("90", "90°"),
            ("90", r"90\degree"), ("90", "90 degrees"), ("24", r"24\ cm^2"), ("12", "12个"),
            ("5", "5 m"),
            ("12", r"12\text{ Äpfel}"), ("12", "12 штук"), (r"864\text{ inches}^2",
            r"864\text{ sq in}"),
            ("24", r"24\,\text{km/h}"), (r"5.4\text{ cents}", "5.4 ¢"), ("24",
            r"24\text{ (approximately)}"),
            (r"288\pi", r"288\pi\,\text{in}^3"), ("12", "12 apples in total"), ("6", "6 units^2"),
        ],
        [
            ("12", r"12\text{ or more}"), ("12", "12 or 13"), ("12", r"12\text{ at most}"),
            ("12", "12以上"),
            ("12", "12 oder mehr"), ("12", r"12\text{ dozen}"), ("12", r"12\text{ and a half}"),
            ("12", "12x"), ("12", "12t"), ("3t", "3"), ("12m", "12"), ("4m", r"4\text{ m}"),
            (r"15\text{ cm}^2", r"15\text{ m}^2"), (r"\$12", "12 cents"), ("5",
            r"5\text{ feet }3\text{ inches}"),
            ("12", "12abc"), ("12", r"12\text{ squared}"),
        ],
    ),
    "end": (
        [("24", "24."), ("24", "24;"), ("24", r"24\\"), ("24", "{24}"), ("24", "(24)"), ("24",
         "= 24")],
        [("24", "24!"), ("24", "24,25"), ("24", "-(24)")],
    ),
    "words": (
        [
            (r"\text{ellipse}", r"\text{Ellipse}"), (r"\text{ellipse}", r"\text{an ellipse}"),
            (r"\text{Evelyn}", r"\text{Evelyn.}"), (r"\text{(C)}", "C"), ("even", r"\text{Even}"),
        ],
        [
            (r"\text{ellipse}", r"\text{hyperbola}"), (r"\text{even}", r"\text{not even}"),
            (r"\text{Evelyn}", r"\text{Evelyn and Briana}"), (r"\text{(C)}", "D"),
            (r"\text{(C)}", "A, C"),
        ],
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh():
    math.plain_forms.cache_clear()
    yield
    math.plain_forms.cache_clear()
    math_pool.close()


def without(rule, monkeypatch):
    if rule == "units":
        nothing = math_units.Unit()
        monkeypatch.setattr(math_units, "without_units", lambda text, letters: (text, nothing))
    else:
        before = rule in math_forms.BEFORE_UNITS
        rules = math_forms.BEFORE_UNITS if before else math_forms.AFTER_UNITS
        monkeypatch.setitem(rules, rule, lambda text: text)
    math.plain_forms.cache_clear()


def test_every_rule_has_its_cases():
    assert list(CASES) == math_forms.RULES


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_forgives_a_form_and_is_needed_for_it(rule, monkeypatch):
    same = CASES[rule][0]
    assert [pair for pair in same if not math.compare(*pair)] == []
    without(rule, monkeypatch)
    assert [pair for pair in same if not math.compare(*pair)]


def test_no_rule_forgives_another_value():
    pairs = [pair for _, others in CASES.values() for pair in others]
    grades = grade_math_all([rf"\boxed{{{a}}}" for _, a in pairs], [gold for gold, _ in pairs])
    assert {p: g.outcome for p, g in zip(pairs, grades, strict=True) if g.outcome != "wrong"} == {}


QUALIFIED = [
    "at least 12", r"\text{at least } 12", r"\text{at least 12}", r"\text{more than } 12", "x>12",
    r"x \ge 12", "≥12", "> 12", "x<12", r"\pm 12", r"x \ne 12", r"\text{not } 12", "12 or fewer",
    r"12\text{ or }13", r"\text{between 12 and 13}", "12+", r"12\text{ and above}", "至少12",
    "12倍", r"\text{minus } 12", r"\text{less than 12}", "12 or so more", r"12\text{ minimum}",
]  # fmt: skip


def test_a_statement_about_a_number_is_not_the_number():
    grades = grade_math_all([rf"\boxed{{{a}}}" for a in QUALIFIED], ["12"] * len(QUALIFIED))
    assert [a for a, g in zip(QUALIFIED, grades, strict=True) if g.outcome != "wrong"] == []
    # unless the gold answer says so too
    assert math.compare(r"12 \text{ or more}", r"\text{12 or more}")


def rows_of_the_page():
    page = (paths.ROOT / "docs" / "grading.md").read_text(encoding="utf-8")
    table = page.partition("| rule |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return [(r[0], *(re.findall(r"`([^`]*)`", part) for part in r[2:])) for r in rows]


def test_the_page_has_each_rule_with_examples_that_hold():
    rows = rows_of_the_page()
    assert [name for name, _, _ in rows] == math_forms.RULES
    for name, same, other in rows:
        assert len(same) % 2 == 0 == len(other) % 2 and same and other, name
        for form, gold in zip(same[::2], same[1::2], strict=True):
            assert math.compare(gold, form), (name, form, gold)
        pairs = list(zip(other[::2], other[1::2], strict=True))
        grades = grade_math_all([rf"\boxed{{{a}}}" for a, _ in pairs], [gold for _, gold in pairs])
        assert [g.outcome for g in grades] == ["wrong"] * len(pairs), (name, pairs)


@pytest.mark.timeout(60)  # an exponential reading of these takes hours
@pytest.mark.parametrize(
    "part",
    ["word ", " cm", "{", r"\text{", "(", r"\frac", "1,", r"\mathbf{", "answer ", r"\text{a}", "½",
     r"1.\bar", "a_{", r"\left(", "5/", "x ", ".5", r"\text{in}^2", "^2", "a b "],
)  # fmt: skip
def test_a_long_odd_answer_is_read_at_once(part):
    start = time.process_time()
    for end in ("=", "", "}"):
        math.compare("7", ("5 " + part * 1000)[:999] + end)
    assert time.process_time() - start < 5
