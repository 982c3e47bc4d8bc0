"""A GPU for each job. The devices are names: no CUDA is needed."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from distill_nb import gpus, paths

HOLD = """
import json, sys, time
from distill_nb import gpus
with gpus.claimed({n}, poll=0.02) as devices:
    start = time.time()
    print("held", flush=True)
    time.sleep({seconds})
    print(json.dumps([start, time.time(), devices]), flush=True)
"""


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    """Locks of this test's own, and three devices."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,GPU-5f")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def holder(n, seconds):
    return subprocess.Popen([sys.executable, "-c", HOLD.format(n=n, seconds=seconds)], stdout=subprocess.PIPE, text=True,
                            env=os.environ | {"PYTHONPATH": str(paths.ROOT)})


@pytest.mark.parametrize(("value", "devices"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("NoDevFiles", []),
                                                ("GPU-5f, MIG-7", ["GPU-5f", "MIG-7"])])
def test_the_devices_are_those_that_were_given(value, devices, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert gpus.visible() == devices


def test_without_a_word_they_are_the_machines(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.visible() == []
    smi = tmp_path / "nvidia-smi"
    lines = ("GPU 0: H100 (UUID: GPU-1)", "  MIG 1g.10gb (UUID: MIG-2)", "GPU 1: H100 (UUID: GPU-3)")
    smi.write_text("#!/bin/sh\n" + "".join(f'echo "{line}"\n' for line in lines))
    smi.chmod(0o755)
    assert gpus.visible() == ["0", "1"]


def test_never_two_jobs_on_one_device():
    processes = [holder(n, 0.4) for n in (1, 2, 1, 2, 1)]
    spans = [json.loads(p.communicate(timeout=120)[0].splitlines()[-1]) for p in processes]
    assert [len(s[2]) for s in spans] == [1, 2, 1, 2, 1]
    for i, (start, end, mine) in enumerate(spans):
        for other_start, other_end, theirs in spans[i + 1:]:
            assert end <= other_start or other_end <= start or not set(mine) & set(theirs), spans


def test_a_killed_job_lets_go_and_slurm_jobs_do_not_wait_for_each_other(monkeypatch):
    process = holder(3, 600)
    assert process.stdout.readline() == "held\n"
    monkeypatch.setenv("SLURM_JOB_ID", "7")  # its devices are not the others', whatever their numbers
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
