"""Two processes at one folder: one works, the other refuses or waits, and a dead one holds nobody
up."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import tiny

from distill_nb.evaluation import baseline, evaluate
from distill_nb.runtime import lock, paths
from distill_nb.traces import build, files, params
from distill_nb.training import train

HOLD = (
    "import sys, time; from pathlib import Path; from distill_nb.runtime import lock\n"
    "with lock.alone(Path(sys.argv[1]), 'being trained'): print('held', flush=True); "
    "time.sleep(600)"
)


def hold(folder):
    """A process that holds the folder's lock, once it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_one_process_at_a_time(tmp_path):
    other = (
        "import sys; from pathlib import Path; from distill_nb.runtime import lock\n"
        "with lock.locked(Path(sys.argv[1]), wait=False) as unlock: print('free' if unlock else "
        "'taken')"
    )

    def ask():
        return subprocess.run(
            [sys.executable, "-c", other, str(tmp_path)], capture_output=True, text=True, check=True
        ).stdout

    with lock.locked(tmp_path) as unlock:
        assert ask() == "taken\n"
        unlock()
        assert ask() == "free\n"
        (tmp_path / lock.FILE).write_text("another's")
        unlock()  # twice is once
        assert (tmp_path / lock.FILE).read_text() == "another's"
    assert ask() == "free\n"


def test_the_second_says_who_is_first_and_a_dead_process_holds_nobody_up(tmp_path):
    folder = tmp_path / "run"
    first = hold(folder)
    with (
        pytest.raises(
            ValueError,
            match=rf"^run_name: run is being trained by process {first.pid} on \S+ since 20\S+ "
            rf"\S+; "
            "wait for its end, or choose another run_name.$",
        ),
        lock.alone(folder, "x"),
    ):
        pass
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert json.loads((folder / lock.FILE).read_text())["pid"] == first.pid  # it could not clean up
    with lock.alone(folder, "being evaluated"):
        assert lock.holder(folder).startswith(f"being evaluated by process {os.getpid()} on ")
    assert (
        lock.holder(folder) == "in use by another process"
        and (folder / lock.FILE).read_text() == ""
    )


def test_training_evaluating_and_traces_refuse_a_folder_that_is_in_use(runs_dir):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"])
    first = hold(paths.run_dir(p))
    with pytest.raises(ValueError, match="sonnet_math_llama_4k is being trained by process"):
        train.train(p)
    assert {f.name for f in paths.run_dir(p).iterdir()} == {lock.FILE}
    first.kill()
    first.wait()
    train.train(p)
    first = hold(paths.run_dir(p))
    with pytest.raises(ValueError, match="sonnet_math_llama_4k is being trained by process"):
        evaluate.evaluate(p)
    first.kill()
    first.wait()
    assert evaluate.evaluate(p)["finished"]
    traces = params.pocket(scale="tiny", n_examples=4)
    with (
        lock.locked(files.folder_of("generator_math", "tiny")),
        pytest.raises(ValueError, match=r"^dataset: generator_math is in use"),
    ):
        build.build(traces)


def test_the_base_students_records_are_waited_for(runs_dir):
    p = tiny(
        run_name="b",
        benchmark_limit=2,
        benchmarks=["pocket_math"],
        teacher="none",
        domain="none",
        dataset="none",
        max_steps=0,
    )
    first = hold(baseline.baseline_dir(p))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from helpers import tiny; from "
        "distill_nb.evaluation import evaluate\n"
        "p = tiny(run_name='b', benchmark_limit=2, benchmarks=['pocket_math'], teacher='none', "
        "domain='none', dataset='none', max_steps=0)\nprint(evaluate.evaluate(p)['finished'])"
    )
    second = subprocess.Popen(
        [sys.executable, "-c", program, str(paths.ROOT / "tests")],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not (paths.run_dir(p) / "provenance_eval.json").exists():
        assert second.poll() is None
        time.sleep(0.05)
    assert second.poll() is None and not list(paths.run_dir(p).glob("eval/*/*.jsonl"))
    first.kill()
    assert second.communicate(timeout=300)[0].endswith("True\n")


def test_where_there_are_no_locks_it_is_said(tmp_path, monkeypatch, caplog):
    import errno
    import fcntl

    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with lock.alone(tmp_path / "run", "being trained"):
        pass
    assert (
        "run: this file system has no locks (No locks available): start nothing else" in caplog.text
    )


def test_who_is_at_work_is_read_without_touching_the_lock(tmp_path):
    folder = tmp_path / "run"
    assert lock.at_work(folder) is None
    first = hold(folder)
    about = lock.at_work(folder)
    assert about["doing"] == "being trained" and about["pid"] == first.pid
    assert lock.holder(folder).startswith("being trained by process")
    first.kill()
    first.wait()
    assert lock.at_work(folder) is None, "its process is gone"
    elsewhere = about | {"host": "another-node"}
    (folder / lock.FILE).write_text(json.dumps(elsewhere))
    assert lock.at_work(folder) == elsewhere
    with lock.locked(folder, wait=False, doing=""):
        assert lock.at_work(folder) is None, "it only asks"
    with lock.alone(folder, "being evaluated"):
        assert lock.at_work(folder)["doing"] == "being evaluated"
    assert lock.at_work(folder) is None
