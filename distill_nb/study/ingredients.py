"""What a stage of the study is made of: its parameters (those that its notebook declares), the
notebook's cells, the modules that run (code_hash.py), the local files that the parameters name, and
what made the results that it reads.

One hash is over all of it, and stamps.py says by it whether the stage is done. The times of files
decide nothing: a fresh checkout or a copied runs folder reruns nothing, nor does an edit of the
README or of a comment in a parameter file.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from distill_nb.params.names import OWN
from distill_nb.runtime import code_hash, hub, paths, provenance
from distill_nb.study import graph, notebooks
from distill_nb.study.graph import ENTRY, Stage

# The module that makes what later stages read; a notebook only shows it.
CORE = {
    "traces": "distill_nb.traces.build",
    "train": "distill_nb.training.train",
    "eval": "distill_nb.evaluation.evaluate",
}
# Files that are no modules. Pages are made with templates, too, but no page is a reason to rerun.
DATA = {
    "analyze": ("distill_nb/analysis/published/*.csv",),
    "published": ("distill_nb/analysis/published/*.csv",),
    "paper": (
        "distill_nb/analysis/published/*.csv", "paper/paper.tex", "paper/references.bib",
        "paper/sections/*.tex", "bench/results/simulated_*.json", "bench/results/verdicts.json",
        "figures/*.pdf",
    ),
}  # fmt: skip
TEMPLATES = "distill_nb/report/templates/distill_nb"
PAGE_DATA = {"eval": (f"{TEMPLATES}/flips.*", f"{TEMPLATES}/model_card.*")}  # no result rests on it


@cache
def ingredients(stage: Stage, page: bool = True) -> dict[str, str]:
    """What the stage is made of: name → value or sha256. With `page` false only what makes the
    results that later stages read: an edit of a notebook or a figure does not rerun those."""
    values = graph.values(stage)
    found = {f"parameter {k}": json.dumps(_named(k, v), sort_keys=True) for k, v in values.items()}
    entries = [e for e in (CORE.get(stage.name) or ENTRY.get(stage.name),) if e]
    if graph.asks_the_stand_in(stage):
        entries.append("distill_nb.study.stand_in")
    if page and stage.name not in ENTRY:
        entries.append(f"notebooks/{stage.name}.ipynb")
        found[entries[-1]] = code_hash.content_hash(notebooks.notebook_of(stage.name))
    patterns = DATA.get(stage.name, ())
    if page:
        patterns += PAGE_DATA.get(stage.name, ())
    files = {file for entry in entries for file in _modules(entry)}
    files |= {file for pattern in patterns for file in _matching(pattern)}
    found |= {paths.movable(file): _sha256(file) for file in sorted(files)}
    for i, file in enumerate(_local_files(stage)):
        found[f"content of local file {i}, {file.name}"] = _sha256(file)
    for key in ("student", "adapter"):
        folder = paths.resolve(values.get(key, "none"))
        if folder.is_dir():
            found[f"content of the {key}'s folder"] = _hash_of_folder(folder)
    return found | {f"result of {need}": _hash(need, page=False) for need in graph.needs(stage)}


def _matching(pattern: str) -> list[Path]:
    """Files by a pattern of the repository: the package's, or others that come with it."""
    base = paths.ROOT if pattern.startswith("distill_nb/") else paths.SHIPPED
    return list(base.glob(pattern))


def _named(key: str, value: Any) -> Any:
    """A parameter for hashing: of local files only the name, for their content counts and not their
    place. Whether they are there must not matter: the graph makes some of them itself."""
    if isinstance(value, dict):
        return {k: Path(v).name for k, v in value.items()}
    return Path(value).name if key in ("dataset", "source") and "/" in value else value


def _local_files(stage: Stage) -> list[Path]:
    """The files that the parameters name and that are there, without those of tiny.py, which the
    graph makes itself."""
    given, found = graph.values(stage), []
    if stage.scale == "tiny":
        given = {k: v for k, v in given.items() if k != "benchmark_files"}
    for key in ("benchmark_files", "statements"):
        found += [paths.resolve(v) for v in given.get(key, {}).values()]
    for key in ("benchmarks", "decontaminate"):
        found += [paths.resolve(v) for v in given.get(key, ()) if v.endswith(OWN)]
    for path in (paths.resolve(given[key]) for key in ("dataset", "source") if key in given):
        found += sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    return [f for f in found if f.is_file()]


@cache
def _modules(entry: str) -> tuple[Path, ...]:
    return tuple(code_hash.modules_of(entry))


@cache
def _sha256(file: Path) -> str:
    return provenance.sha256_of_file(file)


@cache
def _hash_of_folder(folder: Path) -> str:
    return hub.hash_of_folder(folder)


def modules(stage: Stage) -> dict[str, str]:
    """File → 16 hex digits of the modules that make the stage's results now, as `code` in their
    provenance has them."""
    if stage.name not in CORE:
        return {}
    return {paths.movable(file): _sha256(file)[:16] for file in _modules(CORE[stage.name])}


@cache
def _hash(stage: Stage, page: bool) -> str:
    made = ingredients(stage, page) | (ingredients(stage, False) if page else {})
    return provenance.sha256_of_json(made)[:16]


def hash_of(stage: Stage) -> str:
    """16 hex digits over all that the stage is made of now."""
    return _hash(stage, page=True)


def hash_of_results(stage: Stage) -> str:
    """16 hex digits over all that makes the results of the stage that later stages read, without
    its page."""
    return _hash(stage, page=False)
