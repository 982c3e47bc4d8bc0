"""The benchmarks' sources, as `doctor --online` asks for them: sha256 and number of problems of the
small ones, which are read whole; of LiveCodeBench's gigabytes the sizes and sha256 that the hub
lists, and the first rows."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from types import ModuleType
from typing import BinaryIO

from distill_nb.benchmarks import (
    aime,
    aime25,
    evalplus_data,
    gpqa_diamond,
    ifeval,
    livecodebench,
    loading,
    math500,
)
from distill_nb.study import online_hub
from distill_nb.study.doctor import Finding
from distill_nb.study.online_budget import Budget
from distill_nb.study.online_hub import Needs, size_text

ON_HUB = {
    "math500": math500,
    "aime": aime,
    "livecodebench": livecodebench,
    "aime25": aime25,
    "gpqa_diamond": gpqa_diamond,
    "ifeval": ifeval,
}
READ = 3  # rows of LiveCodeBench, of a few megabytes each
MOST, PIECE = 40_000_000, 2_000_000  # bytes in which they must be, and of one request
SECONDS = 20.0  # for evalplus's server to answer
INSTEAD = "set benchmark_files to a copy of its files"
OTHER = f"its scores would not be the benchmark's: {INSTEAD}"


def look(name: str, file: str, needs: Needs, budget: Budget) -> Iterator[Finding]:
    """Yield what is found of a benchmark; file: the local one that stands for it, or ""."""
    if not file and name in ON_HUB:
        as_pinned = yield from _listed(name, ON_HUB[name], needs)
        if not as_pinned:
            return
        if name == "livecodebench":
            yield _first_rows()
            return
    elif not file:
        unreachable = _address(name, budget)
        yield from unreachable
        if any(finding.lack for finding in unreachable):
            return
    yield _problems(name, file)


def _problems(name: str, file: str) -> Finding:
    """The whole benchmark, loaded as an evaluation loads it, which compares sha256 and number."""
    try:
        found = loading.describe(name, file or None)
    except ValueError as error:
        return Finding("problems", "are not the benchmark's", str(error))
    said = f"{found['found']} of {found['size']}, {found['version']}, from {found['source']}"
    lack = "" if found["whole"] else "a part: its scores are not the benchmark's"
    return Finding("problems", said, lack)


def _listed(name: str, module: ModuleType, needs: Needs) -> Generator[Finding, None, bool]:
    """Yield what the hub lists of the files at the pinned revision; returns whether they are as
    pinned."""
    hub_id, revision, expected = module.HUB_ID, module.REVISION, module.FILES
    try:
        about = online_hub.repository(hub_id, revision, "dataset", INSTEAD)
    except ValueError as error:
        yield Finding("revision", f"{revision[:8]} of {hub_id} cannot be had", str(error))
        return False
    yield Finding("revision", f"{revision[:8]} of {hub_id}")
    there = {file.rfilename: file for file in about.siblings}
    if missing := [file for file in expected if file not in there]:
        yield Finding("files", f"{missing[0]} is not there", OTHER)
        return False
    for file, sha256 in expected.items():
        listed = there[file].lfs and there[file].lfs.sha256
        if listed and listed != sha256:
            yield Finding("files", f"{file} has the sha256 {listed}", f"expected {sha256}: {OTHER}")
            return False
    needs[name] = online_hub.to_download(about, "dataset", expected)
    known = sum(bool(there[file].lfs) for file in expected)
    size = size_text(sum(there[file].size or 0 for file in expected))
    said = f"{len(expected)}, {size}; the hub lists the pinned sha256 of {known}"
    yield Finding("files", said)
    return True


def _first_rows() -> Finding:
    """The first rows of LiveCodeBench, with their tests."""
    name = next(iter(livecodebench.FILES))
    with online_hub.opener(livecodebench.HUB_ID, livecodebench.REVISION)(name) as stream:
        lines = first_lines(stream, READ, MOST)
    try:
        ids = livecodebench.check(lines, name)
    except ValueError as error:
        return Finding("first rows", "cannot be read", str(error))
    if not ids:
        return Finding("first rows", f"{name} has no line end in {size_text(MOST)}", OTHER)
    return Finding("first rows", f"read with their tests: {', '.join(ids)}")


def first_lines(stream: BinaryIO, count: int, most: int) -> list[bytes]:
    """The first `count` lines of a stream, or as many as end within about `most` bytes."""
    data = b""
    while data.count(b"\n") < count and len(data) < most and (piece := stream.read(PIECE)):
        data += piece
    return data.split(b"\n")[:-1][:count]


def _address(name: str, budget: Budget) -> list[Finding]:
    """Whether evalplus's file can be had, and is small enough to be loaded now."""
    try:
        url, path = evalplus_data.origin(name)
    except ValueError as error:
        return [Finding("file", "cannot be had", str(error))]
    if not url or path.exists():
        return [Finding("file", f"{path.name} is here already")]
    import httpx

    try:
        answer = httpx.head(url, follow_redirects=True, timeout=SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        lack = f"try again with a connection, or set benchmark_files to a copy of {path.name}"
        return [Finding("file", f"{url} cannot be had ({error or type(error).__name__})", lack)]
    size = int(answer.headers.get("content-length", 0))
    budget.take(size)
    return [Finding("file", f"{url}, {size_text(size)}")]
