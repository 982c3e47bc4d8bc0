"""The command line: what a user types, and what is said when something is wrong."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from click.testing import CliRunner
from helpers import tiny

from distill_nb.__main__ import main
from distill_nb.grading.sandbox import pool
from distill_nb.runtime import imports, paths
from distill_nb.study import commands, doctor

COMMANDS = [name for name, command in main.commands.items() if not command.hidden]
TINY = (
    "run09.yaml",
    "tiny.yaml",
    "-p",
    "benchmark_limit",
    "2",
    "-p",
    "benchmarks",
    "[pocket_math]",
)


def call(*words) -> tuple[int, str]:
    """The command line, in this process: (exit status, what it said)."""
    ran = CliRunner().invoke(main, list(words))
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.output
    return ran.exit_code, ran.output


def started(*words, **environment) -> subprocess.CompletedProcess:
    """The command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "distill_nb", *words],
        cwd=paths.ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_does_nothing_else(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, said = call(name, "--help")
    assert status == 0 and f"Example: distill-nb {name}" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "no_such.yaml"), "no_such.yaml: there is no such parameter file"),
        (
            ("train", "run07.yaml", "-p", "learning_rat", "1"),
            "write learning_rate if that is meant",
        ),
        (("eval", "run07.yaml", "-p", "temperature", "2e-1"), "write '2e-1' or 0.2"),
        (("run", "run07.yaml", "-p", "save_every", "7"), "does not divide max_steps"),
        (("traces", "traces_r1_math.yaml", "-p", "pick", "longest"), "pick"),
        (("train", "-p", "benchmarks", "[math500"), "-p benchmarks: this is not YAML"),
        (("train", "-p", "other_parameters", "3"), "other_parameters"),
        (("stamp", "tiny", "train"), "train is no stage"),
        (("stage", "tiny", "train"), "name a stage by folder and name"),
        (("plan", "run09.yaml", "--device", "h999"), "h999"),
        (("report", "no_such.ipynb"), "does not exist"),
        (("verify", "no_such_run"), "no finished run to verify"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_starts(words, said, runs_dir):
    status, output = call(*words)
    assert status == 1 and said in output and "Traceback" not in output
    assert len(output.strip().splitlines()) == 1
    assert not list(runs_dir.rglob("*.ipynb"))


def test_a_run_that_nothing_here_may_grade_is_not_trained(runs_dir, monkeypatch):
    monkeypatch.setattr(pool, "why_unavailable", lambda level: "not here")
    status, output = call("run", "pocket_math.yaml", "tiny.yaml")
    assert status == 1 and output.startswith("No sandbox for model-written code works here (")
    assert len(output.strip().splitlines()) == 1 and not list(runs_dir.rglob("*"))
    commands.check_sandbox(tiny(benchmarks=["pocket_math"]))  # answers that are only compared


def test_a_study_without_snakemake_is_refused_in_one_sentence(runs_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "snakemake", None)  # as where it is not installed
    status, output = call("study", "published", "--scale", "tiny", "--dry")
    assert status == 1 and "install it with `pip install -e '.[cluster]' -c constraints" in output
    monkeypatch.setattr(paths, "CHECKOUT", False)
    assert imports.install("gpu") == "pip install 'distill_nb[gpu]'"


def test_a_run_is_trained_evaluated_and_analysed_with_its_pages(odd_runs_dir):
    done = started("run", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = paths.run_dir(tiny())
    for name in ("train", "eval"):
        notebook = json.loads((folder / f"{name}.ipynb").read_text())
        given = notebook["metadata"]["papermill"]["parameters"]
        assert given["run_name"] == folder.name and ("lr_schedule" in given) == (name == "train")
        assert (folder / f"{name}.html").is_file()
    assert (odd_runs_dir / "tiny" / "report" / "analyze.html").is_file()
    *_, report, result, took, how = done.stdout.rstrip().splitlines()
    assert report == f"Report: {odd_runs_dir / 'tiny' / 'report' / 'index.html'}"
    assert re.fullmatch(r"Result: Math \d+ → \d+%, .*\.", result)
    assert re.fullmatch(r"Time: train .+, eval .+, analyze .+; .+ in all", took)
    assert how.startswith("To open the report: ")
    assert shlex.split(how)[-2:] == ["open", str(odd_runs_dir / "tiny")]
    for bar in ("training", "answers"):
        assert f"{bar}: 100%" in done.stdout.lower(), "the kernels' progress bars are shown"
    assert "unknown parameter" not in done.stdout + done.stderr
    assert "Accuracy in percent" in done.stdout and "TCP" not in done.stdout + done.stderr

    # What is finished is left alone; other values are refused in one sentence, with the page.
    again = started("train", *TINY, "-p", "learning_rate", "0.5")
    *_, sentence, page = again.stderr.strip().splitlines()
    assert again.returncode == 1 and "Traceback" not in again.stderr
    assert sentence.startswith("train failed. ValueError: ") and "learning_rate" in sentence
    assert page == f"page: {folder / 'train.html'}"


def test_ctrl_c_saves_what_is_trained_and_the_next_start_goes_on(runs_dir):
    words = (*TINY, "-p", "max_steps", "400", "-p", "save_every", "400", "-p", "n_examples", "40")
    process = subprocess.Popen(
        [sys.executable, "-m", "distill_nb", "train", *words],
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = paths.run_dir(tiny()) / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1 and "Stopped" in said and "Traceback" not in said
    steps = metrics.read_text().count("\n")
    assert 3 <= steps < 400 and (metrics.parent / "train.html").is_file()
    state = [int(f.name.split("-")[1]) for f in (metrics.parent / "state").glob("checkpoint-*")]
    assert state == [steps]  # of the very step at which it was asked


def test_an_unknown_command_is_told_in_one_sentence():
    status, said = call("results")
    assert status == 1 and said.startswith("distill-nb has no command results: write one of ")
    assert "Usage" not in said and sorted(COMMANDS) == said[said.index("analyze") : -2].split(", ")
    assert call("reprt", "x")[1].startswith(
        "distill-nb has no command reprt: write report if that is meant, or one of analyze"
    )


def test_a_fault_can_be_seen_in_the_code(runs_dir):
    ran = CliRunner().invoke(main, ["--traceback", "train", "no_such.yaml"])
    assert isinstance(ran.exception, ValueError)


def test_stages_their_stamps_and_gpus_as_the_makefile_asks_for_them(runs_dir, monkeypatch):
    status, said = call("status", "tiny")
    assert status == 0 and said.splitlines()[0].split() == ["fixtures/fixtures", "not", "done"]
    status, said = call("stamp", "tiny", "llama8b_math_4k/train")
    assert status == 0 and said.startswith(f"{runs_dir}/tiny/llama8b_math_4k/made/train-")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert call("gpus") == (0, "2\n")


def test_figures_are_written_where_it_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    status, said = call("figures", "own")
    made = sorted(f.name for f in (tmp_path / "own").iterdir())
    assert status == 0 and len(said.splitlines()) == len(made) == 21
    assert made == sorted(f.name for f in (paths.ROOT / "figures").iterdir())


def test_plan_prints_what_a_run_takes(runs_dir):
    status, said = call("plan", "run09.yaml", "tiny.yaml", "-p", "save_every", "4")
    assert status == 0 and "memory: peak" in said


def test_report_writes_pages_and_the_index(runs_dir):
    tiny_runs = runs_dir / "tiny"
    assert call("report", str(tiny_runs))[0] == 1  # there is no such folder
    (tiny_runs / "report").mkdir(parents=True)
    status, said = call("report", str(tiny_runs))
    assert status == 0 and said.strip() == f"Report: {tiny_runs / 'report' / 'index.html'}"
    notebook = tiny_runs / "report" / "analyze.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), notebook)
    assert call("report", str(notebook)) == (0, f"{notebook.with_suffix('.html')}\n")


def test_doctor_says_what_each_lack_costs(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("CC", "no-such-compiler")
    found = {finding.what: finding for finding in doctor.examine()}
    assert found["Python"].lack == "" and found["key for Anthropic"].found == "set"
    assert "install gcc" in found["C compiler"].lack
    assert found["C compiler"].found.startswith("none, Python's headers")
    assert "OPENAI_API_KEY" in found["key for OpenAI"].lack
    said = doctor.table()
    assert "sk-test" not in said
    assert all(f.what in said and f.lack in said for f in found.values())
