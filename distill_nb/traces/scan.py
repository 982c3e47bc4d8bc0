"""Reading the hub's traces: every row judged in several processes, then only the chosen traces
fetched.

Two passes keep memory flat at any size. `scan` judges the rows of one row group at a time and
writes what it found, without the traces, to a part of its own; a killed scan goes on with the
groups that are missing. `fetch` reads the chosen rows' traces again, group by group. Row groups are
shared out among processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from distill_nb import grading
from distill_nb.grading import code
from distill_nb.runtime import devices, paths, provenance
from distill_nb.runtime.files import replacing
from distill_nb.traces import choose, hub
from distill_nb.traces import files as trace_files
from distill_nb.traces.decontamination import match as decontaminate
from distill_nb.traces.decontamination import statements

SCHEMA = [
    ("file", "int32"),
    ("group", "int32"),
    ("row", "int64"),
    ("id", "string"),
    ("reason", "string"),
    ("detail", "string"),
    ("problem_id", "string"),
    ("numbers", "string"),
    ("choice", "int32"),
    ("characters", "int64"),
    ("sketch", "binary"),
    ("bands", "binary"),
]
# What a row's verdict depends on beside the row and the parameters, as it was when this process
# read it.
CODE = {
    file.stem: provenance.sha256_of_file(file)
    for file in (
        *decontaminate.files(),
        *(Path(m.__file__) for m in (code, hub, choose)),
        Path(__file__),
    )
} | {
    "grading": provenance.sha256_of_file(grading.__file__),
    "python": platform.python_version(),
    "rensa": metadata.version("rensa"),
}
_texts: list | None = None  # of this process: the evaluation problems


@dataclass(frozen=True)
class Group:
    """One row group of one file: the number of its first row in the file, and the columns to
    read."""

    file: int
    path: Path
    number: int
    first_row: int
    rows: int
    columns: tuple[str, ...]


def groups(files: list[Path], dataset: str) -> list[Group]:
    """The row groups of all files, in order. Raises ValueError for a file that is no Parquet, or of
    another shape."""
    import pyarrow as pa
    from pyarrow import parquet

    found = []
    for i, path in enumerate(files):
        try:
            about = parquet.read_metadata(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"source: {path.name} is not a Parquet file ({str(error)[:100]}); fetch it from "
                f"{hub.HUB[dataset][0]} again."
            ) from None
        names, first = tuple(hub.columns(about.schema.to_arrow_schema(), path.name, dataset)), 0
        for number in range(about.num_row_groups):
            rows = about.row_group(number).num_rows
            found.append(Group(i, path, number, first, rows, names))
            first += rows
    return found


def _start(evaluation: list) -> None:
    """A worker's beginning. Ctrl-C is for the parent to handle; a worker whose parent is gone ends,
    whatever it waits for."""
    global _texts
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _texts = evaluation
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@cache
def _evaluation() -> decontaminate.Evaluation:
    """The evaluation problems of this process, made ready when the first statement is compared with
    them."""
    return decontaminate.Evaluation(_texts)


def _context():
    """How workers are started: not by a fork of this process, for threads of a notebook's kernel do
    not survive one, but of a server process that has imported once what they need."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "pyarrow.parquet", "rensa"])
    return context


def warm_up() -> None:
    """Let the server process begin to import, while this one does something else."""
    if _context().get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()


def workers_of(processes: int) -> int:
    """How many processes: 0 = one for each core that this process may use."""
    return processes or devices.cores()


@contextlib.contextmanager
def pool(processes: int, evaluation: list):
    """Worker processes. evaluation: `decontaminate.problems` of every evaluation set.

    They end by themselves when the work is done, and nobody waits for that."""
    workers = ProcessPoolExecutor(
        workers_of(processes), mp_context=_context(), initializer=_start, initargs=(evaluation,)
    )
    try:
        yield workers
    finally:
        workers.shutdown(wait=False, cancel_futures=True)


def results(workers, processes: int, calls):
    """Yield what calls, [(function, arguments …)], return, in their order. Only a few are under way
    or waiting to be taken, so memory does not grow with their number. Raises RuntimeError, one
    sentence, where a worker was killed."""
    waiting = deque()
    try:
        for call in calls:
            waiting.append(workers.submit(*call))
            if len(waiting) >= 2 * workers_of(processes):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise RuntimeError(
            "processes: a worker was killed, most likely because memory ran out; start again with "
            "fewer "
            f"processes than {workers_of(processes)}, and the rows that are judged stay judged."
        ) from None


def state_of(files: list[Path]) -> list:
    """What tells one set of files from another without reading them whole: name, size, rows and a
    hash of their footers."""
    found = []
    for path in files:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2**16))
            found.append([path.name, size, provenance.sha256_of_bytes(file.read())])
    return found


def scan(
    p, wanted: list[Group], files: list[Path], evaluation: list, folder: Path, workers
) -> list[Path]:
    """Judge every row; returns the parts, one a row group of `wanted`, in order. Those of an
    earlier scan with the same files, settings and code are used as they are. evaluation: as in
    `pool`, where workers come from."""
    from tqdm.auto import tqdm

    identity = [
        p.dataset,
        p.pick,
        p.same_template,
        p.statements,
        state_of(files),
        state_of([paths.resolve(f) for f in p.statements.values()]),
        provenance.sha256_of_json(evaluation),
        CODE,
    ]
    parts = folder / "parts" / provenance.sha256_of_json(identity)[:16]
    parts.mkdir(parents=True, exist_ok=True)
    places = [parts / f"{g.file:05d}_{g.number:05d}.parquet" for g in wanted]
    missing = [(g, place) for g, place in zip(wanted, places, strict=True) if not place.exists()]
    bar = tqdm(
        total=sum(g.rows for g in wanted),
        initial=sum(g.rows for g in wanted) - sum(g.rows for g, _ in missing),
        desc="reading traces",
        unit="row",
        unit_scale=True,
        mininterval=1,
    )
    calls = (
        (scan_group, g, place, p.dataset, p.pick, p.same_template, p.statements, CODE)
        for g, place in missing
    )
    with bar:
        for rows in results(workers, p.processes, calls):
            bar.update(rows)
    return places


def scan_group(
    group: Group,
    place: Path,
    dataset: str,
    pick: str,
    same_template: str,
    texts: dict[str, str],
    code_of_parent: dict,
) -> int:
    """Judge the rows of one group and write its part; returns how many there were."""
    from pyarrow import parquet

    if code_of_parent != CODE:
        raise RuntimeError(
            "processes: files of distill_nb have changed since this session's processes were made "
            "ready; "
            "restart the kernel."
        )

    found, sketched, known, number = [], set(), {}, group.first_row
    for batch in hub.batches(group.path, group.number, list(group.columns)):
        for row in hub.rows(batch, dataset, pick, texts):
            out = dict.fromkeys((name for name, _ in SCHEMA), None) | {
                "file": group.file,
                "group": group.number,
                "row": number,
                "id": row.row_id,
                "reason": row.reason,
                "detail": "",
                "problem_id": "",
                "numbers": "",
                "choice": row.choice,
                "characters": len(row.trace),
            }
            number += 1
            if not row.reason:
                if row.problem not in known:
                    known[row.problem] = _about(row.problem, same_template)
                out["problem_id"], out["numbers"], out["reason"], out["detail"], sketch = known[
                    row.problem
                ]
                if out["problem_id"] not in sketched:
                    sketched.add(out["problem_id"])
                    out["sketch"] = sketch
            found.append(out)
    described = [out for out in found if out["sketch"] is not None]
    for out, bands in zip(
        described, choose.bands_of([out["sketch"] for out in described]), strict=True
    ):
        out["bands"] = bands
    with replacing(place) as beside:
        parquet.write_table(trace_files.table_of(found, SCHEMA), beside, compression="zstd")
    return group.rows


def _about(problem: str, same_template: str) -> tuple[str, str, str, str, bytes]:
    """(problem id, its numbers, reason against it, detail, sketch) of a statement."""
    words = statements.words(problem)
    sketch = statements.sketch(words)
    match = _evaluation().match(words, sketch, problem)
    reason = (
        match.kind if match and (match.kind == "contaminated" or same_template == "remove") else ""
    )
    values = provenance.sha256_of_json(statements.numbers(words))[:16]
    return statements.id_of(words), values, reason, str(match or ""), sketch


def fetch(p, wanted: list[Group], chosen, workers):
    """Yield (place in `chosen`, hub_traces.Row) of chosen rows, group by group. chosen: as of
    trace_choice.choose."""
    rows: dict[tuple[int, int], dict[int, tuple[int, int]]] = {}
    for place, (file, group, row, choice) in enumerate(
        chosen[["file", "group", "row", "choice"]].tolist()
    ):
        rows.setdefault((file, group), {})[row] = (place, choice)
    calls = (
        (fetch_group, g, rows[g.file, g.number], p.dataset, p.statements)
        for g in wanted
        if (g.file, g.number) in rows
    )
    for found in results(workers, p.processes, calls):
        yield from found


def fetch_group(
    group: Group, wanted: dict[int, tuple[int, int]], dataset: str, texts: dict[str, str]
) -> list[tuple[int, hub.Row]]:
    """The wanted rows of one group; wanted: row → (place, choice)."""
    found, number = [], group.first_row
    for batch in hub.batches(group.path, group.number, list(group.columns)):
        mine = {i: wanted[number + i][1] for i in range(batch.num_rows) if number + i in wanted}
        found += [(wanted[number + i][0], row) for i, row in hub.taken(batch, mine, dataset, texts)]
        number += batch.num_rows
    return found
