import json
import shutil
import signal
import threading
import time

import psutil
import pytest
import torch
from helpers import adapter, assert_the_same_training, killed_with_all_below, tiny

from distill_nb.runtime import paths, stop
from distill_nb.training import parallel, train

QWEN = "Qwen/Qwen3-30B-A3B-Base"
LONG = dict(max_steps=12, save_every=6)  # enough for a signal to come in the middle

SAYS_HALF = """
    import sys, threading, time
    sys.path.insert(0, {tests!r})
    from helpers import tiny
    from distill_nb.runtime import paths; from distill_nb.training import train
    p = tiny(train_processes=2, micro_batch_size=1, max_steps=12, save_every=6)
    stdout, sys.stdout = sys.stdout, sys.stderr
    def say():
        while not (paths.run_dir(p) / "state" / "checkpoint-6" / "complete").exists():
            time.sleep(0.01)
        print("half", file=stdout, flush=True)
    threading.Thread(target=say, daemon=True).start()
    train.train(p)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes made of the tiny Llama: its record, metrics, adapters of steps 6 and 12,
    and folder."""
    p = tiny(train_processes=2, micro_batch_size=1, **LONG)
    with pytest.MonkeyPatch.context() as m:
        m.setenv("DISTILL_NB_RUNS", str(tmp_path_factory.mktemp("two")))
        record = train.train(p)
        assert not (paths.run_dir(p) / "workers").exists()
        return record, train.load_metrics(p), adapter(p, 6), adapter(p, 12), paths.run_dir(p)


def test_two_processes_train_what_one_does(two, runs_dir):
    record, metrics, _, weights, _ = two
    assert record["finished"] and record["backend"] == "hf"
    one = tiny(micro_batch_size=1, **LONG)
    train.train(one)
    assert_the_same_training(
        metrics, train.load_metrics(one), weights, adapter(one, 6), adapter(one, 12)
    )


def test_one_process_goes_on_where_two_have_stopped(two, runs_dir):
    _, metrics, start, weights, folder = two
    p = tiny(micro_batch_size=2, **LONG)
    shutil.copytree(folder, paths.run_dir(p))
    for later in ("state/checkpoint-12", "checkpoints/step_00012"):
        shutil.rmtree(paths.run_dir(p) / later)
    file = paths.run_dir(p) / "provenance_train.json"
    file.write_text(
        json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "finished"})
    )
    record = train.train(p)
    assert record["finished"] and record["resumed_at"] == 6
    assert record["sessions"][0]["parameters"] == {"micro_batch_size": 1, "train_processes": 2}
    assert_the_same_training(train.load_metrics(p), metrics, adapter(p, 12), start, weights)


def test_two_processes_train_the_experts_that_one_does(runs_dir):
    one, both = (
        tiny(student=QWEN, run_name=f"by{n}", micro_batch_size=1, train_processes=n) for n in (1, 2)
    )
    train.train(one)
    train.train(both)
    assert_the_same_training(
        train.load_metrics(both),
        train.load_metrics(one),
        adapter(both),
        adapter(one, 2),
        adapter(one),
    )


def test_a_killed_run_takes_its_processes_along_and_goes_on_to_the_same_bits(two, runs_dir):
    _, metrics, _, unbroken, _ = two
    with killed_with_all_below(
        SAYS_HALF.format(tests=str(paths.ROOT / "tests")), "half", within=20
    ) as below:
        assert len(below) >= 3  # torchrun and two workers
    p = tiny(train_processes=2, micro_batch_size=1, **LONG)
    record = train.train(p)
    assert record["resumed_at"] in (6, 12) and record["finished"]
    assert train.load_metrics(p)["loss"].tolist() == metrics["loss"].tolist()
    assert all(torch.equal(weight, unbroken[key]) for key, weight in adapter(p, 12).items())


def test_processes_that_are_asked_to_end_save_their_state_and_go_on_to_the_same_bits(two, runs_dir):
    _, metrics, _, unbroken, _ = two
    p = tiny(train_processes=2, micro_batch_size=1, **LONG)
    file = paths.run_dir(p) / "metrics.jsonl"

    def ask_all():  # as a cluster does: this process, torchrun and its workers
        while not file.exists() or file.read_text().count("\n") < 2:
            time.sleep(0.01)
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            process.send_signal(signal.SIGTERM)

    thread = threading.Thread(target=ask_all)
    thread.start()
    with pytest.raises(
        stop.Stopped, match=r"^Stopped by SIGTERM after step \d+ of 12: its state is on disk"
    ):
        train.train(p)
    thread.join()
    record = train.train(p)
    assert record["finished"] and 2 <= record["resumed_at"] < 12
    assert train.load_metrics(p)["loss"].tolist() == metrics["loss"].tolist()
    assert all(torch.equal(weight, unbroken[key]) for key, weight in adapter(p, 12).items())


def test_how_a_process_failed_is_reported(tmp_path):
    log, failed = tmp_path / parallel.LOG, tmp_path / parallel.FAILED
    log.write_text("loading\nSignal 9 received\n")
    error = parallel._failure(failed, log, 1)
    assert (
        type(error) is RuntimeError
        and "exit status 1" in str(error)
        and str(error).endswith("Signal 9 received")
    )
    failed.write_text('{"type": "OutOfMemoryError", "message": "tried to allocate"}')
    error = parallel._failure(failed, log, 1)
    assert type(error) is RuntimeError and "OutOfMemoryError: tried to allocate" in str(error)


def test_processes_must_share_a_batch_evenly():
    with pytest.raises(
        ValueError,
        match=r"train_processes is 3, and with micro_batch_size 2 .* batch_size 4 evenly",
    ):
        tiny(train_processes=3)
