"""The part of a completion that is graded, read strictly and leniently."""

import re
import warnings

THINKING = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)


def visible_text(text: str) -> str:
    """A completion without its thinking, in <think> or <thinking>, in any case.

    A <think> that is never closed hides everything after it. A </think> that was never opened hides
    everything before it: the prompt may have begun the thinking, as R1's template does."""
    parts: list[str] = []
    place, thinks = 0, False
    for tag in THINKING.finditer(text):
        if tag[1]:  # it ends here, wherever it began
            if not thinks:
                parts = []
            place, thinks = tag.end(), False
        elif not thinks:
            parts.append(text[place : tag.start()])
            thinks = True
    return "".join(parts if thinks else [*parts, text[place:]])


# characters of the longest answer that is parsed; MATH-500's longest gold answer has 53
LONGEST = 1000
BRACES = re.compile(r"\\\\?f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)
NUMBER = re.compile(
    r"(?:(?<![\w)\]])-)?(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?(?!\d)"
)


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{…} or \fbox{…} with balanced braces (not \{ \}), or None."""
    open_at: list[int] = []  # where each open brace's content begins, or -1 if it is no box's
    last, content = -1, None
    for token in BRACES.finditer(text):  # one pass: a text that loops has thousands of open boxes
        if token.group() == "}":
            start = open_at.pop() if open_at else -1
            if start > last:
                last, content = start, text[start : token.start()]
        elif token.group().endswith("{") and token.group() != r"\{":
            open_at.append(-1 if token.group() == "{" else token.end())
    return None if content is None else content.strip()


def lenient_answer(completion: str) -> str | None:
    r"""The answer by a lenient reading: the boxed one (37 of \text{37 apples}), else the last
    number of the visible text, else None."""
    text = visible_text(completion)
    boxed = last_boxed(text)
    if boxed is not None:
        if len(boxed) > LONGEST:
            return boxed
        plain = re.sub(r"\\(?:text|mathrm)\{([^{}]*)\}", r"\1", boxed)
        with_unit = re.fullmatch(rf"\\?\$?\s*({NUMBER.pattern})\s+[A-Za-z .]+", plain)
        return with_unit.group(1) if with_unit else boxed
    numbers = NUMBER.findall(text)
    return numbers[-1] if numbers else None


def closes_its_thinking(trace: str) -> bool:
    """Whether no <think> is left open."""
    last = [tag[1] for tag in THINKING.finditer(trace)][-1:]
    return last != [""]


def compiles(code: str) -> bool:
    """Whether Python compiles the code; nothing runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes and the like
            compile(code, "<trace>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True
