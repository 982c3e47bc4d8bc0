"""The fenced code blocks of a text."""

import re
from dataclasses import dataclass

# what a line may stand in, of a list or a quotation; then the fence, and what it says after it
OPENING = re.compile(
    r"(?P<inside>(?:[ \t]*(?:>|[-*+][ \t]|\d{1,9}[.)][ \t]))*)(?P<indent>[ \t]*)"
    r"(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)"
)
CLOSING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*$")
QUOTED = re.compile(r"(?:[ \t]*>[ \t]?)+")
WORD = re.compile(r"[{.\s]*([\w+#-]*)")


@dataclass(frozen=True)
class Block:
    """The content of a fenced block, and the language that it names, in small letters, or ""."""

    language: str
    code: str


def blocks(text: str, unclosed: bool = False) -> list[Block]:
    """The complete fenced blocks of a text, in order.

    As in CommonMark (https://spec.commonmark.org/0.31.2/#fenced-code-blocks), except that a fence
    may have any indent, for blocks in lists; that a fence that nothing closes is text; and that a
    fence that names a language begins a new block, wherever it stands. `unclosed`: the text ends
    the last block."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    closing = [CLOSING.match(_unquoted(line)) for line in lines]
    closable = [{"`": 0, "~": 0}] * (len(lines) + 1) if unclosed else _closable(closing)
    found: list[Block] = []
    opening, content = None, [""]
    for i, line in enumerate(lines):
        if opening and _closes(closing[i], opening):
            found.append(_block(opening, content))
            opening = None
            continue
        new = OPENING.match(line)
        if new and opening and not _begins_anew(new, opening):
            new = None
        if new and (unclosed or closable[i + 1][new["fence"][0]] >= len(new["fence"])):
            opening, content = new, []
        elif opening:
            content.append(_without_container(line, opening))
    if unclosed and opening:
        found.append(_block(opening, content))
    return found


def _unquoted(line: str) -> str:
    """A line without the signs of a quotation."""
    signs = QUOTED.match(line)
    return line[signs.end() :] if signs else line


def _closable(closing: list[re.Match | None]) -> list[dict[str, int]]:
    """The longest closing fence of each kind from each line on; after the last there is none."""
    longest = {"`": 0, "~": 0}
    found = [longest]
    for match in reversed(closing):
        if match:
            kind = match["fence"][0]
            longest = longest | {kind: max(longest[kind], len(match["fence"]))}
        found.append(longest)
    return found[::-1]


def _width(opening: re.Match) -> int:
    """How far a block's lines are indented."""
    return len(_unquoted(opening["inside"] + opening["indent"]))


def _closes(closing: re.Match | None, opening: re.Match) -> bool:
    """Whether a line closes a block: the same sign, at least as often, and not far to its right,
    where it would be inside a docstring."""
    if closing is None or not closing["fence"].startswith(opening["fence"]):
        return False
    return len(closing["indent"]) <= _width(opening) + 3


def _begins_anew(new: re.Match, opening: re.Match) -> bool:
    """Whether a fence in an open block begins another: it would close it, but names a language."""
    if not new["info"].strip() or not new["fence"].startswith(opening["fence"]):
        return False
    return not new["inside"].strip(" \t>") and _width(new) <= _width(opening) + 3


def _without_container(line: str, opening: re.Match) -> str:
    if ">" in opening["inside"]:
        line = _unquoted(line)
    indent = len(line) - len(line.lstrip(" \t"))
    return line[min(indent, _width(opening)) :]


def _block(opening: re.Match, content: list[str]) -> Block:
    word = WORD.match(opening["info"])
    language = word[1].lower() if word else ""
    return Block(language, "".join(f"{line}\n" for line in content))
