"""MATH-500: 500 problems of the MATH test set (Hendrycks et al. 2021, arXiv 2103.03874) chosen by
Lightman et al. 2023 (arXiv 2305.20050).

From the hub, HuggingFaceH4/MATH-500 (its only version of test.jsonl, the bytes of openai/prm800k's
math_splits/test.jsonl), or from a local file of that shape: problem, answer (LaTeX), unique_id."""

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.task import BOXED, MATH_PROMPT_VERSION, Task

HUB_ID = "HuggingFaceH4/MATH-500"
REVISION = "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"
FILES = {"test.jsonl": "35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132"}
SIZE = 500


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks, source record). Raises ValueError as sources.py does."""
    (path,), source = sources.locate("math500", file, HUB_ID, REVISION, FILES)
    rows = sources.read(path, HUB_ID, ("problem", "answer", "unique_id"))
    ids = [row["unique_id"] for row in rows]
    source = sources.measure(source, ids, SIZE, remedy=f"use the file of {HUB_ID}")
    prefix = sources.prefix(source)
    tasks = [
        Task(prefix + row["unique_id"], f"{row['problem']}\n\n{BOXED}", "math", gold=row["answer"])
        for row in rows
    ]
    return tasks, source | {"version": "MATH-500", "prompt_version": MATH_PROMPT_VERSION}
