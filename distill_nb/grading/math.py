r"""Math answers: the last \boxed{…} outside the thinking, against the gold answer.

The strict verdict is Math-Verify's (https://github.com/huggingface/Math-Verify), which compares
expressions. The second grader compares normalised text. Both are kept, since the choice of grader
alone moves MATH-500 by points."""

import re

from distill_nb.grading import math_pool
from distill_nb.grading.extract import LONGEST, last_boxed, lenient_answer, visible_text
from distill_nb.grading.outcome import Grade, missing

GAP = r"(?:\s|\\[!,;: ]|~)+"  # LaTeX's spaces


def normalise(answer: str) -> str:
    """An answer's text, for comparison as text, without what does not change its meaning."""
    # A space within 10 080 is removed; one between two numbers stays, as 2 5 is not 25.
    text = re.sub(
        rf"(?<![\d.])\d{{1,3}}(?:{GAP}\d{{3}})+(?!\d)", lambda m: re.sub(GAP, "", m.group()), answer
    )
    text = re.sub(rf"(?<=\d){GAP}(?=\d)", "_", text)
    text = re.sub(r"\\left(?![a-z])|\\right(?![a-z])|\\[!,;: ]|\\\$|\$|\s|\{,\}", "", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text).removesuffix(".")
    # Only commas between thousands are removed: (1,2) and 1,2 keep theirs.
    return re.sub(
        r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])", lambda m: m.group().replace(",", ""), text
    )


def _outcome(gold: str, answer: str, verdicts: dict[tuple, str]) -> tuple[str, str]:
    """(outcome, detail) of an answer. Equal text is correct whatever Math-Verify says."""
    if len(answer) > LONGEST:
        return "wrong", f"longer than {LONGEST} characters"
    if normalise(gold) == normalise(answer):
        return "correct", ""
    said = verdicts.get((gold, answer), "different")
    if said == "timeout":
        return "timeout", f"Math-Verify took over {math_pool.SECONDS} s"
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
        (gold, answer)
        for gold, *answers in read
        for answer in answers
        if answer and len(answer) <= LONGEST and normalise(gold) != normalise(answer)
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
        same = len(boxed) <= LONGEST and normalise(gold) == normalise(boxed)
        second = "correct" if same else "wrong"
        grades.append(Grade(outcome, boxed, detail, lenient_outcome, second))
    return grades
