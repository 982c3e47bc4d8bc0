"""A benchmark of one's own: a Python file that is named by its path, as in
`benchmarks: [my_benchmark.py]`. Nothing of the package is edited for it.

The benchmark is called as the file, without .py, and the file says:

- `load(file)` → a list of rows, each a mapping with a text `id`. file: the path that
  `benchmark_files` names for the benchmark, None without one. A grader wants more of a row, below.
- `prompt(row)` → the user's message.
- `GRADER`, the name of a grader of ours, or `grade(answer, row)`, one of your own:

      math     row["answer"] against the last box (`BOXED` asks for one)
      code     row["tests"], asserts, call row["entry_point"], in the sandbox
      choice   row["answer"], a letter, against `Answer: A` or a box
      grade    answer is the text outside the thinking; True, False, or None where it has no answer.
               It runs in this process: text that a model wrote must not be run there as code

- `VERSION`, a text, if there is one.

The prompts' version and the provenance have the file's sha256: where it changes, its answers are
made anew. It may import what the package can."""

import importlib.util
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from distill_nb.benchmarks import sources
from distill_nb.benchmarks.task import Task
from distill_nb.params import benchmark_name
from distill_nb.runtime import paths

WANTED = {"math": ("answer",), "code": ("tests", "entry_point"), "choice": ("answer",), "own": ()}


def load(entry: str, file: str | None) -> tuple[list[Task], dict]:
    """(tasks, source record) of a benchmark of one's own. entry: its path, from the repository's
    root where it is relative. Raises ValueError, one sentence that names the file, where it is
    missing, is no such file, or gives rows that are none."""
    module, name = module_of(entry), benchmark_name(entry)
    kind = _kind(module, entry)
    found = {Path(entry).name: sources.sha256(paths.resolve(entry))}
    source = paths.movable(paths.resolve(entry))
    if file:
        data = sources.local(name, file)
        found[data.name], source = sources.sha256(data), paths.movable(data)
    rows = _call(entry, "load(file)", module.load, str(sources.local(name, file)) if file else None)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{entry}: load(file) must give a list of rows, each a mapping.")
    tasks = [_task(module, entry, kind, row, i) for i, row in enumerate(rows)]
    ids = [task.task_id for task in tasks]
    if repeated := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"{entry}: load(file) gives the id {repeated[0]!r} more than once.")
    return tasks, {
        "benchmark": name,
        "module": entry,
        "source": source,
        "sha256": found,
        "as_published": False,
        "size": len(tasks),
        "found": len(tasks),
        "whole": True,
        "version": str(getattr(module, "VERSION", "own")),
        "prompt_version": f"own-{found[Path(entry).name][:12]}",
    }


def module_of(entry: str) -> ModuleType:
    """The module of a benchmark's file, read again when that has changed. Raises ValueError."""
    path = paths.resolve(entry)
    if not path.is_file():
        raise ValueError(f"benchmarks: there is no file {entry}; correct the path.")
    return _module(entry, *sources.state(path))


@lru_cache(maxsize=16)
def _module(entry: str, path: Path, _mtime: int, _size: int) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"distill_nb_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"benchmarks: {entry} is no Python file; correct the path.")
    module = importlib.util.module_from_spec(spec)
    _call(entry, "its code", spec.loader.exec_module, module)
    for name in ("load", "prompt"):
        if not callable(getattr(module, name, None)):
            raise ValueError(f"{entry} has no function {name}; docs/benchmarks.md has an example.")
    return module


def _kind(module: ModuleType, entry: str) -> str:
    grader, own = getattr(module, "GRADER", None), callable(getattr(module, "grade", None))
    if own == (grader is not None) or (grader is not None and grader not in WANTED):
        names = ", ".join(name for name in WANTED if name != "own")
        raise ValueError(
            f"{entry}: GRADER is {grader!r}; write one of {names}, or a function "
            "grade(answer, row) and no GRADER."
        )
    return grader or "own"


def _task(module: ModuleType, entry: str, kind: str, row: dict, number: int) -> Task:
    for key in ("id", *WANTED[kind]):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ValueError(f"{entry}: row {number} of load(file) has no text {key!r}.")
    prompt = _call(entry, "prompt(row)", module.prompt, row)
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"{entry}: prompt(row) of row {number} gives no text.")
    if kind == "code":
        return Task(row["id"], prompt, "code", tests=row["tests"], entry_point=row["entry_point"])
    gold = row["answer"] if isinstance(row.get("answer"), str) else ""
    if kind != "own":
        return Task(row["id"], prompt, kind, gold=gold)
    try:
        text = json.dumps(row, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"{entry}: row {number} of load(file) is no JSON ({error}).") from None
    return Task(row["id"], prompt, "own", gold=gold, tests=text, benchmark=entry)


def _call(entry: str, what: str, function: Callable, *given: object) -> object:
    """What a function of the file gives; whatever it raises is a ValueError that names it."""
    try:
        return function(*given)
    except Exception as error:
        raise ValueError(
            f"{entry}: {what} failed with {type(error).__name__}: {error}; correct it."
        ) from error
