"""Parameters are read strictly, and the files are the study's ten runs."""

import math
import os
import re
import subprocess
import sys
import types
from dataclasses import FrozenInstanceError, asdict, fields
from datetime import date
from pathlib import Path

import pytest

from distill_nb import params
from distill_nb.evaluation import baseline
from distill_nb.params import Params, run
from distill_nb.runtime import paths

POCKET = dict(params.pocket_values())
BASE, INSTRUCT = "Qwen/Qwen3-30B-A3B-Base", "Qwen/Qwen3-30B-A3B-Instruct-2507"
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
STUDY = [  # the study's table of runs: teacher, data, student, LR, name prefix
    ("r1", "math", BASE, 2e-5, "math_4k_lr5"),
    ("r1", "code", BASE, 2e-5, "code_4k_lr5"),
    ("sonnet", "math", BASE, 2e-4, "sonnet_math_qwen_4k"),
    ("sonnet", "code", BASE, 2e-4, "sonnet_code_qwen_4k"),
    ("sonnet", "math", INSTRUCT, 2e-4, "sonnet_math_qwen_instruct_4k"),
    ("sonnet", "code", INSTRUCT, 2e-4, "sonnet_code_qwen_instruct_4k"),
    ("r1", "math", LLAMA, 2e-5, "llama8b_math_4k"),
    ("r1", "code", LLAMA, 2e-5, "llama8b_code_4k"),
    ("sonnet", "math", LLAMA, 2e-4, "sonnet_math_llama_4k"),
    ("sonnet", "code", LLAMA, 2e-4, "sonnet_code_llama_4k"),
]
RUNS = [f"run{k:02}.yaml" for k in range(1, 11)]
BASELINES = {
    "baseline_qwen_base.yaml": BASE,
    "baseline_qwen_instruct.yaml": INSTRUCT,
    "baseline_llama.yaml": LLAMA,
}


def error(**changes):
    """The message for the pocket run with changes, checked to be one sentence."""
    with pytest.raises(ValueError) as caught:
        params.validate({**POCKET, **changes}, source="my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ") and message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("changes, message", [
    (dict(learning_rat=1.0), "learning_rat = 1.0 is no parameter: write learning_rate if that is "
                             "meant."),
    (dict(zzz=1), "zzz = 1 is no parameter: take it out."),
    (dict(learning_rate="2e-5"), "learning_rate is the text '2e-5' and not a number: write 2.0e-5 "
                                 "(YAML"),
    (dict(learning_rate="2e5"), "write 2.0e+5 (YAML"),
    (dict(learning_rate="1.5E-5"), "write 1.5e-5 (YAML"),
    (dict(max_steps="30"), "max_steps is the text '30' and not a number: write 30 (without "
                           "quotes)."),
    (dict(max_steps="many"), "max_steps is the text 'many': write a number."),
    (dict(seed=True), "seed is True, a truth value: write a number."),
    (dict(temperature=False), "temperature is False, a truth value: write a number."),
    (dict(batch_size=10.0), "batch_size is 10.0: write a whole number without a decimal point."),
    (dict(weight_decay=math.inf), "weight_decay is inf: write a finite number."),
    (dict(temperature=math.nan), "temperature is nan: write a finite number."),
    (dict(seed=None), "seed is None: write a whole number"),
    (dict(overwrite=1), "overwrite is 1: write true or false in a file, and -p NAME True with "
                        "papermill"),
    (dict(overwrite="yes"), "overwrite is 'yes': write true or false in a file"),
    (dict(teacher=None), "teacher is None: write the word none."),
    (dict(run_name=20240105), "run_name is 20240105, a number and no text: write it in quotes, or "
                              "with papermill as -r NAME TEXT."),
    (dict(run_name=True), "run_name is True, a truth value and no text: write it in quotes"),
    (dict(run_name=date(2024, 1, 5)), "run_name is 2024-01-05, a date and no text: write it in "
                                      "quotes"),
    (dict(run_name=" "), "run_name is ' ': write a text that is not empty."),
    (dict(run_name=[1]), "run_name is [1]: write a text that is not empty."),
    (dict(benchmarks="math500"), "benchmarks is 'math500': write a list of names, as in [one, two] "
                                 "(for pap"),
    (dict(benchmarks=[]), "benchmarks is []: name at least one, and each only once."),
    (dict(lora_targets=["q_proj", "q_proj"]), "each only once."),
    (dict(benchmark_files=["x"]), "benchmark_files is ['x']: write {} or names and files"),
    (dict(benchmark_files={"math500": 3}), "benchmark_files is {'math500': 3}: write {} or"),
    (dict(scale="big"), "scale is 'big': choose from full, pocket, tiny."),
    (dict(benchmarks=["math500", "math50"]), "where 'math50' is unknown: choose from math500, "
                                             "aime,"),
    (dict(benchmark_files={"gsm8k": "x"}), "where 'gsm8k' is unknown: choose from math500"),
    (dict(seed=-1), "seed is -1: write a number that is at least 0."),
    (dict(learning_rate=0), "learning_rate is 0.0: write a number that is more than 0."),
    (dict(lora_dropout=1.0), "lora_dropout is 1.0: write a number that is less than 1."),
    (dict(top_p=1.1), "top_p is 1.1: write a number that is at most 1."),
    (dict(batch_size=10, micro_batch_size=3), "3, which does not divide batch_size 10: choose"),
    (dict(sharding="full"), "sharding is 'full' but train_processes is 1: set it to the number of "
                            "GPUs, or sharding to none."),
    (dict(sharding="full", train_processes=2, micro_batch_size=2, backend="unsloth"),
     "sharding is 'full' but backend is 'unsloth': set backend to hf, or sharding to none."),
    (dict(sharding="full", train_processes=2, micro_batch_size=2, load_in_4bit=True),
     "sharding is 'full' but load_in_4bit is true: set it to false, or sharding to none."),
    (dict(max_steps=30, save_every=20), "20, which does not divide max_steps 30: choose"),
    (dict(max_steps=30, warmup_steps=31), "warmup_steps is 31, more than max_steps 30: write a "
                                          "smaller number."),
    (dict(n_samples=4), "n_samples is 4 but temperature is 0 and greedy samples are equal: write "
                        "1,"),
    (dict(max_num_batched_tokens=9, max_num_seqs=10), "max_num_batched_tokens is 9, less than "
     "max_num_seqs 10, and each answer takes one in a step: write a larger number."),
    (dict(run_name="../x"), "run_name is '../x', which cannot name a folder: use letters, digits"),
    (dict(run_name="_base"), "run_name is '_base', which cannot name a folder"),
    (dict(run_name="x_seed1"), "run_name is 'x_seed1', which is the name of a replicate's folder"),
    (dict(student="smollm"), "student is 'smollm', which does not exist: write a hub id org/name,"),
    (dict(student="./no/such"), "student is './no/such', which does not exist"),
    (dict(scale="full", student_size="tiny"), "student_size is 'tiny' but scale is 'full': set "
                                              "scale"),
    (dict(teacher="none"), "domain is 'math' but teacher is 'none': set both to none"),
    (dict(domain="none"), "domain is 'none' but teacher is 'generator': set both to none"),
    (dict(dataset="r1_maths"), "dataset is 'r1_maths', which is unknown: write <teacher>_<domain>, "
                               "as in r1_math,"),
    (dict(dataset="no/such.jsonl"), "dataset is 'no/such.jsonl', which does not exist: give its "
                                    "path"),
    (dict(teacher="Claude 4"), "teacher is 'Claude 4', which cannot be part of a set's name: use "
                               "small letters, digits"),
    (dict(teacher="qwq"), "'pocket' but teacher is 'qwq': set it to generator, or name a file."),
    (dict(dataset="r1_math"), "'r1_math' but teacher and domain are generator and math: make them "
                              "agree."),
    (dict(dataset="none"), "dataset is 'none' but max_steps is 20: name a dataset, or set "
                           "max_steps"),
    (dict(n_examples=0), "n_examples is 0 but there is a dataset: write at least 1"),
    (dict(benchmark_files={"math500": "no/such.jsonl"}), "the file of math500 does not exist: "
                                                         "correct or"),
])  # fmt: skip
def test_bad_values(changes, message):
    assert message in error(**changes)


def test_on_and_off_are_words_though_yaml_takes_them_for_truth_values(tmp_path):
    file = tmp_path / "run.yaml"
    for word in ("on", "off", "auto"):
        file.write_text(f"recompute: {word}\n")
        p = params.validate(params.read_files("pocket_math.yaml", file))
        assert p.recompute == word
    assert params.pocket(recompute=False).recompute == "off"
    assert "recompute is 'yes': choose from auto, on, off." in error(recompute="yes")


def test_a_part_of_a_benchmark_is_not_evaluated_at_full_scale(tmp_path):
    files = {"math500": str(tmp_path / "math500.part.jsonl")}
    (tmp_path / "math500.part.jsonl").touch()
    assert params.pocket(benchmark_files=files).benchmark_files == files
    assert "scale is 'full' and the file of math500 a part: name the whole one." in error(
        scale="full", benchmark_files=files
    )


@pytest.mark.parametrize("name", [f.name for f in fields(Params)])
def test_a_missing_key_is_named(name):
    with pytest.raises(ValueError, match=f"^parameters: {name} is missing: set it"):
        params.validate({key: value for key, value in POCKET.items() if key != name})


def test_good_values(tmp_path):
    p = params.pocket(learning_rate=1, n_examples=5, lora_targets=("q_proj",))
    assert p.learning_rate == 1.0 and isinstance(p.learning_rate, float)
    assert p.n_examples == 5  # fewer than batch_size * max_steps: epochs repeat
    assert p.lora_targets == ["q_proj"]
    file = tmp_path / "traces.jsonl"
    file.write_text("")
    p = params.pocket(
        student=str(tmp_path), dataset=str(file), benchmark_files={"math500": str(file)}
    )
    assert (p.student, p.dataset, p.benchmark_files) == (
        str(tmp_path),
        str(file),
        {"math500": str(file)},
    )
    assert params.pocket(student=str(paths.ROOT / "distill_nb")).student == "distill_nb"  # movable
    with pytest.raises(FrozenInstanceError):
        p.seed = 1
    with pytest.raises(TypeError):
        Params()  # there are no defaults


def test_params_do_not_share_the_lists_of_pocket():
    params.pocket().benchmarks.append("aime")
    assert params.pocket().benchmarks == POCKET["benchmarks"] == ["pocket_math", "pocket_code"]


def namespace(**names):
    """The globals of a notebook after its first cells."""
    ipython = dict(In=[""], Out={}, exit=print, quit=print, open=open, get_ipython=print)
    return {
        "__name__": "__main__",
        "_": "",
        "_i1": "x",
        "_dh": [],
        **ipython,
        "params": run,
        **names,
    }


def test_a_notebook_declares_the_keys_that_it_uses():
    p = params.from_notebook(
        namespace(scale="pocket", max_steps=40, math=math, types=types, Path=Path)
    )
    assert asdict(p) == {**POCKET, "max_steps": 40}
    assert params.from_notebook(namespace(scale="tiny")).scale == "tiny"


@pytest.mark.parametrize("names, message", [
    (dict(scale="pocket", learning_rte=1.0), "notebook: learning_rte = 1.0 is no parameter: write "
                                             "learning_"),
    (dict(scale="pocket", seed="1"), "notebook: seed is the text '1' and not a number"),
    (dict(scale="pocket", seed=print), "notebook: seed is <built-in function print>"),
    (dict(max_steps=20), "notebook: run_name is missing"),
    ({k: v for k, v in POCKET.items() if k != "top_p"} | {"scale": "full"}, "notebook: top_p is "
                                                                            "missing"),
])  # fmt: skip
def test_a_notebook_is_stopped(names, message):
    with pytest.raises(ValueError) as caught:
        params.from_notebook(namespace(**names))
    assert str(caught.value).startswith(message)


def test_a_full_run_file_in_a_notebook():
    values = params.read_files("run07.yaml")
    assert asdict(params.from_notebook(namespace(**values))) == values


@pytest.mark.parametrize("file", RUNS + list(BASELINES))
def test_every_run_file_sets_every_key(file):
    values = params.read_files(file)
    assert list(values) == [f.name for f in fields(Params)]  # in the schema's order, too
    assert asdict(params.validate(values, file)) == values


@pytest.mark.parametrize("overlay", ["pocket.yaml", "tiny.yaml"])
@pytest.mark.parametrize("file", RUNS + list(BASELINES))
def test_every_run_can_be_shrunk(file, overlay):
    p = params.validate(params.read_files(file, overlay), f"{file} + {overlay}")
    assert p.scale == overlay.removesuffix(".yaml")
    assert (p.dtype, p.dataset, p.backend, p.engine) == ("float32", "pocket", "hf", "hf")
    trained = {"pocket": [0, 10, 20], "tiny": [0, 2, 4]}
    assert params.steps(p) == ([0] if file in BASELINES else trained[p.scale])
    if overlay == "tiny.yaml":
        assert p.student_size == "tiny" and p.student == params.read_files(file)["student"]
        assert (p.max_steps, p.save_every, p.batch_size, p.micro_batch_size) == (4, 2, 4, 2)
        assert (p.benchmark_limit, p.max_new_tokens, p.n_examples, p.n_heldout) == (3, 16, 16, 2)


def test_the_runs_are_the_studys():
    for number, (teacher, domain, student, rate, name) in enumerate(STUDY, start=1):
        p = params.validate(params.read_files(f"run{number:02}.yaml"))
        found = (p.teacher, p.domain, p.student, p.learning_rate, p.run_name)
        assert found == (teacher, domain, student, rate, name)
        assert p.dataset == f"{teacher}_{domain}"
        assert (p.scale, p.seed, p.lora_rank, p.batch_size, p.max_length) == (
            "full",
            0,
            32,
            50,
            4096,
        )
        assert (p.n_examples, p.max_steps, p.save_every, p.overlong) == (
            25000,
            500,
            100,
            "truncate",
        )
        assert p.n_examples == p.batch_size * p.max_steps
        assert params.steps(p) == [0, 100, 200, 300, 400, 500]
        assert p.benchmarks == ["math500", "mbpp_plus", "humaneval_plus", "livecodebench"]


def test_the_runs_differ_only_where_the_study_says():
    varying = {
        "run_name",
        "teacher",
        "domain",
        "student",
        "dataset",
        "learning_rate",
        "micro_batch_size",
        "gpu_memory",
    }
    files = [params.read_files(file) for file in RUNS]
    assert {key for key in files[0] if any(v[key] != files[0][key] for v in files)} == varying


def test_the_extra_baseline_differs_in_its_samples():
    extra, study = (
        params.read_files("papermill_params/extra/baseline_qwen_base_aime.yaml"),
        params.read_files("baseline_qwen_base.yaml"),
    )
    params.validate(extra)
    assert {k for k in study if extra[k] != study[k]} == {"run_name", "benchmarks", "n_samples"}


@pytest.mark.parametrize("number", ["01", "02", "07", "08"])
def test_an_extra_run_separates_teacher_from_learning_rate(number):
    extra, study = (
        params.read_files(f"papermill_params/extra/run{number}_lr4.yaml"),
        params.read_files(f"run{number}.yaml"),
    )
    params.validate(extra)
    assert {k for k in study if extra[k] != study[k]} == {"run_name", "learning_rate"}
    others = [params.read_files(file) for file in RUNS]
    assert extra["run_name"] not in [v["run_name"] for v in others]
    (twin,) = [
        v
        for v in others
        if v["teacher"] == "sonnet"
        and (v["student"], v["domain"]) == (extra["student"], extra["domain"])
    ]
    assert {k for k in twin if extra[k] != twin[k]} == {"run_name", "teacher", "dataset"}


def test_the_typed_table_is_the_one_in_the_study():
    data = os.environ.get("DISTILL_NB_TEST_DATA")
    summary = Path(data).parent / "study" / "results_summary.md" if data else None
    if summary is None or not summary.is_file():
        pytest.skip("the study's summary is not here")
    teachers = {"R1": "r1", "Sonnet": "sonnet"}
    students = {"Qwen Base": BASE, "Qwen Instruct": INSTRUCT, "Llama 8B": LLAMA}
    row = r"^\| (\d+) \| (\w+) \| (\w+) \| ([\w ]+) \| (\S+) \| `(\w+)` \|$"
    rows = re.findall(row, summary.read_text(encoding="utf-8"), re.MULTILINE)
    table = [(teachers[t], d, students[s], float(rate), name) for _, t, d, s, rate, name in rows]
    assert table == STUDY


def test_baselines_train_nothing_and_share_records_with_the_runs_of_their_student():
    for file, student in BASELINES.items():
        p = params.validate(params.read_files(file))
        assert params.is_baseline(p) and params.steps(p) == [0]
        assert (p.student, p.max_steps, p.dataset) == (student, 0, "none")
        assert ("aime" in p.benchmarks) == (student == BASE)
        runs = [params.validate(params.read_files(r)) for r in RUNS]
        assert {baseline.baseline_dir(r) for r in runs if r.student == student} == {
            baseline.baseline_dir(p)
        }


def test_the_pocket_runs_are_whole_and_the_overlay_makes_any_run_like_them():
    assert list(POCKET) == [f.name for f in fields(Params)]
    math, code = (params.read_files(f"pocket_{domain}.yaml") for domain in ("math", "code"))
    assert math == POCKET and params.validate(code).run_name == "pocket_code"
    assert code == math | {"run_name": "pocket_code", "domain": "code"}
    for file, teacher in (("run09.yaml", "sonnet"), ("run07.yaml", "r1")):
        shrunk = params.read_files(file, "pocket.yaml")
        assert shrunk == math | {"run_name": "shrunk", "teacher": teacher}


@pytest.mark.parametrize(("teacher", "dataset", "scale", "whose"), [
    ("generator", "pocket", "pocket", "generator"), ("sonnet", "pocket", "pocket", "generator"),
    ("r1", "pocket", "pocket", "generator, thinking"), ("none", "pocket", "pocket", "none"),
    ("sonnet", "sonnet_math", "tiny", "generator"), ("none", "none", "tiny", "none"),
    ("r1", "r1_code", "tiny", "generator, thinking"), ("r1", "r1_code", "full", "r1"),
    ("generator", "generator_math", "pocket", "generator, thinking"),
    ("sonnet", "sonnet_math", "pocket", "sonnet"), ("qwq", "my.jsonl", "tiny", "qwq"),
])  # fmt: skip
def test_generated_traces_are_never_called_a_teachers(teacher, dataset, scale, whose):
    assert params.traces_of(teacher, dataset, scale) == whose


def test_the_last_file_that_has_a_key_decides(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 1\nlearning_rate: 2.0e-5\n")
    (tmp_path / "b.yaml").write_text("seed: 2\n")
    assert params.read_files(tmp_path / "a.yaml", tmp_path / "b.yaml") == {
        "seed": 2,
        "learning_rate": 2e-5,
    }


def test_hashes_depend_on_the_chosen_keys_alone():
    p = params.pocket()
    assert params.hash_of(p, ["seed"]) == "bd0488843468e63c"  # sha256 of {"seed":0}
    longer = params.pocket(max_steps=60)
    assert params.hash_of(p, ["seed", "scale"]) == params.hash_of(longer, ["scale", "seed"])
    assert params.hash_of(p, ["seed"]) != params.hash_of(params.pocket(seed=1), ["seed"])


def test_run_all_twice_in_one_kernel_reads_the_parameters_again():
    namespace = dict(POCKET)
    assert params.from_notebook(namespace).seed == 0
    # what the notebook made
    namespace |= {"p": 1, "data": [1], "record": {}, "steps": [10], "table": None, "seed": 1}
    assert params.from_notebook(namespace).seed == 1
    with pytest.raises(ValueError, match=r"learning_rat = 0\.1 is no parameter"):
        params.from_notebook(namespace | {"learning_rat": 0.1})
    with pytest.raises(ValueError, match="no parameter"):
        params.from_notebook(POCKET | {"data": [1]})  # at first every name counts


def test_help_covers_every_parameter():
    names = [f.name for f in fields(Params)]
    assert [line.split()[0] for line in params.help_text().splitlines()] == ["name", *names]
    assert all(f.metadata["help"] for f in fields(Params))


def test_importing_params_loads_nothing_heavy():
    code = (
        "import sys; from distill_nb import params; "
        "print(sorted({'torch', 'transformers', 'pandas', 'papermill'} & set(sys.modules)))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=paths.ROOT)
    assert printed.strip() == "[]"
