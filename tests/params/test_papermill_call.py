"""One value goes through every door that takes parameters: it is the same one, or it is refused."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import papermill.cli
import pytest
from papermill import iorw, translators

from distill_nb import params
from distill_nb.params import papermill_call
from distill_nb.plan import plan
from distill_nb.runtime import paths
from distill_nb.study import commands, graph
from distill_nb.study.graph import Stage

FILES = ("run09.yaml", "tiny.yaml")
PAPERMILL = str(Path(sys.executable).with_name("papermill"))
VALUES = [  # key, written, value (None: it is refused)
    ("seed", "10", 10), ("seed", "010", None), ("seed", "0o10", None), ("seed", "1_0", None),
    ("seed", "0x1F", 31), ("seed", "1:30", None), ("seed", "'010'", None), ("seed", "on", None),
    ("run_name", "'010'", "010"), ("run_name", "2024_01_05", None), ("run_name", "null", None),
    ("run_name", "2024-01-05", "2024-01-05"), ("run_name", "!!str 7", "7"), ("run_name", "7", None),
    ("run_name", "yes", None), ("run_name", "!mine x", None), ("run_name", "1e5", None),
    ("learning_rate", "2e-5", None), ("learning_rate", "2.0e-5", 2e-5), ("top_p", ".5", 0.5),
    ("recompute", "on", "on"), ("recompute", "off", "off"), ("overwrite", "yes", None),
    ("overwrite", "true", True), ("benchmarks", "[math500, 010]", None),
    ("lora_targets", "[q_proj]", ["q_proj"]), ("benchmark_files", "{math500: 1_0}", None),
]  # fmt: skip


def by_command(file):
    return commands.run_params((*FILES, str(file)), ())


def by_plan(file):
    plan.plan_files([*FILES, str(file)])


def by_snakemake(file):
    """What the Snakefile asks: the parameters of a stage, where a file of the study has the key."""
    name, text = file.read_text().split(": ", 1)
    study = paths.PARAMS_DIR / "run09.yaml"
    lines = [line for line in study.read_text().splitlines() if not line.startswith(f"{name}:")]
    study.write_text("\n".join([*lines, f"{name}: {text}"]))
    run = next(f for f, r in graph._study().runs.items() if r.file == "run09.yaml")
    return params.validate(graph.parameters(Stage("full", run, "eval")), study.name)


def by_papermill(file):
    """What a notebook gets: what Papermill reads, written as code, and checked there."""
    words = ["python", PAPERMILL, "train.ipynb", "out.ipynb", "-p", "seed", "1", "-f", str(file)]
    papermill_call.refuse(words, Path("/"))
    values = {k: v for name in FILES for k, v in params.read_files(name).items()}
    code = translators.PythonTranslator.codify(values | iorw.read_yaml_file(str(file)))
    exec(code, namespace := {})
    return params.from_notebook(namespace)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """papermill_params/ of our own."""
    for file in paths.PARAMS_DIR.rglob("*.yaml"):
        copy = tmp_path / file.relative_to(paths.PARAMS_DIR)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(file.read_bytes())
    monkeypatch.setattr(paths, "PARAMS_DIR", tmp_path)
    graph.forget()
    yield tmp_path
    graph.forget()


@pytest.mark.parametrize("key, written, value", VALUES)
def test_a_value_is_the_same_through_every_door_or_refused(key, written, value, folder):
    file = folder / "mine.yaml"
    file.write_text(f"{key}: {written}\n")
    if value is not None:
        for door in (by_command, by_papermill, by_snakemake):
            assert getattr(door(file), key) == value, door
        return
    for door in (by_command, by_papermill, by_plan, by_snakemake):
        with pytest.raises(ValueError) as caught:
            door(file)
        said = str(caught.value)
        assert key in said and said.endswith(".") and "\n" not in said
        # a type is wrong where all files have been merged: the notebook knows no file then
        named = file.name if door != by_snakemake else "run09.yaml"
        assert named in said or (door, said[:9]) == (by_papermill, "notebook:") or door == by_plan


@pytest.mark.parametrize("key, written, value", VALUES)
def test_a_value_of_dash_p_is_read_as_a_files_is(key, written, value):
    if value is not None:
        assert getattr(commands.run_params(FILES, ((key, written),)), key) == value
        return
    with pytest.raises(ValueError) as caught:
        commands.run_params(FILES, ((key, written),))
    assert "-p" in str(caught.value) and key in str(caught.value)


def test_papermills_own_dash_p_takes_pythons_numbers_and_dash_r_texts():
    taken = papermill.cli._resolve_type
    assert [taken(word) for word in ("010", "1_0", "2e-5", "on", "true", "True", "None")] == [
        10, 10, 2e-5, "on", "true", True, None,
    ]  # fmt: skip
    # a text that Python takes for a number, and a truth value in small letters, are refused
    for values, said in (
        ({"run_name": taken("2024_01_05")}, "run_name is 20240105, a number and no text: write it "
         "in quotes, or with papermill as -r NAME TEXT."),
        ({"overwrite": taken("true")}, "-p NAME True with papermill"),
        ({"seed": "5"}, "seed is the text '5' and not a number: write 5"),
        ({"seed": taken("1e2")}, "seed is 100.0: write a whole number"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"^notebook: .*{said}"):
            params.from_notebook(dict(params.pocket_values()) | values)


def test_every_option_of_papermills_that_takes_a_value_is_known():
    def names(command):
        return {
            frozenset(o.opts): o.nargs
            for o in command.params
            if o.param_type_name == "option" and not o.is_flag
        }

    assert names(papermill_call._COMMAND) == names(papermill.cli.papermill)


@pytest.mark.parametrize("words", [
    ["-f", "a.yaml"], ["-fa.yaml"], ["--parameters_file=a.yaml"], ["--parameters_file", "a.yaml"],
    ["-f", "good.yaml", "-f", "a.yaml"], ["--no-progress-bar", "-p", "x", "1", "-f", "a.yaml"],
    ["-k", "python3", "-f", "a.yaml"], ["--cwd", "elsewhere", "-f", "a.yaml"],
    ["-y", "{seed: 010}"], ["-b", base64.b64encode(b"seed: 010").decode()],
])  # fmt: skip
def test_files_and_texts_on_papermills_command_line_are_found(words, tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 010\n")
    (tmp_path / "good.yaml").write_text("seed: 10\n")
    for program in (["papermill"], ["python3", PAPERMILL], ["python3", "-m", "papermill"]):
        with pytest.raises(ValueError, match="seed is 010, which is 8 by") as caught:
            papermill_call.refuse([*program, "in.ipynb", "out.ipynb", *words], tmp_path)
        named = words[0] if words[0] in ("-y", "-b") else "a.yaml"
        assert named in str(caught.value)


@pytest.mark.parametrize("words", [
    ["papermill", "in", "out", "-f", "good.yaml"], ["papermill", "in", "out", "-f", "s3://a.yaml"],
    ["papermill", "in", "out", "-f", "-"], ["papermill", "in", "out", "-p", "-f", "a.yaml"],
    ["papermill", "in", "out", "-r", "x", "-f a.yaml"], ["papermill", "in", "out", "-f"],
    ["papermill", "in", "out", "--engine", "-fa.yaml"], ["papermill", "in", "--", "-f", "a.yaml"],
    ["python", "-m", "jupyterlab", "papermill", "-f", "a.yaml"], ["python"], [],
])  # fmt: skip
def test_what_is_no_parameter_file_of_papermills_is_left_alone(words, tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 010\n")
    (tmp_path / "good.yaml").write_text("seed: 10\n")
    papermill_call.refuse(words, tmp_path)


def test_a_process_that_may_not_be_looked_at_refuses_nothing(monkeypatch):
    for pid in ("", "no", str(2**22 + 1)):
        monkeypatch.setenv("JPY_PARENT_PID", pid)
        papermill_call.refuse_ambiguous()


@pytest.mark.parametrize("notebook, text, said", [
    ("train", "seed: 010\n", "mine.yaml: seed is 010, which is 8 by YAML 1.1"),
    ("traces", "seed: 1\nseed: 2\n", "mine.yaml, line 2: seed stands there in line 1 already"),
    ("analyze", "scale: tiny\nselect_on: 1:30\n", "mine.yaml, line 2: select_on is 1:30, which is"),
])  # fmt: skip
def test_the_real_papermill_stops_where_the_parameters_are_checked(
    notebook, text, said, tmp_path, runs_dir
):
    (tmp_path / "mine.yaml").write_text(text)
    command = [PAPERMILL, str(paths.ROOT / "notebooks" / f"{notebook}.ipynb"), "out.ipynb"]
    done = subprocess.run(
        [*command, "-f", "mine.yaml", "--no-progress-bar", "--log-level", "ERROR"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        capture_output=True,
        text=True,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith(f"ValueError: {said}"), done.stderr
    assert not runs_dir.exists()
