"""A disk that fills up costs nothing but time; what is half-written, damaged or another run's is
never used."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers import adapter_hashes, tiny

from distill_nb.evaluation import evaluate, resume
from distill_nb.runtime import disk, jsonl, lock, paths
from distill_nb.students import student
from distill_nb.training import train

# Trains, evaluates and makes traces on a tiny disk of its own, mounted where only this process sees
# it. Room is made bit by bit; prints what was said each time, and what came out.
SCRIPT = """
import hashlib, json, shutil, subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from helpers import tiny
from distill_nb.evaluation import evaluate
from distill_nb.runtime import disk, jsonl, paths
from distill_nb.traces import build, params as trace_params
from distill_nb.training import train
runs, said = paths.runs(), {}
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(runs)], check=True)

def whole(file):  # every line but a last, torn one, and every JSON file, can be read
    text = file.read_text()
    for part in text.split("\\n")[:-1] if file.suffix == ".jsonl" else [text]:
        json.loads(part)

def go_on(name, work):
    said[name], free = [], 4 * 1024
    while True:
        ballast = runs / "ballast"
        ballast.unlink(missing_ok=True)
        with open(ballast, "wb") as f:
            f.write(bytes(max(0, shutil.disk_usage(runs).free - free)))
        try:
            return work()
        except disk.DiskFull as full:
            said[name].append(str(full))
        for file in [*runs.rglob("*.json"), *runs.rglob("*.jsonl")]:
            state = file.parent  # without its seal it may be half-written, and is not gone on from
            if state.parent.name != "state" or (state / disk.SEAL).is_file():
                whole(file)
        free = free * 3 // 2

p = tiny(benchmarks=["pocket_math"])
go_on("train", lambda: train.train(p))
go_on("eval", lambda: evaluate.evaluate(p))
sets = trace_params.pocket(scale="tiny", n_examples=40, processes=1, decontaminate=["pocket_math"])
traces = go_on("traces", lambda: build.build(sets))
adapters = {f.parent.name: hashlib.sha256(f.read_bytes()).hexdigest()
            for f in sorted(paths.run_dir(p).glob("checkpoints/step_*/adapter_model.safetensors"))}
found = {f"{f.parent.name}/{f.name}": [r | {"seconds": 0} for r in jsonl.read(f)]
         for f in sorted(paths.run_dir(p).glob("eval/**/*.jsonl"))}
left = sorted(f.name for f in runs.rglob("*") if ".partial" in f.name or f.name.startswith(".room"))
losses = train.load_metrics(p)["loss"].tolist()
print("RESULT " + json.dumps([said, adapters, found, left, traces, losses]))
"""


def test_a_disk_that_fills_up_is_said_and_gone_on_from(runs_dir, tmp_path, monkeypatch):
    probe = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f"mount -t tmpfs tmpfs {tmp_path}",
    ]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("mounting a small disk of its own is not allowed here (unshare --user --mount)")
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(
        [*probe[:4], sys.executable, "-c", SCRIPT, str(paths.ROOT / "tests")],
        capture_output=True,
        text=True,
        env=os.environ | {"DISTILL_NB_RUNS": str(small)},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said, adapters, found, left, traces, losses = json.loads(done.stdout.rpartition("RESULT ")[2])
    assert {name: len(words) >= 2 for name, words in said.items()} == dict.fromkeys(
        ("train", "eval", "traces"), True
    )
    for sentence in {w for words in said.values() for w in words}:
        assert (
            sentence.startswith(str(small))
            and ": the disk is full, or a quota is used up (" in sentence
        )
    print({name: len(words) for name, words in said.items()})
    assert left == []
    p = tiny(benchmarks=["pocket_math"])
    train.train(p)
    evaluate.evaluate(p)
    assert adapters == adapter_hashes(p) and losses == train.load_metrics(p)["loss"].tolist()
    assert found == {
        f"{paths.step_name(s)}/pocket_math.jsonl": [
            r | {"seconds": 0} for r in jsonl.read(paths.records_file(p, s, "pocket_math"))
        ]
        for s in (0, 2, 4)
    }
    assert traces["kept"] == 40


def test_an_append_without_room_adds_nothing(tmp_path, monkeypatch):
    file = tmp_path / "x.jsonl"
    jsonl.append(file, [{"a": 1}])
    program = (
        "import resource, sys; from pathlib import Path; from distill_nb.runtime import jsonl as "
        "records\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "records.append(Path(sys.argv[1]), [{'b': 'x' * 200}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True
    )
    assert "File too large" in done.stderr and file.read_text() == '{"a": 1}\n'


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(ZeroDivisionError), disk.room(tmp_path):
        print(1 / 0)
    assert not list(tmp_path.iterdir())


def test_a_sealed_folder_is_whole_until_something_in_it_changes(tmp_path):
    (tmp_path / "weights").write_bytes(b"12345")
    assert disk.broken(tmp_path) == "it is half-written"
    disk.seal(tmp_path)
    assert disk.broken(tmp_path) == ""
    (tmp_path / "weights").write_bytes(b"12346")
    assert disk.broken(tmp_path) == "weights is damaged"
    (tmp_path / "weights").unlink()
    assert disk.broken(tmp_path) == "weights is missing"


@pytest.fixture
def trained(runs_dir):
    """A run that was interrupted when all its steps were done, its adapters, and its first
    state."""
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"])
    train.train(p)
    file = paths.run_dir(p) / "provenance_train.json"
    record = json.loads(file.read_text())
    assert record["adapters_sha256"] == {
        "2": adapter_hashes(p)["step_00002"],
        "4": adapter_hashes(p)["step_00004"],
    }
    file.write_text(json.dumps(record | {"finished": False}))
    return p, adapter_hashes(p)


@pytest.mark.parametrize(
    ("what", "says", "resumed"),
    [
        ("state damaged", "checkpoint-4 is not used, and removed: optimizer.pt is damaged", 2),
        ("state half-written", "checkpoint-4 is not used, and removed: it is half-written", 2),
        (
            "adapter lost",
            "checkpoint-4 is not used, and removed: the adapter of step 4 is missing and must be "
            "made again",
            2,
        ),
        ("torn metrics", "dropped a torn line", 4),
        ("nothing", "", 4),
    ],
)
def test_what_is_damaged_is_said_and_made_again(what, says, resumed, trained, caplog):
    caplog.set_level("INFO", "distill_nb")
    p, adapters = trained
    folder = paths.run_dir(p)
    if what == "state damaged":
        file = folder / "state" / "checkpoint-4" / "optimizer.pt"
        file.write_bytes(file.read_bytes()[:-1])
    elif what == "state half-written":
        (folder / "state" / "checkpoint-4" / disk.SEAL).unlink()
    elif what == "adapter lost":
        shutil.rmtree(paths.checkpoint_dir(p, 4))
    elif what == "torn metrics":
        with open(folder / "metrics.jsonl", "a") as f:
            f.write('{"step": 5, "lo')
    record = train.train(p)
    assert says in caplog.text and record["resumed_at"] == resumed
    assert adapter_hashes(p) == adapters and train.load_metrics(p)["step"].tolist() == [1, 2, 3, 4]


def test_checkpoints_of_which_nothing_says_what_they_are_are_refused(trained):
    p, _ = trained
    file = paths.run_dir(p) / "provenance_train.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(
        ValueError,
        match=r"^provenance_train\.json in sonnet_math_llama_4k is damaged.*overwrite: true",
    ):
        train.train(p)
    file.unlink()
    with pytest.raises(
        ValueError, match=r"^sonnet_math_llama_4k: it has checkpoints but no provenance_train\.json"
    ):
        train.train(p)


def test_a_changed_adapter_or_another_runs_is_not_evaluated(trained, monkeypatch):
    p, _ = trained
    train.train(p)
    monkeypatch.setattr(
        student, "load_for_generation", lambda *_: pytest.fail("a student was loaded")
    )
    with pytest.raises(
        ValueError,
        match=r"was trained with other values of student \(meta-llama/Llama-3\.1-8B-Instruct, now "
        r"Qwen/Qwen3-30B-A3B-Base\); use its own parameter file",
    ):
        evaluate.evaluate(tiny(benchmark_limit=2, student="Qwen/Qwen3-30B-A3B-Base"))
    with pytest.raises(ValueError, match=r"other values of student_size \(tiny, now full\);"):
        resume.refuse_other_checkpoints(replace(p, student_size="full"), {})
    file = paths.checkpoint_dir(p, 4) / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(
        ValueError,
        match=r"^run_name: the adapter of step 4 of sonnet_math_llama_4k is not the one that its",
    ):
        evaluate.evaluate(p)


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "merged_left").mkdir()
    (tmp_path / "merged_left" / lock.FILE).touch()
    (tmp_path / "merged_being_made").mkdir()
    first = disk.Scratch(tmp_path, "merged_")
    second = disk.Scratch(tmp_path, "merged_")
    assert {str(f) for f in tmp_path.iterdir()} == {
        first.name,
        second.name,
        str(tmp_path / "merged_being_made"),
    }
    first.cleanup()
    assert {str(f) for f in tmp_path.iterdir()} == {
        second.name,
        str(tmp_path / "merged_being_made"),
    }
    second.cleanup()
