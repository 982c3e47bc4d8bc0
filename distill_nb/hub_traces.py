"""DeepSeek-R1's traces as the hub has them: where they are, their columns, and which row is good.

r1_math: open-r1/OpenR1-Math-220k (Apache-2.0; problems of NuminaMath 1.5). A row is a problem with two to four generations,
and flags for each: complete, and correct by Math-Verify. Good is a generation that has both flags, closes its thinking and
shows an answer outside it; the first such one is taken, or the shortest (`pick`).
r1_code: nvidia/OpenCodeReasoning (CC-BY-4.0; Ahmad et al. 2025, arXiv 2504.01943). A row is one generation. Good is one with a
complete code block outside its thinking that compiles as Python; it was never run. split_1 has no statements: they are
looked up in TACO or APPS by split and index, where files of these are given (`statements`).
"""
from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from . import hub, paths
from .grading import visible_text
from .grading.code import blocks

HUB = {"r1_math": ("open-r1/OpenR1-Math-220k", "e4e141ec9dea9f8326f4d347be56105859b2bd68"),
       "r1_code": ("nvidia/OpenCodeReasoning", "20a1ca19c0d050fe9057fc08339d6b370ec1c67a")}
FOLDERS = {"default": ["data/"], "extended": ["extended/"], "split_0": ["split_0/"], "split_1": ["split_1/"]}
COLUMNS = {"r1_math": ["uuid", "problem", "answer", "is_reasoning_complete", "correctness_math_verify", "generations"],
           "r1_code": ["id", "input", "output", "dataset", "split", "index"]}
OPTIONAL = {"index"}  # split_1 alone has it
TRACES = {"r1_math": "generations", "r1_code": "output"}
BATCH = 256  # rows in memory at once


@dataclass
class Row:
    """What a row of the hub's is worth. reason: "" if good, else why not; choice: which generation."""

    row_id: str
    reason: str = ""
    problem: str = ""
    answer: str = ""
    trace: str = ""
    choice: int = 0


def files(dataset: str, source: str, config: str) -> tuple[list[Path], str]:
    """(Parquet files in order, what is recorded of them): of the hub at its pinned revision, or of a file or folder.

    Raises ValueError, one sentence, where there are none."""
    if source != "hub":
        path = paths.resolve(source)
        found = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        if not found or found[0].suffix != ".parquet":
            raise ValueError(f"source: there is no .parquet file in {source}; give files as in {HUB[dataset][0]}.")
        return found, paths.movable(path)
    hub_id, revision = HUB[dataset]
    folders = [f for name in ([config] if config != "all" else ("default", "extended", "split_0", "split_1"))
               for f in FOLDERS[name]]
    names = hub.listed(hub_id, revision, "source", "give a folder with its .parquet files")
    names = sorted(n for n in names if n.endswith(".parquet") and n.startswith(tuple(folders)))
    if not names:
        raise ValueError(f"source: {hub_id} at {revision} has no .parquet files in {', '.join(folders)}; give a folder with "
                         "copies of them.")
    return [hub.download(hub_id, revision, name, "source", "give a folder with copies of its .parquet files")
            for name in names], f"{hub_id}@{revision}"


def columns(path: Path, dataset: str) -> list[str]:
    """The columns to read of a file. Raises ValueError for one that is missing, or no Parquet."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"source: {path.name} is not a Parquet file ({str(error)[:100]}); fetch it from {HUB[dataset][0]} "
                         "again.") from None
    missing = [c for c in COLUMNS[dataset] if c not in schema.names and c not in OPTIONAL]
    if missing:
        raise ValueError(f"source: {path.name} has no column {missing[0]!r}; use files in the shape of {HUB[dataset][0]}.")
    for name in COLUMNS[dataset]:
        if name in schema.names and name in ("generations", "is_reasoning_complete", "correctness_math_verify"):
            kind = schema.field(name).type
            inner = kind.value_type if isinstance(kind, (pa.ListType, pa.LargeListType)) else None
            good = inner is not None and (pa.types.is_boolean(inner) if name != "generations" else
                                          pa.types.is_string(inner) or pa.types.is_large_string(inner))
            if not good:
                raise ValueError(f"source: {path.name} has {name!r} of type {kind}; use files in the shape of "
                                 f"{HUB[dataset][0]}.")
    return [c for c in COLUMNS[dataset] if c in schema.names]


def batches(path: Path, group: int, names: list[str]):
    """The record batches of one row group, the chosen columns only."""
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=BATCH, row_groups=[group], columns=names, use_threads=False)


def rows(batch, dataset: str, pick: str, statements: dict[str, str]):
    """Yield a Row for each row of a record batch, in order. Texts are read only where they are needed."""
    if dataset == "r1_math":
        yield from _math(batch, pick)
    else:
        yield from _code(batch, statements)


def plain(text: str | None) -> str:
    """A text with Unix line ends and without white space around it; "" for null."""
    return (text or "").replace("\r\n", "\n").replace("\r", "\n").strip()


def closes_its_thinking(trace: str) -> bool:
    """Whether no <think> is left open."""
    return trace.rfind("</think>") >= trace.rfind("<think>")


def compiles(code: str) -> bool:
    """Whether Python compiles it; nothing runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes and the like
            compile(code, "<trace>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


def _texts(batch, name: str) -> list:
    return batch.column(name).to_pylist() if name in batch.schema.names else [None] * batch.num_rows


def _math(batch, pick: str):
    generations = batch.column("generations")
    complete, correct = _texts(batch, "is_reasoning_complete"), _texts(batch, "correctness_math_verify")
    problems, answers, ids = _texts(batch, "problem"), _texts(batch, "answer"), _texts(batch, "uuid")
    for i in range(batch.num_rows):
        row = Row(ids[i] or "", problem=plain(problems[i]), answer=plain(answers[i]))
        n = len(generations[i]) if generations[i].is_valid else 0
        whole, right = (complete[i] or []) + [None] * n, (correct[i] or []) + [None] * n
        if not row.problem:
            row.reason = "no_problem"
        elif not any(whole[:n]):
            row.reason = "incomplete" if n else "no_trace"
        elif not any(a and b for a, b in zip(whole[:n], right[:n], strict=True)):
            row.reason = "not_verified"
        else:
            good = []
            for k in range(n):
                if whole[k] and right[k]:
                    trace = plain(generations[i][k].as_py())
                    if closes_its_thinking(trace) and visible_text(trace).strip():
                        good.append((len(trace), k, trace))
                        if pick == "first":
                            break
            if good:
                _, row.choice, row.trace = min(good)
            else:
                row.reason = "incomplete"
        yield row


def _code(batch, statements: dict[str, str]):
    names = ("id", "input", "output", "dataset", "split", "index")
    for row_id, problem, output, dataset, split, index in zip(*(_texts(batch, n) for n in names), strict=True):
        row, trace = Row(row_id or "", problem=plain(problem)), plain(output)
        if row.problem == "-":
            row.problem = plain(look_up(statements, dataset or "", split or "", index or ""))
            row.reason = "" if row.problem else "no_statement"
        elif not row.problem:
            row.reason = "no_problem"
        if not row.reason:
            found = blocks(visible_text(trace)) if trace else []
            if not trace:
                row.reason = "no_trace"
            elif not closes_its_thinking(trace):
                row.reason = "incomplete"
            elif not found or not found[-1].strip():
                row.reason = "no_code"
            elif not compiles(found[-1]):
                row.reason = "does_not_compile"
        row.trace = "" if row.reason else trace
        yield row


def look_up(statements: dict[str, str], dataset: str, split: str, index: str) -> str:
    """The statement of a split_1 row: column `question` of row `index` in TACO's or APPS's split; "" where not given."""
    file = statements.get(f"{dataset}/{split}")
    if not file or not index.isdigit():
        return ""
    questions = _questions(file)
    return questions[int(index)] if int(index) < len(questions) else ""


@lru_cache(maxsize=4)
def _questions(file: str) -> list[str]:
    from pyarrow import parquet

    path = paths.resolve(file)
    try:
        if path.suffix == ".parquet":
            return [q or "" for q in parquet.read_table(path, columns=["question"]).column("question").to_pylist()]
        lines = path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line)["question"] or "" for line in lines if line.strip()]
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"statements: {file} has no column question ({str(error)[:100]}); give TACO's or APPS's split as "
                         ".parquet or .jsonl.") from None
