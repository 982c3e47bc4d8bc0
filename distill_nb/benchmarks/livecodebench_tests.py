"""The tests of a LiveCodeBench problem, from the texts in its row (livecodebench.py).

public_test_cases is JSON, a list of {input, output, testtype}. private_test_cases is the same, or
base64 of zlib of a pickle of such a text. A pickle is a program, so it is never run:
`text_of_pickle` reads the one text in it and refuses anything else. As in LiveCodeBench's own
runner, a problem with a function is called with one JSON value a line and compared with a JSON
value; any other is a program with standard input and output; public tests come first."""

from __future__ import annotations

import base64
import hashlib
import json
import pickletools
import zlib
from dataclasses import dataclass

LARGEST = 2**30  # bytes of one problem's private tests, decompressed
SECONDS = 6.0  # for one test, the official limit
TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
# what pickling a text leaves
HARMLESS = TEXTS | {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}
_MODULES = (
    "string",
    "re",
    "datetime",
    "collections",
    "heapq",
    "bisect",
    "copy",
    "math",
    "random",
    "statistics",
    "itertools",
    "functools",
    "operator",
    "io",
    "sys",
    "json",
    "builtins",
    "typing",
)
# What a candidate finds imported, as the official runner gives it: every name, then the modules;
# builtins keep their own.
PRELUDE = "\n".join(
    [
        *(f"from {m} import *" for m in _MODULES),
        *(f"import {m}" for m in _MODULES),
        "sys.setrecursionlimit(50000)",
    ]
)


@dataclass(frozen=True)
class Tests:
    """inputs and expected: texts of a program; of a function the lists of arguments, and the
    values."""

    function: str  # "" for a program
    inputs: list
    expected: list
    public: int  # how many of them, the first, are public
    sha256: str  # of all of them and of the function's name


def tests_of(public: str, private: str, function: str, where: str) -> Tests:
    """The tests of one row; `where` (file and line) opens each error. Raises ValueError, one
    sentence."""
    shown = _cases(public, where, "public_test_cases")
    try:
        hidden = (
            _cases(private, where, "private_test_cases")
            if private.lstrip()[:1] == "["
            else _cases(unpacked(private), where, "private_test_cases")
        )
    except _Refused as error:
        raise ValueError(f"{where}: private_test_cases {error}; use the file of the hub.") from None
    cases = shown + hidden
    if not cases:
        raise ValueError(f"{where}: there are no tests; use the file of the hub.")
    digest = hashlib.sha256(
        json.dumps([function, [[c["input"], c["output"]] for c in cases]]).encode()
    ).hexdigest()
    if not function:
        return Tests(
            "", [c["input"] for c in cases], [c["output"] for c in cases], len(shown), digest
        )
    inputs = [
        [
            parsed(text, object, where, "input of a test")
            for text in c["input"].split("\n")
            if text.strip()
        ]
        for c in cases
    ]
    expected = [parsed(c["output"], object, where, "output of a test") for c in cases]
    return Tests(function, inputs, expected, len(shown), digest)


def unpacked(text: str) -> str:
    """The text in base64 of zlib of a pickle. Raises _Refused (a ValueError) with the rest of a
    sentence."""
    try:
        packed = base64.b64decode(text, validate=True)
        stream = zlib.decompressobj()
        data = stream.decompress(packed, LARGEST + 1)
    except (ValueError, zlib.error) as error:  # binascii.Error is a ValueError
        raise _Refused(f"are neither JSON nor base64 of zlib ({error})") from None
    if len(data) > LARGEST:
        raise _Refused(f"are larger than {LARGEST} bytes when decompressed")
    if not stream.eof:
        raise _Refused("are cut off")
    return text_of_pickle(data)


def text_of_pickle(data: bytes) -> str:
    """The text that a pickle of one text holds, read from its instructions without running any of
    them.

    Raises _Refused (a ValueError) for a pickle of anything else, such as one that would call a
    function."""
    found = []
    try:
        for instruction, value, _ in pickletools.genops(data):
            if instruction.name not in HARMLESS:
                raise _Refused(
                    f"hold a pickle that is no text (its instruction {instruction.name} is refused)"
                )
            if instruction.name in TEXTS:
                found.append(value)
    except _Refused:
        raise
    except Exception as error:  # genops raises several kinds for bytes that are no pickle
        raise _Refused(f"hold no pickle ({type(error).__name__}: {str(error)[:100]})") from None
    if len(found) != 1:
        raise _Refused(f"hold a pickle of {len(found)} texts, not of one")
    return found[0]


def parsed(
    text: str | bytes, kind: type, where: str, what: str, source: str = "the file of the hub"
) -> object:
    """The value of a JSON text. Raises ValueError where it is not JSON or not of the kind."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: {what} is not JSON ({str(error)[:100]}); use {source}."
        ) from None
    if not isinstance(value, kind):
        raise ValueError(
            f"{where}: {what} is a JSON {type(value).__name__}, not a {kind.__name__}; use "
            f"{source}."
        )
    return value


class _Refused(ValueError):
    """Private tests that are not read; the rest of a sentence as its argument."""


def _cases(text: str, where: str, what: str) -> list[dict]:
    cases = parsed(text, list, where, what)
    for case in cases:
        if not isinstance(case, dict) or not all(
            isinstance(case.get(k), str) for k in ("input", "output")
        ):
            raise ValueError(
                f"{where}: {what} has a test without the texts input and output; use the file of "
                "the hub."
            )
    return cases
