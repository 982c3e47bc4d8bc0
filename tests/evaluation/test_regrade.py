"""Grading again: what changes is listed, and nothing is lost over it."""

import json
import shutil

import pytest
from helpers import tiny

from distill_nb import grading
from distill_nb.evaluation import baseline, evaluate, regrade
from distill_nb.evaluation.engines import types
from distill_nb.grading import graders
from distill_nb.runtime import jsonl, paths
from distill_nb.students import student
from distill_nb.training import train

VERSION = grading.GRADER_VERSION


@pytest.fixture
def evaluated(runs_dir):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"])
    train.train(p)
    evaluate.evaluate(p)
    return p


def another(monkeypatch, grade):
    monkeypatch.setattr(evaluate.grading, "GRADER_VERSION", "another")
    monkeypatch.setattr(graders, "grade_all", lambda tasks, *_: [grade for _ in tasks])
    monkeypatch.setattr(
        student, "load_for_generation", lambda *_: pytest.fail("a student was loaded")
    )
    monkeypatch.setattr(student, "load_tokenizer", lambda *_: pytest.fail("a tokenizer was loaded"))


def test_every_change_is_listed_and_written_before_it_is_made(evaluated, monkeypatch, caplog):
    caplog.set_level("INFO", "distill_nb")
    another(monkeypatch, grading.Grade("correct", "7", "", "correct", "correct"))
    written = jsonl.write

    def write(file, found):
        if file.parent.name in ("step_00002", "step_00004"):
            assert (paths.run_dir(evaluated) / "eval" / "regraded.jsonl").exists()
        written(file, found)

    monkeypatch.setattr(jsonl, "write", write)
    record = evaluate.evaluate(tiny(benchmark_limit=2, benchmarks=["pocket_math"], regrade=True))
    assert [c["step"] for c in record["regraded"]] == [0, 0, 2, 2, 4, 4]
    change = record["regraded"][0]
    assert (
        change["changed"] == "outcome, answer, lenient_outcome, second_outcome"
        and change["outcome"] == "correct"
    )
    assert (
        change["outcome_before"] in ("no_answer", "truncated")
        and change["grader_before"] == VERSION
    )
    assert jsonl.read(paths.run_dir(evaluated) / "eval" / "regraded.jsonl") == record["regraded"]
    table = regrade.changes_table(record)
    assert len(table) == 6 and "6 records changed, 6 of them in their outcome" in caplog.text
    assert regrade.changes_table({}) is None


def test_a_change_of_another_reading_counts_too(evaluated, monkeypatch):
    file = paths.records_file(evaluated, 2, "pocket_math")
    before = jsonl.read(file)
    other = grading.Grade(
        before[0]["outcome"], before[0]["answer"], "", "correct", before[0]["second_outcome"]
    )
    another(monkeypatch, other)
    record = evaluate.evaluate(tiny(benchmark_limit=2, benchmarks=["pocket_math"], regrade=True))
    found = [c for c in record["regraded"] if c["step"] == 2]
    assert {c["changed"] for c in found} == {"lenient_outcome"} and found[0][
        "lenient_outcome"
    ] == "correct"


def test_a_grader_that_fails_now_takes_no_verdict_away(evaluated, monkeypatch, caplog):
    caplog.set_level("INFO", "distill_nb")
    file = paths.records_file(evaluated, 4, "pocket_math")
    before = file.read_text()
    another(monkeypatch, grading.Grade("grader_error", "", "it died"))
    evaluate.evaluate(tiny(benchmark_limit=2, benchmarks=["pocket_math"], regrade=True))
    assert file.read_text() == before and "the grader failed now (it died)" in caplog.text
    with pytest.raises(
        ValueError, match=r"another version.*regrade: true"
    ):  # so that it is tried again
        evaluate.evaluate(evaluated)


def test_the_base_is_compared_with_what_this_run_showed(evaluated, monkeypatch):
    second = tiny(benchmark_limit=2, benchmarks=["pocket_math"], run_name="second")
    train.train(second)
    evaluate.evaluate(second)
    another(monkeypatch, grading.Grade("correct", "7", "", "correct", "correct"))
    for name in (
        evaluated.run_name,
        "second",
    ):  # the shared records are graded anew once; both runs' tables change
        record = evaluate.evaluate(
            tiny(benchmark_limit=2, benchmarks=["pocket_math"], regrade=True, run_name=name)
        )
        assert sum(c["step"] == 0 for c in record["regraded"]) == 2, name
    own = [
        json.loads(line)
        for line in paths.records_file(second, 0, "pocket_math").read_text().splitlines()
    ]
    assert {r["outcome"] for r in own} == {"correct"} and {r["grader"] for r in own} == {"another"}


def test_a_run_that_was_copied_elsewhere_can_be_graded_there(runs_dir, monkeypatch):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"])
    train.train(p)
    evaluate.evaluate(p)
    shutil.rmtree(baseline.baseline_dir(p))
    file = paths.run_dir(p) / "provenance_eval.json"
    # made where vLLM is
    file.write_text(file.read_text().replace('"engine": "hf"', '"engine": "vllm"'))
    monkeypatch.setattr(types, "installed_vllm", lambda: False)
    another(monkeypatch, grading.Grade("correct", "7", "", "correct", "correct"))
    record = evaluate.evaluate(
        tiny(benchmark_limit=2, benchmarks=["pocket_math"], regrade=True, engine="vllm")
    )
    assert [c["step"] for c in record["regraded"]] == [0, 0, 2, 2, 4, 4]
    for step in (0, 2, 4):
        assert [r["outcome"] for r in jsonl.read(paths.records_file(p, step, "pocket_math"))] == [
            "correct"
        ] * 2


def test_loops_are_named_in_records_of_before_and_of_now(evaluated):
    file = paths.records_file(evaluated, 4, "pocket_math")
    first, second = jsonl.read(file)
    words = " ".join(map(str, range(300)))
    loop = words + " and so on" * 200
    old = {k: v for k, v in first.items() if k != "loop_tokens"} | {
        "completion": loop, "finish_reason": "length", "outcome": "truncated", "grader": "6",
    }  # fmt: skip
    new = second | {"completion": words, "finish_reason": "length", "loop_tokens": 300}
    jsonl.write(file, [old, new])
    evaluate.evaluate(tiny(benchmark_limit=2, benchmarks=["pocket_math"], regrade=True))
    again = jsonl.read(file)
    assert [r["outcome"] for r in again] == ["looping", "looping"]
    assert [r["grader"] for r in again] == [VERSION] * 2 and "loop_tokens" not in again[0]
    jsonl.write(file, [old | {"finish_reason": "stop"}, new | {"loop_tokens": 0}])
    evaluate.evaluate(tiny(benchmark_limit=2, benchmarks=["pocket_math"], regrade=True))
    assert [r["outcome"] for r in jsonl.read(file)] == ["no_answer", "truncated"]
