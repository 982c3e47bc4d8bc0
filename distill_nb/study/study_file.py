"""A study as a file: its runs, baselines and sets of traces.

    study: my_study
    runs:
      - first.yaml
      - {run: base.yaml, with: {lora_rank: 8}, grid: {learning_rate: [1.0e-4, 2.0e-4]}}
    baselines: [baseline.yaml]
    sets: [traces_r1_math.yaml]

Files lie beside the study file, or else in papermill_params/. A study writes to
runs/<study>/<scale>/, and `runs` is $DISTILL_NB_RUNS, or else a folder beside the study file (of
the studies in papermill_params/studies/ the repository's). All studies in one runs folder share
its sets of traces and the answers of base students: runs/<scale>/traces and runs/<scale>/_base.

`use` names the study that this process and those that it starts are about, `current` reads it.
docs/studies.md says all that a study file may have."""

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill_nb import params
from distill_nb.params import reading
from distill_nb.runtime import paths
from distill_nb.runtime.shard import MOST
from distill_nb.study import grid
from distill_nb.traces import params as trace_params

VARIABLE = "DISTILL_NB_STUDY"
SCALES = ("full", "pocket", "tiny")
SHARED = ("traces", "_base")  # folders of a scale that all studies have in common
KEYS = (
    "study", "folder", "scale", "paper", "shards", "runs", "baselines", "sets", "beyond", "pocket",
    "tiny",
)  # fmt: skip
RUN_KEYS = ("run", "name", "with", "grid")


@dataclass(frozen=True)
class Run:
    """A run of a study: the folder that it writes to, its parameter file (as `_name` has it) and
    the scale of that, what the study changes of it, and its place in a grid, which counts at every
    scale."""

    folder: str
    file: str
    scale: str
    changes: dict[str, Any] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study file. Runs are by their folders, sets by their names."""

    file: Path
    name: str
    folder: str  # below runs/; "." for runs/ itself
    scale: str  # at which it runs unless another one is asked for
    paper: bool  # whether paper/ is built with its numbers
    runs: dict[str, Run]
    baselines: dict[str, Run]
    sets: dict[str, str]  # name → parameter file
    beyond: dict[str, Run]  # can be asked for by name
    small: dict[str, dict]  # scale → what its runs have there
    shards: int = 1  # jobs that share one evaluation, or one set of traces

    def all_runs(self) -> dict[str, Run]:
        """Runs, baselines, and those beyond the study."""
        return self.runs | self.baselines | self.beyond


# ---- which study


def find(name: str | Path) -> Path:
    """The file of a study: a path, the folder of its study.yaml, or a name in
    papermill_params/studies/. Raises ValueError where there is none."""
    known = {f.stem: f for f in sorted((paths.PARAMS_DIR / "studies").glob("*.yaml"))}
    given = Path(name).expanduser()
    for file in (given, given / "study.yaml"):
        if file.is_file():
            return file.resolve()
    if str(name).removesuffix(".yaml") in known:
        return known[str(name).removesuffix(".yaml")]
    close = difflib.get_close_matches(str(name), known, n=1)
    remedy = f"write {close[0]} if that is meant" if close else f"choose from {', '.join(known)}"
    raise ValueError(f"{name}: there is no such study file: {remedy}, or give a path.")


def use(name: str | Path) -> Study:
    """Take a study for this process and those that it starts: it reads the study, and writes to the
    study's runs folder. Naming it again, as those processes do, changes nothing. ValueError as of
    `find` and `read`."""
    study = read(find(name))
    os.environ[VARIABLE] = str(study.file)
    if study.folder != ".":
        os.environ["DISTILL_NB_RUNS"] = _runs_of(study)
    return study


def current() -> Study:
    """The study that `use` has taken, or that $DISTILL_NB_STUDY names; else the published one."""
    return read(find(os.environ.get(VARIABLE) or "published"))


def _runs_of(study: Study) -> str:
    """The runs folder of a study that has one of its own. A $DISTILL_NB_RUNS that ends in the
    study's folder is that already."""
    given = os.environ.get("DISTILL_NB_RUNS", "")
    if given and Path(given).name == study.folder:
        return given
    inside = study.file.is_relative_to(paths.PARAMS_DIR)
    return str(Path(given or ("runs" if inside else study.file.parent / "runs"), study.folder))


def share(scale: str) -> None:
    """Link the folders that all studies of a runs folder have in common into the current study's,
    where it has none of that name."""
    if current().folder == ".":
        return
    own, common = paths.runs() / scale, paths.runs().parent / scale
    for name in SHARED:
        if not os.path.lexists(own / name):
            (common / name).mkdir(parents=True, exist_ok=True)
            own.mkdir(parents=True, exist_ok=True)
            (own / name).symlink_to(Path("..", "..", scale, name))


# ---- reading one


def read(file: Path) -> Study:
    """The study of a file. Raises ValueError, one sentence that names file and key, for what cannot
    stand; parameter files are only read as far as that takes (`check` does the rest)."""
    source = file.name
    given = reading.read_file(file, source)
    for key in given:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1)
            remedy = f"write {close[0]} if that is meant" if close else "take it out"
            raise ValueError(f"{source}: {key} is no key of a study: {remedy}.")
    name = given.get("study", "")
    folder = given.get("folder", name)
    if not _names_a_folder(name):
        raise ValueError(
            f"{source}: study is {name!r}: give it a name of letters, digits, - and _, a letter "
            f"first, and none of {', '.join(SCALES)}."
        )
    if folder != "." and not _names_a_folder(folder):
        raise ValueError(f"{source}: folder is {folder!r}: leave it out, and it is {name}.")
    scale, paper = given.get("scale", "full"), given.get("paper", False)
    if scale not in SCALES:
        raise ValueError(f"{source}: scale is {scale!r}: choose from {', '.join(SCALES)}.")
    shards = given.get("shards", 1)
    if isinstance(shards, bool) or not isinstance(shards, int) or not 1 <= shards <= MOST:
        raise ValueError(f"{source}: shards is {shards!r}: write a number from 1 to {MOST}.")
    if not isinstance(paper, bool):
        raise ValueError(f"{source}: paper is {paper!r}: write true or false.")
    runs, baselines, beyond = (
        list(_runs(_list(given, key, source), file)) for key in ("runs", "baselines", "beyond")
    )
    if not runs + baselines:
        raise ValueError(f"{source}: runs is empty: name a parameter file, as in [run07.yaml].")
    _refuse_equal([*runs, *baselines, *beyond])
    sets: dict[str, str] = {}
    for each in _files(_list(given, "sets", source), file, "sets"):
        dataset = str(values_of(each).get("dataset"))
        if dataset in sets:
            raise ValueError(
                f"{each}: dataset is {dataset}, and so is that of {sets[dataset]}: give one of "
                "them another."
            )
        sets[dataset] = each
    small = {key: _small(given.get(key, {}), f"{source}: {key}") for key in SCALES[1:]}
    by_folder = ({run.folder: run for run in group} for group in (runs, baselines, beyond))
    runs_by, baselines_by, beyond_by = by_folder
    groups = (runs_by, baselines_by, sets, beyond_by)
    return Study(file, name, folder, scale, paper, *groups, small, shards)


def _names_a_folder(name: Any) -> bool:
    return (
        isinstance(name, str)
        and bool(re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII))
        and name not in SCALES
    )


def _list(given: dict, key: str, source: str) -> list:
    values = given.get(key, [])
    if not isinstance(values, list):
        raise ValueError(f"{source}: {key} is {values!r}: write a list, as in [run07.yaml].")
    return values


def _files(names: list, study: Path, key: str) -> Iterator[str]:
    """Parameter files, as `_read` takes them; each name may have a *."""
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{study.name}: {key} has {name!r}: write a file's name.")
        found: list[Path] = []
        for place in (study.parent, paths.PARAMS_DIR):
            found = found or sorted(f for f in place.glob(name) if f.is_file())
        if not found and "*" not in name:
            raise ValueError(
                f"{study.name}: {key} names {name}, and there is no such file beside it or in "
                "papermill_params/: correct the name."
            )
        yield from map(_name, found)


def _name(file: Path) -> str:
    """A parameter file below papermill_params/ by its name there, another one by its path."""
    inside = file.is_relative_to(paths.PARAMS_DIR)
    return file.relative_to(paths.PARAMS_DIR).as_posix() if inside else str(file.resolve())


def values_of(*names: str) -> dict:
    """The merged values of parameter files, by their names as a Run has them."""
    return params.read_files(*(paths.PARAMS_DIR / name for name in names))


def _runs(entries: list, study: Path) -> Iterator[Run]:
    for entry in entries:
        about = {"run": entry} if isinstance(entry, str) else entry
        if not isinstance(about, dict) or "run" not in about or set(about) - set(RUN_KEYS):
            raise ValueError(
                f"{study.name}: runs has {entry!r}: write a file's name, or a mapping of run and, "
                f"where wanted, {', '.join(RUN_KEYS[1:])}."
            )
        for file in _files([about["run"]], study, "runs"):
            yield from _of_file(file, about, f"{study.name}: {Path(file).name}")


def _of_file(file: str, about: dict, source: str) -> Iterator[Run]:
    """The runs of one entry."""
    own, changes = values_of(file), about.get("with", {})
    if not isinstance(changes, dict):
        raise ValueError(f"{source}: with is {changes!r}: write keys and values, as in a run file.")
    changes = {k: grid.value_of(k, v, f"{source}: with") for k, v in changes.items()}
    name = about.get("name", own.get("run_name"))
    if not isinstance(name, str):
        raise ValueError(f"{source}: run_name is {name!r}: give the run a name.")
    named: list[tuple[str, dict]] = [(name, {})]
    if "grid" in about:
        named = grid.expand(name, about["grid"], source)
    for full_name, values in named:
        renamed = {"run_name": full_name} if full_name != own.get("run_name") else {}
        seed = (own | changes | values).get("seed", 0)
        folder = full_name + (f"_seed{seed}" if seed else "")
        yield Run(folder, file, str(own.get("scale")), changes | renamed, values)


def _refuse_equal(runs: list[Run]) -> None:
    found: dict[str, str] = {}
    for run in runs:
        if run.folder in found:
            where = f"{run.file}: run_name is {run.folder}, and so is that of {found[run.folder]}"
            raise ValueError(f"{where}: give one of them another.")
        found[run.folder] = run.file


def _small(given: Any, source: str) -> dict:
    """What all runs have at a small scale."""
    if not isinstance(given, dict):
        raise ValueError(f"{source} is {given!r}: write keys and values, as in a run file.")
    return {key: grid.value_of(key, value, source) for key, value in given.items()}


# ---- all that a study has


def given(run: Run) -> dict:
    """The parameters of a run at full scale."""
    return values_of(run.file) | run.changes | run.place


def check(study: Study) -> tuple[list[params.Params], list[trace_params.TraceParams]]:
    """The runs with the baselines, and the sets of a study, at full scale. Raises ValueError, one
    sentence, for a parameter file that cannot stand."""
    runs = [
        params.validate(given(run), f"{study.file.name}: {folder}")
        for folder, run in (study.runs | study.baselines).items()
    ]
    sets = [trace_params.validate(values_of(file), file) for file in study.sets.values()]
    return runs, sets
