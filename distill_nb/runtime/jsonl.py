"""Evaluation records on disk: one JSON line a problem and sample, appended and synced batch by
batch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path


def read(file: Path, repair: bool = False) -> list[dict]:
    """The records of one file. A torn last line, from a kill while writing or a writer at work, is
    passed over; the writer of the file may `repair` it: cut that line off on disk, and say so."""
    if not file.exists():
        return []
    raw = file.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if repair and len(whole) < len(raw):
        print(f"{file.parent.name}/{file.name}: dropped a torn last line.")
        with open(file, "r+b") as f:
            f.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def append(file: Path, records: list[dict]) -> None:
    """Append lines and sync them to disk before returning; where the disk has no room for all of
    them, none is added."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()
    with open(file, "ab", buffering=0) as f:
        size = f.tell()
        try:
            while lines:
                lines = lines[f.write(lines) :]
            os.fsync(f.fileno())
        except OSError:
            f.truncate(size)
            raise


def write(file: Path, records: list[dict]) -> None:
    """A whole file of records, written beside and renamed."""
    beside = file.with_suffix(f".{os.getpid()}.partial")
    beside.unlink(missing_ok=True)
    try:
        append(beside, records)
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


def lines(file: Path) -> Iterator[tuple[int, dict]]:
    """(offset in bytes, record) of each whole line, one at a time."""
    if file.exists():
        with open(file, "rb") as f:
            offset = 0
            for raw in f:
                if not raw.endswith(b"\n"):
                    return
                yield offset, json.loads(raw)
                offset += len(raw)


def cut_torn_line(file: Path) -> None:
    """Cut off what a killed writer left after the last whole line."""
    if not file.exists():
        return
    with open(file, "r+b") as f:
        end = f.seek(0, os.SEEK_END)
        place = end
        while place > 0:
            start = max(0, place - 2**16)
            f.seek(start)
            found = f.read(place - start).rfind(b"\n")
            if found >= 0:
                place = start + found + 1
                break
            place = start
        if place < end:
            print(f"{file.parent.name}/{file.name}: dropped a torn last line.")
            f.truncate(place)
