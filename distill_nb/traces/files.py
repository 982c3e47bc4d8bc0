"""The files of a set of training traces: where they are, written row group by row group, and read
again for a report."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from distill_nb.runtime import paths
from distill_nb.runtime.files import replacing

# the evaluation problem that it is, with other numbers
SCHEMA = [
    ("id", "string"),
    ("order", "int64"),
    ("problem", "string"),
    ("prompt", "string"),
    ("trace", "string"),
    ("answer", "string"),
    ("teacher", "string"),
    ("domain", "string"),
    ("source_id", "string"),
    ("template_of", "string"),
]
REJECTED = [("id", "string"), ("problem_id", "string"), ("reason", "string"), ("detail", "string")]
GROUP = 1000  # rows in one row group
BATCH = 200  # rows in memory at once, of those that are read one after another


def folder_of(dataset: str, scale: str) -> Path:
    """Where a set is."""
    return paths.runs() / scale / "traces" / dataset


def table_of(rows: list[dict], schema: list[tuple[str, str]]):
    """Rows as a pyarrow Table, from [(name, int32 | int64 | string | binary)]; texts and bytes may
    be None.

    Built from buffers: pyarrow's own conversions import pandas first, half a second in each of
    `scan`'s processes."""
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
                valid = pa.py_buffer(
                    np.packbits([v is not None for v in values], bitorder="little")
                )
            buffers = [valid, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(data))]
        arrays.append(pa.Array.from_buffers(type_, len(values), buffers))
    return pa.table(arrays, names=[name for name, _ in schema])


def columns_of(file: Path, columns: list[str]):
    """Columns of a whole Parquet file as a pyarrow Table. (parquet.read_table imports pandas
    first.)"""
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        return opened.read(columns=columns, use_threads=False)


class Writer:
    """Writes a Parquet file of SCHEMA row group by row group; it is there when all is written."""

    def __init__(self, file: Path, schema: list = SCHEMA):
        self.file, self.columns, self.rows = file, schema, []
        self.opened = contextlib.ExitStack()

    def add(self, row: dict) -> None:
        self.rows.append(row)
        if len(self.rows) == GROUP:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            self.writer.write_table(table_of(self.rows, self.columns))
            self.rows = []

    def __enter__(self):
        import pyarrow as pa
        from pyarrow import parquet

        schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in self.columns])
        beside = self.opened.enter_context(replacing(self.file))
        self.writer = self.opened.enter_context(
            parquet.ParquetWriter(beside, schema, compression="zstd")
        )
        # last, so that an error of it keeps the file from being replaced
        self.opened.push(lambda kind, *_: None if kind else self.flush())
        return self

    def __exit__(self, *error):
        return self.opened.__exit__(*error)


class Stored:
    """The first n traces of a set (None: all) as mappings, in the order of the file, to be gone
    through again and again with a few in memory. columns: names of columns, or {name of one's own:
    column}.

    Raises ValueError, with the remedy, where the set is not there."""

    def __init__(self, dataset: str, scale: str, columns, n: int | None = None):
        self.file, self.columns = (
            folder_of(dataset, scale) / "train.parquet",
            dict(zip(columns, columns, strict=True)),
        )
        if isinstance(columns, dict):
            self.columns = columns
        if not self.file.is_file():
            overlay = "" if scale == "full" else f" -f papermill_params/traces_{scale}.yaml"
            raise ValueError(
                f"dataset: there is no {dataset} of scale {scale} yet; make it: papermill "
                "notebooks/traces.ipynb "
                f"traces.ipynb -f papermill_params/traces_{dataset}.yaml{overlay}."
            )
        order = columns_of(self.file, ["order"]).column("order").to_numpy()
        self.take(np.argsort(order, kind="stable")[:n])

    def take(self, places: np.ndarray) -> None:
        """Be those at `places` in the file alone."""
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self):
        from pyarrow import parquet

        with parquet.ParquetFile(self.file, pre_buffer=False) as file:
            wanted, at, names = (
                np.zeros(file.metadata.num_rows, bool),
                0,
                list(self.columns.values()),
            )
            wanted[self.places] = True
            for group in range(file.num_row_groups):
                end = at + file.metadata.row_group(group).num_rows
                if not wanted[at:end].any():
                    at = end
                    continue
                for batch in file.iter_batches(
                    BATCH, row_groups=[group], columns=names, use_threads=False
                ):
                    for i in np.flatnonzero(wanted[at : at + batch.num_rows]):
                        yield {
                            name: batch.column(column)[i].as_py()
                            for name, column in self.columns.items()
                        }
                    at += batch.num_rows


def read(dataset: str, scale: str, columns: list[str]) -> list[dict]:
    """The rows of a set in the order in which they are taken. Raises ValueError, with the remedy,
    where it is not there."""
    stored = Stored(dataset, scale, columns)
    rows = list(stored)
    return [rows[place] for place in stored.places]
