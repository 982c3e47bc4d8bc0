"""Shards of an evaluation make, together, the records that one process makes."""

import shutil
import subprocess
import sys
import time

import pytest
from helpers import tiny

from distill_nb.benchmarks import Task
from distill_nb.evaluation import baseline, evaluate, shard_merge, shards
from distill_nb.runtime import jsonl, lock, paths, provenance
from distill_nb.runtime.shard import Shard
from distill_nb.runtime.shard import shards as all_shards
from distill_nb.training import train

CHANGES = {"benchmark_limit": 10, "max_new_tokens": 8, "eval_batch_size": 4}


def content(folder):
    """file → its records without what a clock decides, in their order."""
    return {
        file.relative_to(folder).as_posix(): [
            {k: v for k, v in record.items() if k != "seconds"} for record in jsonl.read(file)
        ]
        for file in sorted(folder.glob("eval/step_*/*.jsonl"))
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(a runs folder with a trained run, the records that one process makes of it, in order)."""
    trained, other = tmp_path_factory.mktemp("trained"), tmp_path_factory.mktemp("other") / "runs"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("DISTILL_NB_RUNS", str(trained))
        train.train(tiny(**CHANGES))
        shutil.copytree(trained, other)
        monkeypatch.setenv("DISTILL_NB_RUNS", str(other))
        evaluate.evaluate(tiny(**CHANGES))
        expected = content(paths.run_dir(tiny(**CHANGES)))
    assert [len(records) for records in expected.values()] == [10] * 6
    return trained, expected


@pytest.fixture
def run(whole, runs_dir):
    """A trained run, and the records that one process makes of it."""
    shutil.copytree(whole[0], runs_dir)
    return tiny(**CHANGES), whole[1]


def test_shards_have_few_steps_and_as_many_problems_of_each_benchmark():
    tasks = {name: [Task(f"{name}/{i}", "", "math") for i in range(40)] for name in "ab"}
    found, steps = {}, [100, 200, 300, 400, 500]
    for shard in all_shards(4):
        own = {
            (step, name): [t.task_id for t in shards.slice_of(shard, name, all_, number, 5)]
            for number, step in enumerate(steps)
            for name, all_ in tasks.items()
        }
        assert len({step for (step, _), ids in own.items() if ids}) == 2
        for name in tasks:
            assert sum(len(ids) for (_, n), ids in own.items() if n == name) == 50
        for place, ids in own.items():
            found.setdefault(place, []).extend(ids)
    assert all(sorted(ids) == sorted(t.task_id for t in tasks[n]) for (_, n), ids in found.items())
    # a slice is no run of neighbours, and another benchmark does not change it
    first = [t.task_id for t in shards.slice_of(Shard(1, 4), "a", tasks["a"])]
    assert len(first) == 10 and first != [f"a/{i}" for i in range(10)]
    assert first == sorted(first, key=lambda i: int(i[2:]))


def test_four_shards_one_of_them_killed_make_what_one_process_makes(run):
    p, expected = run
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from helpers import tiny\n"
        "from distill_nb.evaluation import collect, evaluate\n"
        "from distill_nb.runtime.shard import Shard\n"
        "write = collect._write\n"
        "def then_hang(p, jobs, *rest):\n"
        "    made = write(p, jobs, *rest)\n"
        "    time.sleep(600 * any(record['step'] for record in made))\n"
        "    return made\n"
        "collect.GRADED_AT_ONCE, collect._write = 1, then_hang\n"
        f"evaluate.evaluate(tiny(**{CHANGES!r}), shard=Shard(2, 4))"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(paths.ROOT / "tests")], stderr=subprocess.DEVNULL
    )
    own = shards.folder(p, Shard(2, 4)) / "step_00002" / "pocket_math.jsonl"
    while not own.exists() or not own.stat().st_size:
        assert other.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    other.kill()
    other.wait()
    kept = jsonl.read(own)
    for number in (1, 3):
        record = evaluate.evaluate(p, shard=Shard(number, 4))
        assert record["finished"] and record["shard"] == f"{number}_of_4"

    # two are missing: the killed one, and one that was never begun
    with pytest.raises(shard_merge.ShardsMissing, match="shard 2 of 4 has not made all") as missing:
        shard_merge.merge(p, 4)
    assert missing.value.missing == [Shard(2, 4), Shard(4, 4)]
    assert content(paths.run_dir(p)) == {}

    assert evaluate.evaluate(p, shard=Shard(2, 4))["finished"]
    assert jsonl.read(own)[: len(kept)] == kept
    evaluate.evaluate(p, shard=Shard(4, 4))
    assert evaluate.evaluate(p, shard=Shard(4, 4))["finished"]  # again: nothing is to be made

    shard_merge.merge(p, 4)
    assert not (paths.run_dir(p) / "eval" / "shards").exists()
    made = evaluate.evaluate(p)
    found = content(paths.run_dir(p))
    assert found == expected and list(found) == list(expected)
    assert made["finished"] and made["files"].keys() == {f[5:] for f in expected}
    assert [proof["step"] for proof in made["adapter_proof"]] == [2, 4]
    # each start of a shard is a session
    sessions = [session["shard"] for session in made["sessions"]]
    assert sorted(sessions) == ["1_of_4", *["2_of_4"] * 2, "3_of_4", *["4_of_4"] * 2]
    assert [len(sessions) for sessions in made["base"].values()] == [4, 4]
    shard_merge.merge(p, 4)  # nothing is left to be done
    assert content(paths.run_dir(p)) == expected


def test_the_base_student_is_evaluated_once_for_all_runs_and_shards(run, monkeypatch):
    p, expected = run
    second = tiny(**CHANGES, run_name="another", learning_rate=0.01)
    train.train(second)
    asked = []
    real = evaluate.collect
    monkeypatch.setattr(
        evaluate,
        "collect",
        lambda p, engine, jobs, *rest: asked.extend(jobs) or real(p, engine, jobs, *rest),
    )
    for shard in all_shards(2):
        for each in (p, second):
            evaluate.evaluate(each, shard=shard)
    for each in (second, p):
        shard_merge.merge(each, 2)
        assert evaluate.evaluate(each)["finished"]
    steps = [job.step for job in asked]
    assert [steps.count(step) for step in (0, 2, 4)] == [20, 40, 40]
    of_base = content(paths.run_dir(second))["eval/step_00000/pocket_math.jsonl"]
    assert {r["run_name"] for r in of_base} == {"another"}
    assert content(paths.run_dir(p)) == expected


def test_what_one_process_has_made_is_kept(run):
    p, expected = run
    evaluate.evaluate(p)
    file = paths.records_file(p, 4, "pocket_math")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:7]) + lines[7][:30])  # a kill
    paths.records_file(p, 2, "pocket_code").unlink()
    for shard in all_shards(3):
        evaluate.evaluate(p, shard=shard)
    made = [len(jsonl.read(f)) for f in paths.run_dir(p).glob("eval/shards/*/*/*.jsonl")]
    assert sum(made) == 13
    shard_merge.merge(p, 3)
    assert file.read_text().splitlines(keepends=True)[:7] == lines[:7]
    assert evaluate.evaluate(p)["finished"] and content(paths.run_dir(p)) == expected


def test_records_of_two_shards_or_of_other_settings_are_refused(run):
    p, _ = run
    for shard in all_shards(2):
        evaluate.evaluate(p, shard=shard)
    files = [
        shards.folder(p, shard) / "step_00002" / "pocket_math.jsonl" for shard in all_shards(2)
    ]
    (made,) = [f for f in files if f.exists()]
    (other,) = [f for f in files if f != made]
    jsonl.append(other, jsonl.read(made)[:1])
    with pytest.raises(ValueError, match=r"both have a record of pocket_math.*; set overwrite"):
        shard_merge.merge(p, 2)
    other.unlink()

    file = shards.folder(p, Shard(2, 2)) / "provenance_eval.json"
    record = provenance.read(file, "")
    settings = record["settings"] | {"temperature": 0.5}
    provenance.write(file, record | {"settings": settings})
    with pytest.raises(
        ValueError, match=r"shard 1 of 2 and of shard 2 of 2 .* temperature \(0.0, n"
    ):
        shard_merge.merge(p, 2)
    provenance.write(file, record)

    with lock.locked(file.parent), pytest.raises(ValueError, match="2_of_2 is in use"):
        shard_merge.merge(p, 2)
    shard_merge.merge(p, 2)
    assert len(content(paths.run_dir(p))) == 4  # the base student's are copied by the evaluation


def test_overwrite_makes_a_baselines_shards_and_shared_records_anew(runs_dir):
    none = dict.fromkeys(("teacher", "domain", "dataset"), "none")
    base = CHANGES | none | {"run_name": "base", "max_steps": 0, "benchmarks": ["pocket_math"]}
    p, again = tiny(**base), tiny(**base, overwrite=True)
    evaluate.evaluate(p)
    (shared,) = baseline.baseline_dir(p).glob("*.jsonl")
    first = jsonl.read(shared)
    for shard in all_shards(2):
        assert evaluate.evaluate(again, shard=shard)["finished"]
    assert not shared.exists() and not paths.records_file(p, 0, "pocket_math").exists()
    shard_merge.merge(p, 2)
    assert evaluate.evaluate(p)["finished"]
    assert [r["completion"] for r in jsonl.read(shared)] == [r["completion"] for r in first]
