"""The real trackers, offline. Those that are not installed are skipped: `dev` has TensorBoard."""

import json
import subprocess
import sys
import textwrap

import pytest
from helpers import adapter_hashes, tiny

from distill_nb.runtime import jsonl, paths, tracking
from distill_nb.training import train

KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from helpers import tiny
    from distill_nb.runtime import tracking
    from distill_nb.training import callbacks, train
    tracking.EVERY = 0.02
    made, calls = callbacks.heldout_loss, []
    def heldout_loss(*args):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return made(*args)
    callbacks.heldout_loss = heldout_loss
    train.train(tiny(track="tensorboard", max_steps=6, save_every=3, n_examples=24))
"""


def events(run_dir, kind="train"):
    """tag → [(step, value)] of event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run_dir / "tensorboard" / kind), {"scalars": 0}).Reload()
    return {t: [(e.step, e.value) for e in found.Scalars(t)] for t in found.Tags()["scalars"]}


def test_the_event_files_of_a_killed_run_have_every_step_once(runs_dir, monkeypatch):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: make setup")
    monkeypatch.setattr(tracking, "EVERY", 0.02)
    changes = dict(max_steps=6, save_every=3, n_examples=24)
    p, plain = tiny(track="tensorboard", **changes), tiny(run_name="plain", **changes)
    script = textwrap.dedent(KILLED).format(tests=str(paths.ROOT / "tests"))
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    logged = [line["step"] for line in jsonl.read(paths.run_dir(p) / "metrics.jsonl")]
    assert logged == [1, 2, 3, 4, 5]  # killed in the sixth
    before = [step for step, _ in events(paths.run_dir(p))["train/loss"]]
    assert before == list(range(1, len(before) + 1)) and before
    record = train.train(p)
    assert record["resumed_at"] == 3
    found, metrics = events(paths.run_dir(p)), train.load_metrics(p)
    assert [step for step, _ in found["train/loss"]] == [1, 2, 3, 4, 5, 6]
    losses = [value for _, value in found["train/loss"]]
    assert losses == pytest.approx(metrics["loss"].tolist(), rel=1e-6)
    assert [step for step, _ in found["train/heldout_loss"]] == [3, 6]
    assert [v for _, v in found["train/micro_batch_sequences"]] == [2.0] * 6
    train.train(plain)
    assert adapter_hashes(plain) == adapter_hashes(p)  # watched or not, the same bits


def two_starts(track, run_dir, monkeypatch):
    """Lines of two starts of training, the second of which catches up, and of an evaluation; the
    states that are noted."""
    monkeypatch.setattr(tracking, "EVERY", 0.02)
    file, answers = run_dir / "metrics.jsonl", run_dir / "eval" / "accuracy.jsonl"
    for steps, missed in (([1, 2], [3]), ([4, 5], [])):
        with tracking.mirrored(track, run_dir, "train", file, {"seed": 0, "student": "a/b"}):
            jsonl.append(file, [{"step": s, "loss": 1 / s, "tokens": 10 * s} for s in steps])
        jsonl.append(file, [{"step": s, "loss": 1 / s, "tokens": 10 * s} for s in missed])
    with tracking.mirrored(track, run_dir, "eval", answers, {"seed": 0}):
        lines = [{"step": s, "benchmark": "pocket_math", "accuracy": 10.0 * s} for s in (2, 0)]
        jsonl.append(answers, lines)
    states = [json.loads((run_dir / f"tracking_{k}.json").read_text()) for k in ("train", "eval")]
    return [state[track] for state in states]


@pytest.fixture
def run_dir(runs_dir):
    folder = runs_dir / "pocket" / "mine"
    folder.mkdir(parents=True)
    return folder


def test_mlflow_has_every_step_once(run_dir, runs_dir, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    trained, evaluated = two_starts("mlflow", run_dir, monkeypatch)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{runs_dir / 'mlflow.db'}")
    history = client.get_metric_history(trained["run_id"], "train/loss")
    assert [(m.step, m.value) for m in history] == [(s, 1 / s) for s in (1, 2, 3, 4, 5)]
    run = client.get_run(trained["run_id"])
    assert run.data.params["student"] == "a/b" and run.info.status == "FINISHED"
    points = client.get_metric_history(evaluated["run_id"], "eval/pocket_math/accuracy")
    assert {(m.step, m.value) for m in points} == {(2, 20.0), (0, 0.0)}


def test_wandb_goes_on_under_one_id(run_dir, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    trained, evaluated = two_starts("wandb", run_dir, monkeypatch)
    assert (trained["sent"], evaluated["sent"]) == (5, 2)
    files = sorted((run_dir / "wandb").glob("offline-run-*/*.wandb"))
    assert sorted(f.stem.removeprefix("run-") for f in files) == sorted(
        [trained["run_id"], trained["run_id"], evaluated["run_id"]]
    )


def test_trackio_has_every_step_once(run_dir, tmp_path, monkeypatch):
    pytest.importorskip("trackio", reason="trackio is not installed")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trained, evaluated = two_starts("trackio", run_dir, monkeypatch)
    assert (trained["sent"], evaluated["sent"]) == (5, 2)
