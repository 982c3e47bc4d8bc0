"""The rows of the hub's data sets: their columns, and which rows are good.

r1_math: a row is a problem with two to four generations, and flags for each: complete, and correct
by Math-Verify. Good is a generation that has both flags, closes its thinking and says something
outside it (whether it boxes its answer there, the length ledger counts). The first such one is
taken, or the shortest (`pick`).
r1_code: a row is one generation. Good is one with a complete code block outside its thinking that
compiles as Python; it was never run. split_1 has no statements: they are looked up in TACO or APPS
by split and index, where files of these are given (`statements`), and with them the starter code of
problems that want a function (column starter_code)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from distill_nb.grading import code_answer
from distill_nb.grading.extract import closes_its_thinking, visible_text
from distill_nb.runtime import data_files, paths

if TYPE_CHECKING:
    import pyarrow as pa

FLAGS = ("is_reasoning_complete", "correctness_math_verify")
LISTS = ("generations", *FLAGS)
COLUMNS = {
    "r1_math": ["uuid", "problem", "answer", *FLAGS, "generations"],
    "r1_code": ["id", "input", "output", "dataset", "split", "index"],
}
OPTIONAL = {"index"}  # split_1 alone has it
TRACES = {"r1_math": "generations", "r1_code": "output"}
BATCH = 256  # rows in memory at once
PAGE = 2**17  # bytes that are read of a stream at once, in place of a whole column of a row group


@dataclass
class Row:
    """What a row of the hub's is worth. reason: "" if good, else why not; choice: which generation;
    starter: code to complete, where the row has it apart from its statement."""

    row_id: str
    reason: str = ""
    problem: str = ""
    answer: str = ""
    trace: str = ""
    choice: int = 0
    starter: str = ""


def batches(
    path: Path, group: int, names: list[str], stream: BinaryIO | None = None, rows: int = BATCH
) -> Iterator[pa.RecordBatch]:
    """The record batches of one row group, of `rows` rows. Of a stream, which is read in place of
    the file at `path`, only the pages of the rows that are asked for are read.

    Raises ValueError where they cannot be read."""
    from pyarrow import parquet

    damaged = f"source: row group {group} of {path.name} cannot be read"
    with data_files.parquet_errors(damaged, "fetch the file again"):
        size = PAGE if stream else 0
        with parquet.ParquetFile(stream or path, pre_buffer=False, buffer_size=size) as file:
            for batch in file.iter_batches(
                batch_size=rows, row_groups=[group], columns=names, use_threads=False
            ):
                batch.validate(full=True)  # texts are UTF-8
                yield batch


def rows(
    batch: pa.RecordBatch, dataset: str, pick: str, statements: dict[str, str]
) -> Iterator[Row]:
    """Yield a Row for each row of a record batch. Texts are read only where they are needed."""
    described = _described(batch, range(batch.num_rows), dataset, statements)
    for i, (row, complete, correct) in enumerate(described):
        trace = batch.column(TRACES[dataset])[i]
        if dataset == "r1_math":
            yield _math(row, trace, pick, complete, correct)
        else:
            yield _code(row, trace)


def taken(
    batch: pa.RecordBatch, wanted: dict[int, int], dataset: str, statements: dict[str, str]
) -> Iterator[tuple[int, Row]]:
    """Yield (place, Row with its trace) of a record batch; wanted: place → which generation."""
    for i, (row, *_) in zip(wanted, _described(batch, wanted, dataset, statements), strict=True):
        trace = batch.column(TRACES[dataset])[i]
        row.choice = wanted[i]
        row.trace = plain((trace[row.choice] if dataset == "r1_math" else trace).as_py())
        yield i, row


def _described(
    batch: pa.RecordBatch, places: Iterable[int], dataset: str, statements: dict[str, str]
) -> Iterator[tuple[Row, list, list]]:
    """Yield (Row without its trace, both FLAGS of math's generations) of the rows at `places`."""
    places = list(places)
    columns: list[list] = []
    for name in COLUMNS[dataset]:
        if name == TRACES[dataset]:
            continue
        if name not in batch.schema.names:
            columns.append([None] * len(places))
        elif len(places) == batch.num_rows:
            columns.append(batch.column(name).to_pylist())
        else:
            columns.append([batch.column(name)[i].as_py() for i in places])
    for values in zip(*columns, strict=True):
        if dataset == "r1_math":
            row_id, problem, answer, complete, correct = values
            row = Row(row_id or "", problem=plain(problem), answer=plain(answer))
            row.reason = "" if row.problem else "no_problem"
            yield row, complete or [], correct or []
        else:
            yield _code_row(values, statements), [], []


def _code_row(values: tuple[str | None, ...], statements: dict[str, str]) -> Row:
    """A row of r1_code from its other columns; the statement `-` is looked up."""
    row_id, problem, dataset, split, index = (value or "" for value in values)
    row = Row(row_id, problem=plain(problem))
    if row.problem == "-":
        found, starter = look_up(statements, dataset, split, index)
        row.problem, row.starter = plain(found), starter.replace("\r\n", "\n").strip("\n")
        row.reason = "" if row.problem else "no_statement"
    elif not row.problem:
        row.reason = "no_problem"
    return row


def plain(text: str | None) -> str:
    """A text with Unix line ends and without white space around it; "" for null."""
    text = text or ""
    return (text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text).strip()


def _math(row: Row, generations: pa.ListScalar, pick: str, complete: list, correct: list) -> Row:
    if row.reason:
        return row
    n = len(generations) if generations.is_valid else 0
    complete, correct = (complete + [None] * n)[:n], (correct + [None] * n)[:n]
    right = [k for k in range(n) if complete[k] and correct[k]]
    if not any(complete):
        row.reason = "incomplete" if n else "no_trace"
        return row
    if not right:
        row.reason = "not_verified"
        return row
    good = []
    for k in right:
        trace = plain(generations[k].as_py())
        if closes_its_thinking(trace) and visible_text(trace).strip():
            good.append((len(trace), k, trace))
            if pick == "first":
                break
    if good:
        _, row.choice, row.trace = min(good)
    else:
        row.reason = "incomplete"
    return row


def _code(row: Row, output: pa.StringScalar) -> Row:
    if row.reason:
        return row
    trace = plain(output.as_py())
    code = code_answer.strict(visible_text(trace), "") if trace else ""
    if not trace:
        row.reason = "no_trace"
    elif not closes_its_thinking(trace):
        row.reason = "incomplete"
    elif not code:
        row.reason = "no_code"
    elif code_answer.parse(code) is None:
        row.reason = "does_not_compile"
    else:
        row.trace = trace
    return row


def look_up(statements: dict[str, str], dataset: str, split: str, index: str) -> tuple[str, str]:
    """(question, starter_code) of a row of TACO's or APPS's split; "" where not given."""
    file = statements.get(f"{dataset}/{split}")
    if not file or not index.isdigit():
        return "", ""
    questions = _questions(file)
    return questions[int(index)] if int(index) < len(questions) else ("", "")


@lru_cache(maxsize=4)
def _questions(file: str) -> list[tuple[str, str]]:
    path, remedy = paths.resolve(file), "give TACO's or APPS's split as .parquet or .jsonl"
    if not path.is_file():
        raise ValueError(f"statements: there is no file {file}; {remedy}.")
    found = []
    for where, row in data_files.rows(path, file, remedy, ["question", "starter_code"]):
        question, starter = row.get("question"), row.get("starter_code")
        if "question" not in row or not all(isinstance(t or "", str) for t in (question, starter)):
            raise ValueError(f"statements: {where} has no text question; {remedy}.")
        found.append((question or "", starter or ""))
    return found
