"""Where a run is, by what its folder holds."""

import json
import os
import platform
import subprocess
import sys
import time

import numpy as np
import pytest
from simulated_runs import POCKET, given_of, write_run

from bench.simulated_records import Study
from distill_nb.analysis import finished, results
from distill_nb.report import run_folder
from distill_nb.report.run_folder import State
from distill_nb.runtime import lock

MATH = given_of("run09.yaml", "pocket.yaml", run_name="a_run")


@pytest.fixture(scope="module")
def study():
    return Study(np.random.default_rng(0), POCKET)


def state_of(folder, failed=None):
    done = finished.progress(results.load_records(folder.parent, texts=False))
    return run_folder.state(run_folder.read(folder), done, failed or {})


def locked(folder, doing, pid=None, host=None, since="2026-01-31 10:00:00+00:00"):
    about = {"host": host or platform.node(), "pid": pid or os.getpid(), "doing": doing}
    (folder / lock.FILE).write_text(json.dumps(about | {"since": since}))


def test_a_run_that_is_done(tmp_path, study):
    folder = write_run(tmp_path, MATH, study)
    assert state_of(folder) == State("done", "evaluated 3 of 3 checkpoints")


def test_a_run_that_is_being_trained_and_one_whose_process_is_gone(tmp_path, study):
    folder = write_run(tmp_path, MATH, study, trained_to=12)
    assert state_of(folder) == State("stopped", "training, step 12 of 30")
    locked(folder, "being trained")
    assert state_of(folder) == State("running", "training, step 12 of 30")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    locked(folder, "being trained", pid=gone.pid)
    assert state_of(folder).word == "stopped"
    (folder / lock.FILE).write_text("")  # it has let go
    assert state_of(folder).word == "stopped"


def test_a_run_of_another_machine_shows_when_it_last_wrote(tmp_path, study):
    folder = write_run(tmp_path, MATH, study, trained_to=12)
    locked(folder, "being trained", host="another-node")
    assert state_of(folder) == State("running", "training, step 12 of 30")
    old = time.time() - 3 * 3600
    for file in folder.iterdir():
        os.utime(file, (old, old))
    where = "training, step 12 of 30; its last sign was 3 hours ago"
    assert state_of(folder) == State("running", where)


def test_an_evaluation_says_how_many_checkpoints_and_problems_are_answered(tmp_path, study):
    folder = write_run(tmp_path, MATH, study, evaluated_to=20)
    where = "evaluated 2 of 3 checkpoints, 258 of 344 problems"
    assert state_of(folder) == State("stopped", f"evaluation, {where}")
    locked(folder, "being evaluated")
    assert state_of(folder) == State("running", f"evaluation, {where}")
    folder = write_run(tmp_path / "half", MATH, study, evaluated_to=20, keep=0.5)
    where = "evaluated 1 of 3 checkpoints, 215 of 344 problems"
    assert state_of(folder) == State("stopped", f"evaluation, {where}")


def test_runs_that_wait(tmp_path, study):
    folder = write_run(tmp_path, MATH, study, evaluated_to=-1)
    assert state_of(folder) == State("waiting", "trained, not evaluated yet")
    (tmp_path / "copied" / "eval").mkdir(parents=True)
    assert state_of(tmp_path / "copied") == State("waiting", "not begun")


def test_runs_that_failed_or_were_asked_to_stop(tmp_path, study):
    folder = write_run(tmp_path, MATH, study, trained_to=12)
    failed = State("failed", "train, step 12 of 30")
    assert state_of(folder, {"train": "ValueError: lora_targets"}) == failed
    stopped = State("stopped", "train, step 12 of 30")
    assert state_of(folder, {"train": "Stopped: by SIGTERM after step 12 of 30"}) == stopped
    (tmp_path / "new").mkdir()
    assert state_of(tmp_path / "new", {"train": "ValueError: no"}) == State("failed", "train")
    # what is finished is done, whatever a page of it came to since
    whole = write_run(tmp_path / "whole", MATH, study)
    assert state_of(whole, {"train": "ValueError: weight_decay"}).word == "done"
    assert state_of(whole, {"eval": "ValueError: no"}).word == "done"


def test_a_baseline_has_benchmarks_and_no_checkpoints(tmp_path, study):
    given = given_of("baseline_llama.yaml", "pocket.yaml")
    folder = write_run(tmp_path, given, study)
    assert run_folder.read(folder).is_baseline
    assert state_of(folder) == State("done", "evaluated on 2 of 2 benchmarks")
    folder = write_run(tmp_path / "half", given, study, keep=0.5)
    where = "evaluation, evaluated on 0 of 2 benchmarks, 43 of 86 problems"
    assert state_of(folder) == State("stopped", where)


def test_the_folders_of_runs(tmp_path, study):
    write_run(tmp_path, MATH, study, trained_to=1)
    for name in ("report", "traces", "_base", "empty", "failed", "executed"):
        (tmp_path / name).mkdir()
    (tmp_path / "failed" / "failure_train.json").write_text("{}")
    (tmp_path / "executed" / "train.ipynb").write_text("{}")
    (tmp_path / "report" / "eval.ipynb").write_text("{}")
    found = [folder.name for folder in run_folder.runs_of(tmp_path)]
    assert found == ["a_run", "executed", "failed"]


def test_what_is_damaged_counts_as_missing(tmp_path, study):
    folder = write_run(tmp_path, MATH, study)
    (folder / "provenance_train.json").write_text("{")
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 31, "lo')
    run = run_folder.read(folder)
    assert run.trained == {} and len(run.metrics) == 30
    assert run.described["student"] == "smollm2-135m-instruct"
    assert run.described["traces"] == "sonnet"  # the evaluation does not know the data set
