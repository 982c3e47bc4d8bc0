"""Reasoning traces to train on: a set that traces.ipynb made, generated ones for the pocket run, or
a local file."""

from __future__ import annotations

import json
import random

from distill_nb.params.names import is_set
from distill_nb.runtime import paths
from distill_nb.traces import files, pocket
from distill_nb.traces.decontamination import statements


def _check_row(row: dict, where: str) -> dict:
    """A row of a local file as a trace; ValueError names the row, the key and the remedy."""
    messages = row.get("messages")
    if messages is not None:
        good = (
            isinstance(messages, list)
            and len(messages) > 1
            and all(
                isinstance(m, dict)
                and isinstance(m.get("content"), str)
                and isinstance(m.get("role"), str)
                for m in messages
            )
        )
        if (
            not good
            or messages[-1]["role"] != "assistant"
            or messages[0]["role"] not in ("user", "system")
        ):
            raise ValueError(
                f"{where}: messages must be a list of role and content that ends with the "
                "assistant's; "
                "correct or remove the row."
            )
        return {
            "id": str(row.get("id") or statements.problem_id(messages[-2]["content"])),
            "messages": messages,
        }
    for key in ("problem", "trace"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ValueError(
                f"{where}: {key} is missing or empty; give every row problem and trace, or "
                "messages."
            )
    return {
        "id": str(row.get("id") or statements.problem_id(row["problem"])),
        "problem": row["problem"],
        "trace": row["trace"],
        "answer": str(row.get("answer") or ""),
    }


def read_rows(file: str, check, key: str = "dataset") -> list[dict]:
    """The rows of a .jsonl or .parquet file, each as check(row, where) gives it. Raises ValueError,
    naming file and row."""
    path = paths.resolve(file)
    if not path.is_file():
        raise ValueError(
            f"{key}: there is no file {file}; give its path from the repository's root, or "
            "absolute."
        )
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path).to_pylist()
        except pa.ArrowException as error:
            raise ValueError(
                f"{file}: not a Parquet file ({error}); write it anew, or give a .jsonl file."
            ) from None
        return [check(row, f"{file}: row {i}") for i, row in enumerate(table, 1)]
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8."
        ) from None
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                raise ValueError(
                    f"{file}: line {number} is not JSON; correct or remove it."
                ) from None
            if not isinstance(row, dict):
                raise ValueError(
                    f"{file}: line {number} is no mapping; write one JSON object a line."
                )
            rows.append(check(row, f"{file}: line {number}"))
    return rows


def load_traces(
    dataset: str, teacher: str, domain: str, n: int, seed: int, scale: str = "full"
) -> list[dict]:
    """The first n traces of a seeded order: [{"id", "problem", "trace", "answer"} or {"id",
    "messages"}].

    dataset: `pocket` (generated), a set that traces.ipynb made at this scale (r1_math …), or a
    .jsonl or .parquet file of problem + trace or messages. Raises ValueError for a bad row, for
    fewer than n traces, and for a set that is not there."""
    return load_with_spare(dataset, teacher, domain, n, seed, scale)[0]


def load_with_spare(
    dataset: str, teacher: str, domain: str, n: int, seed: int, scale: str = "full"
) -> tuple[list[dict], list[dict]]:
    """(the n traces of `load_traces`; the others of the set or file, in the order in which they are
    to fill gaps). Pocket traces have no others."""
    if dataset == "pocket":
        return pocket.pocket_traces(teacher, domain, n, seed), []
    rows = _read_set(dataset, scale) if is_set(dataset) else read_rows(dataset, _check_row)
    if len(rows) < n:
        remedy = (
            "make it with more (n_examples of its parameter file), or lower n_examples"
            if is_set(dataset)
            else ("lower n_examples")
        )
        raise ValueError(
            f"{dataset}: it has {len(rows)} traces, and n_examples + n_heldout is {n}; {remedy}."
        )
    if is_set(dataset):  # which of a set are taken is the same for every seed and teacher
        rows, spare = rows[:n], rows[n:]
        random.Random(seed).shuffle(rows)
        return rows, spare
    random.Random(seed).shuffle(rows)
    return rows[:n], rows[n:]


def load_split(
    dataset: str,
    teacher: str,
    domain: str,
    n_examples: int,
    n_heldout: int,
    seed: int,
    scale: str = "full",
) -> tuple[list[dict], list[dict], list[dict]]:
    """(traces to train on, held-out ones, others to fill gaps with), of which no held-out problem
    is in the other two.

    A problem may have several traces. The held-out ones are the last n_heldout of
    `load_with_spare`'s, less those of problems that are trained on; the others leave out the
    problems that are held out."""
    rows, spare = load_with_spare(dataset, teacher, domain, n_examples + n_heldout, seed, scale)
    # whose ids are their problems'
    train, known = (rows[:n_examples], is_set(dataset) or dataset == "pocket")
    trained = {key for row in train for key in _keys(row, known)}
    heldout = [row for row in rows[n_examples:] if trained.isdisjoint(_keys(row, known))]
    held = {key for row in heldout for key in _keys(row, known)}
    return train, heldout, [row for row in spare if held.isdisjoint(_keys(row, known))]


def _keys(row: dict, known: bool) -> set[str]:
    """What a row's problem is known by: its id, and in a local file, whose ids may be the rows'
    own, its words too."""
    if known:
        return {row["id"]}
    asked = row["problem"] if "problem" in row else row["messages"][-2]["content"]
    return {row["id"], statements.problem_id(asked)}


def _read_set(dataset: str, scale: str) -> list[dict]:
    """A set's rows in the order in which they are taken; `problem` is what the student is asked."""
    rows = files.read(dataset, scale, ["id", "prompt", "trace", "answer"])
    return [
        {"id": r["id"], "problem": r["prompt"], "trace": r["trace"], "answer": r["answer"]}
        for r in rows
    ]
