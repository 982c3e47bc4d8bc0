"""Math-Verify in processes of its own: limits that hold, processes that come back."""

import json
import os
import re
import resource
import signal
import sys
import threading
import time

import psutil
import pytest
from helpers import killed_with_all_below

from distill_nb.grading import math, math_pool, math_values
from distill_nb.grading.graders import grade_all, grade_math
from distill_nb.grading.math_answer import last_boxed, lenient_answer

PROSE = re.compile(r"(?<![\\{A-Za-z])[A-Za-z]{2,} +[A-Za-z]{2,}|[A-Z][a-z]+ \W|boxed")


@pytest.fixture(autouse=True)
def _fresh_pool():
    yield
    math_pool.close()


def in_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def test_verdicts_come_in_order_and_from_any_thread():
    pairs = [
        ("1/2", "0.5"),
        ("2", "3"),
        (r"\frac{1}{2}", "0.5"),
        ("1/2", "0.5"),
        ("(1,2)", "(2,1)"),
    ]
    expected = ["equal", "different", "equal", "equal", "different"]
    assert math_pool.verdicts(pairs) == expected == in_thread(lambda: math_pool.verdicts(pairs))


def test_an_endless_comparison_is_stopped_in_any_thread(monkeypatch):
    monkeypatch.setattr(math_pool, "SECONDS", 1)
    start = time.perf_counter()
    g = in_thread(lambda: grade_math(r"\boxed{\binom{10^9}{10^8}}", "7"))
    assert g.outcome == "timeout" and "1 s" in g.detail and time.perf_counter() - start < 60
    assert grade_math(r"\boxed{9^{9^{9^9}}}", "7").outcome == "timeout"
    assert grade_math(r"\boxed{0.5}", r"\frac{1}{2}").outcome == "correct"


def test_a_worker_that_hangs_in_c_code_is_killed_and_replaced(monkeypatch):
    worker = math_pool._Worker()
    assert worker.ask("1", "1.0", 5) == "equal"
    # deaf to SIGALRM, as a loop inside a C extension is
    os.kill(worker.process.pid, signal.SIGSTOP)
    assert "too busy" in worker._exchange(["1", "1", 5], 0.5) and worker.process is None
    assert worker.ask("1", "1.0", 5) == "equal"
    worker.stop()


def test_the_kernel_ends_a_worker_that_computes_too_long_in_c_code():
    worker = math_pool._Worker()
    assert worker.ask("1", "1.0", 5) == "equal"
    slow = threading.Timer(0.5, lambda: os.kill(worker.process.pid, signal.SIGXCPU))
    slow.start()
    assert worker.ask(r"\binom{10^9}{10^8}", "7", 60) == "timeout" and worker.process is None
    slow = threading.Timer(0.5, lambda: os.kill(worker.process.pid, signal.SIGKILL))
    assert worker.ask("1", "1.0", 5) == "equal"
    slow.start()
    assert worker.ask(r"\binom{10^9}{10^8}", "7", 60) == "error: the grader's process died"
    # the limit rises with each question, as the kernel counts from the process's start
    assert worker.ask("1", "1.0", 5) == "equal"
    limits = [resource.prlimit(worker.process.pid, resource.RLIMIT_CPU)[0]]
    assert worker.ask("1", "1.0", 25) == "equal"
    limits.append(resource.prlimit(worker.process.pid, resource.RLIMIT_CPU)[0])
    assert limits[1] - limits[0] >= 20 and limits[0] < 60
    worker.stop()


def test_a_worker_that_died_is_replaced():
    assert math_pool.verdict("1", "1.0") == "equal"
    for worker in math_pool._workers:
        if worker.process:
            worker.process.kill()
            worker.process.wait()
    assert math_pool.verdicts([("1", "1.0"), ("2", "3")]) == ["equal", "different"]


def test_killing_the_grader_leaves_no_worker_however_busy():
    script = f"""
        import sys, threading, time
        sys.path[:0] = {sys.path!r}
        from distill_nb.grading import math_pool
        math_pool.SECONDS = 60
        worker = math_pool._Worker()
        assert worker.ask("1", "1.0", 5) == "equal"
        slow = (r"\\binom{{10^9}}{{10^8}}", "7", 60)
        threading.Thread(target=worker.ask, args=slow, daemon=True).start()
        time.sleep(0.5)
        print("busy", flush=True)
        time.sleep(60)
        """
    with killed_with_all_below(script, "busy", within=2) as descendants:
        assert sum(p.cpu_percent(0.2) > 10 for p in descendants) == 1 and descendants


def test_a_worker_outlives_the_thread_that_started_it_and_its_watcher_does_not_outlive_the_worker():
    worker = math_pool._Worker()
    assert (
        in_thread(lambda: worker.ask("1", "1.0", 5))
        == "equal"
        == in_thread(lambda: worker.ask("1", "1.0", 5))
    )
    processes = [psutil.Process(worker.process.pid), *psutil.Process(worker.process.pid).children()]
    assert len(processes) == 2
    worker.stop()
    assert not psutil.wait_procs(processes, timeout=2)[1]


def test_nothing_is_asked_where_the_texts_agree(monkeypatch):
    monkeypatch.setattr(math_pool, "verdict", lambda *pair: pytest.fail(f"asked about {pair}"))
    grades = math.grade_many(
        ["42", "10080"], [r"\boxed{42}", r"\boxed{10{,}080}"], ["stop", "stop"]
    )
    assert [g.outcome for g in grades] == ["correct", "correct"]


def test_an_answer_that_sympy_chokes_on_is_wrong_and_the_next_one_is_graded():
    for odd in (
        r"\boxed{\frac{1}{}}",
        r"\boxed{" + "(" * 400 + "}",
        r"\boxed{" + "x" * 5000 + "}",
        r"\boxed{\int}",
    ):
        # 400 brackets may take a slow machine too long
        assert grade_math(odd, "7").outcome in ("wrong", "timeout")
    assert grade_math(r"\boxed{7.0}", "7").outcome == "correct"


@pytest.mark.parametrize(
    ("boxed", "gold", "outcome"),
    [
        ("2 5", "25", "wrong"),
        (r"1\;2", "12", "wrong"),
        ("10 080", "10080", "correct"),
        (r"10,\!080", "10080", "correct"),
        (r"1\,000\,000", "1000000", "correct"),
        ("x = 5", "x=5", "correct"),
        (r"\frac 1 2", r"\frac12", "correct"),
    ],
)
def test_a_space_between_numbers_does_not_join_them(boxed, gold, outcome):
    assert grade_math(rf"\boxed{{{boxed}}}", gold).outcome == outcome


def test_real_generations_get_math_verifys_own_verdict(data_dir):
    rows = []
    for file in sorted((data_dir / "graded" / "math500").glob("*.jsonl")):
        rows += [json.loads(line) for line in file.read_text().splitlines()[:150]]
    golds, texts = [r["gt"] for r in rows], [r["code"][0] for r in rows]
    grades = math.grade_many(golds, texts, ["stop"] * len(rows))
    compared = 0
    for gold, text, g in zip(golds, texts, grades, strict=True):
        boxed = last_boxed(text)
        assert g.answer == (boxed or "")
        if boxed and g.outcome not in ("grader_error", "timeout"):
            direct = math.compare(gold, boxed)
            if direct is None:
                direct = math_values.verdict(*math.plain_forms(gold, boxed)[:2], 30) == "equal"
            assert (g.outcome == "correct") == direct, (gold, boxed)
            compared += 1
    assert compared > 270


def test_math_verifys_own_cases(data_dir):
    cases = [
        json.loads(x)
        for x in (data_dir / "math_verify_cases" / "cases_math_verify.jsonl")
        .read_text()
        .splitlines()
    ]
    assert len(cases) == 269
    # prose is read as a completion; the rest is an answer
    golds = [c["gold"].strip("$ ") for c in cases]
    read = [(last_boxed(g) or lenient_answer(g) or g) if PROSE.search(g) else g for g in golds]
    texts = [c["pred"] if PROSE.search(c["pred"]) else c["pred"].strip("$ ") for c in cases]
    texts = [
        c["pred"] if PROSE.search(t) else rf"\boxed{{{t}}}"
        for c, t in zip(cases, texts, strict=True)
    ]
    grades = math.grade_many(read, texts, ["stop"] * len(cases))
    outcomes = [g.outcome if g.answer else g.lenient_outcome for g in grades]
    agree = sum(
        (o == "correct") == bool(c["expected"]) for c, o in zip(cases, outcomes, strict=True)
    )
    assert agree > 230
    accepted = [
        c for c, o in zip(cases, outcomes, strict=True) if o == "correct" and not c["expected"]
    ]
    # two that Math-Verify's reader does not find in their text
    assert [c["gold"] for c in accepted] == ["$9$", "$9$"]


def test_a_batch_of_both_kinds_keeps_its_order():
    from distill_nb.benchmarks import Task

    tasks = [
        Task("a", "", "math", gold="1"),
        Task("b", "", "code", tests="assert f() == 1", entry_point="f"),
    ] * 3
    texts = [r"\boxed{1.0}", "```python\ndef f(): return 1\n```"] * 2 + [
        r"\boxed{2}",
        "```python\ndef f(): return 2\n```",
    ]
    outcomes = [g.outcome for g in grade_all(tasks, texts, ["stop"] * 6)]
    assert outcomes == ["correct"] * 4 + ["wrong"] * 2
