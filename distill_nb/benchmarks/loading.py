"""A benchmark by its name: all its tasks or a seeded subset, and the record of what was taken."""

import hashlib
from importlib import import_module

from distill_nb.benchmarks import own, sources
from distill_nb.benchmarks.task import Task
from distill_nb.params import BENCHMARKS, benchmark_name
from distill_nb.runtime import provenance


def load(name: str, file: str | None = None, limit: int = 0, seed: int = 0) -> list[Task]:
    """The tasks of a benchmark, in its own order; `limit` > 0 takes the `subset` drawn with `seed`.
    Raises ValueError for an unknown name, or a source that is missing or not as it should be."""
    tasks, source = _all(name, file)
    if not source["whole"]:
        sources.say_part(source["source"], source["found"], source["size"], name)
    return _limited(tasks, limit, seed)


def describe(name: str, file: str | None = None, limit: int = 0, seed: int = 0) -> dict:
    """What `load` with the same arguments takes, for the provenance: the source record (benchmark,
    source, version, sha256 of each file, as_published, size, found, whole, prompt_version), and
    taken, label (what was taken, in words), seed, ids and their sha256. Raises as `load` does."""
    tasks, source = _all(name, file)
    ids = [t.task_id for t in _limited(tasks, limit, seed)]
    label = f"{len(ids)} of {source['size']}, a seeded subset of ours"
    if not source["whole"]:
        label = f"{len(ids)} of {source['size']}, from a file that is a part: not the benchmark"
    elif len(ids) == source["size"]:
        label = f"all {len(ids)}"
    return source | {
        "taken": len(ids),
        "label": label,
        "seed": seed,
        "ids": ids,
        "ids_sha256": provenance.sha256_of_json(ids),
    }


def subset(ids: list[str], n: int, seed: int) -> list[str]:
    """n of the ids, in their order: those with the smallest sha256 of "<seed> <id>". So the choice
    depends only on seed and ids, and a smaller subset is part of a larger one."""
    ranked = sorted(ids, key=lambda i: hashlib.sha256(f"{seed} {i}".encode()).digest())
    chosen = set(ranked[:n])
    return [i for i in ids if i in chosen]


def _limited(tasks: list[Task], limit: int, seed: int) -> list[Task]:
    chosen = set(subset([t.task_id for t in tasks], limit or len(tasks), seed))
    return [t for t in tasks if t.task_id in chosen]


def _all(name: str, file: str | None) -> tuple[list[Task], dict]:
    """(tasks, source record) of <name>.py, of pocket.py, which has two benchmarks, or of one's own
    file."""
    if benchmark_name(name) != name:
        return own.load(name, file)
    if name not in BENCHMARKS:
        raise ValueError(f"benchmarks: there is no {name}; choose from {', '.join(BENCHMARKS)}.")
    if name.startswith("pocket"):
        return import_module(".pocket", __package__).load(name)
    return import_module(f".{name}", __package__).load(file)
