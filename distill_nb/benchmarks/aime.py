"""AIME: the 90 problems of the American Invitational Mathematics Examinations 2022 to 2024.

From the hub, AI-MO/aimo-validation-aime, or from a local .parquet or .jsonl of that shape: problem
(question in some copies), answer (an integer from 0 to 999), url (with year, paper and number).
Task ids are 2022-I-1 … 2024-II-15; slices.table shows each year's 30 problems separately."""

import itertools
import re

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.task import BOXED, MATH_PROMPT_VERSION, Task

HUB_ID = "AI-MO/aimo-validation-aime"
REVISION = "13f9e12f613e720c2a2b2f345dd04b998a29494d"
SHA256 = "025484a99fea498e7d0c3b0ee42afcbec0176405c19c5dbf557b9f6ca6445675"
FILES = {"data/train-00000-of-00001.parquet": SHA256}
PLACES = itertools.product((2022, 2023, 2024), ("I", "II"), range(1, 16))
IDS = {f"{year}-{paper}-{number}" for year, paper, number in PLACES}
KEYS = {"2024-I-12": "385"}  # the official key, where copies of the data set differ


def question(row: dict) -> tuple[str, str] | None:
    """(problem, answer without leading zeros) of a row; None where it is no AIME problem."""
    text, answer = row.get("problem", row.get("question")), str(row.get("answer")).strip()
    if not isinstance(text, str) or not text.strip() or not re.fullmatch(r"\d{1,3}", answer):
        return None
    return text, str(int(answer))


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks by year, paper and number; source record). Raises ValueError as sources.py does."""
    (path,), source = sources.locate("aime", file, HUB_ID, REVISION, FILES)
    golds, texts, ids = {}, {}, []
    for where, row in sources.rows(path, HUB_ID, ("url",)):
        asked = question(row)
        place = re.search(r"(\d{4})_AIME_(II?)_Problems/Problem_(\d+)", row["url"])
        if asked is None or place is None:
            raise ValueError(
                f"{where} is no AIME problem with an integer answer and the url of its year, paper "
                f"and number; use the file of {HUB_ID}."
            )
        task_id = "-".join(place.groups())
        ids.append(task_id)
        texts[task_id], answer = asked
        golds[task_id] = KEYS.get(task_id, answer)
    if strange := set(ids) - IDS:
        raise ValueError(
            f"{path.name}: {min(strange)} is not of AIME 2022 to 2024; use the file of {HUB_ID}."
        )
    source = sources.measure(source, ids, len(IDS), remedy=f"use the file of {HUB_ID}")
    ids.sort(key=lambda i: [int(x) if x.isdigit() else len(x) for x in i.split("-")])
    prefix = sources.prefix(source)
    tasks = [Task(prefix + i, f"{texts[i]}\n\n{BOXED}", "math", gold=golds[i]) for i in ids]
    return tasks, source | {"version": "2022, 2023, 2024", "prompt_version": MATH_PROMPT_VERSION}
