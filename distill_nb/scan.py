"""Reading the hub's traces: every row judged in several processes, then only the chosen traces fetched.

Two passes keep memory flat at any size. `scan` judges the rows of one row group at a time and writes what it found,
without the traces, to a part of its own; a killed scan goes on with the groups that are missing. `fetch` reads the chosen
rows' traces again, group by group. Row groups are shared out among processes.
"""
from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import decontaminate, hub_traces, paths, provenance, statements, trace_files

SCHEMA = [("file", "int32"), ("group", "int32"), ("row", "int64"), ("id", "string"), ("reason", "string"),
          ("detail", "string"), ("problem_id", "string"), ("numbers", "string"), ("choice", "int32"), ("characters", "int64"),
          ("sketch", "binary")]
_texts: list | None = None  # of this process: the evaluation problems


@dataclass(frozen=True)
class Group:
    """One row group of one file, with the number of its first row in the file."""

    file: int
    path: Path
    number: int
    first_row: int
    rows: int


def groups(files: list[Path]) -> list[Group]:
    """The row groups of all files, in order."""
    from pyarrow import parquet

    found = []
    for i, path in enumerate(files):
        with parquet.ParquetFile(path) as file:
            first = 0
            for number in range(file.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                found.append(Group(i, path, number, first, rows))
                first += rows
    return found


def _start(evaluation: list) -> None:
    """A worker's beginning. Ctrl-C is for the parent to handle; a worker whose parent was killed would wait for ever."""
    global _texts
    from .grading.sandbox.confine import die_with_parent

    with contextlib.suppress(OSError, AttributeError):
        die_with_parent()
    if os.getppid() != multiprocessing.parent_process().pid:  # it was killed before
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _texts = evaluation


@cache
def _evaluation() -> decontaminate.Evaluation:
    """The evaluation problems of this process, made ready when the first statement is compared with them."""
    return decontaminate.Evaluation(_texts)


def pool(processes: int, evaluation: list) -> ProcessPoolExecutor:
    """Worker processes; 0 = one for each core that this process may use. They are started afresh: threads of a notebook's
    kernel do not survive a fork. evaluation: `decontaminate.problems` of every evaluation set."""
    processes = processes or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_start, initargs=(evaluation,))


def state_of(files: list[Path]) -> list:
    """What tells one set of files from another without reading them whole: name, size, rows and a hash of their footers."""
    found = []
    for path in files:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2**16))
            found.append([path.name, size, provenance.sha256_of_bytes(file.read())])
    return found


def scan(p, files: list[Path], evaluation: list, folder: Path, workers: ProcessPoolExecutor) -> list[Path]:
    """Judge every row; returns the parts, one a row group, in order. Those of an earlier scan with the same files and
    settings are used as they are. evaluation: as in `pool`, where workers come from."""
    from tqdm.auto import tqdm

    for path in files:
        hub_traces.columns(path, p.dataset)
    identity = [p.dataset, p.pick, p.same_template, p.statements, state_of(files),
                state_of([paths.resolve(f) for f in p.statements.values()]), provenance.sha256_of_json(evaluation),
                *(provenance.sha256_of_file(m.__file__) for m in (decontaminate, hub_traces, statements))]
    parts = folder / "parts" / provenance.sha256_of_json(identity)[:16]
    parts.mkdir(parents=True, exist_ok=True)
    for left in parts.glob("*.partial"):  # by a process that was killed
        left.unlink()
    wanted = groups(files)
    places = [parts / f"{g.file:05d}_{g.number:05d}.parquet" for g in wanted]
    missing = [(g, place) for g, place in zip(wanted, places, strict=True) if not place.exists()]
    bar = tqdm(total=sum(g.rows for g in wanted), initial=sum(g.rows for g in wanted) - sum(g.rows for g, _ in missing),
               desc="reading traces", unit="row", unit_scale=True, mininterval=1)
    jobs = [workers.submit(scan_group, g, place, p.dataset, p.pick, p.same_template, p.statements) for g, place in missing]
    with bar:
        try:
            for job in jobs:
                bar.update(job.result())
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise
    return places


def scan_group(group: Group, place: Path, dataset: str, pick: str, same_template: str, texts: dict[str, str]) -> int:
    """Judge the rows of one group and write its part; returns how many there were."""
    from pyarrow import parquet

    found, sketched, known, number = [], set(), {}, group.first_row
    for batch in hub_traces.batches(group.path, group.number, hub_traces.columns(group.path, dataset)):
        for row in hub_traces.rows(batch, dataset, pick, texts):
            out = dict.fromkeys((name for name, _ in SCHEMA), None) | {
                "file": group.file, "group": group.number, "row": number, "id": row.row_id, "reason": row.reason,
                "detail": "", "problem_id": "", "numbers": "", "choice": row.choice, "characters": len(row.trace)}
            number += 1
            if not row.reason:
                if row.problem not in known:
                    known[row.problem] = _about(row.problem, same_template)
                out["problem_id"], out["numbers"], out["reason"], out["detail"], sketch = known[row.problem]
                if out["problem_id"] not in sketched:
                    sketched.add(out["problem_id"])
                    out["sketch"] = sketch
            found.append(out)
    beside = place.with_suffix(f".{os.getpid()}.partial")
    try:
        parquet.write_table(trace_files.table_of(found, SCHEMA), beside, compression="zstd")
        os.replace(beside, place)
    finally:
        beside.unlink(missing_ok=True)
    return group.rows


def _about(problem: str, same_template: str) -> tuple[str, str, str, str, bytes]:
    """(problem id, its numbers, reason against it, detail, sketch) of a statement."""
    words = statements.words(problem)
    sketch = statements.sketch(words)
    match = _evaluation().match(words, sketch)
    reason = match.kind if match and (match.kind == "contaminated" or same_template == "remove") else ""
    values = provenance.sha256_of_json(statements.numbers(words))[:16]
    return statements.id_of(words), values, reason, str(match or ""), sketch


def fetch(p, files: list[Path], chosen: list[tuple[int, int, int, int]], workers):
    """Yield (place in `chosen`, hub_traces.Row) of chosen rows, group by group. chosen: [(file, group, row, choice)]."""
    wanted: dict[tuple[int, int], dict[int, tuple[int, int]]] = {}
    for place, (file, group, row, choice) in enumerate(chosen):
        wanted.setdefault((file, group), {})[row] = (place, choice)
    first = {(g.file, g.number): g.first_row for g in groups(files)}
    jobs = [workers.submit(fetch_group, files[file], group, first[file, group], rows, p.dataset, p.statements)
            for (file, group), rows in sorted(wanted.items())]
    for i, job in enumerate(jobs):
        jobs[i] = None  # a finished group is not kept
        yield from job.result()


def fetch_group(path: Path, group: int, first_row: int, wanted: dict[int, tuple[int, int]], dataset: str,
                texts: dict[str, str]) -> list[tuple[int, hub_traces.Row]]:
    """The wanted rows of one group; wanted: row → (place, choice)."""
    found, number, trace = [], first_row, hub_traces.TRACES[dataset]
    for batch in hub_traces.batches(path, group, hub_traces.columns(path, dataset)):
        mine = [i for i in range(batch.num_rows) if number + i in wanted]
        for i in mine:
            place, choice = wanted[number + i]
            values = {n: batch.column(n)[i] for n in batch.schema.names}
            text = values[trace][choice].as_py() if dataset == "r1_math" else values[trace].as_py()
            problem = hub_traces.plain(values["problem" if dataset == "r1_math" else "input"].as_py())
            if problem == "-" and dataset == "r1_code":
                problem = hub_traces.plain(hub_traces.look_up(
                    texts, *(values[n].as_py() or "" for n in ("dataset", "split", "index"))))
            answer = hub_traces.plain(values["answer"].as_py()) if dataset == "r1_math" else ""
            row_id = values["uuid" if dataset == "r1_math" else "id"].as_py() or ""
            found.append((place, hub_traces.Row(row_id, "", problem, answer, hub_traces.plain(text), choice)))
        number += batch.num_rows
    return found
