"""A GPU for each job. The devices are names: no CUDA is needed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from helpers import tiny

from distill_nb.runtime import gpus, paths, stop
from distill_nb.training import resume

HOLD = """
import json, sys, time
from distill_nb.runtime import gpus, log
log.show()
with gpus.claimed({n}, poll=0.02) as devices:
    start = time.time()
    print("held", flush=True)
    time.sleep({seconds})
    print(json.dumps([start, time.time(), devices]), flush=True)
"""


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    """Locks of this test's own, and three devices."""
    monkeypatch.setenv("DISTILL_NB_GPU_LOCKS", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,GPU-5f")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def holder(n, seconds, before=""):
    return subprocess.Popen(
        [sys.executable, "-c", before + HOLD.format(n=n, seconds=seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
    )


@pytest.mark.parametrize(
    ("value", "devices"),
    [
        ("0,2", ["0", "2"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("GPU-5f, MIG-7", ["GPU-5f", "MIG-7"]),
    ],
)
def test_the_devices_are_those_that_were_given(value, devices, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert gpus.visible() == devices


def test_without_a_word_they_are_the_machines(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.visible() == []
    smi = tmp_path / "nvidia-smi"
    lines = (
        "GPU 0: H100 (UUID: GPU-1)",
        "  MIG 1g.10gb (UUID: MIG-2)",
        "GPU 1: H100 (UUID: GPU-3)",
    )
    smi.write_text("#!/bin/sh\n" + "".join(f'echo "{line}"\n' for line in lines))
    smi.chmod(0o755)
    assert gpus.visible() == ["0", "1"]


def test_a_device_has_one_lock_by_whatever_name_and_wherever_temporary_files_are(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(gpus, "_uuids", lambda: ("GPU-1", "GPU-5f"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with gpus.claimed(1) as devices:
        assert devices == ["1"] and gpus.environment(devices)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        for name, free in (("GPU-5f", False), ("1", False), ("0", True)):
            lock = gpus._free(name)
            assert (lock is not None) == free
            if lock is not None:
                os.close(lock)
    places = []
    monkeypatch.delenv("DISTILL_NB_GPU_LOCKS")
    for folder in ("a", "b"):
        monkeypatch.setenv("TMPDIR", str(tmp_path / folder))
        monkeypatch.setattr("tempfile.tempdir", None)
        places.append(gpus._file("0", "lock"))
    assert places[0] == places[1] and places[0].name == "distill_nb-gpu-machine-GPU-1.lock"


def test_never_two_jobs_on_one_device():
    processes = [holder(n, 0.4) for n in (1, 2, 1, 2, 1)]
    spans = [json.loads(p.communicate(timeout=120)[0].splitlines()[-1]) for p in processes]
    assert [len(s[2]) for s in spans] == [1, 2, 1, 2, 1]
    for i, (start, end, mine) in enumerate(spans):
        for other_start, other_end, theirs in spans[i + 1 :]:
            assert end <= other_start or other_end <= start or not set(mine) & set(theirs), spans


def test_a_killed_job_lets_go_and_slurm_jobs_do_not_wait_for_each_other(monkeypatch):
    process = holder(3, 600)
    assert process.stdout.readline() == "held\n"
    # its devices are not the others', whatever their numbers
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with gpus.claimed(3) as devices:
        assert devices == ["0", "1", "GPU-5f"]
    monkeypatch.delenv("SLURM_JOB_ID")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with gpus.claimed(3) as devices:
        assert devices == ["0", "1", "GPU-5f"]


def test_a_job_waits_until_a_device_is_free():
    process = holder(3, 0.5)
    assert process.stdout.readline() == "held\n"
    with gpus.claimed(1, poll=0.02) as devices:
        now = time.time()
    assert len(devices) == 1 and now >= json.loads(process.communicate()[0])[1]


def test_none_are_needed_on_a_cpu_and_too_many_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with gpus.claimed(0) as devices:
        assert devices == []
    with pytest.raises(ValueError, match="2 are wanted and 0 are here"), gpus.claimed(2):
        pass


# As stage.run does it, but for Papermill and its notebook: programs of a line, of which each starts
# the next.
CHAIN = """
import os, subprocess, sys
from distill_nb.runtime import gpus, stop
with gpus.claimed(1) as devices:
    words = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
    sys.exit(stop.run(words, env=os.environ | gpus.environment(devices), close_fds=False))
"""
PAPERMILL = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], "
    "start_new_session=True)"
)
KERNEL = """
import os, time
from distill_nb.runtime import stop
with {what}:
    pass
print(os.getpid(), os.getppid(), os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(600)
"""


def ends(*pids):
    """SIGKILL, and only once the processes are gone."""
    processes = [psutil.Process(pid) for pid in pids]
    for process in processes:
        process.kill()
    assert not psutil.wait_procs(processes, timeout=60)[1]


def first():
    """The device that a claim gets now."""
    with gpus.claimed(1) as devices:
        return devices[0]


@pytest.mark.parametrize("what", ["stop.listening()", "stop.raising('it.')"])
def test_a_device_is_taken_until_the_last_of_stage_papermill_and_kernel_has_ended(what):
    stage = subprocess.Popen(
        [sys.executable, "-c", CHAIN, PAPERMILL, KERNEL.format(what=what)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
    )
    kernel, papermill, device = map(int, stage.stdout.readline().split())
    assert device == 0 and first() == "1"
    stage.kill()  # alone: Papermill goes on, for days
    stage.wait()
    assert first() == "1"
    ends(papermill)
    assert first() == "1"
    waiting = holder(3, 0)
    assert "waiting until 3 of 0, 1, GPU-5f can be had" in waiting.stdout.readline()
    assert waiting.poll() is None
    ends(kernel)
    assert (
        json.loads(waiting.communicate()[0].splitlines()[-1])[2] == ["0", "1", "GPU-5f"]
        and first() == "0"
    )


def test_papermill_has_the_claim_before_its_kernel_holds_the_device():
    kernel = "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(600)"
    stage = subprocess.Popen(
        [sys.executable, "-c", CHAIN, PAPERMILL, kernel],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
    )
    kernel, papermill = map(int, stage.stdout.readline().split())
    stage.kill()
    stage.wait()
    assert first() == "1"
    ends(papermill)
    assert first() == "0"  # a notebook that has not begun ends with its Papermill
    ends(kernel)


SLOW = dict(max_steps=400, save_every=200, n_examples=24)
STAGE = f"""
from distill_nb.runtime import gpus; from distill_nb.study import stage, graph as study
study.parameters = lambda stage: study._given(stage) | {SLOW}
with gpus.claimed(1) as devices:
    stage._notebook(study.Stage("tiny", "sonnet_math_llama_4k", "train"), devices, False)
"""


def test_a_kernel_that_saves_its_state_after_papermills_end_keeps_its_device(runs_dir):
    """The whole of it: stage.py, Papermill, ipykernel and a training, which a SIGKILL of both
    leaves at work."""
    p = tiny(run_name="sonnet_math_llama_4k", **SLOW)
    paths.run_dir(p).mkdir(parents=True)
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE], env=os.environ | {"PYTHONPATH": str(paths.ROOT)}
    )
    metrics = paths.run_dir(p) / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert stage.poll() is None
        time.sleep(0.05)
    papermill, kernel = psutil.Process(stage.pid).children(recursive=True)[:2]
    assert "ipykernel_launcher" in " ".join(kernel.cmdline())
    assert [f.path for f in papermill.open_files() if "gpu-machine" in f.path] == [
        str(gpus._file("0", "lock"))
    ]
    kernel.suspend()  # it takes its time
    stage.kill()
    stage.wait()
    assert first() == "1"
    ends(papermill.pid)
    assert first() == "1"
    kernel.resume()
    kernel.wait(timeout=600)
    assert first() == "0"
    assert 2 <= resume.last_state(paths.run_dir(p))[0] < 200


def started(*words, **options):
    """A process of a kernel's own, to which the device 0 was given."""
    return subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.PIPE,
        text=True,
        env=os.environ | gpus.environment(["0"]) | {"PYTHONPATH": str(paths.ROOT)},
        **options,
    )


def test_vllms_process_and_those_below_it_hold_their_device():
    process = started("-m", "distill_nb.evaluation.engines.vllm_process", start_new_session=True)
    while first() == "0":  # until it holds it; then it waits for its settings
        assert process.poll() is None
    process.kill()
    process.wait()
    while first() != "0":  # the process that watches over it ends
        time.sleep(0.02)
    spawned = (
        "import runpy, sys; runpy.run_module(sys.argv[1], run_name='__mp_main__'); print(1, "
        "flush=True); input()"
    )
    process = started(
        "-c", spawned, "distill_nb.evaluation.engines.vllm_process", stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == "1\n" and first() == "1"
    process.communicate("\n")
    assert first() == "0"


def test_a_training_process_holds_its_device_before_it_loads_anything(tmp_path):
    os.mkfifo(tmp_path / "job.pickle")
    process = started("-m", "distill_nb.training.worker", str(tmp_path))
    with open(tmp_path / "job.pickle", "wb"):  # once it wants to read it
        assert first() == "1"
        process.kill()
        process.wait()
        assert first() == "0"


def test_two_processes_may_use_one_device_and_outside_of_a_stage_nothing_is_held(tmp_path):
    program = (
        "import os; from distill_nb.runtime import gpus; before = "
        "len(os.listdir('/proc/self/fd')); gpus.hold(); gpus.hold()\n"
        "print(len(os.listdir('/proc/self/fd')) - before, flush=True); input()"
    )
    both = [started("-c", program, stdout=subprocess.PIPE) for _ in range(2)]
    assert [p.stdout.readline() for p in both] == ["1\n", "1\n"]
    for process in both:
        assert first() == "1"
        process.communicate("\n")
    assert first() == "0"
    before = set(os.listdir("/proc/self/fd"))
    gpus.hold()
    assert set(os.listdir("/proc/self/fd")) == before


def test_another_users_lock_is_opened_as_linux_lets_it(tmp_path, monkeypatch):
    """Where fs.protected_regular is set, opening another user's file with O_CREAT fails; creating a
    new one does not."""
    real = os.open

    def protected(path, flags, *mode, **options):
        if flags & os.O_CREAT and not flags & os.O_EXCL and os.path.exists(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", protected)
    before = os.umask(0o077)
    try:
        assert first() == "0" and first() == "0"
    finally:
        os.umask(before)
    files = sorted(tmp_path.glob("distill_nb-gpu-machine-0.*"))
    assert [f.name.rpartition(".")[2] for f in files] == ["lock", "use"]
    assert [f.stat().st_mode & 0o777 for f in files] == [0o666, 0o666]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_two_users_never_share_a_device(monkeypatch):
    place = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to others
    place.chmod(0o1777)
    monkeypatch.setenv("DISTILL_NB_GPU_LOCKS", str(place))
    nobody = (
        "import fcntl, json, os, sys, time; from distill_nb.runtime import gpus  # all that root's "
        "folders hold\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); os.umask(0o077)"
    )
    try:
        other = holder(1, 600, nobody)
        assert other.stdout.readline() == "held\n"
        assert (place / "distill_nb-gpu-machine-0.lock").stat().st_uid == 65534 and first() == "1"
        with gpus.claimed(2) as devices:
            second = holder(1, 600, nobody)
            assert (
                devices == ["1", "GPU-5f"]
                and "waiting until 1 of 0, 1, GPU-5f" in second.stdout.readline()
            )
        assert (
            place / "distill_nb-gpu-machine-1.use"
        ).stat().st_uid == 0 and second.stdout.readline() == "held\n"
        assert first() == "GPU-5f"
        ends(other.pid)
        assert first() == "0"
        ends(second.pid)
    finally:
        shutil.rmtree(place)


def test_a_lock_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "distill_nb-gpu-machine-0.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        ValueError,
        match=r"^gpus: the lock /\S+machine-0\.lock cannot be opened \(Too many levels of symbolic "
        r"links\); have its owner delete it while no job uses a GPU of this machine\.$",
    ):
        first()


def test_a_lock_that_was_swept_away_before_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    import fcntl

    real, swept = fcntl.flock, []

    def flock(descriptor, how):
        if not swept:
            swept.append((tmp_path / "distill_nb-gpu-machine-0.lock").unlink())
        return real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with gpus.claimed(1) as devices:
        assert devices == ["0"] and swept and first() == "1"


def test_a_kernel_whose_papermill_ended_before_it_listened_is_asked_to_end(monkeypatch):
    class Poller:
        parent_pid = os.getppid() + 1  # ipykernel's, which looks once a second

    monkeypatch.setattr(stop, "_kernels_poller", Poller)
    with stop.listening() as stopping:
        assert stopping() == "the end of Papermill or Jupyter"
