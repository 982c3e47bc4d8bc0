"""The study as a graph of stages, each with its parameters and the stages before it. The Snakefile
asks this module and ingredients.py, which knows what a stage is made of and whether it is done;
stage.py runs one.

A stage is one notebook with the parameters of one run: `traces` of a set, `train` and `eval` of a
run, `analyze` of a scale; beside them the paper, and at tiny scale the files that stand for the
hubs' (tiny.py)."""

import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from distill_nb import params
from distill_nb.params import STUDY
from distill_nb.params.names import is_set
from distill_nb.runtime import paths
from distill_nb.study import notebooks, tiny

POCKET = ("pocket_math.yaml", "pocket_code.yaml")  # the pocket scale's runs
RUNS = tuple(f"run{i:02d}.yaml" for i in range(1, 11))  # the study's, of the other scales
BASELINES = ("baseline_qwen_base.yaml", "baseline_qwen_instruct.yaml", "baseline_llama.yaml")
# the stages without a notebook
ENTRY = {"fixtures": "distill_nb.study.tiny", "paper": "distill_nb.report.latex"}
IDLE = {"overwrite", "regrade"}  # how a notebook is run, not what it makes


@dataclass(frozen=True)
class Stage:
    """One node: its scale, its folder below runs/<scale> (llama8b_math_4k, traces/r1_math, report,
    fixtures), its name."""

    scale: str
    folder: str
    name: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"

    def dir(self) -> Path:
        return paths.runs() / self.scale / self.folder


def grid(scale: str) -> list[Stage]:
    """The stages whose pages are the study: the sets that its runs learn from, training,
    evaluation, analysis."""
    trains = [Stage(scale, folder, "train") for folder in map(_folder, runs_of(scale))]
    evals = evaluations(scale)
    sets = {s for t in trains for s in with_needs(t) if s.name == "traces"}
    return [*sorted(sets, key=str), *trains, *evals, Stage(scale, "report", "analyze")]


def with_needs(stage: Stage) -> set[Stage]:
    """A stage and all that it needs, directly or not."""
    return {stage}.union(*map(with_needs, needs(stage)))


def runs_of(scale: str) -> tuple[str, ...]:
    """The parameter files of the runs that a scale trains."""
    return POCKET if scale == "pocket" else RUNS


def evaluations(scale: str) -> list[Stage]:
    """The evaluations of a scale's runs and baselines: what its analysis reads."""
    baselines = () if scale == "pocket" else BASELINES
    return [Stage(scale, _folder(file), "eval") for file in (*runs_of(scale), *baselines)]


@cache
def _run_files() -> dict[str, str]:
    """Folder → parameter file, of the runs of all scales and those beyond the study."""
    found: dict[str, str] = {}
    beyond = sorted(f"extra/{f.name}" for f in (paths.PARAMS_DIR / "extra").glob("*.yaml"))
    for file in (*RUNS, *BASELINES, *POCKET, *beyond):
        name = str(_read(file).get("run_name"))
        if name in found:
            where = f"{file}: run_name is {name}, and so is that of {found[name]}"
            raise ValueError(f"{where}: give one of them another.")
        found[name] = file
    return found


def _folder(file: str) -> str:
    return next(name for name, f in _run_files().items() if f == file)


def _read(*names: str) -> dict:
    """The merged values of files below papermill_params/."""
    return params.read_files(*(paths.PARAMS_DIR / name for name in names))


def files(stage: Stage) -> list[str]:
    """The stage's parameter files below papermill_params/, the overlay last. Raises ValueError for
    a folder of no run."""
    tiny_ = stage.scale == "tiny"
    if stage.name == "traces":
        overlay = ["traces_tiny.yaml"] if tiny_ else []
        return [f"traces_{stage.folder.removeprefix('traces/')}.yaml", *overlay]
    if stage.name not in ("train", "eval"):
        return []
    name = re.sub(r"_seed\d+$", "", stage.folder)
    known = {n: f for n, f in _run_files().items() if (f in POCKET) == (stage.scale == "pocket")}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        remedy = f"write {close[0]} if that is meant" if close else "add one"
        raise ValueError(
            f"runs/{stage.scale}/{stage.folder}: no file in papermill_params/ has the run_name "
            f"{name} at this scale: {remedy}."
        )
    return [known[name], *(["tiny.yaml"] if tiny_ else [])]


def _given(stage: Stage) -> dict:
    """The values of the stage's parameter files."""
    return _read(*files(stage))


def extra(stage: Stage) -> dict:
    """Parameters that no file can know: a replicate's seed; the scale; at tiny scale all five
    benchmarks, from tiny.py, and the run's own set of traces, where there is one."""
    given = _given(stage)
    made: dict[str, Any] = {"scale": stage.scale} if stage.name in ("analyze", "paper") else {}
    if replicate := re.search(r"_seed(\d+)$", stage.folder):
        made["seed"] = int(replicate[1])
    if stage.scale != "tiny" or not given:
        return made
    local = {name: str(tiny.file_of(name)) for name in STUDY}
    if stage.name == "traces":
        asked = tiny.asked(given["dataset"]) if given["teacher_api"] != "none" else {}
        return made | {"decontaminate": list(STUDY), "benchmark_files": local} | asked
    made |= {"benchmarks": list(STUDY), "benchmark_files": local}
    own = f"{given['teacher']}_{given['domain']}"
    if (paths.PARAMS_DIR / f"traces_{own}.yaml").exists():
        made["dataset"] = own
    return made


def parameters(stage: Stage) -> dict:
    """All parameters of the stage's run or set."""
    return _given(stage) | extra(stage)


def values(stage: Stage) -> dict:
    """The parameters that the stage's notebook declares."""
    # The paper has no notebook: it reads what the analysis reads.
    known = notebooks.declared("analyze" if stage.name in ENTRY else stage.name)
    return {k: v for k, v in parameters(stage).items() if k in known and k not in IDLE}


@cache
def needs(stage: Stage) -> tuple[Stage, ...]:
    """The stages whose results this one reads."""
    scale = stage.scale
    if stage.name == "fixtures":
        return ()
    if stage.name == "analyze":
        return tuple(evaluations(scale))
    if stage.name == "paper":
        return (Stage(scale, "report", "analyze"),)
    given = parameters(stage)
    needed = []
    if scale == "tiny" and stage.name != "train":
        needed.append(Stage(scale, "fixtures", "fixtures"))
    if stage.name == "eval":
        if given["teacher"] != "none" and given["adapter"] == "none":
            needed.append(Stage(scale, stage.folder, "train"))
    elif is_set(source := given["source" if stage.name == "traces" else "dataset"]):
        needed.append(Stage(scale, f"traces/{source}", "traces"))
    return tuple(needed)


@cache
def baselines(stage: Stage) -> tuple[Stage, ...]:
    """The baselines' evaluations that share the base student's records with a run's evaluation. It
    does not need them: whoever is first makes the records. When they are made anew, it copies them
    again."""
    own = [s for s in evaluations(stage.scale) if _given(s)["teacher"] == "none"]
    if stage.name != "eval" or stage in own:
        return ()
    student = _given(stage)["student"]
    return tuple(base for base in own if _given(base)["student"] == student)


def asks_the_stand_in(stage: Stage) -> bool:
    """Whether the stage makes a set from the API teacher, and stand_in.py is that teacher."""
    tiny_set = stage.scale == "tiny" and stage.name == "traces"
    return tiny_set and _given(stage)["teacher_api"] != "none"


def gpus_of(stage: Stage) -> int:
    """How many GPUs a stage needs: one for each process of training; for an evaluation those that
    share an engine, times the engines side by side."""
    given = _given(stage)
    if stage.name == "train":
        return given["train_processes"]
    return given["tensor_parallel"] * given["data_parallel"]


def everything(scale: str) -> list[Stage]:
    """All stages of a scale, each after those that it needs."""
    ordered: dict[Stage, None] = {}

    def add(stage: Stage) -> None:
        for need in needs(stage):
            add(need)
        ordered[stage] = None

    for stage in [*grid(scale), Stage(scale, "report", "paper")]:
        add(stage)
    return list(ordered)
