"""GPQA Diamond: 198 multiple-choice questions of biology, chemistry and physics that experts agree
on and others get wrong with a search engine at hand (Rein et al. 2023, arXiv 2311.12022).

From the hub, Idavidrein/gpqa, which is gated (its authors ask that no example is shown in plain
text where a crawler finds it), or from a local .csv, .jsonl or .parquet of that shape: Question,
Correct Answer, Incorrect Answer 1 to 3, Record ID. The four options are shuffled by a seed that is
made of the task id, so that they stand in the same order in every run. The prompt is simple-evals'
(github.com/openai/simple-evals, common.py) with two ways to name the letter (grading/choice.py)."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.task import Task
from distill_nb.runtime import provenance

HUB_ID = "Idavidrein/gpqa"
REVISION = "633f5ee89ab8ad4522a9f850766b73f62147ffdd"
FILES = {"gpqa_diamond.csv": "41d1213cd7a4998605a26c2798500652572007161b3a92817ba46b35befcd305"}
SIZE = 198
OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
KEYS = ("Question", *OPTIONS)
LETTERS = "ABCD"
PROMPT_VERSION = "choice-1"
PROMPT = r"""Answer the following multiple choice question. Think step by step before answering. The last line of your response should name the letter of one option, as in 'Answer: A' or \boxed{{A}}.

{question}

A) {a}
B) {b}
C) {c}
D) {d}"""  # noqa: E501


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks in the file's order, source record). A task's gold is the letter of the right option,
    or the letters of options of the same text. Raises ValueError as sources.py does."""
    (path,), source = sources.locate("gpqa_diamond", file, HUB_ID, REVISION, FILES)
    rows = list(_rows(path))
    ids = [str(row.get("Record ID") or provenance.sha256_of_json(row["Question"])) for row in rows]
    source = sources.measure(source, ids, SIZE, remedy=f"use the file of {HUB_ID}")
    prefix = sources.prefix(source)
    tasks = [_task(prefix, i, row) for i, row in zip(ids, rows, strict=True)]
    return tasks, source | {"version": "GPQA Diamond", "prompt_version": PROMPT_VERSION}


def question(task: Task) -> str:
    """A task's question alone, without what all prompts share and without the options."""
    before, after = PROMPT.replace("{{", "{").replace("}}", "}").split("{question}")
    between = after.partition("{a}")[0]
    return task.prompt.removeprefix(before).rpartition(between)[0]


def _task(prefix: str, task_id: str, row: dict) -> Task:
    options = [row[key].strip() for key in OPTIONS]
    right = options[0]
    random.Random(f"gpqa_diamond {task_id}").shuffle(options)
    prompt = PROMPT.format(
        question=row["Question"].strip(), **dict(zip(LETTERS.lower(), options, strict=True))
    )
    gold = "".join(letter for letter, o in zip(LETTERS, options, strict=True) if o == right)
    return Task(prefix + task_id, prompt, "choice", gold=gold)


def _rows(path: Path) -> Iterator[dict]:
    """The rows of a CSV, or of another file. Raises ValueError for one without a question or an
    option."""
    if path.suffix != ".csv":
        yield from sources.read(path, HUB_ID, KEYS)
        return
    sources.state(path)
    with open(path, encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=1):
            for key in KEYS:
                if not (row.get(key) or "").strip():
                    raise ValueError(
                        f"{path.name}, row {number} has no text {key!r}; use the file of {HUB_ID}."
                    )
            yield row
