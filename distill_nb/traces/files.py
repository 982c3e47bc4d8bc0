"""The files of a set of training traces: where they are, written, and read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distill_nb.runtime import paths
from distill_nb.runtime.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

Schema = list[tuple[str, str]]  # [(name, int32 | int64 | string | binary)]
# template_of: the evaluation problem that it is, with other numbers
SCHEMA = [
    ("id", "string"), ("order", "int64"), ("problem", "string"), ("prompt", "string"),
    ("trace", "string"), ("answer", "string"), ("teacher", "string"), ("domain", "string"),
    ("source_id", "string"), ("template_of", "string"),
]  # fmt: skip
REJECTED = [("id", "string"), ("problem_id", "string"), ("reason", "string"), ("detail", "string")]
GROUP = 1000  # rows in one row group
BATCH = 200  # rows in memory at once, of those that are read one after another


def folder_of(dataset: str, scale: str) -> Path:
    """Where a set is."""
    return paths.runs() / scale / "traces" / dataset


def table_of(rows: list[dict], schema: Schema) -> pa.Table:
    """Rows as a table; texts and bytes may be None.

    Built from buffers: pyarrow's own conversions import pandas first, half a second in each worker
    process."""
    import pyarrow as pa

    arrays = []
    for name, kind in schema:
        values, type_ = [row[name] for row in rows], getattr(pa, kind)()
        if pa.types.is_integer(type_):
            buffers = [None, pa.py_buffer(np.array(values, kind))]
        else:
            data = [b"" if v is None else v.encode() if kind == "string" else v for v in values]
            ends = np.cumsum([0, *map(len, data)])
            if ends[-1] >= 2**31:
                raise ValueError(
                    f"traces: {len(rows)} rows hold more than 2 GiB in {name}; leave the longest "
                    "out."
                )
            valid = None
            if None in values:
                present = [v is not None for v in values]
                valid = pa.py_buffer(np.packbits(present, bitorder="little"))
            buffers = [valid, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(data))]
        arrays.append(pa.Array.from_buffers(type_, len(values), buffers))
    return pa.table(arrays, names=[name for name, _ in schema])


def read_columns(file: Path, columns: list[str]) -> pa.Table:
    """Columns of a whole Parquet file. (parquet.read_table imports pandas first.)"""
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        return opened.read(columns=columns, use_threads=False)


def write(file: Path, rows: Iterable[dict], schema: Schema = SCHEMA) -> int:
    """Write a Parquet file row group by row group; it is there when all is written. rows: with a
    value for each column. Returns how many there were."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = pa.schema([(name, getattr(pa, kind)()) for name, kind in schema])
    left, n = iter(rows), 0
    with (
        replacing(file) as beside,
        parquet.ParquetWriter(beside, columns, compression="zstd") as writer,
    ):
        while group := list(islice(left, GROUP)):
            writer.write_table(table_of(group, schema))
            n += len(group)
            group.clear()  # before the next is read
    return n


def write_rejected(folder: Path, rows: Iterable[dict]) -> dict[str, int]:
    """Write rejected.parquet, of rows of REJECTED; returns reason → how many."""
    counts: Counter[str] = Counter()

    def counted() -> Iterator[dict]:
        for row in rows:
            counts[row["reason"]] += 1
            yield row

    write(folder / "rejected.parquet", counted(), REJECTED)
    return counts


class StoredTraces:
    """The first n traces of a set (None: all) as mappings, in the order of the file, a few in
    memory at a time. columns: names, or {name of one's own: column}. `places`, in the file, may be
    set to read others. Raises ValueError where the set is not there."""

    def __init__(
        self, dataset: str, scale: str, columns: list[str] | dict[str, str], n: int | None = None
    ):
        self.file = folder_of(dataset, scale) / "train.parquet"
        self.columns = columns if isinstance(columns, dict) else {c: c for c in columns}
        if not self.file.is_file():
            overlay = "" if scale == "full" else f" -f papermill_params/traces_{scale}.yaml"
            raise ValueError(
                f"dataset: there is no {dataset} of scale {scale} yet; make it: papermill "
                f"notebooks/traces.ipynb traces.ipynb -f papermill_params/traces_{dataset}.yaml"
                f"{overlay}."
            )
        order = read_columns(self.file, ["order"]).column("order").to_numpy()
        self.places = np.argsort(order, kind="stable")[:n]

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[dict]:
        from pyarrow import parquet

        with parquet.ParquetFile(self.file, pre_buffer=False) as file:
            wanted = np.zeros(file.metadata.num_rows, bool)
            wanted[self.places] = True
            at, names = 0, list(self.columns.values())
            for group in range(file.num_row_groups):
                end = at + file.metadata.row_group(group).num_rows
                if not wanted[at:end].any():
                    at = end
                    continue
                for batch in file.iter_batches(
                    BATCH, row_groups=[group], columns=names, use_threads=False
                ):
                    for i in np.flatnonzero(wanted[at : at + batch.num_rows]):
                        yield {k: batch.column(c)[i].as_py() for k, c in self.columns.items()}
                    at += batch.num_rows


def read(dataset: str, scale: str, columns: list[str] | dict[str, str]) -> list[dict]:
    """The rows of a set in the order in which they are taken; ValueError as of StoredTraces."""
    stored = StoredTraces(dataset, scale, columns)
    rows = list(stored)
    return [rows[place] for place in stored.places]
