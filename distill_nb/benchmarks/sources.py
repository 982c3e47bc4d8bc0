"""Where the problems of a benchmark come from, and whether they are all of it.

A source is a file of the hub at a pinned revision, whose sha256 must be the one written down, or a
local file of the same shape (`benchmark_files`). A file that is not the whole benchmark is refused,
unless its name says so, as in `math500.part.jsonl`. Then its task ids begin with part/ and its
record says so: its score cannot be taken for the benchmark's."""

import logging
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

from distill_nb.runtime import data_files, hub, paths, provenance

log = logging.getLogger(__name__)
PART = "part/"


def locate(
    benchmark: str, file: str | None, hub_id: str, revision: str, published: dict[str, str]
) -> tuple[list[Path], dict]:
    """(files, what is recorded of them): the local `file`, or the hub's, `published` name → sha256.

    A local file with the name of the first of several on the hub stands for all of them, beside it.
    Raises ValueError for a file that is missing, or damaged on its way from the hub."""
    names = list(published)
    if file:
        first = local(benchmark, file)
        if first.name != names[0]:
            names = [first.name]
        files, source = [first.with_name(n) for n in names], paths.movable(first)
        if missing := [f.name for f in files if not f.is_file()]:
            raise ValueError(
                f"benchmark_files: {benchmark} is {', '.join(names)} together, and {missing[0]} is "
                f"not beside {file}; download it from {hub_id}."
            )
    else:
        source, opening = f"{hub_id}@{revision}", f"benchmarks: {benchmark}"
        others = f", with {names[1]} … {names[-1]} beside it" if len(names) > 1 else ""
        remedy = f"set benchmark_files to {{{benchmark}: a local copy of {names[0]}{others}}}"
        files = [hub.download(hub_id, revision, name, opening, remedy) for name in names]
        for name, path in zip(names, files, strict=True):
            if sha256(path) != published[name]:
                raise ValueError(
                    f"benchmarks: {benchmark} from {source} is damaged: {name} has another sha256 "
                    f"than {published[name]}; delete it from the hub's cache and load it again."
                )
    found = {f.name: sha256(f) for f in files}
    return files, {
        "benchmark": benchmark,
        "source": source,
        "sha256": found,
        "as_published": sorted(found.values()) == sorted(published.values()),
    }


def local(benchmark: str, file: str) -> Path:
    """The local file of a benchmark. Raises ValueError where there is none."""
    path = paths.resolve(file)
    if not path.is_file():
        raise ValueError(
            f"benchmark_files: there is no file {file} for {benchmark}; correct the path."
        )
    return path


def sha256(path: Path) -> str:
    """64 hex digits; an unchanged file is read once a process."""
    return _sha256(*state(path))


def state(path: Path) -> tuple[Path, int, int]:
    """(path, mtime in ns, bytes): what a cache needs to know that a file has not changed."""
    data_files.note(path)
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _sha256(path: Path, _mtime: int, _size: int) -> str:
    return provenance.sha256_of_file(path)


def rows(path: Path, hub_id: str, keys: tuple[str, ...]) -> Iterator[tuple[str, dict]]:
    """(file and line, row) of a .parquet or JSONL file. Only `keys`, and what its benchmark looks
    up itself, are read. ValueError: a row has no text under one of them, or data_files refuses."""
    remedy = f"use the file of {hub_id}"
    for where, row in data_files.rows(path, path.name, remedy):
        for key in keys:
            if not isinstance(row.get(key), str) or not row[key].strip():
                raise ValueError(f"{where} has no text {key!r}; {remedy}.")
        yield where, row


def read(path: Path, hub_id: str, keys: tuple[str, ...]) -> list[dict]:
    """The rows of `rows`."""
    return [row for _, row in rows(path, hub_id, keys)]


def measure(source: dict, ids: list[str], size: int, *, same: bool = True, remedy: str) -> dict:
    """The source record with size (of the benchmark), found (in the file) and whole.

    same: whether what was found is the benchmark's. Raises ValueError where ids repeat or there are
    none, or the file is not the whole benchmark and its name does not say so."""
    name, benchmark = Path(source["source"]).name, source["benchmark"]
    if repeated := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"{name}: {benchmark} has {repeated[0]} more than once; {remedy}.")
    whole = same and len(ids) == size
    if not whole and (".part." not in name or not ids):
        what = f"{len(ids)} rows are not the {size} problems of {benchmark}"
        if len(ids) == size:
            what = f"these {size} rows are not the problems of {benchmark}"
        part = ", or call the file *.part.* if a part is meant" if ids else ""
        raise ValueError(f"{name}: {what}; {remedy}{part}.")
    return source | {"size": size, "found": len(ids), "whole": whole}


@cache
def say_part(name: str, found: int, size: int, benchmark: str) -> None:
    """Say, once a process, that a file is a part."""
    log.info(
        f"{name} has {found} of the {size} problems of {benchmark}: their ids begin with {PART}, "
        "and their score is not the benchmark's."
    )


def prefix(source: dict) -> str:
    """The beginning of the task ids: nothing, or part/."""
    return "" if source["whole"] else PART
