"""AIME 2025: the 30 problems of the American Invitational Mathematics Examinations I and II 2025,
written after the training data of many students ended.

From the hub, math-ai/aime25 (test.jsonl), or from a local .jsonl or .parquet of that shape: problem
(question in some copies), answer (an integer from 0 to 999), id (a number). Task ids are 2025-0 …
2025-29, by the file's numbers. The published study has no score of it."""

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.aime import question
from distill_nb.benchmarks.task import BOXED, MATH_PROMPT_VERSION, Task

HUB_ID = "math-ai/aime25"
REVISION = "563bb8404243c5f09de6ec262f2db674fe5bce9b"
FILES = {"test.jsonl": "b4e273c02d3e7fe1b74b59eae768fc8230bfb0f79539890cb56f4361caac0331"}
SIZE = 30


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks in the file's order, source record). Raises ValueError as sources.py does."""
    (path,), source = sources.locate("aime25", file, HUB_ID, REVISION, FILES)
    ids, made = [], []
    for where, row in sources.rows(path, HUB_ID, ()):
        asked, number = question(row), str(row.get("id")).strip()
        if asked is None or not number.isdigit():
            raise ValueError(
                f"{where} is no AIME problem with a number as id and an integer answer; use the "
                f"file of {HUB_ID}."
            )
        ids.append(f"2025-{int(number)}")
        made.append(asked)
    source = sources.measure(source, ids, SIZE, remedy=f"use the file of {HUB_ID}")
    prefix = sources.prefix(source)
    tasks = [
        Task(prefix + i, f"{text}\n\n{BOXED}", "math", gold=answer)
        for i, (text, answer) in zip(ids, made, strict=True)
    ]
    return tasks, source | {"version": "2025", "prompt_version": MATH_PROMPT_VERSION}
