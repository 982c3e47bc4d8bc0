"""What a tracker is sent, by one of the tests' own that writes down what it gets; test_trackers.py
has the real ones."""

import json
import threading

import pytest
from helpers import tiny

from distill_nb.evaluation import evaluate
from distill_nb.runtime import jsonl, paths, trackers, tracking
from distill_nb.training import train


class Notebook:
    """Keeps what it is sent, in the order in which it comes, in a file of all runs."""

    fails = 0  # the number of the line at which it fails
    opened = 0

    def __init__(self, place):
        type(self).opened += 1
        self.file = place.run_dir.parent / f"{place.name}.jsonl"
        self.run_id = place.run_id or place.new_id
        self.where = self.file.name

    def log(self, number, step, values):
        if number == type(self).fails:
            raise ConnectionError("no route to host\nmore words")
        jsonl.append(self.file, [{"number": number, "step": step, "id": self.run_id} | values])

    def sent(self):
        return max((line["number"] for line in jsonl.read(self.file)), default=0)

    def finish(self):
        pass


@pytest.fixture
def notebook(monkeypatch):
    monkeypatch.setitem(trackers.OPEN, "wandb", Notebook)
    monkeypatch.setattr(tracking, "check", lambda track: None)
    monkeypatch.setattr(tracking, "EVERY", 0.02)
    monkeypatch.setattr(Notebook, "fails", 0)
    monkeypatch.setattr(Notebook, "opened", 0)


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "pocket" / "mine"
    folder.mkdir(parents=True)
    return folder


def follow(run_dir, steps, kind="train"):
    """Append lines of these steps while they are mirrored; what the tracker then has."""
    file = run_dir / "metrics.jsonl"
    with tracking.mirrored("wandb", run_dir, kind, file, {"seed": 0}):
        for step in steps:
            jsonl.append(file, [{"step": step, "loss": 1 / step, "heldout_loss": None}])
    return jsonl.read(run_dir.parent / "mine.jsonl")


def test_an_interrupted_run_goes_on_in_the_same_place_with_every_step_once(run_dir, notebook):
    first = follow(run_dir, [1, 2, 3])
    assert [line["step"] for line in first] == [1, 2, 3] and first[2]["train/loss"] == 1 / 3
    assert not any("heldout" in key for key in first[0])
    file = run_dir / "metrics.jsonl"
    jsonl.append(file, [{"step": 4, "loss": 0.25}])  # no tracker was there
    jsonl.write(file, jsonl.read(file)[:2])  # goes on from step 2: steps 3 and 4 come again
    found = follow(run_dir, [3, 4, 5])
    assert [line["step"] for line in found] == [1, 2, 3, 4, 5]
    assert len({line["id"] for line in found}) == 1
    follow(run_dir, [])
    assert Notebook.opened == 2  # nothing was to be sent


def test_what_the_tracker_has_counts_more_than_what_was_noted(run_dir, notebook):
    follow(run_dir, [1, 2])
    state = run_dir / "tracking_train.json"
    noted = json.loads(state.read_text())
    noted["wandb"]["sent"] = 1
    state.write_text(json.dumps(noted))
    assert [line["step"] for line in follow(run_dir, [3])] == [1, 2, 3]
    noted["wandb"]["sent"] = 3
    state.write_text(json.dumps(noted))
    file = run_dir.parent / "mine.jsonl"
    jsonl.write(file, jsonl.read(file)[:1])  # the tracker has lost what it was sent last
    assert [line["step"] for line in follow(run_dir, [4])] == [1, 2, 3, 4]


def test_a_tracker_that_fails_costs_one_warning_and_is_caught_up(run_dir, notebook, caplog):
    Notebook.fails = 3
    assert [line["step"] for line in follow(run_dir, [1, 2, 3, 4])] == [1, 2]
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == [
        "track: wandb failed (ConnectionError: no route to host); the work goes on without it, and "
        "what it lacks is sent later, or when the run is started again."
    ]
    Notebook.fails = 0
    assert [line["step"] for line in follow(run_dir, [5])] == [1, 2, 3, 4, 5]


def test_a_tracker_that_hangs_does_not_hold_the_work(run_dir, notebook, monkeypatch, caplog):
    never = threading.Event()
    monkeypatch.setattr(Notebook, "log", lambda *_: never.wait())
    monkeypatch.setattr(tracking, "PATIENCE", 0.2)
    assert follow(run_dir, [1, 2]) == []
    assert "track: wandb is not done after 0 s" in caplog.text
    never.set()


@pytest.mark.parametrize("track", ["trackio", "wandb", "mlflow", "tensorboard"])
def test_a_package_that_is_missing_is_named_before_any_work(track, runs_dir, monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    p = tiny(track=track)
    said = rf"^track: {track} is not installed; install it with `pip install {track}`, or set track"
    for work in (train.prepare, train.train, evaluate.evaluate):
        with pytest.raises(ValueError, match=said):
            work(p)
    assert not paths.run_dir(p).exists()
    tracking.check("none")


def test_training_and_evaluation_are_mirrored_and_overwrite_begins_a_new_run(runs_dir, notebook):
    p = tiny(track="wandb", benchmarks=["pocket_math"])
    train.train(p)
    scale = paths.run_dir(p).parent
    sent = jsonl.read(scale / f"{p.run_name}.jsonl")
    assert [line["step"] for line in sent] == [1, 2, 3, 4]
    losses = train.load_metrics(p)["loss"].tolist()
    assert [line["train/loss"] for line in sent] == losses
    evaluate.evaluate(p)
    accuracy = jsonl.read(scale / f"{p.run_name} eval.jsonl")
    assert sorted(line["step"] for line in accuracy) == [0, 2, 4]
    assert {line["eval/pocket_math/answers"] for line in accuracy} == {p.benchmark_limit}
    file = paths.records_file(p, 4, "pocket_math")
    correct = sum(r["outcome"] == "correct" for r in jsonl.read(file))
    (last,) = (line for line in accuracy if line["step"] == 4)
    assert last["eval/pocket_math/accuracy"] == pytest.approx(100 * correct / 3, abs=1e-3)
    evaluate.evaluate(p)  # all is there, and nothing is sent again
    train.train(p)
    assert Notebook.opened == 2
    train.train(tiny(track="wandb", benchmarks=["pocket_math"], overwrite=True))
    assert Notebook.opened == 3 and not (paths.run_dir(p) / "tracking_eval.json").exists()
