"""The commands study, new and plan with a study: what they call, print and refuse."""

import shutil
import sys

import pytest
from click.testing import CliRunner

from distill_nb.__main__ import main
from distill_nb.runtime import paths
from distill_nb.study import study_commands, study_file
from tests.study import test_study_file
from tests.study.test_new import LLAMA, traces

fresh = test_study_file.fresh


def call(*words):
    ran = CliRunner().invoke(main, list(map(str, words)))
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.output
    return ran.exit_code, ran.output


@pytest.fixture
def own(tmp_path, fresh):
    """A study of two tiny-sized runs over one file, and a baseline."""
    for name in ("run09.yaml", "baseline_llama.yaml"):
        shutil.copy(paths.PARAMS_DIR / name, tmp_path / name)
    file = tmp_path / "study.yaml"
    file.write_text(
        "study: own\nscale: tiny\nruns: [{run: run09.yaml, grid: {lora_rank: [2, 4]}}]\n"
        "baselines: [baseline_llama.yaml]\ntiny: {benchmarks: [pocket_math]}\n"
    )
    return file


def test_snakemake_is_called_for_the_study_its_stages_and_what_is_made_anew(own, tmp_path):
    study_file.use(own)
    runs = tmp_path / "runs" / "own"
    whole = study_commands.snakemake("tiny", [], [], ["-n"])
    assert whole == [sys.executable, "-m", "snakemake", "--config", "scale=tiny", "-n"]
    run = "sonnet_math_llama_4k__r_2"
    words = study_commands.snakemake("tiny", [f"{run}/train"], [f"{run}/train"], ["-n"])
    assert words[3:8] == [
        "--config",
        "scale=tiny",
        f"overwrite={run}/train",
        "--forcerun",
        words[7],
    ]
    assert words[7].startswith(f"{runs}/tiny/{run}/made/train-")
    assert words[8:] == ["-n", "--", f"{runs}/tiny/{run}/train.html"]
    words = study_commands.snakemake("tiny", [], [f"{run}/eval"], [], 4)
    assert words[3:7] == ["--config", "scale=tiny", "shards=4", f"overwrite={run}/eval"]
    with pytest.raises(ValueError, match=f"{run} is no stage"):
        study_commands.snakemake("tiny", [run], [], [])


def test_a_study_is_planned_at_its_scale(own):
    planned = study_commands.to_plan([str(own)])
    run = "own: sonnet_math_llama_4k__r_"
    assert [(k, v["scale"], v["lora_rank"]) for k, v in planned.items()] == [
        (f"{run}2", "tiny", 2), (f"{run}4", "tiny", 4), ("own: baseline_llama", "tiny", 4),
    ]  # fmt: skip
    assert study_commands.to_plan(["run07.yaml", "tiny.yaml"]) is None
    with pytest.raises(ValueError, match="this is a study; plan it alone"):
        study_commands.to_plan([str(own), "run07.yaml"])
    status, said = call("plan", own, "--device", "h100-80gb", "-p", "save_every", "4")
    assert status == 0 and "baseline_llama: a baseline, nothing is trained" in said
    assert said.splitlines()[-1].startswith("2 runs: training takes ")


def test_the_published_study_is_planned_without_the_pocket_runs(fresh):
    planned = study_commands.to_plan(["studies/published.yaml"])
    assert len(planned) == 10 + 3 + 4 and "published: math_4k_lr5" in planned


def test_new_says_what_to_run_next(tmp_path, fresh):
    fresh.chdir(tmp_path)
    mine = traces(tmp_path / "mine.jsonl")
    status, said = call("new", "my_study", "--student", LLAMA, "--traces", mine)
    lines = [line.split("  # ")[0].strip() for line in said.splitlines()]
    assert status == 0 and lines[2:] == [
        "distill-nb plan my_study/study.yaml --device h100-80gb",
        "distill-nb study my_study/study.yaml --scale tiny",
        "distill-nb study my_study/study.yaml --scale pocket",
        "distill-nb study my_study/study.yaml",
    ]
    status, said = call("new", "my_study", "--student", LLAMA, "--traces", mine)
    assert status == 1 and "there is something already: name a new folder" in said
    status, said = call("--study", "my_study", "status", "tiny")
    stages = [line.split()[0] for line in said.splitlines()]
    assert status == 0 and stages[:2] == ["fixtures/fixtures", "llama_3_1_8b_instruct_mine/train"]
    status, said = call("--study", "nothing", "status")
    assert status == 1 and "nothing: there is no such study file" in said
    status, said = call("study", "nothing")
    assert status == 1 and "nothing: there is no such study file" in said
