"""The study as a graph of stages, each with its parameters and the stages before it. The Snakefile
asks this module and ingredients.py, which knows what a stage is made of and whether it is done;
stage.py runs one.

A stage is one notebook with the parameters of one run: `traces` of a set, `train` and `eval` of a
run, `analyze` of a scale, `published` (the published study, which needs no run); beside them the
paper, and at tiny scale the files that stand for the hubs' (tiny.py)."""

import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from distill_nb.params import GENERATOR, STUDY
from distill_nb.params.names import is_set
from distill_nb.runtime import paths
from distill_nb.study import notebooks, study_file, tiny
from distill_nb.study.study_file import Run, Study

# the stages without a notebook
ENTRY = {"fixtures": "distill_nb.study.tiny", "paper": "distill_nb.report.latex"}
# what a small scale has in place of a run's own, even if a grid varies it
STAND_INS = ("student", "student_size", "chat_template", "dataset", "benchmarks", "benchmark_files")
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


@cache
def _study() -> Study:
    """The study that this process is about."""
    return study_file.current()


def grid(scale: str) -> list[Stage]:
    """The stages whose pages are the study: the sets that its runs learn from, training,
    evaluation, analysis, and the published study."""
    runs, baselines = (_at(scale, group) for group in (_study().runs, _study().baselines))
    evals = [Stage(scale, folder, "eval") for folder in [*runs, *baselines]]
    trains = [Stage(scale, folder, "train") for folder in runs]
    sets = {s for t in trains for s in with_needs(t) if s.name == "traces"}
    return [*sorted(sets, key=str), *trains, *evals, *reports(scale)]


def reports(scale: str) -> list[Stage]:
    """The stages whose pages are of no single run: the published study, and ours."""
    return [Stage(scale, "report", name) for name in ("published", "analyze")]


def with_needs(stage: Stage) -> set[Stage]:
    """A stage and all that it needs, directly or not."""
    return {stage}.union(*map(with_needs, needs(stage)))


def _at(scale: str, runs: dict[str, Run]) -> dict[str, Run]:
    """Those of some runs that there are at a scale: where the study has run files of that scale,
    these alone; else those of full size, which an overlay shrinks, or where there are none, all."""
    scales = {run.scale for group in (_study().runs, _study().baselines) for run in group.values()}
    wanted = {scale} if scale in (*scales, "full") else scales & {"full"} or scales
    return {folder: run for folder, run in runs.items() if run.scale in wanted}


def _run(stage: Stage) -> tuple[Run, int | None]:
    """(a run of the study or beyond it, the seed of a replicate that the study does not name).
    Raises ValueError for a folder of no run."""
    runs = _at(stage.scale, _study().all_runs())
    if stage.folder in runs:
        return runs[stage.folder], None
    replicate = re.fullmatch(r"(.+)_seed(\d+)", stage.folder)
    name, seed = (replicate[1], int(replicate[2])) if replicate else (stage.folder, None)
    if name in runs:
        return runs[name], seed
    close = difflib.get_close_matches(name, runs, n=1)
    remedy = f"write {close[0]} if that is meant" if close else "add one"
    raise ValueError(
        f"runs/{stage.scale}/{stage.folder}: no run of {_study().file.name} has the run_name "
        f"{name} at this scale: {remedy}."
    )


def _file_of_set(name: str) -> str:
    """The parameter file of a set: the study's, or else the one in papermill_params/."""
    return _study().sets.get(name, f"traces_{name}.yaml")


def files(stage: Stage) -> list[str]:
    """The stage's parameter files, the overlay last: names below papermill_params/, or paths.
    Raises ValueError for a folder of no run."""
    if stage.name == "traces":
        overlay = ["traces_tiny.yaml"] if stage.scale == "tiny" else []
        return [_file_of_set(stage.folder.removeprefix("traces/")), *overlay]
    if stage.name not in ("train", "eval"):
        return []
    run = _run(stage)[0]
    return [run.file, *([f"{stage.scale}.yaml"] if run.scale != stage.scale else [])]


def _given(stage: Stage) -> dict:
    """The values of the stage's parameter files."""
    return study_file.values_of(*files(stage))


def parameters(stage: Stage) -> dict:
    """All parameters of the stage's run or set."""
    if stage.name in ("train", "eval"):
        return _of_run(stage)
    given = _given(stage)
    if stage.name in ("analyze", "paper"):
        return {"scale": stage.scale}
    if stage.scale != "tiny" or stage.name != "traces":
        return given
    local = {name: str(tiny.file_of(name)) for name in STUDY}
    asked = tiny.asked(given["dataset"]) if given["teacher_api"] != "none" else {}
    return given | {"decontaminate": list(STUDY), "benchmark_files": local} | asked


def _of_run(stage: Stage) -> dict:
    """The parameters of a run: of its file, with what the study changes of it; where that is of
    another scale of the overlay; of what the study changes at the scale; then of its place in a
    grid, and a replicate's seed. A run that is shrunk keeps its name and traces of its own, at tiny
    scale its set and its benchmarks, too, with files from tiny.py."""
    run, seed = _run(stage)
    whole, small = study_file.given(run), _study().small.get(stage.scale, {})
    last = run.place | ({} if seed is None else {"seed": seed})
    if run.scale == stage.scale:
        return whole | small | last
    made = whole | study_file.values_of(f"{stage.scale}.yaml") | small
    made |= {key: value for key, value in last.items() if key not in STAND_INS}
    made["run_name"], own = whole["run_name"], whole["dataset"]
    known = is_set(own) and (paths.PARAMS_DIR / _file_of_set(own)).exists()
    if own.endswith((".jsonl", ".parquet")) or (known and stage.scale == "tiny"):
        made["dataset"] = own
    elif stage.scale == "pocket" and made["teacher"] not in ("none", "r1", "sonnet"):
        made["teacher"] = GENERATOR
    if stage.scale == "tiny":
        made["benchmarks"] = small.get("benchmarks", whole["benchmarks"])
        local = {name: str(tiny.file_of(name)) for name in STUDY if name in made["benchmarks"]}
        made["benchmark_files"] = local
    return made


def extra(stage: Stage) -> dict:
    """The parameters that are not those of the stage's files."""
    given = _given(stage)
    return {k: v for k, v in parameters(stage).items() if k not in given or given[k] != v}


def values(stage: Stage) -> dict:
    """The parameters that the stage's notebook declares."""
    # The paper has no notebook: it reads what the analysis reads.
    known = notebooks.declared("analyze" if stage.name in ENTRY else stage.name)
    return {k: v for k, v in parameters(stage).items() if k in known and k not in IDLE}


@cache
def needs(stage: Stage) -> tuple[Stage, ...]:
    """The stages whose results this one reads."""
    scale = stage.scale
    if stage.name in ("fixtures", "published"):
        return ()
    if stage.name == "analyze":
        return tuple(stage for stage in grid(scale) if stage.name == "eval")
    if stage.name == "paper":
        return (Stage(scale, "report", "analyze"),)
    given = parameters(stage)
    needed = []
    # Training reads none of its benchmarks' files, but refuses one that is not there; where it
    # waits for a set, that has waited for them.
    if scale == "tiny" and not (stage.name == "train" and is_set(given["dataset"])):
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
    own = [Stage(stage.scale, f, "eval") for f in _at(stage.scale, _study().baselines)]
    if stage.name != "eval" or stage in own:
        return ()
    student = parameters(stage)["student"]
    return tuple(base for base in own if parameters(base)["student"] == student)


def asks_the_stand_in(stage: Stage) -> bool:
    """Whether the stage makes a set from the API teacher, and stand_in.py is that teacher."""
    tiny_set = stage.scale == "tiny" and stage.name == "traces"
    return tiny_set and _given(stage)["teacher_api"] != "none"


def gpus_of(stage: Stage) -> int:
    """How many GPUs a stage needs: one for each process of training; for an evaluation those that
    share an engine, times the engines side by side."""
    given = parameters(stage)
    if stage.name == "train":
        return given["train_processes"]
    return given["tensor_parallel"] * given["data_parallel"]


def paper(scale: str) -> list[Stage]:
    """The stage of the paper, of a study that has one."""
    return [Stage(scale, "report", "paper")] if _study().paper else []


def everything(scale: str) -> list[Stage]:
    """All stages of a scale, each after those that it needs."""
    ordered: dict[Stage, None] = {}

    def add(stage: Stage) -> None:
        for need in needs(stage):
            add(need)
        ordered[stage] = None

    for stage in [*grid(scale), *paper(scale)]:
        add(stage)
    return list(ordered)


def forget() -> None:
    """Read the study and its files anew: another one is taken, or they have changed."""
    for function in (_study, needs, baselines):
        function.cache_clear()
