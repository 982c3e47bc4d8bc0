"""A job that runs out of its time, on a real Slurm of one node, which the test starts."""

import re
import sys
import time

from helpers import adapter_hashes, tiny

from distill_nb.runtime import paths, provenance
from distill_nb.training import train

SLOW = """
import sys, time
sys.path.insert(0, sys.argv[1])
from helpers import tiny
from distill_nb.training import train
made = train.make_callback
def recorder(*arguments):
    callback = made(*arguments)
    real = callback.on_step_begin
    def on_step_begin(*given, **words):
        time.sleep(float(sys.argv[2]))
        return real(*given, **words)
    callback.on_step_begin = on_step_begin
    return callback
train.make_callback = recorder
train.train(tiny(max_steps=40, save_every=20, n_examples=160))
"""


def test_a_job_that_runs_out_of_time_leaves_a_state_and_the_next_one_goes_on_there(
    cluster, tmp_path, monkeypatch
):
    (tmp_path / "slow.py").write_text(SLOW)
    cluster.environment |= {
        "DISTILL_NB_RUNS": str(tmp_path / "runs"),
        "PYTHONPATH": str(paths.ROOT),
    }

    def job(seconds_a_step):
        log = tmp_path / f"log{seconds_a_step}"
        words = f"{sys.executable} {tmp_path}/slow.py {paths.ROOT}/tests {seconds_a_step}"
        cluster.ask("sbatch", "-t", "1", "--mem", "3000", "-o", str(log), "--wrap", words)
        end = time.monotonic() + 240
        while cluster.ask("squeue", "-h", "-t", "PD,R,CG").strip() and time.monotonic() < end:
            time.sleep(0.5)
        return log.read_text()

    text = job(2)  # more than a minute for its 40 steps
    said = re.search(r"Stopped by the end of its Slurm job's time after step (\d+) of 40", text)
    assert said and "CANCELLED" not in text, text
    text = job(0)
    assert "Error" not in text, text
    monkeypatch.setenv("DISTILL_NB_RUNS", str(tmp_path / "runs"))
    p = tiny(max_steps=40, save_every=20, n_examples=160)
    record = provenance.read(paths.run_dir(p) / "provenance_train.json", "train")
    assert record["finished"] and record["resumed_at"] == int(said[1])
    ended = adapter_hashes(p)
    monkeypatch.setenv("DISTILL_NB_RUNS", str(tmp_path / "unbroken"))
    train.train(p)
    assert adapter_hashes(p) == ended and len(ended) == 2
