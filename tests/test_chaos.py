"""Six kills over a tiny run: what comes out is what comes out without. bench/chaos.py does more,
test_chaos_graph.py kills Snakemake."""

import importlib.util
import json
from collections import Counter

import pytest

from distill_nb.runtime import jsonl, paths

spec = importlib.util.spec_from_file_location("chaos", paths.ROOT / "bench" / "chaos.py")
chaos = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chaos)

CHANGES = {"max_steps": 12, "save_every": 4, "n_examples": 48}
SEED = 0


def test_the_recorded_result_is_of_twenty_kills_that_changed_and_lost_nothing():
    found = json.loads((paths.ROOT / "bench" / "results" / "chaos.json").read_text())
    assert found["command"] == "snakemake --config scale=tiny" and len(found["kills"]) == 20
    assert {k["phase"] for k in found["kills"]} == set(chaos.PHASES)
    assert {k["victim"] for k in found["kills"]} == set(chaos.VICTIMS)
    assert found["differing"] == [] == found["kept"]["lost"]
    assert found["compared"]["adapters"] == 20 and found["compared"]["records"] >= 150


def test_moments_are_drawn_across_all_phases_and_victims():
    drawn = chaos.draw(20, 0, {"train": 80, "eval": 200, "analyze": 20})
    assert (
        drawn
        == chaos.draw(20, 0, {"train": 80, "eval": 200, "analyze": 20})
        != chaos.draw(20, 1, dict.fromkeys(chaos.PHASES, 100))
    )
    assert min(Counter(phase for phase, _, _ in drawn).values()) >= 6 and len(drawn) == 20
    counts = Counter(victim for _, _, victim in drawn)
    assert (
        set(counts) == set(chaos.VICTIMS)
        and min(counts.values()) >= 3
        and ("analyze", "command alone") not in {(phase, victim) for phase, _, victim in drawn}
    )
    assert drawn == sorted(drawn, key=lambda d: (chaos.PHASES.index(d[0]), d[1]))


def test_differences_are_named():
    one = {"adapters": {"a": 1, "b": 2}, "tables": ["t"]}
    assert chaos.differing(one, one) == []
    assert chaos.differing(one, {"adapters": {"a": 1, "c": 2}, "tables": []}) == [
        "tables",
        "adapters: b",
        "adapters: c",
    ]


@pytest.mark.timeout(1800)
def test_six_kills_lose_nothing_and_repeat_nothing(tmp_path):
    report = chaos.chaos(tmp_path, chaos.study_command(["run09"], CHANGES), 6, SEED)
    print(report)
    assert Counter(kill["phase"] for kill in report["kills"]) == dict.fromkeys(chaos.PHASES, 2)
    assert {kill["victim"] for kill in report["kills"]} == {"kernel", "papermill", "command"}
    assert (
        report["differing"] == [] and report["kept"]["lost"] == [] and report["kept"]["lines"] > 25
    )
    assert (
        report["compared"]["adapters"] == 3
        and report["compared"]["losses"] == 1
        and report["compared"]["tables"] >= 10
    )
    for file in (tmp_path / "killed").rglob("*.jsonl"):
        if file.name == "times.jsonl":  # each start adds to it
            continue
        lines = jsonl.read(file)
        key = (
            [r["step"] for r in lines]
            if file.name == "metrics.jsonl"
            else [(r["task_id"], r["sample"]) for r in lines]
        )
        assert len(set(key)) == len(key) > 0
