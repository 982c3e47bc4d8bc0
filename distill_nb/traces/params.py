"""What a set of training traces is: one flat set of parameters, read as strictly as a run's."""
# ruff: noqa: RUF009  (key returns dataclasses.field; nothing mutable is shared)

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any

from distill_nb.params import (
    BENCHMARKS,
    GENERATOR,
    STUDY,
    checks,
    own_benchmarks,
    papermill_call,
    reading,
)
from distill_nb.params.checks import Problems, key
from distill_nb.params.names import OWN, is_set
from distill_nb.runtime import log, paths
from distill_nb.traces.teacher import settings
from distill_nb.traces.teacher.settings import TeacherKeys

SONNET = "claude-sonnet-4-5"  # the teacher of the study's sets sonnet_math and sonnet_code
CONFIGS = {"r1_math": ("default", "extended", "all"), "r1_code": ("split_0", "split_1", "all")}


@dataclass(frozen=True, kw_only=True)
class TraceParams(TeacherKeys):
    """One set of traces, with the teacher's keys. Made by `validate`, `from_notebook`, `pocket`."""

    dataset: str = key(
        "name of the set, <teacher>_<domain>; r1_math and r1_code come from the hub, "
        "generator_math and generator_code are generated, any other comes from an API"
    )
    scale: str = key("size of the experiment, its first folder", choices=("full", "pocket", "tiny"))
    seed: int = key("of the order in which problems are taken, the same for every teacher", low=0)
    n_examples: int = key(
        "problems with a trace that are wanted, a run's n_examples + n_heldout", low=1
    )
    spare: int = key("further ones, in reserve for runs with overlong: drop", low=0)
    source: str = key(
        "hub, pocket (generated), a .parquet file or folder; with an API teacher: whose problems"
    )
    config: str = key(
        "part of it; none = an API teacher",
        choices=("default", "extended", "all", "split_0", "split_1", "none"),
    )
    statements: dict[str, str] = key(
        "texts of split_1, as in {taco/train: file}; {} = reject its rows"
    )
    verify: str = key(
        "flag = by the data set; regrade = by our grader too", choices=("flag", "regrade")
    )
    pick: str = key("which of a problem's good traces", choices=("first", "shortest"))
    per_problem: int = key("traces of one problem at most", low=1)
    near_duplicate: float = key(
        "MinHash similarity from which a problem repeats another; 1 = only equal ones",
        above=0,
        high=1,
    )
    decontaminate: list[str] = key(
        "evaluation sets whose problems are removed; a path of a .py file is one of your own",
        choices=BENCHMARKS,
        or_file=OWN,
    )
    benchmark_files: dict[str, str] = key("evaluation set: local file; {} = default sources")
    same_template: str = key("an evaluation problem with other numbers", choices=("keep", "remove"))
    students: list[str] = key("whose tokenizers the length ledger is made with")
    max_length: int = key("tokens of prompt and trace together, for the ledger", low=16)
    processes: int = key("that read and check rows; 0 = one a core", low=0)
    overwrite: bool = key("start again instead of resuming; paid answers of a teacher stay")

    @property
    def shape(self) -> str:
        """The set of the hub that a source's rows have the shape of: r1_math, r1_code."""
        return _shape(self.dataset)


@cache
def pocket_values() -> MappingProxyType[str, Any]:
    """A laptop's set, the defaults of traces.ipynb: traces_generator_math.yaml. Raises ValueError
    where there is no papermill_params/."""
    return MappingProxyType(reading.read_files("traces_generator_math.yaml"))


def validate(values: dict, source: str = "parameters") -> TraceParams:
    """A TraceParams from a complete mapping; ValueError as of params.validate."""
    clean = checks.checked(values, source, TraceParams, contradictions)
    clean["source"] = paths.movable(clean["source"])
    for name in ("statements", "benchmark_files"):
        clean[name] = {k: paths.movable(file) for k, file in clean[name].items()}
    p = TraceParams(**clean)
    if p.teacher_api != "none":
        try:
            settings.settings(p)
        except ValueError as error:
            raise ValueError(f"{source}: {str(error).removeprefix('teacher settings: ')}") from None
    return p


def from_notebook(namespace: dict) -> TraceParams:
    """The TraceParams of a notebook, from its globals(); as params.from_notebook."""
    log.show()
    papermill_call.refuse_ambiguous()
    values = reading.given(namespace, {f.name for f in fields(TraceParams)})
    if values.get("scale") in ("pocket", "tiny"):
        values = pocket_values() | values
    return validate(values, source="notebook")


def pocket(**changes: object) -> TraceParams:
    """The pocket set with some keys changed."""
    return validate(pocket_values() | changes, source="pocket")


def teacher_and_domain(dataset: str) -> tuple[str, str]:
    """("r1", "math") of r1_math."""
    teacher, domain = dataset.split("_")
    return teacher, domain


def _shape(dataset: str) -> str:
    return f"r1_{teacher_and_domain(dataset)[1]}"


def contradictions(v: dict) -> Problems:
    """Yield (keys, rest of the sentence) for values that are well formed but cannot stand."""
    if not is_set(v["dataset"]):
        form = "<teacher>_math or <teacher>_code, in small letters, digits and -"
        yield ("dataset",), f", which names no set: write {form}"
        return
    teacher, domain = teacher_and_domain(v["dataset"])
    api = teacher not in ("r1", GENERATOR)
    if api != (v["teacher_api"] != "none"):
        remedy = "name the API" if api else "set it to none, for no API makes its traces"
        yield ("teacher_api",), f" but dataset is {v['dataset']!r}: {remedy}"
    if v["teacher_api"] != "none" and v["teacher_model"] == "none":
        yield ("teacher_model",), f" but teacher_api is {v['teacher_api']!r}: name the model"
    elif v["dataset"].startswith("sonnet_") and SONNET not in v["teacher_model"]:
        remedy = f"name the set after its teacher, as in claude_{domain}"
        yield ("dataset", "teacher_model"), f", and sonnet_ stands for {SONNET} alone: {remedy}"
    if v["teacher_api"] == "openai" and v["teacher_mode"] == "batch":
        remedy = "set it to messages"
        yield ("teacher_mode",), f" but teacher_api is 'openai', which has none here: {remedy}"
    allowed = ("none",) if api else CONFIGS[_shape(v["dataset"])]
    if v["config"] not in allowed:
        yield ("config",), f" but dataset is {v['dataset']!r}: choose from {', '.join(allowed)}"
    if wrong := _wrong_with_source(v, api, domain):
        yield ("source",), wrong
    for name, file in v["statements"].items():
        if name.rpartition("/")[0] not in ("taco", "apps"):
            form = "taco/ or apps/ and the split, as in taco/train"
            yield ("statements",), f", where {name!r} is unknown: write {form}"
        elif not paths.resolve(file).is_file():
            yield ("statements",), f" but the file of {name} does not exist: correct or remove it"
    yield from own_benchmarks.problems(v)
    if v["scale"] == "full" and (missing := [b for b in STUDY if b not in v["decontaminate"]]):
        wanted = f"a full set is kept clean of all of {', '.join(STUDY)}"
        yield ("decontaminate",), f", without {missing[0]}: {wanted}"
    if v["verify"] == "regrade" and not api and domain == "code":
        yield ("verify",), f", but {v['dataset']} has no tests to grade by: set it to flag"


def _wrong_with_source(v: dict, api: bool, domain: str) -> str:
    """Why the source cannot stand, "" where it can."""
    source, generated = v["source"], v["dataset"].startswith(f"{GENERATOR}_")
    if generated and source != "pocket":
        return f" but dataset is {v['dataset']!r}: set it to pocket, or dataset to r1_{domain}"
    if source == "pocket" and not generated and not api and v["scale"] == "pocket":
        return f" but dataset is {v['dataset']!r}: name the set {GENERATOR}_{domain}"
    if source in ("hub", "pocket"):
        if api:
            remedy = f"say whose problems, as in r1_{domain}"
            return f" but {v['dataset']!r} asks an API teacher: {remedy}"
        if source == "pocket" and v["scale"] == "full":
            remedy = "set scale to pocket" if generated else "set it to hub, or to a file"
            return f" but scale is 'full': {remedy}"
    elif api and is_set(source):
        if teacher_and_domain(source)[1] != domain or source == v["dataset"]:
            return f" but dataset is {v['dataset']!r}: choose r1_{domain}, or a file"
    elif not paths.resolve(source).exists():
        return ", which does not exist: give a path from the repository's root, or absolute"
    return ""
