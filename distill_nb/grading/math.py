r"""Math answers: the last \boxed{…} outside the thinking, against the gold answer.

Both are brought to a plain form first (math_forms.py). Plain numbers, numbers in a base, words and
units are compared here; everything else by Math-Verify
(https://github.com/huggingface/Math-Verify), which compares expressions. The second grader only
compares the plain forms as text. Both are kept, since the choice of grader alone moves MATH-500 by
points."""

import re
from functools import lru_cache

from distill_nb.grading import math_forms, math_numbers, math_pool, math_units
from distill_nb.grading.extract import visible_text
from distill_nb.grading.math_answer import LONGEST, last_boxed, lenient_answer
from distill_nb.grading.outcome import Grade, missing

LABEL = re.compile(r"\s*((?:\\text\{[^{}]*[^\W\d_]{2}[^{}]*\}\s*)+)[=:]")
WORDS = re.compile(r"\\text\{[^{}]*\}")
# a number as it is written when it is worked out; a decimal may stand for any value
WORKED_OUT = re.compile(r"(?:[\d\s+\-*/^{}()]|\\(?:[dt]?frac|sqrt|pi|cdot|times)(?![A-Za-z]))+")
TO_WORK_OUT = re.compile(
    r"\\(?:(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|lg|sum|prod|int|lim)(?![A-Za-z])"
)


@lru_cache(maxsize=4096)
def plain_forms(gold: str, answer: str) -> tuple[str, str, bool]:
    """The plain forms of a gold answer and an answer, and whether both name a unit and these
    differ."""
    one, unit = math_forms.read(gold)
    variables = re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", one))
    other, other_unit = math_forms.read(answer, letters=not variables)
    return one, other, unit.differs(other_unit)


def equal_text(gold: str, answer: str) -> bool:
    """Whether the plain forms are the same text."""
    one, other, units_differ = plain_forms(gold, answer)
    return not units_differ and math_forms.key(one) == math_forms.key(other)


def compare(gold: str, answer: str) -> bool | None:
    """Whether an answer is the gold answer, or None where Math-Verify has to say it."""
    one, other, units_differ = plain_forms(gold, answer)
    if units_differ or not other:
        return False
    if math_forms.key(one) == math_forms.key(other):
        return True
    if (same := math_numbers.same_in_base(one, other)) is not None:
        return same
    numbers = math_numbers.number(one), math_numbers.number(other)
    if numbers[0] and numbers[1]:
        return math_numbers.same(numbers[0], numbers[1])
    if WORDS.fullmatch(one) and WORDS.fullmatch(other):
        return False
    label = LABEL.match(other)
    if label and not LABEL.match(one) and not math_units.is_label(label[1]):
        return False  # half of it = 4
    ends = [re.split(r"=(?![^{}]*\})|\\approx", side)[-1] for side in (one, other)]
    if WORKED_OUT.fullmatch(ends[0]) and TO_WORK_OUT.search(ends[1]):
        return False  # it may be the question once more
    return None


def _outcome(gold: str, answer: str, verdicts: dict[tuple, str]) -> tuple[str, str]:
    """(outcome, detail) of an answer."""
    if len(answer) > LONGEST:
        return "wrong", f"longer than {LONGEST} characters"
    if (same := compare(gold, answer)) is not None:
        return "correct" if same else "wrong", ""
    said = verdicts[plain_forms(gold, answer)[:2]]
    if said == "timeout":
        return "timeout", f"Math-Verify took over {math_pool.SECONDS} s"
    if said == "too large":
        return "timeout", "too large a number to compute"
    if said.startswith("error: the grader"):
        return "grader_error", said
    return "correct" if said == "equal" else "wrong", said if said.startswith("error") else ""


def grade_many(golds: list[str], completions: list[str], finish_reasons: list[str]) -> list[Grade]:
    """Grade math answers, in the order given, on all cores."""
    read = [
        (gold, last_boxed(visible_text(c)), lenient_answer(c))
        for gold, c in zip(golds, completions, strict=True)
    ]
    asked = dict.fromkeys(
        plain_forms(gold, answer)[:2]
        for gold, *answers in read
        for answer in answers
        if answer and len(answer) <= LONGEST and compare(gold, answer) is None
    )
    verdicts = dict(zip(asked, math_pool.verdicts(list(asked)), strict=True))
    grades = []
    for (gold, boxed, lenient), finish_reason in zip(read, finish_reasons, strict=True):
        nothing = missing(finish_reason)
        lenient_outcome = _outcome(gold, lenient, verdicts)[0] if lenient else nothing
        if not boxed:  # no box, or an empty one
            detail = "no \\boxed{…} outside the thinking"
            grades.append(Grade(nothing, "", detail, lenient_outcome, nothing))
            continue
        outcome, detail = _outcome(gold, boxed, verdicts)
        same = len(boxed) <= LONGEST and equal_text(gold, boxed)
        second = "correct" if same else "wrong"
        grades.append(Grade(outcome, boxed, detail, lenient_outcome, second))
    return grades
