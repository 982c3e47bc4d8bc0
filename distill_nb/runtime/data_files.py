"""Data from elsewhere, a .jsonl or .parquet file, row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.runtime import file_kinds, jsonl
from distill_nb.runtime.text import one_line

if TYPE_CHECKING:
    import pyarrow as pa

_opened: set[str] = set()  # by this process, ever

BATCH = 256  # rows of a Parquet file in memory at once


def rows(
    path: Path, name: str, remedy: str = "correct or remove it", columns: list[str] | None = None
) -> Iterator[tuple[str, dict]]:
    """(where, row) of each row, where as in "<name>: line 3", or "row 3" of a Parquet file.
    columns: those of a Parquet file to read, where it has them. Raises ValueError as jsonl.rows."""
    note(path)
    if path.suffix == ".parquet":
        yield from _parquet(path, name, remedy, columns)
    else:
        with open(path, "rb") as stream:
            for line in jsonl.rows(stream, name, remedy):
                yield f"{name}: line {line.number}", line.row


def note(path: Path) -> None:
    """Remember that this process reads a file of data (see `opened`)."""
    _opened.add(str(path))


def opened() -> tuple[str, ...]:
    """The files of data that this process has read: they may hold answers, and model-written code
    must not see them."""
    return tuple(sorted(_opened))


def _parquet(
    path: Path, name: str, remedy: str, columns: list[str] | None
) -> Iterator[tuple[str, dict]]:
    from pyarrow import parquet

    with open(path, "rb") as stream:
        head = stream.read(file_kinds.HEAD)
    if not head.startswith(b"PAR1") and (other := file_kinds.other_kind(head)):
        raise ValueError(f"{name} {other}.")
    number, damaged = 1, f"{name}: not a Parquet file, or a damaged one"
    with parquet_errors(damaged, "write it anew"), parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if twice := [column for column in names if names.count(column) > 1]:
            raise ValueError(f"{name} has the column {twice[0]!r} twice; {remedy}.")
        if columns is not None:
            names = [column for column in columns if column in names]
        for batch in file.iter_batches(batch_size=BATCH, columns=names, use_threads=False):
            for row in _rows_of(batch, name, number, remedy):
                yield f"{name}: row {number}", row
                number += 1


@contextlib.contextmanager
def parquet_errors(what: str, remedy: str) -> Iterator[None]:
    """pyarrow's errors within as ValueError: "<what> (<why>); <remedy>."."""
    import pyarrow as pa

    try:
        yield
    except MemoryError:  # pyarrow's own is an ArrowException too
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{what} ({one_line(error, 100)}); {remedy}.") from None


def _rows_of(batch: pa.RecordBatch, name: str, first: int, remedy: str) -> list[dict]:
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:
        pass
    for i in range(batch.num_rows):
        for column in batch.schema.names:
            try:
                batch.column(column)[i].as_py()
            except UnicodeDecodeError:
                raise ValueError(
                    f"{name}: row {first + i} is not UTF-8 in {column!r}, such as half a surrogate "
                    f"pair; {remedy}."
                ) from None
    raise AssertionError("a batch was not readable, and each of its values is")
