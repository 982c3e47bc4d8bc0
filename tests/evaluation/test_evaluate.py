import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import needs, needs_vllm, tiny

from distill_nb.analysis import results
from distill_nb.benchmarks import loading
from distill_nb.evaluation import baseline, evaluate, resume
from distill_nb.evaluation.engines import hf, types
from distill_nb.evaluation.records import OUTCOMES, count
from distill_nb.report import card
from distill_nb.runtime import lock, paths
from distill_nb.runtime.jsonl import read
from distill_nb.students import chat, student
from distill_nb.study import tiny as fixtures
from distill_nb.training import train

FIELDS = {
    "run_name",
    "student",
    "step",
    "benchmark",
    "task_id",
    "sample",
    "seed",
    "outcome",
    "answer",
    "lenient_outcome",
    "second_outcome",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "loop_tokens",
    "seconds",
    "completion",
    "engine",
    "grader",
    "sandbox_level",
    "sandbox_packages",
}


def lines(p, step, benchmark="pocket_math"):
    return [json.loads(x) for x in paths.records_file(p, step, benchmark).read_text().splitlines()]


def test_every_checkpoint_and_the_base_have_one_record_a_problem(runs_dir):
    p = tiny()
    train.train(p)
    evaluate.evaluate(p)
    for step in (0, 2, 4):
        for benchmark in p.benchmarks:
            records = lines(p, step, benchmark)
            assert len({r["task_id"] for r in records}) == len(records) == p.benchmark_limit
            assert set(records[0]) >= FIELDS and {r["step"] for r in records} == {step}
            assert {r["outcome"] for r in records} <= set(OUTCOMES)
    assert count(p) == 3 * len(p.benchmarks) * p.benchmark_limit
    table = results.accuracy_table(paths.runs() / p.scale)
    assert sorted(set(table["step"])) == [0, 2, 4] and (table["n"] == p.benchmark_limit).all()


def test_evaluation_goes_on_at_the_first_missing_record(runs_dir, caplog):
    caplog.set_level("INFO", "distill_nb")
    p = tiny()
    train.train(p)
    evaluate.evaluate(p)
    file = paths.records_file(p, 2, "pocket_math")
    whole = file.read_text()
    kept, rest = whole.splitlines(keepends=True)[0], whole.splitlines(keepends=True)[1]
    file.write_text(kept + rest[:20])  # a kill while the second record was written
    evaluate.evaluate(p)
    assert "2: 2," in caplog.text

    def timeless(text):
        return sorted(json.dumps(json.loads(x) | {"seconds": 0}) for x in text.splitlines())

    assert file.read_text().startswith(kept) and timeless(file.read_text()) == timeless(whole)


@pytest.mark.parametrize("engine", ["hf", pytest.param("vllm", marks=needs_vllm)])
def test_killed_at_any_moment_nothing_is_lost_and_nothing_twice(engine, runs_dir):
    changes = dict(engine=engine, benchmark_limit=0, max_new_tokens=40, benchmarks=["pocket_math"])
    p = tiny(**changes)
    train.train(p)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from helpers import tiny\n"
        "from distill_nb.evaluation import evaluate, collect\n"
        "collect.GRADED_AT_ONCE, collect.GRADED_EVERY = 4, "
        f"0.1\nevaluate.evaluate(tiny(**{changes!r}))"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(paths.ROOT / "tests")], stderr=subprocess.DEVNULL
    )
    file = paths.records_file(p, 2, "pocket_math")
    while not file.exists() or file.stat().st_size < 2000:
        assert other.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    children = subprocess.run(
        ["pgrep", "-P", str(other.pid)], capture_output=True, text=True
    ).stdout.split()
    other.kill()
    other.wait()
    kept = read(file)
    assert kept and not paths.records_file(p, 4, "pocket_math").exists()
    evaluate.evaluate(p)
    for step in (0, 2, 4):
        found = lines(p, step)
        assert len(found) == len({r["task_id"] for r in found}) == 56
    assert lines(p, 2)[: len(kept)] == kept
    for pid in children:
        status = Path(f"/proc/{pid}/stat")
        assert not status.exists() or status.read_text().split()[2] == "Z", "a child lived on"


def test_a_base_student_is_evaluated_once_and_its_records_are_shared(runs_dir, caplog):
    caplog.set_level("INFO", "distill_nb")
    first, second = tiny(), tiny(run_name="another", learning_rate=0.01)
    for p in (first, second):
        train.train(p)
        evaluate.evaluate(p)
    assert "reusing the records" in caplog.text
    assert [r["completion"] for r in lines(first, 0)] == [r["completion"] for r in lines(second, 0)]
    assert {r["run_name"] for r in lines(second, 0)} == {"another"}


def test_a_changed_template_or_benchmark_makes_the_base_anew(runs_dir, monkeypatch):
    def base(name, tasks_sha256="a", template="t"):
        p = tiny(
            run_name=name,
            benchmarks=["pocket_math"],
            teacher="none",
            domain="none",
            dataset="none",
            max_steps=0,
        )
        tasks = {"pocket_math": loading.load("pocket_math", limit=2)}
        settings = {
            "template": template,
            "engine": "hf",
            "engine_version": "hf 1",
            "tasks_sha256": {"pocket_math": tasks_sha256},
        }
        return evaluate._make(p, tasks, baseline.shared_files(p, settings), [])[0]

    assert base("one") == 2 and base("two") == 0
    assert (
        base("three", tasks_sha256="b") == 2
        and base("four", template="u") == 2
        and base("five") == 0
    )


def test_a_new_grader_never_mixes_with_an_old_one(runs_dir, monkeypatch):
    p = tiny(benchmark_limit=2)
    train.train(p)
    evaluate.evaluate(p)
    monkeypatch.setattr(evaluate.grading, "GRADER_VERSION", "another")
    monkeypatch.setattr(
        student, "load_for_generation", lambda *_: pytest.fail("a student was loaded")
    )
    with pytest.raises(ValueError, match=r"another version.*regrade: true"):
        evaluate.evaluate(p)
    evaluate.evaluate(tiny(benchmark_limit=2, regrade=True))
    assert {r["grader"] for step in (0, 2, 4) for b in p.benchmarks for r in lines(p, step, b)} == {
        "another"
    }
    evaluate.evaluate(p)


def test_overwriting_a_run_leaves_the_shared_base_alone(runs_dir):
    p = tiny(benchmark_limit=2)
    train.train(p)
    evaluate.evaluate(p)
    shared = {f: f.read_text() for f in baseline.baseline_dir(p).glob("*.jsonl")}
    assert len(shared) == 2
    evaluate.evaluate(tiny(benchmark_limit=2, benchmarks=["pocket_math"], overwrite=True))
    assert {f: f.read_text() for f in shared} == shared
    assert not paths.records_file(p, 2, "pocket_code").exists() and len(lines(p, 2)) == 2


def test_a_changed_benchmark_is_refused_whatever_was_evaluated_in_between(runs_dir, monkeypatch):
    p = tiny(benchmark_limit=2)
    train.train(p)
    evaluate.evaluate(p)
    evaluate.evaluate(tiny(benchmark_limit=2, benchmarks=["pocket_code"]))
    load = loading.load
    monkeypatch.setattr(loading, "load", lambda *a: [replace(t, gold="7") for t in load(*a)])
    with pytest.raises(ValueError, match=r"benchmark pocket_math.*overwrite"):
        evaluate.evaluate(tiny(benchmark_limit=2, benchmarks=["pocket_math"]))


def test_another_benchmark_may_come_later_from_a_file_of_its_own(runs_dir, tmp_path):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"], max_steps=2)
    train.train(p)
    evaluate.evaluate(p)
    file = tmp_path / "math500.part.jsonl"
    file.write_text(
        json.dumps({"problem": "What is 1 + 1?", "answer": "2", "unique_id": "a"}) + "\n"
    )
    later = tiny(
        benchmarks=["math500"],
        benchmark_files={"math500": str(file)},
        benchmark_limit=0,
        max_steps=2,
    )
    evaluate.evaluate(later)
    assert [len(lines(p, 2, name)) for name in ("pocket_math", "math500")] == [2, 1]
    file.write_text(
        json.dumps({"problem": "What is 1 + 2?", "answer": "3", "unique_id": "a"}) + "\n"
    )
    with pytest.raises(ValueError, match=r"benchmark math500.*overwrite"):
        evaluate.evaluate(later)


def test_provenance_tells_of_every_session_and_of_no_other(runs_dir):
    p = tiny(benchmark_limit=2)
    train.train(p)
    first = evaluate.evaluate(p)
    assert evaluate.evaluate(p) == first  # nothing was made, so nothing is said anew
    paths.records_file(p, 4, "pocket_math").unlink()
    second = evaluate.evaluate(p)
    assert [s["started_at"] for s in second["sessions"]] == [first["started_at"]] and second[
        "sessions"
    ][0]["seconds"] > 0


@pytest.fixture
def short_of_memory(monkeypatch):
    """Make a run's shortest prompt one that never fits; `final`: and that is known. Returns what
    takes it back."""
    made = hf.generate

    def begin(p, final):
        tokenizer, template = (
            student.load_tokenizer(p),
            chat.template_for(p.student, p.chat_template),
        )
        shortest = min(
            len(chat.prompt_ids(tokenizer, template, [{"role": "user", "content": task.prompt}]))
            for task in evaluate.load_tasks(p)["pocket_math"]
        )

        def full(model, tokenizer, prompts, *args, **kwargs):
            if min(map(len, prompts)) == shortest:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return made(model, tokenizer, prompts, *args, **kwargs)

        monkeypatch.setattr(hf, "generate", full)
        if not final:  # such as an engine's error, which may be another next time
            monkeypatch.setattr(hf, "Answer", lambda *a, final=False: types.Answer(*a))
        return lambda: monkeypatch.setattr(hf, "generate", made)

    return begin


@pytest.mark.parametrize("final", [True, False])
def test_failed_requests_are_said_and_asked_again_and_only_those_that_would_fail_again_are_finished(
    final, runs_dir, short_of_memory, caplog
):
    caplog.set_level("INFO", "distill_nb")
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"])
    train.train(p)
    enough = short_of_memory(p, final)
    record = evaluate.evaluate(p)
    assert record["finished"] == final and record["failed_requests"] == 3
    assert all(made["passed"] for made in record["adapter_proof"])
    said = caplog.text
    assert (
        "3 requests failed and count as sampling_error, the first because: out of memory with"
        in said
    )
    assert ("They would fail here again" if final else "Start the evaluation again") in said
    assert evaluate.evaluate(replace(p, regrade=True))["failed_requests"] == 3
    answered = {
        step: [r for r in lines(p, step) if r["outcome"] != "sampling_error"] for step in (0, 2, 4)
    }
    assert [len(found) for found in answered.values()] == [1, 1, 1] and len(lines(p, 2)) == 2
    table = results.accuracy_table(paths.runs() / p.scale)
    assert (
        table["flagged"].all()
        and (table["bounds_hi"] > table["bounds_lo"]).all()
        and (table["n"] == 2).all()
    )
    enough()
    record = evaluate.evaluate(p)
    assert record["finished"] and record["failed_requests"] == 0
    for step, found in answered.items():
        assert len(lines(p, step)) == 2 and lines(p, step)[:1] == found
        assert "sampling_error" not in {r["outcome"] for r in lines(p, step)}


def test_a_benchmark_that_fails_and_is_left_out_keeps_no_other_from_being_finished(
    runs_dir, short_of_memory
):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math", "pocket_code"], max_steps=2)
    train.train(p)
    short_of_memory(p, False)
    assert (
        not evaluate.evaluate(p)["finished"]
        and evaluate.evaluate(replace(p, benchmarks=["pocket_code"]))["finished"]
    )


def test_the_bases_records_are_copied_before_another_run_takes_them_up(
    runs_dir, short_of_memory, monkeypatch
):
    p = tiny(
        run_name="baseline_llama",
        teacher="none",
        domain="none",
        dataset="none",
        max_steps=0,
        benchmark_limit=2,
        benchmarks=["pocket_math"],
    )
    short_of_memory(p, False)
    taken = []

    def another_begins(*_):  # while this one's engine is closed
        with lock.locked(baseline.baseline_dir(p), wait=False) as free:
            assert free
            tasks = evaluate.load_tasks(p)
            (shared,) = baseline.baseline_dir(p).glob("*.jsonl")
            taken.extend(evaluate.missing(p, 0, tasks, {"pocket_math": shared}))

    monkeypatch.setattr(hf.HfEngine, "__exit__", another_begins)
    record = evaluate.evaluate(p)
    assert (
        len(taken) == 1
        and len(lines(p, 0)) == 2
        and not record["finished"]
        and record["failed_requests"] == 1
    )


def test_a_baseline_needs_no_checkpoints_and_a_run_does(runs_dir):
    with pytest.raises(ValueError, match=r"no checkpoints.*train\.ipynb"):
        evaluate.evaluate(tiny())
    evaluate.evaluate(
        tiny(run_name="baseline_llama", teacher="none", domain="none", dataset="none", max_steps=0)
    )
    assert len(list(paths.runs().glob("tiny/baseline_llama/eval/step_*"))) == 1


def test_records_of_other_settings_are_refused(runs_dir):
    p = tiny()
    train.train(p)
    evaluate.evaluate(p)
    with pytest.raises(ValueError, match=r"max_new_tokens.*overwrite"):
        evaluate.evaluate(tiny(max_new_tokens=5))
    evaluate.evaluate(tiny(max_new_tokens=5, overwrite=True))
    assert max(r["completion_tokens"] for r in lines(p, 4)) <= 5


def test_a_benchmark_may_have_more_samples_than_another(runs_dir):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_code"], temperature=0.7, save_every=4)
    train.train(p)
    evaluate.evaluate(p)
    file = paths.run_dir(p) / "provenance_eval.json"
    record = json.loads(file.read_text())
    # as it was once written
    file.write_text(json.dumps(record | {"settings": record["settings"] | {"n_samples": 1}}))
    several = replace(p, benchmarks=["pocket_math"], n_samples=3)
    record = evaluate.evaluate(several)
    assert record["settings"]["n_samples"] == {"pocket_code": 1, "pocket_math": 3}
    assert {
        (b, s): len(lines(p, s, b)) for b in ("pocket_code", "pocket_math") for s in (0, 4)
    } == {
        ("pocket_code", 0): 2,
        ("pocket_code", 4): 2,
        ("pocket_math", 0): 6,
        ("pocket_math", 4): 6,
    }
    table = results.accuracy_table(paths.runs() / p.scale).set_index(["benchmark", "step"])
    assert table.loc[("pocket_math", 4), "n"] == 6 and table.loc[("pocket_code", 4), "n"] == 2
    assert "n_samples 1 for pocket_code and 3 for pocket_math" in card.write_cards(p)[0].read_text()
    assert evaluate.evaluate(p)["finished"] and evaluate.evaluate(several)["finished"]
    with pytest.raises(
        ValueError, match=r"other values of n_samples of pocket_math \(3, now 2\); set over"
    ):
        evaluate.evaluate(replace(several, n_samples=2))


def test_another_adapter_engine_or_mode_never_mixes_with_what_is_there(runs_dir, monkeypatch):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"])
    train.train(p)
    evaluate.evaluate(p)
    monkeypatch.setattr(evaluate.start, "engine_version", lambda _: "hf 0")
    with pytest.raises(
        ValueError, match=r"other values of engine_version \(hf .*, now hf 0\); set over"
    ):
        evaluate.evaluate(p)
    monkeypatch.undo()
    monkeypatch.setenv("DISTILL_NB_RUNS", str(runs_dir))
    file = next(paths.checkpoint_dir(p, 4).glob("adapter_model.*"))
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(
        ValueError, match=r"of the adapter of step 4 \(\w{12}, now \w{12}\); set overwrite"
    ):
        evaluate.evaluate(p)


def test_a_proof_outlives_a_kill(runs_dir):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"], learning_rate=0.05)
    train.train(p)
    evaluate.evaluate(p)
    (paths.run_dir(p) / "provenance_eval.json").unlink()
    paths.records_file(p, 4, "pocket_math").unlink()
    record = evaluate.evaluate(p)
    assert [(made["step"], made["passed"]) for made in record["adapter_proof"]] == [
        (2, True),
        (4, True),
    ]


def test_a_lost_checkpoint_is_not_left_out(runs_dir, tmp_path, monkeypatch):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"])
    train.train(p)
    lost = tmp_path / "lost"
    shutil.move(paths.checkpoint_dir(p, 2), lost)
    with monkeypatch.context() as m:
        m.setattr(student, "load_for_generation", lambda *_: pytest.fail("a student was loaded"))
        with pytest.raises(
            ValueError,
            match=r"^run_name: the adapter of step 2 of sonnet_math_llama_4k is not on disk; put a "
            r"copy back, or train it again with overwrite: true\.$",
        ):
            evaluate.evaluate(p)
        paths.checkpoint_dir(p, 2).mkdir()  # without weights
        with pytest.raises(
            ValueError, match="the adapter of step 2 of sonnet_math_llama_4k is not on disk"
        ):
            evaluate.evaluate(p)
        shutil.move(paths.run_dir(p) / "checkpoints", tmp_path / "checkpoints")
        with pytest.raises(
            ValueError, match="the adapter of step 2, 4 of sonnet_math_llama_4k is not on disk"
        ):
            evaluate.evaluate(replace(p, overwrite=True))
        assert not (paths.run_dir(p) / "eval").exists()
    shutil.move(tmp_path / "checkpoints", paths.run_dir(p) / "checkpoints")
    paths.checkpoint_dir(p, 2).rmdir()
    shutil.move(lost, paths.checkpoint_dir(p, 2))
    assert evaluate.evaluate(p)["finished"] and len(lines(p, 2)) == len(lines(p, 4)) == 2


def test_records_of_lost_checkpoints_are_graded_again_too(runs_dir, monkeypatch):
    p = tiny(benchmark_limit=2, benchmarks=["pocket_math"])
    train.train(p)
    before = evaluate.evaluate(p)["settings"]["adapters_sha256"]
    shutil.rmtree(paths.run_dir(p) / "checkpoints")
    monkeypatch.setattr(evaluate.grading, "GRADER_VERSION", "another")
    record = evaluate.evaluate(replace(p, regrade=True))
    assert record["settings"]["adapters_sha256"] == before and set(before) == {"2", "4"}
    assert {r["grader"] for step in (0, 2, 4) for r in lines(p, step)} == {"another"}


@needs("evalplus")
def test_a_code_benchmark_counts_by_its_content_and_not_by_its_place(tmp_path):
    def tasks_hash(folder):
        file = folder / "humaneval_plus.part.jsonl"
        tasks = loading.load("humaneval_plus", str(file))
        return resume.settings_of(
            tiny(benchmarks=["humaneval_plus"], benchmark_files={"humaneval_plus": str(file)}),
            {"humaneval_plus": tasks},
            [],
            {},
            "a version",
        )["tasks_sha256"]["humaneval_plus"]

    for place in ("here", "there"):
        fixtures.write("humaneval_plus", tmp_path / place)
    assert tasks_hash(tmp_path / "here") == tasks_hash(tmp_path / "there")
    file = tmp_path / "there" / "humaneval_plus.part.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["plus_input"] = [[4]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert tasks_hash(tmp_path / "here") != tasks_hash(tmp_path / "there")
