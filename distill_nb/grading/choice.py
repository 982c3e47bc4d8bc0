r"""Multiple choice: the letter that an answer names, against the letter of the right option.

The letter that counts is the last one that the text outside the thinking names by `Answer: A` or by
\boxed{A}, whichever comes later; `**Answer:** (A)`, `Answer: $A$` and \boxed{\text{A) 5 m}} are
read alike. The second grader reads `Answer: A` alone, as simple-evals does (its
ANSWER_PATTERN_MULTICHOICE). The lenient reading also takes an option that is named in a sentence,
"the correct option is (A)", or a letter that stands alone on the last line."""

import re

from distill_nb.grading.extract import visible_text
from distill_nb.grading.outcome import Grade, missing

BARE = r"(?:\\(?:text|mathrm|mathbf|textbf)\{)?\s*[(\[]?\s*"
END = r"(?![A-Za-z0-9])"
ANSWER = rf"answer\s*(?:is)?\s*:\s*[*_]*\s*\$?\s*{BARE}(?P<a>[A-D]){END}"
BOX = rf"\\(?:boxed|fbox)\s*\{{\s*{BARE}(?P<b>[A-D]){END}"
NAMED = re.compile(rf"(?i:{ANSWER})|{BOX}")
SECOND = re.compile(r"(?i)Answer[ \t]*:[ \t]*\$?([A-D])\$?" + END)
SAID = re.compile(
    r"(?i:option|choice|answer)s?\s*(?:\w+\s+){0,2}(?:is\s+|:\s*)?[*(\[]*([A-D])(?![A-Za-z0-9'])"
)
ALONE = re.compile(r"[*(\[\s]*([A-D])[.)*\]\s]*")


def letter(completion: str) -> str:
    """The letter that counts; "" where none is named."""
    found = [m["a"] or m["b"] for m in NAMED.finditer(visible_text(completion))]
    return found[-1].upper() if found else ""


def lenient_letter(completion: str) -> str:
    """The letter by the lenient reading; "" where none is named."""
    text = visible_text(completion)
    said = [m[1].upper() for m in SAID.finditer(text)]
    last = ALONE.fullmatch(text.strip().rpartition("\n")[2])
    return letter(completion) or (last[1] if last else "") or (said[-1] if said else "")


def grade_many(golds: list[str], completions: list[str], endings: list[str]) -> list[Grade]:
    """Grade answers to multiple-choice questions, in the order given. golds: the right letter, or
    letters where options are the same."""
    grades = []
    for gold, completion, ending in zip(golds, completions, endings, strict=True):
        nothing = missing(ending)

        def outcome(found: str, gold: str = gold, nothing: str = nothing) -> str:
            return ("correct" if found in gold else "wrong") if found else nothing

        own, lenient = letter(completion), lenient_letter(completion)
        second = SECOND.findall(visible_text(completion))
        detail = "" if own else "no 'Answer: A' or \\boxed{A} outside the thinking"
        by_second = outcome(second[-1].upper() if second else "")
        grades.append(Grade(outcome(own), own, detail, outcome(lenient), by_second))
    return grades
