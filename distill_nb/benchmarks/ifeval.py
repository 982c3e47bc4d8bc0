"""IFEval: 541 prompts with instructions whose following a program can check, as "no commas" or "at
least 300 words" (Zhou et al. 2023, arXiv 2311.07911).

From the hub, google/IFEval, or from a local .jsonl or .parquet of that shape: key, prompt,
instruction_id_list, kwargs (a mapping for each instruction). The prompt is asked as it is. The
checks are Google's, in the package if-verifiable of the extra ifeval (grading/instructions.py)."""

import json

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.task import Task

HUB_ID = "google/IFEval"
REVISION = "966cd89545d6b6acfd7638bc708b98261ca58e84"
FILES = {
    "ifeval_input_data.jsonl": "6a85310ca8ce15eff755aa08a3a4ff931c7e273e7515ebb3c492ea85fd8288f2"
}
SIZE = 541


def load(file: str | None) -> tuple[list[Task], dict]:
    """(tasks in the file's order, source record). A task's tests are the row's instructions as
    JSON. Raises ValueError as sources.py does."""
    (path,), source = sources.locate("ifeval", file, HUB_ID, REVISION, FILES)
    ids, made = [], []
    for where, row in sources.rows(path, HUB_ID, ("prompt",)):
        names, kwargs = row.get("instruction_id_list"), row.get("kwargs")
        lists = isinstance(names, list) and isinstance(kwargs, list)
        if "key" not in row or not lists or not names or len(names) != len(kwargs or ()):
            raise ValueError(
                f"{where} has no key, or not one of kwargs for each of its instruction_id_list; "
                f"use the file of {HUB_ID}."
            )
        ids.append(str(row["key"]))
        # a .parquet file has every key for each instruction, most of them null
        given = [{k: v for k, v in (own or {}).items() if v is not None} for own in kwargs or ()]
        made.append((row["prompt"], json.dumps([names, given], sort_keys=True)))
    source = sources.measure(source, ids, SIZE, remedy=f"use the file of {HUB_ID}")
    prefix = sources.prefix(source)
    tasks = [
        Task(prefix + i, prompt, "instructions", tests=tests)
        for i, (prompt, tests) in zip(ids, made, strict=True)
    ]
    return tasks, source | {"version": "IFEval", "prompt_version": "ifeval-1"}
