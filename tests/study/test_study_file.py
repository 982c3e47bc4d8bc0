"""A study file: what it names, where it writes, and what is refused."""

import os
import re
import shutil
from pathlib import Path

import pytest

from distill_nb import params
from distill_nb.runtime import paths
from distill_nb.study import graph, study_file
from distill_nb.study.graph import Stage

# The published study at tiny scale: stage ← those that it needs.
EVALS = [
    "math_4k_lr5", "code_4k_lr5", "sonnet_math_qwen_4k", "sonnet_code_qwen_4k",
    "sonnet_math_qwen_instruct_4k", "sonnet_code_qwen_instruct_4k", "llama8b_math_4k",
    "llama8b_code_4k", "sonnet_math_llama_4k", "sonnet_code_llama_4k", "baseline_qwen_base",
    "baseline_qwen_instruct", "baseline_llama",
]  # fmt: skip
SETS = ["r1_math", "r1_code", *["sonnet_math", "sonnet_code"] * 2]
SETS += ["r1_math", "r1_code", "sonnet_math", "sonnet_code"]
TINY = {"fixtures/fixtures": []}
for _name in ("r1_code", "r1_math", "sonnet_code", "sonnet_math"):
    _problems = [f"traces/{_name.replace('sonnet', 'r1')}/traces"] if "sonnet" in _name else []
    TINY[f"traces/{_name}/traces"] = ["fixtures/fixtures", *_problems]
TINY |= {f"{n}/train": [f"traces/{s}/traces"] for n, s in zip(EVALS, SETS, strict=False)}
for _name in EVALS:
    _trained = [] if "baseline" in _name else [f"{_name}/train"]
    TINY[f"{_name}/eval"] = ["fixtures/fixtures", *_trained]
TINY["report/published"] = []
TINY["report/analyze"] = [f"{name}/eval" for name in EVALS]
TINY["report/paper"] = ["report/analyze"]


@pytest.fixture
def fresh(monkeypatch):
    """No study is taken, before and after."""
    for name in (study_file.VARIABLE, "DISTILL_NB_RUNS"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    graph.forget()
    yield monkeypatch
    graph.forget()


@pytest.fixture
def own(tmp_path, fresh):
    """write(text of a study file beside a run file of its own) → the file."""
    shutil.copy(paths.PARAMS_DIR / "run07.yaml", tmp_path / "mine.yaml")

    def write(text: str) -> Path:
        (tmp_path / "study.yaml").write_text(text)
        return tmp_path / "study.yaml"

    return write


def test_the_published_studys_tiny_graph_is_what_it_was(fresh):
    stages = graph.everything("tiny")
    assert {str(s): [str(n) for n in graph.needs(s)] for s in stages} == TINY
    assert list(TINY) == [str(s) for s in stages] and len(stages) == 31
    five = ["math500", "aime", "mbpp_plus", "humaneval_plus", "livecodebench"]
    for stage in stages:
        if stage.name == "eval":
            values = graph.values(stage)
            assert values["benchmarks"] == five == list(values["benchmark_files"])
    assert study_file.current().name == "published" and paths.runs() == paths.ROOT / "runs"


def test_only_the_study_file_knows_the_published_runs():
    named = re.compile(r'"(run\d\d|baseline_(llama|qwen)\w*|llama8b\w*|sonnet_\w+)(\.yaml)?"')
    for room in ("study", "plan", "report", "analysis"):
        for file in (paths.ROOT / "distill_nb" / room).glob("*.py"):
            found = {f"{m[1]}{m[3] or ''}" for m in named.finditer(file.read_text())}
            # new.py writes run files in the manner of one
            allowed = {"run07.yaml", "baseline_llama.yaml"} if file.stem == "new" else set()
            assert found <= allowed, file.name


def test_runs_are_files_changes_of_them_and_grids_over_them(own):
    study = study_file.read(
        own(
            """
study: own
runs:
  - run: mine.yaml
    name: short
    with: {max_steps: 100}
    grid: {learning_rate: [2.0e-5, 2.0e-4], seed: [0, 1]}
  - run09.yaml
baselines: [baseline_llama.yaml]
sets: [traces_r1_math.yaml]
"""
        )
    )
    names = ["short__lr_2e-05", "short__lr_2e-05_seed1", "short__lr_0.0002"]
    assert list(study.runs) == [*names, "short__lr_0.0002_seed1", "sonnet_math_llama_4k"]
    assert list(study.baselines) == ["baseline_llama"]
    assert study.sets == {"r1_math": "traces_r1_math.yaml"}
    runs, sets = study_file.check(study)
    assert [(p.run_name, p.seed, p.max_steps, p.learning_rate) for p in runs[1:3]] == [
        ("short__lr_2e-05", 1, 100, 2e-5),
        ("short__lr_0.0002", 0, 100, 2e-4),
    ]
    for p, folder in zip(runs, [*study.runs, *study.baselines], strict=True):
        assert paths.run_dir(p).name == folder
    assert [p.dataset for p in sets] == ["r1_math"]


def test_the_place_in_a_grid_counts_at_every_scale_and_what_is_changed_at_full_scale(own):
    study_file.use(
        own(
            """
study: own
runs:
  - {run: mine.yaml, with: {max_steps: 100}, grid: {learning_rate: [3.0e-4], student: [a/llama3]}}
pocket: {max_length: 256}
"""
        )
    )
    values = [graph.parameters(Stage(s, "llama8b_math_4k", "train")) for s in study_file.SCALES]
    keys = ("learning_rate", "max_steps", "max_length", "student", "dataset")
    assert [tuple(v[key] for key in keys) for v in values] == [
        (3e-4, 100, 4096, "a/llama3", "r1_math"),
        (3e-4, 20, 256, params.POCKET_STUDENT, "pocket"),
        (3e-4, 4, 768, "a/llama3", "r1_math"),  # whose architecture a tiny student has
    ]


def test_a_scale_has_the_runs_of_its_own_or_else_those_of_full_size_shrunk(own):
    """As the published study at pocket scale; and a study of pocket runs alone at tiny scale."""
    for runs, found in (
        (
            "[mine.yaml, pocket_math.yaml]",
            (["llama8b_math_4k"], ["pocket_math"], ["llama8b_math_4k"]),
        ),
        ("[mine.yaml]", (["llama8b_math_4k"],) * 3),
        ("[pocket_math.yaml]", ([], ["pocket_math"], ["pocket_math"])),
    ):
        study_file.use(own(f"study: own\nruns: {runs}"))
        graph.forget()
        trained = (
            [s.folder for s in graph.grid(scale) if s.name == "train"]
            for scale in study_file.SCALES
        )
        assert tuple(trained) == found
    values = graph.parameters(Stage("tiny", "pocket_math", "train"))
    keys = ("scale", "run_name", "student_size", "max_steps", "benchmarks")
    assert [values[key] for key in keys] == [
        "tiny",
        "pocket_math",
        "tiny",
        4,
        ["pocket_math", "pocket_code"],
    ]
    with pytest.raises(ValueError, match="has the run_name pocket_math at this scale: add one"):
        graph.parameters(Stage("full", "pocket_math", "train"))


def test_generated_traces_take_the_place_of_a_teachers_that_they_do_not_imitate(own):
    change = "with: {teacher: qwq, dataset: qwq_math}"
    study_file.use(own(f"study: own\nruns: [{{run: mine.yaml, {change}}}]"))
    graph.forget()
    values = graph.parameters(Stage("pocket", "llama8b_math_4k", "train"))
    p = params.validate(values, "qwq")
    assert (p.teacher, p.dataset, p.run_name) == ("generator", "pocket", "llama8b_math_4k")


def test_a_study_has_a_folder_of_its_own_and_naming_it_again_changes_nothing(own, tmp_path):
    file = own("study: own\nruns: [mine.yaml]\n")
    for _ in range(2):
        study_file.use(tmp_path)  # the folder of its study.yaml
        assert paths.runs() == tmp_path / "runs" / "own"
    os.environ["DISTILL_NB_RUNS"] = str(tmp_path / "scratch")
    for _ in range(2):
        study_file.use(file)
        assert paths.runs() == tmp_path / "scratch" / "own"
    graph.forget()
    assert Stage("tiny", "llama8b_math_4k", "train").dir() == tmp_path.joinpath(
        "scratch", "own", "tiny", "llama8b_math_4k"
    )
    assert graph.paper("tiny") == [] and len(graph.everything("pocket")) == 4  # and published
    study_file.share("tiny")
    study_file.share("tiny")
    for name in ("traces", "_base"):
        (tmp_path / "scratch" / "own" / "tiny" / name / "there").mkdir()
        assert (tmp_path / "scratch" / "tiny" / name / "there").is_dir()


def test_studies_of_the_repository_write_beside_the_published_one(fresh):
    study_file.use("published")
    study_file.share("full")
    assert paths.runs() == paths.ROOT / "runs" and not (paths.runs() / "traces").exists()
    for file in (paths.PARAMS_DIR / "studies").glob("*.yaml"):
        study = study_file.use(file.stem)
        study_file.check(study)
        assert study.name == file.stem
        assert paths.runs() == paths.ROOT.joinpath("runs", study.folder)
        os.environ.pop("DISTILL_NB_RUNS", None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("runs: [mine.yaml]", "study is '': give it a name"),
        ("study: tiny\nruns: [mine.yaml]", "study is 'tiny': give it a name"),
        ("study: own\nrun: [mine.yaml]", "run is no key of a study: write runs if that is meant."),
        ("study: own\nruns: mine.yaml", "runs is 'mine.yaml': write a list"),
        ("study: own\nruns: []", "runs is empty: name a parameter file"),
        ("study: own\nruns: [no.yaml]", "runs names no.yaml, and there is no such file beside it"),
        ("study: own\nruns: [{file: mine.yaml}]", "write a file's name, or a mapping of run and"),
        ("study: own\nruns: [{run: mine.yaml, with: 3}]", "mine.yaml: with is 3"),
        (
            "study: own\nruns: [{run: mine.yaml, grid: {learning_rate: [2e-5]}}]",
            "learning_rate is 2e-5, which is '2e-5' by YAML 1.1",
        ),
        (
            "study: own\nruns: [{run: mine.yaml, grid: {learning_rate: ['2e-5']}}]",
            "mine.yaml: grid: learning_rate is the text '2e-5' and not a number: write 2.0e-5",
        ),
        ("study: own\nruns: [mine.yaml, run07.yaml]", "and so is that of"),
        ("study: own\nruns: [mine.yaml]\nscale: large", "scale is 'large': choose from full"),
        ("study: own\nruns: [mine.yaml]\nfolder: a/b", "folder is 'a/b': leave it out"),
        ("study: own\nruns: [mine.yaml]\ntiny: {max_step: 1}", "tiny: max_step cannot be set"),
        ("study: own\nruns: [mine.yaml]\npaper: 1", "paper is 1: write true or false"),
        ("study: own\nruns: [mine.yaml]\nshards: 0", "shards is 0: write a number from 1 to 999"),
        ("study: own\nruns: [mine.yaml]\nshards: true", "shards is True: write a number from 1"),
    ],
)
def test_what_cannot_stand_is_one_sentence(text, says, own):
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        study_file.read(own(text))
    assert str(error.value).count(". ") == 0 and "\n" not in str(error.value)


def test_a_study_may_say_how_many_jobs_share_an_evaluation(own):
    assert study_file.read(own("study: own\nruns: [mine.yaml]")).shards == 1
    assert study_file.read(own("study: own\nruns: [mine.yaml]\nshards: 4")).shards == 4


def test_an_unknown_study_and_a_run_that_cannot_stand_are_named(own):
    with pytest.raises(ValueError, match="publishd: there is no such study file: write published"):
        study_file.find("publishd")
    study = study_file.read(own("study: own\nruns: [{run: mine.yaml, with: {save_every: 7}}]"))
    says = r"study\.yaml: llama8b_math_4k: save_every is 7, which does not divide max_steps 500"
    with pytest.raises(ValueError, match=says):
        study_file.check(study)
