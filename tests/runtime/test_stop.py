"""A run that is asked to end leaves the state of the step that it is at, and goes on there to the
same bits."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from helpers import adapter_hashes, tiny

from distill_nb.evaluation import resume
from distill_nb.runtime import paths, stop
from distill_nb.training import resume as train_resume
from distill_nb.training import train
from distill_nb.training.callbacks import MEASURED

CHANGES = dict(max_steps=6, save_every=3, n_examples=24, lora_dropout=0.1, backend="hf")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Adapters and losses of the run, when nothing happens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(tmp_path_factory.mktemp("unbroken")))
        train.train(tiny(**CHANGES))
        return adapter_hashes(tiny(**CHANGES)), train.load_metrics(tiny(**CHANGES)).drop(
            columns=list(MEASURED)
        )


@pytest.mark.parametrize(
    ("name", "where", "step", "left"),
    [
        ("SIGTERM", "on_step_end", 2, 2),
        ("SIGUSR1", "on_substep_end", 4, 4),
        ("SIGTERM", "on_substep_end", 0, 0),
        ("SIGTERM", "on_substep_end", 3, 3),
        ("SIGTERM", "on_step_end", 6, None),
    ],
)
def test_a_signal_ends_training_with_a_state_and_the_rest_is_the_same_bits(
    name, where, step, left, unbroken, runs_dir, monkeypatch
):
    p, made = tiny(**CHANGES), train.make_callback

    def recorder(*args):
        callback = made(*args)
        real = getattr(callback, where)

        def hook(args, state, control, **kwargs):
            if state.global_step == step:
                os.kill(os.getpid(), getattr(signal, name))
            return real(args, state, control, **kwargs)

        setattr(callback, where, hook)
        return callback

    monkeypatch.setattr(train, "make_callback", recorder)
    if left is None:  # asked in the last step, which is then finished, and with it the run
        assert train.train(p)["finished"] and adapter_hashes(p) == unbroken[0]
        return
    with pytest.raises(
        stop.Stopped,
        match=f"^Stopped by {name} after step {left} of 6: .* when it is started again",
    ):
        train.train(p)
    states = {f.name for f in (paths.run_dir(p) / "state").glob("checkpoint-*")}
    assert max(states, default="checkpoint-0") == f"checkpoint-{left}"
    # a stop leaves none of its own
    assert set(adapter_hashes(p)) == ({"step_00003"} if left >= 3 else set())
    monkeypatch.setattr(train, "make_callback", made)
    record = train.train(p)
    assert record["finished"] and record["resumed_at"] == left and len(record["sessions"]) == 1
    assert adapter_hashes(p) == unbroken[0] and resume.checkpoint_steps(p) == [3, 6]
    assert train.load_metrics(p).drop(columns=list(MEASURED)).equals(unbroken[1])


def start(out, log, shielded):
    """Papermill on train.ipynb, a long tiny run, alone or through stop.run."""
    values = [word for key, value in SLOW.items() for word in ("-y", json.dumps({key: value}))]
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(paths.ROOT / "notebooks" / "train.ipynb"),
        str(out),
        "--no-progress-bar",
        "-f",
        str(paths.PARAMS_DIR / "run09.yaml"),
        "-f",
        str(paths.PARAMS_DIR / "tiny.yaml"),
        *values,
    ]
    if shielded:
        command = [
            sys.executable,
            "-c",
            "import sys; from distill_nb.runtime import stop; sys.exit(stop.run(sys.argv[1:]))",
            *command,
        ]
    with open(log, "w") as errors:
        return subprocess.Popen(
            command,
            stderr=errors,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd=paths.ROOT,
        )


# it ends long before, and goes on to step 20
SLOW = dict(max_steps=400, save_every=200, n_examples=24)


@pytest.mark.parametrize("shielded", [False, True])
def test_a_notebook_under_papermill_leaves_its_state(shielded, runs_dir, tmp_path):
    p = tiny(**SLOW)
    process = start(tmp_path / "out.ipynb", tmp_path / "log", shielded)
    metrics = paths.run_dir(p) / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 3:
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    for who in (
        below if shielded else [process]
    ):  # all, as Slurm does at the time limit, or Papermill alone
        os.kill(who.pid, signal.SIGTERM)
    if shielded:
        process.terminate()
    code = process.wait(timeout=100)
    assert not psutil.wait_procs(below, timeout=100)[1], "the kernel lives on"
    at, state = train_resume.last_state(paths.run_dir(p))
    assert 3 <= at < 200 and state.name == f"checkpoint-{at}" and not adapter_hashes(p)
    assert metrics.read_text().count("\n") == at
    if not shielded:
        assert code == -signal.SIGTERM
    else:  # Papermill lived, and the notebook says why it ended
        assert (
            code == 1
            and f"Stopped by SIGTERM after step {at} of 400" in (tmp_path / "out.ipynb").read_text()
        )
        assert f"Stopped by SIGTERM after step {at} of 400" in (tmp_path / "log").read_text()


def test_signals_mean_what_they_meant_before():
    before = [signal.getsignal(s) for s in stop.SIGNALS]
    with stop.listening() as stopping:
        assert stopping() == ""
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stopping() == "SIGUSR1"
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping() == "SIGUSR1"
    assert [signal.getsignal(s) for s in stop.SIGNALS] == before


def test_what_loses_nothing_ends_at_once():
    with (
        pytest.raises(stop.Stopped, match=r"^Stopped by SIGTERM: all is kept\.$"),
        stop.raising("all is kept."),
    ):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # such as from Slurm and from stop.run


def test_a_command_that_does_not_listen_is_killed(tmp_path):
    inner = "import time, sys; print('on', flush=True); time.sleep(600)"
    outer = (
        f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {inner!r}]) != 0)"
    )
    program = (
        "import sys; from distill_nb.runtime import stop; sys.exit(stop.run([sys.executable, '-c', "
        "sys.argv[1]]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, outer], stdout=subprocess.PIPE, text=True, cwd=paths.ROOT
    )
    assert process.stdout.readline() == "on\n"
    process.terminate()
    assert process.wait(timeout=60) == 1


def test_signals_in_quick_succession_are_handed_on():
    """The second one comes while the first is being handed on."""
    program = (
        "import sys; from distill_nb.runtime import stop; sys.exit(stop.run(sys.argv[1:], "
        "stdout=sys.stdout))"
    )
    words = ["sh", "-c", "echo on; sleep 600 & wait"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=paths.ROOT,
    ) as process:
        assert process.stdout.readline() == "on\n"
        for _ in range(20):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            time.sleep(0.004)
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said, said


@pytest.mark.parametrize(
    ("says", "left"), [("3600", 3300), ("600", 540), ("-5", None), ("N/A", None), (None, None)]
)
@pytest.mark.parametrize("how", ["squeue", "variable"])
def test_a_job_of_slurm_is_asked_to_end_before_its_time_limit(
    how, says, left, tmp_path, monkeypatch
):
    for name in ("SLURM_JOB_ID", "SLURM_JOB_END_TIME"):
        monkeypatch.delenv(name, raising=False)
    now = time.time()
    ends = says and says.lstrip("-").isdigit()
    if how == "variable" and says:
        monkeypatch.setenv("SLURM_JOB_END_TIME", str(now + int(says)) if ends else says)
    elif says:
        squeue = tmp_path / "squeue"
        date = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now + int(says))) if ends else says
        squeue.write_text(f'#!/bin/sh\n[ "$*" = "-h -j 7 -o %e" ] && echo {date}\n')
        squeue.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("SLURM_JOB_ID", "7")
    with stop.listening() as stopping:
        monkeypatch.setattr(time, "time", lambda: now + (left or 10**9) - 5)
        assert stopping() == ""
        monkeypatch.setattr(time, "time", lambda: now + (left or 10**9) + 5)
        assert stopping() == ("the end of its Slurm job's time" if left else "")


def test_a_missing_squeue_is_no_time_limit(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert stop._time_limit() == float("inf")
