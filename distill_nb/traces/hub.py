"""DeepSeek-R1's traces as the hub has them: where they are, their columns, and which row is good.

r1_math: open-r1/OpenR1-Math-220k (Apache-2.0; problems of NuminaMath 1.5). A row is a problem with
two to four generations, and flags for each: complete, and correct by Math-Verify. Good is a
generation that has both flags, closes its thinking and says something outside it (whether it boxes
its answer there, the length ledger counts); the first such one is taken, or the shortest (`pick`).
r1_code: nvidia/OpenCodeReasoning (CC-BY-4.0; Ahmad et al. 2025, arXiv 2504.01943). A row is one
generation. Good is one with a complete code block outside its thinking that compiles as Python; it
was never run. split_1 has no statements: they are looked up in TACO or APPS by split and index,
where files of these are given (`statements`), and with them the starter code of problems that want
a function (column starter_code)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from distill_nb.grading.extract import blocks, closes_its_thinking, compiles, visible_text
from distill_nb.runtime import hub, paths

HUB = {
    "r1_math": ("open-r1/OpenR1-Math-220k", "e4e141ec9dea9f8326f4d347be56105859b2bd68"),
    "r1_code": ("nvidia/OpenCodeReasoning", "20a1ca19c0d050fe9057fc08339d6b370ec1c67a"),
}
FOLDERS = {
    "r1_math": {"default": "data/", "extended": "extended/"},
    "r1_code": {"split_0": "split_0/", "split_1": "split_1/"},
}
COLUMNS = {
    "r1_math": [
        "uuid",
        "problem",
        "answer",
        "is_reasoning_complete",
        "correctness_math_verify",
        "generations",
    ],
    "r1_code": ["id", "input", "output", "dataset", "split", "index"],
}
OPTIONAL = {"index"}  # split_1 alone has it
FLAGS = ("is_reasoning_complete", "correctness_math_verify")
LISTS = ("generations", *FLAGS)
TRACES = {"r1_math": "generations", "r1_code": "output"}
BATCH = 256  # rows in memory at once


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


def files(dataset: str, source: str, config: str) -> tuple[list[Path], str]:
    """(Parquet files in order, what is recorded of them): of the hub at its pinned revision, or of
    a file or folder.

    A folder with the hub's subfolders (FOLDERS) is read as the hub is, those of `config` alone; one
    without any, whole. Raises ValueError, one sentence, where there are none."""
    if source != "hub":
        path = paths.resolve(source)
        found = _local_files(path, source, dataset, config) if path.is_dir() else [path]
        if not found or found[0].suffix != ".parquet":
            raise ValueError(
                f"source: there is no .parquet file in {source}; give files as in "
                f"{HUB[dataset][0]}."
            )
        return found, paths.movable(path)
    hub_id, revision = HUB[dataset]
    folders = _folders(dataset, config)
    names = hub.listed(hub_id, revision, "source", "give a folder with its .parquet files")
    names = sorted(n for n in names if n.endswith(".parquet") and n.startswith(tuple(folders)))
    if not names:
        raise ValueError(
            f"source: {hub_id} at {revision} has no .parquet files in {', '.join(folders)}; give a "
            "folder with "
            "copies of them."
        )
    return [
        hub.download(
            hub_id, revision, name, "source", "give a folder with copies of its .parquet files"
        )
        for name in names
    ], f"{hub_id}@{revision}"


def _folders(dataset: str, config: str) -> list[str]:
    known = FOLDERS[dataset]
    return [known[config]] if config != "all" else list(known.values())


def _local_files(folder: Path, source: str, dataset: str, config: str) -> list[Path]:
    if not any((folder / sub).is_dir() for sub in FOLDERS[dataset].values()):
        return sorted(folder.rglob("*.parquet"))
    found = []
    for sub in _folders(dataset, config):
        own = sorted((folder / sub).rglob("*.parquet"))
        if not own:
            raise ValueError(
                f"config: {config} of {HUB[dataset][0]} has its .parquet files in {sub}, and "
                f"{source} has none "
                "there; fetch them, or set config to a part that is there."
            )
        found += own
    return found


def columns(schema, name: str, dataset: str) -> list[str]:
    """The columns to read of a file called `name`, from its pyarrow schema. Raises ValueError for
    one that is missing, or of another type."""
    import pyarrow as pa

    missing = [c for c in COLUMNS[dataset] if c not in schema.names and c not in OPTIONAL]
    if missing:
        raise ValueError(
            f"source: {name} has no column {missing[0]!r}; use files in the shape of "
            f"{HUB[dataset][0]}."
        )
    found = [c for c in COLUMNS[dataset] if c in schema.names]
    for column in found:
        kind = inner = schema.field(column).type
        if column in LISTS:
            inner = kind.value_type if isinstance(kind, (pa.ListType, pa.LargeListType)) else None
        elif pa.types.is_dictionary(kind):
            inner = kind.value_type
        if inner is None or not (
            pa.types.is_boolean(inner)
            if column in FLAGS
            else pa.types.is_string(inner)
            or pa.types.is_large_string(inner)
            or (pa.types.is_null(inner) and column not in LISTS)
        ):
            raise ValueError(
                f"source: {name} has {column!r} of type {kind}; use files in the shape of "
                f"{HUB[dataset][0]}."
            )
    return found


def batches(path: Path, group: int, names: list[str]):
    """The record batches of one row group, the chosen columns only. Raises ValueError where they
    cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(
                batch_size=BATCH, row_groups=[group], columns=names, use_threads=False
            )
    except MemoryError:  # pyarrow's own is an ArrowException too
        raise
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())[:100]
        raise ValueError(
            f"source: row group {group} of {path.name} cannot be read ({why}); fetch the file "
            "again."
        ) from None


def rows(batch, dataset: str, pick: str, statements: dict[str, str]):
    """Yield a Row for each row of a record batch, in order. Texts are read only where they are
    needed."""
    judge = _math if dataset == "r1_math" else _code
    for i, (row, *rest) in enumerate(_described(batch, range(batch.num_rows), dataset, statements)):
        yield judge(row, batch.column(TRACES[dataset])[i], pick, *rest)


def taken(batch, wanted: dict[int, int], dataset: str, statements: dict[str, str]):
    """Yield (place, Row with its trace) of chosen rows of a record batch; wanted: place → which
    generation."""
    for i, (row, *_) in zip(wanted, _described(batch, wanted, dataset, statements), strict=True):
        trace = batch.column(TRACES[dataset])[i]
        row.choice = wanted[i]
        row.trace = plain((trace[row.choice] if dataset == "r1_math" else trace).as_py())
        yield i, row


def _described(batch, places, dataset: str, statements: dict[str, str]):
    """Yield (Row without its trace, what else decides on it) of the rows at `places`: the flags of
    math's generations."""
    places, present = list(places), set(batch.schema.names)
    whole = len(places) == batch.num_rows
    columns = [
        [None] * len(places)
        if n not in present
        else batch.column(n).to_pylist()
        if whole
        else [batch.column(n)[i].as_py() for i in places]
        for n in COLUMNS[dataset]
        if n != TRACES[dataset]
    ]
    for values in zip(*columns, strict=True):
        if dataset == "r1_math":
            row_id, problem, answer, complete, correct = values
            yield (
                Row(row_id or "", problem=plain(problem), answer=plain(answer)),
                complete or [],
                correct or [],
            )
        else:
            row_id, problem, source, split, index = values
            row = Row(row_id or "", problem=plain(problem))
            if row.problem == "-":
                problem, starter = look_up(statements, source or "", split or "", index or "")
                row.problem, row.starter = plain(problem), starter.replace("\r\n", "\n").strip("\n")
                row.reason = "" if row.problem else "no_statement"
            elif not row.problem:
                row.reason = "no_problem"
            yield (row,)


def plain(text: str | None) -> str:
    """A text with Unix line ends and without white space around it; "" for null."""
    text = text or ""
    return (text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text).strip()


def _math(row: Row, generations, pick: str, complete: list, correct: list) -> Row:
    n = len(generations) if generations.is_valid else 0
    whole, right = complete + [None] * n, correct + [None] * n
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


def _code(row: Row, output, pick: str) -> Row:
    if row.reason:
        return row
    trace = plain(output.as_py())
    found = blocks(visible_text(trace)) if trace else []
    if not trace:
        row.reason = "no_trace"
    elif not closes_its_thinking(trace):
        row.reason = "incomplete"
    elif not found or not found[-1].strip():
        row.reason = "no_code"
    elif not compiles(found[-1]):
        row.reason = "does_not_compile"
    else:
        row.trace = trace
    return row


def look_up(statements: dict[str, str], dataset: str, split: str, index: str) -> tuple[str, str]:
    """(statement, starter code) of a split_1 row: columns `question` and, where there is one,
    `starter_code` of row `index` in TACO's or APPS's split; two "" where not given."""
    file = statements.get(f"{dataset}/{split}")
    if not file or not index.isdigit():
        return "", ""
    questions = _questions(file)
    return questions[int(index)] if int(index) < len(questions) else ("", "")


@lru_cache(maxsize=4)
def _questions(file: str) -> list[tuple[str, str]]:
    from pyarrow import parquet

    path = paths.resolve(file)
    try:
        if path.suffix == ".parquet":
            starter = [n for n in ("starter_code",) if n in parquet.read_schema(path).names]
            rows = parquet.read_table(path, columns=["question", *starter]).to_pylist()
        else:
            rows = (
                json.loads(line)
                for line in path.read_text(encoding="utf-8").split("\n")
                if line.strip()
            )
        return [(row["question"] or "", row.get("starter_code") or "") for row in rows]
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"statements: {file} has no column question ({str(error)[:100]}); give TACO's or "
            "APPS's split as "
            ".parquet or .jsonl."
        ) from None
