"""One evaluation as shards, each run as the study runs it, then put together."""

import json

import pytest

from distill_nb.evaluation.shard_merge import ShardsMissing
from distill_nb.runtime import jsonl
from distill_nb.runtime.shard import Shard, shards
from distill_nb.study import ingredients, shard_stamps, stage, stage_shards, stamps
from distill_nb.study.graph import Stage

EVAL = Stage("tiny", "baseline_llama", "eval")


def test_a_stage_by_two_shards_is_done_when_both_are_put_together(runs_dir, monkeypatch):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert stage.run(Stage("tiny", "fixtures", "fixtures")) == 0
    planned = ingredients.hash_of(EVAL)
    assert stage_shards.run_shard(EVAL, Shard(2, 2), planned) == 0
    assert shard_stamps.stamp(EVAL, Shard(2, 2)).is_file() and not stamps.is_done(EVAL)
    own = [len(jsonl.read(f)) for f in runs_dir.glob("tiny/_base/*/shards/2_of_2/*.jsonl")]
    assert own == [1] * 5  # of each benchmark's two problems

    with pytest.raises(ShardsMissing, match="shard 1 of 2 has not made all"):
        stage_shards.gather(EVAL, 2, planned)
    kept = json.loads((EVAL.dir() / "failure_eval.json").read_text())
    assert "shard 1 of 2" in kept["said"][0] and shard_stamps.stamp(EVAL, Shard(2, 2)).is_file()

    with pytest.raises(ValueError, match="what it is made of has changed"):
        stage_shards.run_shard(EVAL, Shard(1, 2), "0" * 16)
    assert stage_shards.run_shard(EVAL, Shard(1, 2), planned) == 0
    assert stage_shards.gather(EVAL, 2, planned) == 0
    assert stamps.is_done(EVAL) and not (EVAL.dir() / "failure_eval.json").exists()
    assert not any(shard_stamps.stamp(EVAL, shard).exists() for shard in shards(2))
    made = {f.stem: len(jsonl.read(f)) for f in EVAL.dir().glob("eval/step_00000/*.jsonl")}
    assert len(made) == 5 and set(made.values()) == {2}


def test_a_shard_that_is_not_finished_says_why_and_gets_no_stamp(runs_dir, monkeypatch):
    assert stage.run(Stage("tiny", "fixtures", "fixtures")) == 0
    lacks = {"finished": False, "unproven": [], "failed_requests": 3}
    monkeypatch.setattr(stage_shards.evaluate, "evaluate", lambda p, shard: lacks)
    assert stage_shards.run_shard(EVAL, Shard(1, 2)) == 1
    kept = json.loads((EVAL.dir() / "failure_eval_shard_1_of_2.json").read_text())
    assert kept["said"] == [
        "baseline_llama/eval: shard 1 of 2 has run and is not done: 3 requests failed, and are "
        "asked again at the next start."
    ]
    assert not shard_stamps.stamp(EVAL, Shard(1, 2)).exists()
    monkeypatch.setattr(stage_shards.evaluate, "evaluate", lambda p, shard: {"finished": True})
    assert stage_shards.run_shard(EVAL, Shard(1, 2)) == 0
    assert shard_stamps.stamp(EVAL, Shard(1, 2)).is_file()
    assert not (EVAL.dir() / "failure_eval_shard_1_of_2.json").exists()
