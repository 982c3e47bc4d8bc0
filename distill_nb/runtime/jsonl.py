"""Files of one JSON record a line, such as an evaluation's: a kill tears the last at most."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from distill_nb.runtime import files

log = logging.getLogger(__name__)


def lines(file: Path) -> Iterator[tuple[int, dict]]:
    """(offset in bytes, record) of each line, one at a time; none where there is no file. A torn
    last line, from a kill while writing or a writer at work, is passed over."""
    if file.exists():
        with open(file, "rb") as f:
            offset = 0
            for raw in f:
                if not raw.endswith(b"\n"):
                    return
                yield offset, json.loads(raw)
                offset += len(raw)


def read(file: Path, repair: bool = False) -> list[dict]:
    """The records of `lines`. repair: cut a torn last line off on disk, as only the writer may."""
    if repair:
        cut_torn_line(file)
    return [record for _, record in lines(file)]


def append(file: Path, records: list[dict]) -> None:
    """Append lines and sync them to disk; where there is no room for all, none is added."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = _encoded(records)
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
    files.write_bytes(file, _encoded(records))


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


def _encoded(records: list[dict]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
