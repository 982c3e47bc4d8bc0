"""The part of a completion that is graded, read strictly and leniently."""

import re
import warnings


def visible_text(text: str) -> str:
    """A completion without its thinking.

    A <think> that is never closed hides everything after it. A </think> that was never opened hides
    everything before it: the prompt may have begun the thinking, as R1's template does."""
    parts, place = [], 0
    while (start := text.find("<think>", place)) >= 0:
        end = text.find("</think>", start)
        if end < 0:
            break
        parts.append(text[place:start])
        place = end + len("</think>")
    rest = "".join(parts) + text[place:]
    return rest.rpartition("</think>")[2].partition("<think>")[0]


OPENING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
CLOSING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*$")


def blocks(text: str) -> list[str]:
    """The contents of the complete fenced blocks of a text, in order.

    As in CommonMark (https://spec.commonmark.org/0.31.2/#fenced-code-blocks), except that a fence
    may have any indent, for blocks in lists, and that a fence that nothing closes is text."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    closing = [CLOSING.match(line) for line in lines]
    # the longest closing fence of each kind from each line on; after the last there is none
    longest = {"`": 0, "~": 0}
    closable = [longest]
    for match in reversed(closing):
        if match:
            kind = match["fence"][0]
            longest = longest | {kind: max(longest[kind], len(match["fence"]))}
        closable.append(longest)
    closable.reverse()
    found, opening = [], None
    content: list[str] = []
    for i, line in enumerate(lines):
        if opening is None:
            opening, content = OPENING.match(line), []
            if opening and closable[i + 1][opening["fence"][0]] < len(opening["fence"]):
                opening = None
        elif _closes(closing[i], opening):
            found.append("".join(content))
            opening = None
        else:
            indent = len(line) - len(line.lstrip(" \t"))
            content.append(line[min(indent, len(opening["indent"])) :] + "\n")
    return found


def _closes(closing: re.Match | None, opening: re.Match) -> bool:
    """Whether a line closes a block: the same sign, at least as often, and not far to its right,
    where it would be inside a docstring."""
    if closing is None or not closing["fence"].startswith(opening["fence"]):
        return False
    return len(closing["indent"]) <= len(opening["indent"]) + 3


def lenient_code(text: str, entry_point: str) -> str:
    """The code by a lenient reading: the last complete block that defines the entry point (without
    an entry point the last block), else all from the first line of code to the next fence."""
    name = entry_point.partition("(")[0]  # the class Solution of Solution().method
    definition = re.compile(rf"^(?:def|class) {re.escape(name)}\b", re.MULTILINE)
    defining = [block for block in blocks(text) if not name or definition.search(block)]
    if defining:
        return defining[-1]
    start = re.search(r"^(?:def|import|from|class) ", text, re.MULTILINE)
    if start is None:
        return ""
    return re.split(r"^[ \t]*(?:```|~~~)", text[start.start() :], maxsplit=1, flags=re.MULTILINE)[0]


def closes_its_thinking(trace: str) -> bool:
    """Whether no <think> is left open."""
    return trace.rfind("</think>") >= trace.rfind("<think>")


def compiles(code: str) -> bool:
    """Whether Python compiles the code; nothing runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes and the like
            compile(code, "<trace>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True
