"""Files that are written whole or not at all: a kill, a full disk or a power failure leaves the old
file or the new one, never a part."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill_nb.runtime.text import clean

BESIDE = ".partial"  # ends the names of files that a killed process left half-written


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path to write to in place of `file`, whose folder is made. When the block ends, what is
    there is synced and renamed to `file`; after an error it is removed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # hidden, so that no pattern for finished files matches it
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}{BESIDE}")
    try:
        yield beside
        with open(beside, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(file: Path, data: bytes) -> None:
    """The whole of a file."""
    with replacing(file) as beside:
        beside.write_bytes(data)


def write_text(file: Path, text: str) -> None:
    """The whole of a file, in UTF-8; U+FFFD stands for half a surrogate pair."""
    write_bytes(file, clean(text).encode())


def write_json(file: Path, value: Any) -> None:
    """The whole of a file that all may read, as indented JSON. Raises ValueError for NaN, TypeError
    for what JSON cannot hold; the file is then as it was."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with replacing(file) as beside:
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o644)
