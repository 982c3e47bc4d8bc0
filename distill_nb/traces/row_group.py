"""One row group of the hub's files, in a worker process: its rows judged, or chosen ones fetched.

A judged group is a file of its own, a part: one line per row, without the traces. Parts that were
judged by the same code are used again (scan.py): an edit of anything that this file imports judges
all rows again, so it imports little."""

import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from distill_nb.runtime import code_hash, paths, provenance
from distill_nb.runtime.files import replacing
from distill_nb.traces import hub_rows
from distill_nb.traces.decontamination import statements
from distill_nb.traces.decontamination.match import EvaluationProblems, Statements
from distill_nb.traces.files import table_of
from distill_nb.traces.hub_rows import Row

SCHEMA = [
    ("file", "int32"), ("group", "int32"), ("row", "int64"), ("id", "string"),
    ("reason", "string"), ("detail", "string"), ("problem_id", "string"), ("numbers", "string"),
    ("choice", "int32"), ("characters", "int64"), ("sketch", "binary"), ("bands", "binary"),
]  # fmt: skip
# What a row's verdict depends on beside the row and the parameters, as this process read it.
CODE = {
    file.relative_to(paths.ROOT).as_posix(): code_hash.content_hash(file)
    for file in code_hash.modules_of(__name__)
} | {
    "python": platform.python_version(),
    "rensa": metadata.version("rensa"),
    "rapidfuzz": metadata.version("rapidfuzz"),
}
_texts: Statements = []  # of this process: the evaluation problems


@dataclass(frozen=True)
class RowGroup:
    """One row group of one file, and the columns to read; first_row: its number in the file."""

    file: int
    path: Path
    number: int
    first_row: int
    rows: int
    columns: tuple[str, ...]


def start_worker(evaluation: Statements) -> None:
    """Ctrl-C is for the parent to handle. A worker whose parent is gone ends."""
    global _texts
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _texts = evaluation
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


@cache
def _evaluation() -> EvaluationProblems:
    """The evaluation problems, made ready when the first statement is compared with them."""
    return EvaluationProblems(_texts)


def judge(
    group: RowGroup,
    part: Path,
    dataset: str,
    pick: str,
    same_template: str,
    texts: dict[str, str],
    code_of_parent: dict[str, str],
) -> int:
    """Write what the rows of one group are worth to its part; returns how many there are."""
    from pyarrow import parquet

    if code_of_parent != CODE:
        raise RuntimeError(
            "processes: files of distill_nb have changed since this session's processes were made "
            "ready; restart the kernel."
        )
    judged = []
    known: dict[str, dict] = {}  # statement → what is known of it
    described: dict[str, dict] = {}  # problem id → its first row, which has the sketch
    for number, row in enumerate(_rows(group, dataset, pick, texts), group.first_row):
        line: dict = {
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
            "sketch": None,
            "bands": None,
        }
        if not row.reason:
            if row.problem not in known:
                known[row.problem] = _about(row.problem, same_template)
            line |= known[row.problem]
            if described.setdefault(line["problem_id"], line) is not line:
                line["sketch"] = None
        judged.append(line)
    bands = statements.bands_of([line["sketch"] for line in described.values()])
    for line, own in zip(described.values(), bands, strict=True):
        line["bands"] = own
    with replacing(part) as beside:
        parquet.write_table(table_of(judged, SCHEMA), beside, compression="zstd")
    return group.rows


def _rows(group: RowGroup, dataset: str, pick: str, texts: dict[str, str]) -> Iterator[Row]:
    for batch in hub_rows.batches(group.path, group.number, list(group.columns)):
        yield from hub_rows.rows(batch, dataset, pick, texts)


def _about(problem: str, same_template: str) -> dict[str, str | bytes]:
    """What a part says of a statement."""
    words = statements.words(problem)
    sketch = statements.sketch(words)
    match = _evaluation().match(problem, words)
    against = match and (match.kind == "contaminated" or same_template == "remove")
    return {
        "problem_id": statements.id_of(words),
        "numbers": provenance.sha256_of_json(statements.numbers(words))[:16],
        "reason": match.kind if match and against else "",
        "detail": str(match or ""),
        "sketch": sketch,
    }


def fetch(
    group: RowGroup, wanted: dict[int, tuple[int, int]], dataset: str, texts: dict[str, str]
) -> list[tuple[int, Row]]:
    """[(place, Row with its trace)] of the wanted rows of one group; wanted: row → (place, which
    generation)."""
    found, number = [], group.first_row
    for batch in hub_rows.batches(group.path, group.number, list(group.columns)):
        mine = {i: wanted[number + i][1] for i in range(batch.num_rows) if number + i in wanted}
        for i, row in hub_rows.taken(batch, mine, dataset, texts):
            found.append((wanted[number + i][0], row))
        number += batch.num_rows
    return found
