"""Collecting answers from a made-up engine that fails in every way an engine can."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import tiny

from distill_nb import benchmarks
from distill_nb.evaluation import collect
from distill_nb.evaluation.engines.types import Answer, EngineFailed
from distill_nb.runtime import jsonl

BASE = {
    "tokens": list(range(9)),
    "adapter": [-1.0, -0.5, -2.0, -0.1, -1.5, -0.7, -1.2, -0.3],
    "base": [-3.0, -0.9, -1.0, -0.4, -2.5, -0.6, -4.0, -2.0],
}


class Engine:
    """Answers `number` to every request; `fails` maps a request's number to how often it fails
    first."""

    name, version = "made-up", "1"

    def __init__(self, fails=(), says=None, groups=None, repairs=False):
        self.fails, self.says, self.groups, self.asked, self.repairs = (
            dict(fails),
            says or {},
            groups,
            [],
            repairs,
        )

    def serve(self, steps):
        yield from self.groups or [[0], *([s] for s in steps)]

    def again(self):
        if self.repairs:
            self.says, self.repairs = {}, False
            return True
        return False

    def logprobs(self, texts):
        return [
            [
                [self.says.get(step, BASE["adapter" if step else "base"])[i - 1] for i in at]
                for step, _, at in texts
            ]
        ]

    def answers(self, requests):
        self.asked += [r.number for r in requests]
        batch = []
        for r in requests:
            self.fails[r.number] = self.fails.get(r.number, 0) - 1
            error = "no luck" if self.fails[r.number] >= 0 else ""
            batch.append(Answer(r.number, rf"\boxed{{{r.number}}}", [5, 6], "stop", 0.1, error))
        yield batch


@pytest.fixture
def jobs(tmp_path):
    tasks = [benchmarks.Task(str(i), "?", "math", gold=str(i)) for i in range(3)]
    return [
        collect.Job(step, "pocket_math", task, 0, [1], 7, tmp_path / f"{step}.jsonl")
        for step in (0, 2)
        for task in tasks
    ]


def outcomes(tmp_path, step):
    return {r["task_id"]: r["outcome"] for r in jsonl.read(tmp_path / f"{step}.jsonl")}


def test_every_checkpoint_is_proved_and_the_base_is_done_first(jobs, tmp_path):
    done = []
    (proof,) = collect.collect(
        tiny(), Engine(), jobs, {2: BASE}, lambda: done.append(outcomes(tmp_path, 2))
    )
    assert proof.passed and outcomes(tmp_path, 0) == {
        "0": "correct",
        "1": "correct",
        "2": "correct",
    }
    assert set(outcomes(tmp_path, 2).values()) == {"wrong"} and done[0] == {}
    (record, *_) = jsonl.read(tmp_path / "0.jsonl")
    assert (
        record["engine"] == "made-up 1" and record["completion_tokens"] == 2 and record["seed"] == 7
    )


def test_a_failed_request_is_retried_and_then_a_sampling_error(jobs, tmp_path):
    engine = Engine(fails={1: 2, 2: 3})
    collect.collect(tiny(), engine, jobs, {2: BASE})
    assert outcomes(tmp_path, 0) == {"0": "correct", "1": "correct", "2": "sampling_error"}
    assert engine.asked.count(0) == 1 and engine.asked.count(1) == engine.asked.count(2) == 3
    error = next(r for r in jsonl.read(tmp_path / "0.jsonl") if r["task_id"] == "2")
    assert (
        error["detail"] == "no luck"
        and error["lenient_outcome"] == error["second_outcome"] == "sampling_error"
    )


def test_a_final_error_is_not_asked_again(jobs, tmp_path):
    class Final(Engine):
        def answers(self, requests):
            for batch in super().answers(requests):
                yield [replace(a, final=bool(a.error)) for a in batch]

    engine = Final(fails={1: 1})
    collect.collect(tiny(), engine, jobs, {2: BASE})
    assert (
        outcomes(tmp_path, 0) == {"0": "correct", "1": "sampling_error", "2": "correct"}
        and engine.asked.count(1) == 1
    )


def test_requests_that_fail_for_good_are_errors_however_many(jobs, tmp_path):
    collect.collect(tiny(), Engine(fails=dict.fromkeys(range(6), 9)), jobs, {2: BASE})
    assert (
        set(outcomes(tmp_path, 0).values())
        == set(outcomes(tmp_path, 2).values())
        == {"sampling_error"}
    )


def test_an_engine_that_fails_takes_no_finished_answer_along(jobs, tmp_path):
    class Dying(Engine):
        def answers(self, requests):
            yield from super().answers(requests[:2])
            raise EngineFailed("it died")

    with pytest.raises(EngineFailed, match="it died"):
        collect.collect(tiny(), Dying(), jobs, {2: BASE})
    assert outcomes(tmp_path, 0) == {"0": "correct", "1": "correct"}


def test_a_proof_is_kept_before_any_answer_that_rests_on_it(jobs, tmp_path):
    kept = []
    collect.collect(
        tiny(),
        Engine(),
        jobs,
        {2: BASE},
        keep=lambda made: kept.append((made.step, outcomes(tmp_path, 2))),
    )
    assert kept[0] == (2, {})


@pytest.mark.parametrize("groups", [None, [[0, 2]]])
def test_a_checkpoint_without_its_proof_is_reported_and_not_scored(jobs, tmp_path, groups, caplog):
    caplog.set_level("INFO", "distill_nb")
    (proof,) = collect.collect(
        tiny(), Engine(says={2: BASE["base"]}, groups=groups), jobs, {2: BASE}
    )
    assert not proof.passed and "Step 2 is not scored: the adapter is not applied" in caplog.text
    assert len(outcomes(tmp_path, 0)) == 3 and outcomes(tmp_path, 2) == {}


def test_an_engine_that_can_load_another_way_is_given_the_chance(jobs, tmp_path):
    (proof,) = collect.collect(
        tiny(), Engine(says={2: BASE["base"]}, repairs=True), jobs, {2: BASE}
    )
    assert proof.passed and len(outcomes(tmp_path, 2)) == 3


@pytest.mark.parametrize(("dtype", "count"), [("float32", 16), ("bfloat16", 64)])
def test_what_an_earlier_version_left_is_compared_at_its_own_places(dtype, count, jobs):
    """It left the last 64 places of a text, and nothing else about it."""
    rng = np.random.default_rng(0)
    ids = list(range(200))
    base, shift = -rng.exponential(2.0, 200), rng.normal(0, 1, 200)
    old = {"tokens": ids, "adapter": list(base[136:] + shift[136:]), "base": list(base[136:])}

    class Exact(Engine):
        def logprobs(self, texts):
            return [[list(base[at] + (shift[at] if step else 0)) for step, _, at in texts]]

    (made,) = collect.collect(tiny(dtype=dtype), Exact(), jobs, {2: old})
    assert made.passed and made.error == 0 and made.tokens == count
    assert made.share == pytest.approx(1) and made.effect > 0.5


def test_answers_are_graded_in_batches_and_none_waits_for_long(monkeypatch):
    assert [len(b) for b in collect._gathered(iter([[1]] * 130))] == [64, 64, 2]
    monkeypatch.setattr(collect, "GRADED_EVERY", 0.0)
    assert [len(b) for b in collect._gathered(iter([[1]] * 3))] == [1, 1, 1]


def test_a_record_says_whether_the_answer_loops_and_what_was_not_generated(jobs, tmp_path):
    class Looping(Engine):
        def answers(self, requests):
            made = {
                0: ("again", [*range(100), *[7] * 300], "length"),
                1: ("again", [*range(100), *[7] * 256], "loop"),
                2: ("long", list(range(400)), "length"),
            }
            yield [Answer(r.number, *made[r.number], 0.1) for r in requests]

    collect.collect(tiny(max_new_tokens=400), Looping(), jobs[:3], {})
    found = jsonl.read(tmp_path / "0.jsonl")
    assert [r["outcome"] for r in found] == ["looping", "looping", "truncated"]
    assert [r["loop_tokens"] for r in found] == [300, 256, 0]
    assert [r["finish_reason"] for r in found] == ["length", "loop", "length"]
    assert [r.get("not_generated") for r in found] == [None, 44, None]
