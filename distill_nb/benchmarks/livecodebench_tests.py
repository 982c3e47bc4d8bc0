"""The tests of a LiveCodeBench problem, from the texts in its row (livecodebench.py).

public_test_cases is JSON, a list of {input, output, testtype}. private_test_cases is the same, or
base64 of zlib of a pickle of such a text. A pickle is a program, so it is never run:
`text_of_pickle` reads the one text in it and refuses anything else. As in LiveCodeBench's own
runner, a function is called with one JSON value a line and its result compared with a JSON value; a
problem without a function is a program with standard input and output. Public tests come first."""

import base64
import hashlib
import json
import pickletools
import zlib
from dataclasses import dataclass
from typing import TypeVar

from distill_nb.runtime.text import ESCAPED, place_of_half

T = TypeVar("T")
LARGEST = 2**30  # bytes of one problem's private tests, decompressed
SECONDS = 6.0  # for one test, the official limit
TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
# the instructions in a pickle of a text
HARMLESS = TEXTS | {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}
_MODULES = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random",
    "statistics", "itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing",
)  # fmt: skip
# What a candidate finds imported, as by the official runner: every name, then the modules. builtins
# come last but one, so that they keep their own names.
_IMPORTS = [f"from {m} import *" for m in _MODULES] + [f"import {m}" for m in _MODULES]
PRELUDE = "\n".join([*_IMPORTS, "sys.setrecursionlimit(50000)"])


@dataclass(frozen=True)
class Tests:
    """inputs and expected: for a program texts; for a function lists of arguments, and values."""

    function: str  # "" for a program
    inputs: list
    expected: list
    public: int  # how many of them, the first, are public
    sha256: str  # of all of them and of the function's name


def tests_of(public: str, private: str, function: str, where: str) -> Tests:
    """The tests of one row; `where` (file and line) opens each ValueError."""
    shown = _cases(public, where, "public_test_cases")
    try:
        text = private if private.lstrip()[:1] == "[" else unpacked(private)
    except _Refused as error:
        raise ValueError(f"{where}: private_test_cases {error}; use the file of the hub.") from None
    cases = shown + _cases(text, where, "private_test_cases")
    if not cases:
        raise ValueError(f"{where}: there are no tests; use the file of the hub.")
    inputs: list = [case["input"] for case in cases]
    expected: list = [case["output"] for case in cases]
    content = [function, [list(pair) for pair in zip(inputs, expected, strict=True)]]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    if function:
        inputs = [_arguments(text, where) for text in inputs]
        expected = [parsed(text, object, where, "output of a test") for text in expected]
    return Tests(function, inputs, expected, len(shown), digest)


def _arguments(text: str, where: str) -> list:
    lines = [line for line in text.split("\n") if line.strip()]
    return [parsed(line, object, where, "input of a test") for line in lines]


def unpacked(text: str) -> str:
    """The text in base64 of zlib of a pickle. Raises _Refused with the rest of a sentence."""
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
    """The text in a pickle of one text, read from its instructions without running any of them.
    Raises _Refused for a pickle of anything else, such as one that would call a function."""
    found: list[str] = []
    try:
        for instruction, value, _ in pickletools.genops(data):
            if instruction.name not in HARMLESS:
                raise _Refused(
                    f"hold a pickle that is no text (its instruction {instruction.name} is refused)"
                )
            if instruction.name in TEXTS:
                found.append(str(value))
    except _Refused:
        raise
    except Exception as error:  # genops raises several kinds for bytes that are no pickle
        raise _Refused(f"hold no pickle ({type(error).__name__}: {str(error)[:100]})") from None
    if len(found) != 1:
        raise _Refused(f"hold a pickle of {len(found)} texts, not of one")
    return found[0]


def parsed(
    text: str, kind: type[T], where: str, what: str, source: str = "the file of the hub"
) -> T:
    """The value of a JSON text. Raises ValueError where it is not JSON, has half a surrogate pair,
    or is not of the kind."""
    try:
        value = json.loads(text)
        half = ESCAPED.search(text) and place_of_half(value)
    except (ValueError, RecursionError) as error:
        reason = str(error)[:100]
        raise ValueError(f"{where}: {what} is not JSON ({reason}); use {source}.") from None
    if half:
        raise ValueError(f"{where}: {what} has half a surrogate pair; use {source}.")
    if not isinstance(value, kind):
        found = type(value).__name__
        raise ValueError(f"{where}: {what} is a JSON {found}, not a {kind.__name__}; use {source}.")
    return value


class _Refused(ValueError):
    """Private tests that are not read; the end of a sentence as its argument."""


def _cases(text: str, where: str, what: str) -> list[dict]:
    cases = parsed(text, list, where, what)
    for case in cases:
        texts = [case.get(k) for k in ("input", "output")] if isinstance(case, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(
                f"{where}: {what} has a test without the texts input and output; use the file of "
                "the hub."
            )
    return cases
