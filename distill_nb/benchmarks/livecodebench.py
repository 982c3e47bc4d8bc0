"""LiveCodeBench v5: problems of programming contests, each with the date of its contest.

Jain et al. 2024, "LiveCodeBench: Holistic and Contamination Free Evaluation of Large Language
Models for Code" (arXiv 2403.07974), https://livecodebench.github.io; data
livecodebench/code_generation_lite on the hub. "LiveCodeBench v5" names several slices: all 880
problems of release_v5, those from 2024-08 to 2025-02 (279), or those from 2024-10 to 2025-02 (166).
Chosen here are the 279 from START to END, as in reports on reasoning models such as DeepCoder's.
The tasks are TAKEN of these, drawn with our seed: the published study does not say which it took.

release_v5 is the first five JSONL files of the hub, 4.4 GB, read line by line (datasets >= 4 does
not run their loader script). `benchmark_files` may name test.jsonl with the other four beside it,
or one JSONL file with the window's rows. The prompt has the content of the official one in our own
words, without its system message, as no other benchmark here has one."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.livecodebench_tests import Tests, parsed, tests_of
from distill_nb.benchmarks.loading import subset
from distill_nb.benchmarks.task import Task
from distill_nb.runtime import jsonl

HUB_ID = "livecodebench/code_generation_lite"
SOURCE = f"the files of {HUB_ID}"
REVISION = "0fe84c3912ea0c4d4a78037083943e8f0c4dd505"
FILES = {
    "test.jsonl": "2bd02b38beb48e8c46b5b9987095d999ff38cd8efc255ea5d58974317c48f63f",
    "test2.jsonl": "095df7c5daf15f882c51a9deb84085cff1e073495a5dbcf95015a564d485f3a3",
    "test3.jsonl": "28ed26cc83363ce3f1fe2d5fad9f8393077beb1907b167a31bd3b32f80801b79",
    "test4.jsonl": "d711138ddaebfcf5f8ec6a4283ee677298c0f5c5d374a235af92aaf0584510da",
    "test5.jsonl": "7f77571c2a6df0c2a72a3277650309f67e01e0008e18117e624633df53f81214",
}
# from the beginning of START to the midnight at which END begins
TAG, START, END, COUNT = ("release_v5", "2024-08-01", "2025-02-01", 279)
TAKEN, SEED = 100, 0  # our hundred
KEPT = ("question_id", "question_content", "starter_code")
KEYS = (*KEPT, "contest_date", "public_test_cases", "private_test_cases", "metadata")

PROMPT_VERSION = "livecodebench-1"
PROMPT = "Solve this programming problem.\n\n{problem}\n\n{how}"
WITH_STARTER = (
    "Complete the starter code below. Answer with the whole solution in one Python code block.\n\n"
    "```python\n{starter}\n```"
)
WITHOUT_STARTER = (
    "Write a Python program that reads the input from standard input and writes the answer to "
    "standard output. Do not run it on the examples. Answer with the whole program in one Python "
    "code block."
)


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks by question id, source record). The tests of each are decoded here too. Raises
    ValueError where a line or a test is not of the hub's shape, or as sources.py does."""
    rows, source = _rows(file)
    remedy = f"use the {len(FILES)} files of {TAG} from {HUB_ID} (the window is {START} to {END})"
    source = sources.measure(source, [r["question_id"] for r in rows], COUNT, remedy=remedy)
    source["version"] = f"{TAG}, contest_date {START} to {END}"
    by_id, prefix = {r["question_id"]: r for r in rows}, sources.prefix(source)
    tasks = [_task(by_id[i], prefix, file) for i in subset(sorted(by_id), TAKEN, SEED)]
    return tasks, source | {"prompt_version": PROMPT_VERSION}


def tests(task: Task) -> Tests:
    """The tests of a task, read from its file again: those of all tasks would fill the memory."""
    question_id = task.task_id.removeprefix(sources.PART)
    rows, _ = _rows(task.file or None)
    return _tests(next(row for row in rows if row["question_id"] == question_id))


def _rows(file: str | None) -> tuple[list[dict], dict]:
    """(the window's rows, source record)"""
    files, source = sources.locate("livecodebench", file, HUB_ID, REVISION, FILES)
    return _window(tuple(sources.state(f) for f in files)), source


@lru_cache(maxsize=4)
def _window(files: tuple[tuple[Path, int, int], ...]) -> list[dict]:
    """The window's rows, with the `place` of their tests (file, line number, offset) for these."""
    found, start, end = [], datetime.fromisoformat(START), datetime.fromisoformat(END)
    for path, *_ in files:
        with open(path, "rb") as lines:
            for number, offset, line in jsonl.rows(lines, path.name, f"use {SOURCE}"):
                row = _row(line, f"{path.name}: line {number}")
                if start <= row["date"] <= end:
                    kept = {key: row[key] for key in (*KEPT, "function")}
                    found.append(kept | {"place": (path, number, offset)})
    return found


def check(lines: Iterable[bytes], name: str) -> list[str]:
    """The question ids of a file's lines whose rows and tests can all be read; else raises
    ValueError."""
    ids = []
    for number, _, line in jsonl.rows(lines, name, f"use {SOURCE}"):
        where = f"{name}: line {number}"
        row = _row(line, where)
        tests_of(row["public_test_cases"], row["private_test_cases"], row["function"], where)
        ids.append(row["question_id"])
    return ids


def _row(row: dict, where: str) -> dict:
    """A row as the hub has it, with its date and the name of its function ("" for a program)."""
    for key in KEYS:
        if not isinstance(row.get(key), str) or (key in KEPT[:2] and not row[key].strip()):
            raise ValueError(f"{where}: no text {key!r}; use {SOURCE}.")
    try:
        date = datetime.fromisoformat(row["contest_date"]).replace(tzinfo=None)
    except ValueError:
        raise ValueError(
            f"{where}: contest_date {row['contest_date']!r} is no date as in 2024-08-17T00:00:00; "
            f"use {SOURCE}."
        ) from None
    function = parsed(row["metadata"], dict, where, "metadata", SOURCE).get("func_name") or ""
    if function and not (isinstance(function, str) and function.isidentifier()):
        raise ValueError(
            f"{where}: metadata has the func_name {str(function)[:50]!r}, which is no name; use "
            f"{SOURCE}."
        )
    return row | {"date": date, "function": function}


def _tests(row: dict) -> Tests:
    path, number, offset = row["place"]
    with open(path, "rb") as lines:
        lines.seek(offset)
        whole = next(jsonl.rows(lines, path.name)).row
    public, private = whole["public_test_cases"], whole["private_test_cases"]
    return tests_of(public, private, row["function"], f"{path.name}: line {number}")


def _task(row: dict, prefix: str, file: str | None) -> Task:
    if "tests_sha256" not in row:
        row["tests_sha256"] = _tests(row).sha256
    starter = row["starter_code"].rstrip()
    how = WITH_STARTER.format(starter=starter) if starter.strip() else WITHOUT_STARTER
    return Task(
        prefix + row["question_id"],
        PROMPT.format(problem=row["question_content"].strip(), how=how),
        "code",
        entry_point=f"Solution().{row['function']}" if row["function"] else "",
        benchmark="livecodebench",
        file=file or "",
        tests=row["tests_sha256"],
    )
