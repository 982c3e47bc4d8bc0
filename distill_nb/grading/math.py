r"""Math answers: the last \boxed{…} outside the thinking, against the gold answer.

The strict verdict is Math-Verify's (https://github.com/huggingface/Math-Verify), which compares expressions. The
second grader compares normalised text. Neither is the truth: graders alone move MATH-500 by points, so both are kept.

Math-Verify limits its time by SIGALRM, which works only in the main thread (its issue #55). Off the main thread its
limit is switched off, and an answer such as 9^{9^{9}} can then run for very long; grade math in the main thread.
"""
from __future__ import annotations

import logging
import re
import threading

from ..benchmarks import Task
from . import Grade, missing, visible_text

SECONDS = 5       # for each parsing and for each comparison
LONGEST = 1000    # characters of an answer that is still parsed; MATH-500's longest gold answer has 53
NUMBER = re.compile(r"(?:(?<![\w)\]])-)?(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?(?!\d)")


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{…} or \fbox{…} whose braces balance (\{ and \} do not count), or None."""
    for opening in reversed(list(re.finditer(r"\\f?box(?:ed)?\s*\{", text))):
        depth, i = 1, opening.end()
        while i < len(text):
            if text[i] == "\\":
                i += 1
            elif text[i] in "{}":
                depth += 1 if text[i] == "{" else -1
                if depth == 0:
                    return text[opening.end():i].strip()
            i += 1
    return None


def normalise(answer: str) -> str:
    """An answer's text without what does not change its meaning, for comparison as text."""
    text = re.sub(r"\\left(?![a-z])|\\right(?![a-z])|\\[!,;: ]|\\\$|\$|\s|\{,\}", "", answer)
    text = re.sub(r"\\[dt]frac", r"\\frac", text).removesuffix(".")
    # Commas between thousands only: (1,2) and 1,2 keep theirs.
    return re.sub(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])", lambda m: m.group().replace(",", ""), text)


def equal(gold: str, answer: str) -> bool:
    """Math-Verify's verdict on two LaTeX answers. Raises TimeoutError where it does not come to one in time."""
    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    if len(answer) > LONGEST:
        return False
    limit = SECONDS if threading.current_thread() is threading.main_thread() else None
    if limit is None:
        logging.getLogger("math_verify").setLevel(logging.ERROR)  # it would warn of the missing limit
    try:
        sides = [parse(f"\\boxed{{{side}}}", parsing_timeout=limit) for side in (gold, answer)]
        return all(sides) and bool(verify(*sides, timeout_seconds=limit, raise_on_error=True))
    except TimeoutException as error:  # a BaseException, which must not end the evaluation
        raise TimeoutError(f"Math-Verify took over {SECONDS} s") from error


def _outcome(gold: str, answer: str) -> tuple[str, str]:
    """(outcome, detail) of an answer. Equal text is correct whatever Math-Verify makes of it."""
    if normalise(gold) == normalise(answer):
        return "correct", ""
    try:
        return ("correct" if equal(gold, answer) else "wrong"), ""
    except TimeoutError as error:
        return "grader_error", str(error)
    except Exception as error:  # SymPy may fail in any way on an answer that means nothing
        return "wrong", f"not comparable: {type(error).__name__}: {error}"[:200]


def lenient_answer(completion: str) -> str | None:
    r"""The answer by a lenient reading: the boxed one (37 where it is \text{37 apples}), else the last number of the
    visible text, else None."""
    text = visible_text(completion)
    boxed = last_boxed(text)
    if boxed is not None:
        with_unit = re.fullmatch(rf"\\?\$?\s*({NUMBER.pattern})\s+[A-Za-z .]+",
                                 re.sub(r"\\(?:text|mathrm)\{([^{}]*)\}", r"\1", boxed))
        return with_unit.group(1) if with_unit else boxed
    numbers = NUMBER.findall(text)
    return numbers[-1] if numbers else None


def grade(task: Task, completion: str, finish_reason: str) -> Grade:
    """Grade a math answer; see the module and `Grade` for what the three outcomes mean."""
    boxed = last_boxed(visible_text(completion))
    lenient = lenient_answer(completion)
    nothing = missing(finish_reason)
    lenient_outcome = nothing if not lenient else _outcome(task.gold, lenient)[0]
    if not boxed:  # no box, or an empty one
        return Grade(nothing, "", "no \\boxed{…} outside the thinking", lenient_outcome, nothing)
    outcome, detail = _outcome(task.gold, boxed)
    second = "correct" if normalise(task.gold) == normalise(boxed) else "wrong"
    return Grade(outcome, boxed, detail, outcome if lenient == boxed else lenient_outcome, second)
