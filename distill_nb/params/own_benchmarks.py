"""The checks of benchmarks in a parameter file: those of one's own, named by a path, and the files
that stand for the default sources."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill_nb.params.names import BENCHMARKS, OWN, benchmark_name
from distill_nb.runtime import paths


def from_here(value: Any, end: str) -> Any:
    """A list in which files of the working folder, which are not where paths begin, have their
    whole path; any other value as it is. end: of what is a file."""
    if not isinstance(value, (list, tuple)):
        return value
    return [_file_from_here(v) if str(v).endswith(end) else v for v in value]


def _file_from_here(path: str) -> str:
    here = Path(path).absolute()
    return paths.movable(here) if here.is_file() and not paths.resolve(path).is_file() else path


def problems(v: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """As contradictions in checks.py: of benchmarks of one's own, names that cannot be one and
    files that are not there; of benchmark_files those that are of no benchmark, are not there, or
    are parts where the scale is full."""
    listed = "benchmarks" if "benchmarks" in v else "decontaminate"
    own = [entry for entry in v[listed] if entry.endswith(OWN)]
    for entry in own:
        name = benchmark_name(entry)
        if name in BENCHMARKS:
            yield (listed,), f", but {name} is the name of a built-in benchmark: rename {entry}"
        elif not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            why = f", but {name} cannot name a benchmark: call {entry} by small letters, digits, _"
            yield (listed,), why
        elif [benchmark_name(other) for other in own].count(name) > 1:
            yield (listed,), f", where two files are called {name}: rename one"
        elif not paths.resolve(entry).is_file():
            yield (listed,), f", but there is no file {entry}: correct the path"
    names = (*BENCHMARKS, *map(benchmark_name, own))
    if unknown := [name for name in v["benchmark_files"] if name not in names]:
        why = f", where {unknown[0]!r} is unknown: choose from {', '.join(names)}"
        yield ("benchmark_files",), why
    for benchmark, file in v["benchmark_files"].items():
        if not paths.resolve(file).is_file():
            why = f" but the file of {benchmark} does not exist: correct or remove it"
            yield ("benchmark_files",), why
        elif v["scale"] == "full" and ".part." in file.rpartition("/")[2]:
            why = f" but scale is 'full' and the file of {benchmark} a part: name the whole one"
            yield ("benchmark_files", "scale"), why
