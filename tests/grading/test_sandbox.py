"""The sandbox with honest code, its verdicts, pools and levels. The attacks are in
test_sandbox_attacks.py."""

import contextlib
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from attacks import HONEST_FUNCTIONS, HONEST_PROGRAMS
from attacks.seats import ADD, HONEST, open_seat
from helpers import best, killed_with_all_below

from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import (
    Job,
    Pool,
    assert_tests,
    function_tests,
    pool,
    program_tests,
    run,
)


@pytest.fixture(scope="module", params=sandbox.LEVELS[:2])
def seat(request):
    yield from open_seat(request.param)


@pytest.mark.parametrize("name", HONEST_FUNCTIONS)
def test_honest_functions(seat, name):
    result = seat.run(Job(HONEST_FUNCTIONS[name], ADD))
    assert (result.outcome, result.tests, result.level) == (
        "correct",
        ("correct",) * 3,
        seat.level,
    ), result


@pytest.mark.parametrize("name", HONEST_PROGRAMS)
def test_honest_programs(seat, name):
    tests = program_tests(["21\n1 2 3\n", "4\n5 -5"], ["42\n6\n", "8\n0"], seconds=5.0)
    result = seat.run(Job(HONEST_PROGRAMS[name], tests))
    assert (result.outcome, result.tests) == ("correct", ("correct",) * 2), result


def test_programs_that_are_wrong(seat):
    tests = program_tests(["1", "2", "3"], ["1", "2", "3"], seconds=0.3)
    assert seat.run(Job("print(input()[:1] + '0')", tests)).tests == ("wrong", "not_run", "not_run")
    result = seat.run(Job("x = input()\nprint(x if x != '2' else 0)", tests, stop_early=False))
    assert (
        result.tests == ("correct", "wrong", "correct")
        and result.detail == "test 1: another output than expected"
    )
    result = seat.run(Job("x = int(input())\nprint(x)\n1 / (x - 2)", tests, stop_early=False))
    assert result.tests == ("correct", "wrong", "correct") and "ZeroDivisionError" in result.detail
    assert seat.run(Job("while True: pass", tests)).tests == ("timeout", "not_run", "not_run")
    late = Job("import time\nwhile time.process_time() < 0.31: pass\nprint(input())", tests)
    assert seat.run(late).outcome == "timeout" and seat.run(late, 1.5).doubtful
    large = "x" * 5_000_000
    assert seat.run(Job("print(input())", program_tests([large], [large]))).outcome == "correct"


def test_only_evalplus_limits_all_calls_together(seat, monkeypatch):
    monkeypatch.setattr(run, "TOTAL_SECONDS", 0.0)
    monkeypatch.setattr(run, "LOAD_SECONDS", 0.5)
    slow = (
        "from time import process_time as t\ndef f(x):\n    end = t() + 0.4\n    while t() < end: "
        "pass\n    return x"
    )
    inputs = [[1], [2], [3]]
    for dataset, outcome in (("", "correct"), ("mbpp", "timeout")):
        tests = function_tests("f", inputs, [1, 2, 3], dataset=dataset, seconds=2.0)
        assert seat.run(Job(slow, tests)).outcome == outcome


def test_what_is_said_of_a_wrong_function(seat):
    fails_at_two = "def f(x):\n    if x == 2: raise ValueError('no')\n    return x + 1"
    assert seat.run(Job(fails_at_two, ADD)).detail == "input 1: ValueError: no"
    assert "SyntaxError" in seat.run(Job("def f(x) return", ADD)).detail
    assert "NameError" in seat.run(Job("g = 1", ADD)).detail
    result = seat.run(Job("def f(x): return x + 1 if x != 2 else 0", ADD, stop_early=False))
    assert (
        result.tests == ("correct", "wrong", "correct")
        and result.detail == "input 1: another value than expected"
    )
    late = seat.run(
        Job(
            "import time\ndef f(x):\n    while x == 2: pass\n    return x + 1",
            function_tests("f", [[1], [2], [3]], [2, 3, 4], seconds=0.2),
        )
    )
    assert late.tests == ("correct", "timeout", "not_run") and 0.2 <= late.seconds < 1
    assert seat.run(
        Job("while True: pass", function_tests("f", [[1]], [2], seconds=0.2))
    ).tests == ("timeout",)
    barely = Job(
        "import time\ndef f(x):\n    end = time.process_time() + (0.21 if x == 2 else 0)\n"
        "    while time.process_time() < end: pass\n    return x + 1",
        function_tests("f", [[1], [2], [3]], [2, 3, 4], seconds=0.2),
    )
    assert seat.run(barely).tests == ("correct", "timeout", "not_run")
    assert seat.run(barely, 1.5).outcome == "correct" and seat.run(barely, 1.5).doubtful


def test_the_same_candidate_gives_the_same_values_each_time(seat):
    code = "import random\ndef f(): return [random.random(), list({'a', 'b', 'c', 'd'})]"
    values = {seat.run(Job(code + "\nraise ValueError(f())", ADD)).detail for _ in range(3)}
    assert len(values) == 1 and "ValueError: [0.84442" in values.pop()


# --- pools, levels
# -----------------------------------------------------------------------------------------------


def test_near_the_limit_one_worker_and_all_say_the_same():
    code = (
        "import time\ndef f(seconds):\n    while time.process_time() < seconds: pass\n    return 1"
    )
    jobs = [
        Job(code, function_tests("f", [[seconds]], [1], seconds=0.3))
        for seconds in (0.2, 0.36, 0.2, 0.6, 0.2)
    ]
    verdicts = []
    for workers in (1, None, 4):
        with Pool(workers, best()) as some:
            verdicts.append([r.outcome for r in some.run(jobs)])
    assert verdicts == [["correct", "timeout", "correct", "timeout", "correct"]] * 3


def test_results_come_in_the_order_of_jobs_and_doubtful_time_outs_are_run_again_alone(monkeypatch):
    ran = []
    original = pool.Seat.run
    monkeypatch.setattr(
        pool.Seat,
        "run",
        lambda self, job, slack, patience: (
            ran.append((job, slack)) or original(self, job, slack, patience)
        ),
    )
    tests = function_tests("f", [[1]], [2], seconds=0.2)
    jobs = [Job(f"def f(x): return x + {i % 2}", tests) for i in range(8)]
    late = "import time\ndef f(x):\n    while time.process_time() < 0.25: pass\n    return 2"
    busy, asleep = "def f(x):\n    while True: pass", "import time\ndef f(x): time.sleep(9)"
    jobs[2:5] = [Job(code, tests) for code in (late, busy, asleep)]
    with Pool(2, best()) as two:
        results = two.run(jobs)
    assert [r.outcome for r in results] == [
        "wrong",
        "correct",
        "timeout",
        "timeout",
        "timeout",
        "correct",
        "wrong",
        "correct",
    ]
    assert not any(r.doubtful for r in results) and len(ran) == 10
    assert ran[-2:] == [(jobs[4], 1.5), (jobs[2], 1.0)] and {slack for _, slack in ran[:-2]} == {
        1.5
    }


def test_code_that_sleeps_keeps_a_seat_for_seconds_and_nobody_waiting():
    code = "import time\ndef f(x):\n    time.sleep(2)\n    return x + 1"
    # 262 s by the other limits
    tests = function_tests("f", [[i] for i in range(60)], list(range(1, 61)), seconds=1.0)
    started = time.monotonic()
    with Pool(4, best()) as four:
        results = four.run([Job(code, tests)] * 4)
    assert [(r.outcome, r.doubtful) for r in results] == [("timeout", "")] * 4 and results[0].tests[
        :3
    ] == ("correct",) * 3
    assert time.monotonic() - started < 35  # 80 s alone


def test_a_program_does_not_sleep_a_little_in_each_test(seat, monkeypatch):
    monkeypatch.setattr("distill_nb.grading.sandbox.run.IDLE", 1.0)
    tests = program_tests(["1"] * 5, ["1"] * 5, seconds=5.0)
    result = seat.run(Job("import time\ntime.sleep(0.7)\nprint(1)", tests, stop_early=False))
    assert result.tests[:3] != ("correct",) * 3 and result.outcome == "timeout"
    busy = "import time\nwhile time.process_time() < 0.2: pass\ntime.sleep(0.3)\nprint(1)"
    assert seat.run(Job(busy, tests)).outcome == "correct"


def test_an_interrupt_does_not_wait():
    forever = Job("def f(x):\n    while True: pass", function_tests("f", [[1]], [2], seconds=60.0))
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Pool(1, best()) as one:
        threading.Thread(target=one.run, args=([forever] * 5,), daemon=True).start()
        time.sleep(1)
        raise KeyboardInterrupt
    assert time.monotonic() - started < 10
    with pytest.raises(RuntimeError, match="with Pool"):
        one.run([HONEST])


def test_a_worker_that_dies_is_replaced_and_a_second_death_is_no_verdict(monkeypatch):
    seat = pool.Seat(best())
    with contextlib.closing(seat):
        assert seat.run(HONEST).outcome == "correct"
        for process in psutil.Process(seat._workers[()]._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        seat._workers[()]._process.kill()
        assert seat.run(HONEST).outcome == "correct"
        # nothing to start, in bubblewrap
        monkeypatch.setattr("distill_nb.grading.sandbox.bubblewrap.INSIDE", ())
        # nor elsewhere
        monkeypatch.setattr("distill_nb.grading.sandbox.launch.HERE", Path("/nowhere"))
        seat.close()
        result = seat.run(HONEST)
    assert (
        result.outcome == "grader_error"
        and result.tests == ("not_run",) * 3
        and "could not start" in result.detail
    )


def test_killing_the_grader_leaves_nothing_running():
    script = f"""
        import sys, threading, time
        sys.path[:0] = {sys.path!r}
        from distill_nb.grading.sandbox import *
        tests = function_tests("f", [[1]], [2], seconds=60.0)
        with Pool(2, {best()!r}) as pool:
            pool.run([Job("def f(x): return 2.0", tests)] * 4)
            endless = [Job("def f(x):\\n    while True: pass", tests)] * 2
            threading.Thread(target=pool.run, args=(endless,)).start()
            time.sleep(0.5)
            print("running", flush=True)
            time.sleep(60)
        """
    with killed_with_all_below(script, "running", within=5) as descendants:
        assert len(descendants) >= 6  # two workers, two candidates, two comparers


def test_without_a_sandbox_code_runs_only_if_told_so(monkeypatch):
    monkeypatch.setattr(
        pool, "why_unavailable", lambda level: "" if level == "process" else "not here"
    )
    with pytest.raises(RuntimeError, match="Install bubblewrap"):
        sandbox.strongest_level()
    with pytest.raises(RuntimeError, match="Install bubblewrap"):
        Pool()
    with pytest.raises(RuntimeError, match="allow_unsafe"):
        Pool(level="process")
    with pytest.raises(RuntimeError, match="landlock does not work here: not here"):
        Pool(level="landlock")
    with Pool(1, allow_unsafe=True) as unsafe:
        result = unsafe.run([HONEST, Job("import os\nos._exit(0)", ADD)])
    assert [(r.outcome, r.level) for r in result] == [("correct", "process"), ("wrong", "process")]


def test_a_level_is_found_by_running_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install bubblewrap" in pool.why_unavailable.__wrapped__("bubblewrap")
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho namespaces are forbidden >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    assert "namespaces are forbidden" in pool.why_unavailable.__wrapped__("bubblewrap")
    with pytest.raises(ValueError, match="no level docker"):
        sandbox.why_unavailable("docker")
    with pytest.raises(ValueError, match="at least 1"):
        Pool(0)


def test_asserts_become_calls():
    tests = assert_tests("assert f(1, [2]) == {'a': 3}\nassert True is f(-1)\nassert f() is None")
    assert tests.rules == ("equal", "identical", "identical") and len(tests.inputs) == 3
    for text in (
        "assert f(1)",
        "assert f(x) == 1",
        "assert f(1) == 1 or True",
        "assert f(1) == g(1)",
        "x = 1",
        "",
        "assert f(1) is 2",
        "assert f(1) == 1\nassert g(1) == 1",
        "assert f(1) != 2",
        "assert f(a=1) == 1",
    ):
        with pytest.raises(ValueError, match="tests: "):
            assert_tests(text)
    with Pool(1, best()) as one:
        outcomes = [
            r.outcome
            for r in one.run(
                [
                    Job(
                        "def f(x): return x % 2 == 0",
                        assert_tests("assert f(2) is True\nassert f(3) is False"),
                    ),
                    Job(
                        "def f(x): return 1 - x % 2",
                        assert_tests("assert f(2) is True\nassert f(3) is False"),
                    ),
                    Job(
                        "def f(x): return 1 - x % 2",
                        assert_tests("assert f(2) == True\nassert f(3) == False"),
                    ),
                ]
            )
        ]
    assert outcomes == ["correct", "wrong", "correct"]


def test_tests_that_cannot_be_run_are_refused():
    for arguments, said in (
        ((["f"], [[1]], [1, 2]), "as many"),
        (("f", [[object()]], [1]), "built-in types"),
    ):
        with pytest.raises(ValueError, match=said):
            function_tests(*arguments)
    with pytest.raises(ValueError, match="no rule near"):
        function_tests("f", [[1]], [1], rule="near")
    for none in (lambda: function_tests("f", [], []), lambda: program_tests([], [])):
        with pytest.raises(ValueError, match="no inputs"):
            none()
    with pytest.raises(ValueError, match="2 inputs but 1"):
        program_tests(["", ""], [""])
