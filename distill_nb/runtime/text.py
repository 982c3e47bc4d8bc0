"""Texts for people: in one line, and without halves of surrogate pairs, which JSON may write
(`\\ud83d` alone) and UTF-8 cannot hold."""

import re
from typing import Any

HALF = re.compile("[\ud800-\udfff]")
# How JSON writes a half, or one of a pair. In a text that was decoded there is no other way to one.
ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")


def one_line(value: Any, longest: int) -> str:
    """A value or a library's error in one line, its first `longest` characters."""
    return " ".join(str(value).split())[:longest]


def clean(text: str) -> str:
    """The text with two halves that belong together joined, and U+FFFD for each other one."""
    if not HALF.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def place_of_half(value: Any, place: str = "") -> str:
    """Where a JSON value has half a pair, as in messages[1].content; "" where it has none."""
    if isinstance(value, str):
        return place or "text" if HALF.search(value) else ""
    inside: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        if any(isinstance(key, str) and HALF.search(key) for key in value):
            return f"a key of {place}" if place else "a key"
        inside = [(f"{place}.{key}" if place else str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        inside = [(f"{place}[{i}]", item) for i, item in enumerate(value)]
    return next((found for at, item in inside if (found := place_of_half(item, at))), "")
