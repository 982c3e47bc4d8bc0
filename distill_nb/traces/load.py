"""Traces to train on: a set that traces.ipynb made, generated ones, or a local file."""

import random
from collections.abc import Callable

from distill_nb.params.names import is_set
from distill_nb.runtime import data_files, paths
from distill_nb.traces import files, pocket
from distill_nb.traces import rows as local_rows
from distill_nb.traces.decontamination import statements


def read_rows(file: str, check: Callable[[dict, str], dict], key: str = "dataset") -> list[dict]:
    """The rows of a .jsonl or .parquet file, each as check(row, where) gives it. ValueError names
    file and row."""
    path = paths.resolve(file)
    if not path.is_file():
        raise ValueError(
            f"{key}: there is no file {file}; give its path from the repository's root, or "
            "absolute."
        )
    return [check(row, where) for where, row in data_files.rows(path, file)]


def traces_and_spare(
    dataset: str, teacher: str, domain: str, n: int, seed: int, scale: str = "full"
) -> tuple[list[dict], list[dict]]:
    """(the first n traces of a seeded order, [{"id", "problem", "trace", "answer"} or {"id",
    "messages"}]; the others of the set or file, in the order in which they fill gaps).

    dataset: `pocket`, a set (r1_math …), or a .jsonl or .parquet file of rows as in rows.py. Raises
    ValueError for a bad row, for fewer than n traces, or for no such set."""
    if dataset == "pocket":
        return pocket.pocket_traces(teacher, domain, n, seed), []
    if is_set(dataset):  # `problem` is what the student is asked
        columns = {"id": "id", "problem": "prompt", "trace": "trace", "answer": "answer"}
        rows = files.read(dataset, scale, columns)
    else:
        rows = read_rows(dataset, local_rows.trace_of)
    if len(rows) < n:
        remedy = "lower n_examples"
        if is_set(dataset):
            remedy = "make it with more (n_examples of its parameter file), or lower n_examples"
        raise ValueError(
            f"{dataset}: it has {len(rows)} traces, and n_examples + n_heldout is {n}; {remedy}."
        )
    if is_set(dataset):  # which of a set are taken is the same for every seed and teacher
        rows, spare = rows[:n], rows[n:]
        random.Random(seed).shuffle(rows)
        return rows, spare
    random.Random(seed).shuffle(rows)
    return rows[:n], rows[n:]


def split(
    dataset: str,
    teacher: str,
    domain: str,
    n_examples: int,
    n_heldout: int,
    seed: int,
    scale: str = "full",
) -> tuple[list[dict], list[dict], list[dict]]:
    """(traces to train on, held-out ones, others to fill gaps with).

    A problem may have several traces. The held-out ones are the last n_heldout of
    `traces_and_spare`, less those of problems that are trained on. The others leave out the
    problems that are held out."""
    rows, spare = traces_and_spare(dataset, teacher, domain, n_examples + n_heldout, seed, scale)
    known = is_set(dataset) or dataset == "pocket"  # their ids are their problems'
    train = rows[:n_examples]
    trained = {key for row in train for key in _keys(row, known)}
    heldout = [row for row in rows[n_examples:] if trained.isdisjoint(_keys(row, known))]
    held = {key for row in heldout for key in _keys(row, known)}
    return train, heldout, [row for row in spare if held.isdisjoint(_keys(row, known))]


def _keys(row: dict, known: bool) -> set[str]:
    """What a row's problem is known by: its id; its words too where the ids are a file's own."""
    if known:
        return {row["id"]}
    asked = row["problem"] if "problem" in row else row["messages"][-2]["content"]
    return {row["id"], statements.problem_id(asked)}
