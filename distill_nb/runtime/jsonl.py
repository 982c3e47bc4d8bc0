"""Files of one JSON object a line: records of our own, which a kill tears at the last line at most,
and data from elsewhere, read strictly."""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from distill_nb.runtime import file_kinds, files
from distill_nb.runtime.text import ESCAPED, clean, place_of_half

log = logging.getLogger(__name__)
MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors write before UTF-8


# ---- records of our own


def lines(file: Path) -> Iterator[tuple[int, dict]]:
    """(offset in bytes, record) of each line, one at a time; none where there is no file. A torn
    last line, from a kill while writing or a writer at work, is passed over. ValueError for any
    other line that is damaged."""
    if file.exists():
        with open(file, "rb") as f:
            offset = 0
            for number, raw in enumerate(f, 1):
                if not raw.endswith(b"\n"):
                    return
                try:
                    record = json.loads(raw)
                except ValueError:
                    raise ValueError(
                        f"{file.parent.name}/{file.name}: line {number} is damaged; put a copy of "
                        "the file back, or remove the line."
                    ) from None
                yield offset, record
                offset += len(raw)


def read(file: Path, repair: bool = False) -> list[dict]:
    """The records of `lines`. repair: cut a torn last line off on disk, as only the writer may."""
    if repair:
        cut_torn_line(file)
    return [record for _, record in lines(file)]


def append(file: Path, records: list[dict]) -> None:
    """Append lines and sync them to disk; where there is no room for all, none is added."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = encoded(records)
    with open(file, "ab", buffering=0) as f:
        size = f.tell()
        try:
            while data:
                data = data[f.write(data) :]
            os.fsync(f.fileno())
        except OSError:
            f.truncate(size)
            raise


def write(file: Path, records: list[dict]) -> None:
    """The whole of a file."""
    files.write_bytes(file, encoded(records))


def cut_torn_line(file: Path) -> None:
    """Cut off what a killed writer left after the last whole line, and say so."""
    if not file.exists():
        return
    with open(file, "r+b") as f:
        end = 0
        for line in f:
            if line.endswith(b"\n"):
                end += len(line)
        if end < f.tell():
            log.info("%s/%s: dropped a torn last line.", file.parent.name, file.name)
            f.truncate(end)


def encoded(records: list[dict]) -> bytes:
    """The bytes of records as lines; U+FFFD stands for half a surrogate pair."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return clean("".join(lines)).encode()


# ---- data from elsewhere


class Line(NamedTuple):
    """A row: which line it is, from 1, the offset of the line in bytes, and its object."""

    number: int
    offset: int
    row: dict


def rows(
    stream: Iterable[bytes], name: str, remedy: str = "correct or remove it", finite: bool = True
) -> Iterator[Line]:
    """The objects of a file's lines, one at a time; blank lines and byte order marks are passed
    over. finite: refuse NaN and Infinity, which are no JSON.

    Raises ValueError "<name>: line 3 …; <remedy>." for a line that is not UTF-8, not JSON or no
    object, has a key twice or half a surrogate pair anywhere, and for a file of another kind."""
    offset, found = 0, False
    for number, raw in enumerate(stream, 1):
        where = f"{name}: line {number}"
        if number == 1 and (other := file_kinds.other_kind(raw[: file_kinds.HEAD])):
            raise ValueError(f"{name} {other}.")
        content = raw.removeprefix(MARK)
        if content.strip():
            if not found and content.lstrip().startswith(b"["):
                raise ValueError(
                    f"{name} is one JSON array; write one object a line, as jq -c '.[]' does."
                )
            found = True
            yield Line(number, offset, _row(content, where, remedy, finite))
        offset += len(raw)


def _row(raw: bytes, where: str, remedy: str, finite: bool) -> dict:
    if b"\0" in raw:
        raise ValueError(f"{where} has NUL bytes, as a crash leaves them; {remedy}.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where} is not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8."
        ) from None
    return parsed(text, where, remedy, finite)


def parsed(text: str, where: str, remedy: str, finite: bool = True) -> dict:
    """The object of a JSON text. Raises ValueError as `rows`."""
    try:
        value = (FINITE if finite else ANY).decode(text)
        if ESCAPED.search(text) and (place := place_of_half(value)):
            raise _Refused(f"has half a surrogate pair in {place!r}")
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply; {remedy}.") from None
    except _Refused as error:
        raise ValueError(f"{where} {error}; {remedy}.") from None
    except ValueError as error:
        why = getattr(error, "msg", str(error))[:100]
        raise ValueError(f"{where} is not JSON ({why}); {remedy}.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no mapping; write one JSON object a line.")
    return value


class _Refused(ValueError):
    """What is not taken as JSON; the middle of a sentence as its argument."""


def _object(pairs: list[tuple[str, Any]]) -> dict:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"has the key {twice!r} twice in one object")
    return made


def _constant(name: str) -> float:
    raise _Refused(f"has {name}, which is not JSON (null says that a value is missing)")


FINITE = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
ANY = json.JSONDecoder(object_pairs_hook=_object)
