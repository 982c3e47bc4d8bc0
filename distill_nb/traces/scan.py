"""Reading the hub's traces in several processes, in two passes that keep memory flat at any size.

`judge` writes what it finds in one row group, without the traces, to a part of its own; a killed
scan goes on with the groups that are missing. `fetch` reads the chosen rows' traces again."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from distill_nb.runtime import paths, progress, provenance
from distill_nb.traces import hub, row_group
from distill_nb.traces.decontamination.match import Statements
from distill_nb.traces.hub_rows import Row
from distill_nb.traces.params import TraceParams
from distill_nb.traces.row_group import RowGroup
from distill_nb.traces.workers import results


def row_groups(files: list[Path], dataset: str) -> list[RowGroup]:
    """The row groups of all files. ValueError for one that is no Parquet, or of another shape."""
    return [group for i, path in enumerate(files) for group in groups_of(path, dataset, i)]


def groups_of(
    path: Path, dataset: str, number: int = 0, stream: BinaryIO | None = None
) -> list[RowGroup]:
    """The row groups of one file, or of a stream in its place; number: the file's among others.
    Raises ValueError as `row_groups` does."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        about = parquet.read_metadata(stream or path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"source: {path.name} is not a Parquet file ({str(error)[:100]}); fetch it from "
            f"{hub.HUB[dataset][0]} again."
        ) from None
    names = tuple(hub.columns(about.schema.to_arrow_schema(), path.name, dataset))
    found, first = [], 0
    for group in range(about.num_row_groups):
        rows = about.row_group(group).num_rows
        found.append(RowGroup(number, path, group, first, rows, names))
        first += rows
    return found


def state_of(files: list[Path]) -> list:
    """What tells files from others without reading them whole: name, size, and a hash of the end,
    where a Parquet file has its footer."""
    found = []
    for path in files:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2**16))
            found.append([path.name, size, provenance.sha256_of_bytes(file.read())])
    return found


def judge(
    p: TraceParams,
    groups: list[RowGroup],
    files: list[Path],
    evaluation: Statements,
    folder: Path,
    workers: ProcessPoolExecutor,
) -> list[Path]:
    """Judge every row; returns the parts, one per row group, in order. Parts of an earlier scan
    with the same files, settings and code are used as they are."""
    settings = (p.shape, p.pick, p.same_template, p.statements)
    texts = [paths.resolve(file) for file in p.statements.values()]
    asked = provenance.sha256_of_json(evaluation)
    identity = [*settings, state_of(files), state_of(texts), asked, row_group.CODE]
    place = folder / "parts" / provenance.sha256_of_json(identity)[:16]
    place.mkdir(parents=True, exist_ok=True)
    parts = [place / f"{g.file:05d}_{g.number:05d}.parquet" for g in groups]
    missing = [(g, part) for g, part in zip(groups, parts, strict=True) if not part.exists()]
    total = sum(g.rows for g in groups)
    done = total - sum(g.rows for g, _ in missing)
    bar = progress.bar(
        total=total, initial=done, desc="reading traces", unit="row", unit_scale=True, mininterval=1
    )
    calls = ((row_group.judge, g, part, *settings, row_group.CODE) for g, part in missing)
    with bar:
        for rows in results(workers, p.processes, calls):
            bar.update(rows)
    return parts


def fetch(
    p: TraceParams, groups: list[RowGroup], chosen: np.ndarray, workers: ProcessPoolExecutor
) -> Iterator[tuple[int, Row]]:
    """Yield (place in `chosen`, Row with its trace). chosen: as of selection.select."""
    wanted: dict[tuple[int, int], dict[int, tuple[int, int]]] = {}
    columns = chosen[["file", "group", "row", "choice"]].tolist()
    for place, (file, group, row, choice) in enumerate(columns):
        wanted.setdefault((file, group), {})[row] = (place, choice)
    calls = (
        (row_group.fetch, g, wanted[g.file, g.number], p.shape, p.statements)
        for g in groups
        if (g.file, g.number) in wanted
    )
    for found in results(workers, p.processes, calls):
        yield from found
