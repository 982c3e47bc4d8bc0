from distill_nb.runtime.shard import Shard
from distill_nb.study import graph, shard_stamps, stamps
from distill_nb.study.graph import Stage

EVAL = Stage("tiny", "baseline_llama", "eval")


def test_evaluations_scans_and_teachers_have_shards_and_nothing_else(monkeypatch):
    found = {
        f"{s.scale}/{s.folder}/{s.name}": shard_stamps.count(s, 4)
        for scale in ("full", "tiny")
        for s in graph.everything(scale)
        if "llama8b_math_4k" in s.folder or "traces" in s.folder or s.name in ("analyze", "paper")
    }
    four = {place for place, n in found.items() if n == 4}
    assert {n for place, n in found.items() if place not in four} == {1}
    scans = {f"full/traces/r1_{domain}/traces" for domain in ("math", "code")}
    # at full size a teacher's batches are one account's; at tiny scale the stand-in has messages
    asked = {f"tiny/traces/sonnet_{domain}/traces" for domain in ("math", "code")}
    evals = {f"{scale}/llama8b_math_4k/eval" for scale in ("full", "tiny")}
    assert four == scans | asked | evals
    assert all(shard_stamps.count(s, 1) == 1 for s in graph.everything("full"))


def test_a_shards_stamp_is_none_of_its_stage_and_can_be_forgotten(runs_dir):
    for number in (1, 2, 3):
        file = shard_stamps.stamp(EVAL, Shard(number, 3))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    assert stamps.stamps(EVAL) == {} and stamps.on_disk("tiny") == set()

    def left():
        return sorted(f.name.split("-")[0] for f in (EVAL.dir() / "made").iterdir())

    shard_stamps.forget(EVAL, [Shard(2, 3)])
    assert left() == ["eval_shard_1_of_3", "eval_shard_3_of_3"]
    shard_stamps.forget(EVAL)
    assert left() == []
