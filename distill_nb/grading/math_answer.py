"""The math answer in a completion, read strictly and leniently."""

import re

from distill_nb.grading.extract import visible_text

# characters of the longest answer that is parsed; MATH-500's longest gold answer has 53
LONGEST = 1000
BRACES = re.compile(r"\\\\?f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)
GROUP = r"\{[^{}]{0,200}\}"
# \boxed 4 and \boxed \frac{3}{4}, without braces
UNBRACED = re.compile(
    r"\\f?box(?:ed)?(?![A-Za-z{])[ \t]*"
    rf"(?P<it>-?(?:\d[\d,.]*(?:/\d+)?|\\[A-Za-z]+(?:{GROUP}){{0,2}}|[A-Za-z](?![A-Za-z])))"
)
INTEGER = r"(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d+)"
NUMBER = re.compile(
    rf"(?:(?<![\w)\]}}])-)?(?:\\[dtc]?frac\s*\{{-?\d+\}}\s*\{{\d+\}}|{INTEGER}(?:\.\d+)?(?:/\d+)?(?!\d))"
)
FORMULA = re.compile(
    r"\$\$(?P<a>[^$]{1,1000})\$\$|(?<![\\$])\$(?P<b>(?:[^$\\\n]|\\.){1,1000})\$"
    r"|\\\((?P<c>(?:(?!\\\)).){1,1000})\\\)|\\\[(?P<d>(?:(?!\\\]).){1,1000})\\\]",
    re.DOTALL,
)
PROSE = re.compile(r"(?<![\\{A-Za-z])[A-Za-z]{2,}\s+[A-Za-z]{2,}")


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{…} or \fbox{…} with balanced braces (not \{ \}), or of a
    \boxed 4 after it; None if there is none."""
    open_at: list[int] = []  # where each open brace's content begins, or -1 if it is no box's
    last, content = -1, None
    for token in BRACES.finditer(text):  # one pass: a text that loops has thousands of open boxes
        if token.group() == "}":
            start = open_at.pop() if open_at else -1
            if start > last:
                last, content = start, text[start : token.start()]
        elif token.group().endswith("{") and token.group() != r"\{":
            open_at.append(-1 if token.group() == "{" else token.end())
    for match in UNBRACED.finditer(text, max(last, 0)):
        content = match["it"].rstrip(".,")
    return None if content is None else content.strip()


def lenient_answer(completion: str) -> str | None:
    r"""The answer by a lenient reading: the boxed one, else the last number of the visible text,
    with the formula that it stands in ($\frac{3}{4}$), else None."""
    text = visible_text(completion)
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    number = None
    for number in NUMBER.finditer(text):  # noqa: B007
        pass
    if number is None:
        return None
    start = max(0, number.start() - 2 * LONGEST)
    if start:  # a line's start: in the midst of one, a formula's end could be taken for its start
        start = max(start, text.find("\n", start, number.start()) + 1)
    for formula in FORMULA.finditer(text, start, number.end() + LONGEST):
        if formula.start() <= number.start() < formula.end():
            return _value(formula[formula.lastindex or 0]) or number.group()
    return number.group()


def _value(formula: str) -> str | None:
    """The right side of a formula's last relation; None for prose between two dollar signs."""
    if PROSE.search(re.sub(r"\\text\{[^{}]*\}", "", formula)):
        return None
    return re.split(r"(?<![<>!])=|\\approx|\\equiv|\\implies|\\Rightarrow", formula)[-1].strip(
        " .,;"
    )
