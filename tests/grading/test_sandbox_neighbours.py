"""Jobs beside others that take the processor: their verdicts stay the same. Turns among graders."""

import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest
from attacks.seats import ADD, HONEST
from helpers import best

from distill_nb.grading.sandbox import Job, Pool, function_tests, pool, program_tests, turns
from distill_nb.runtime import paths

BUSY = """
import time
def f(seconds):
    while time.process_time() < seconds:
        pass
    return 1
"""
SPINNING = """
import threading
def spin():
    while True:
        pass
def f(seconds):
    for _ in range(20):
        threading.Thread(target=spin).start()
    spin()
"""


@pytest.fixture
def one_core():
    """This process and all that it starts share one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_what_was_starved_runs_alone(one_core):
    """Three that spin leave the next no processor, and all of them end at the backstop."""
    level, tests = best(), function_tests("f", [[0.15]], [1], seconds=0.2)
    with Pool(4, level) as many:
        many.run([HONEST] * 4)
        results = many.run([Job(SPINNING, tests)] * 3 + [Job(BUSY, tests)])
    assert [r.outcome for r in results] == ["timeout"] * 3 + ["correct"]
    assert not any(r.doubtful for r in results)


@pytest.fixture
def spinners(one_core):
    """Programs beside this one that spin on its core."""
    line = [sys.executable, "-S", "-c", "while True: pass"]
    # each in a session of its own, as some kernels share a core among sessions
    others = [subprocess.Popen(line, start_new_session=True) for _ in range(24)]
    yield
    for other in others:
        other.kill()
        other.wait()


def test_alone_a_job_waits_longer_for_a_processor(spinners):
    """And if it still hardly gets one, there is no verdict."""
    job = Job(BUSY, function_tests("f", [[0.0], [0.15]], [1, 1], seconds=0.2))
    with contextlib.closing(pool.Seat(best())) as seat:
        assert seat.run(HONEST, 1.0, pool.PATIENCE).outcome == "correct"
        short = seat.run(job)
        assert (short.outcome, short.doubtful) == ("timeout", "starved")
        assert seat.run(job, 1.0, pool.PATIENCE).outcome == "correct"
    none = pool.settled(short)
    assert (none.outcome, none.tests, none.doubtful) == ("grader_error", ("correct", "not_run"), "")
    assert pool.NO_PROCESSOR in none.detail


def test_patience_is_not_for_sleepers():
    started = time.monotonic()
    asleep = Job("import time\ndef f(x): time.sleep(100)", ADD)
    with contextlib.closing(pool.Seat(best())) as seat:
        result = seat.run(asleep, 1.5, pool.PATIENCE)
    assert (result.outcome, result.doubtful) == ("timeout", "asleep")
    assert time.monotonic() - started < 40


WAITING = """
import time
def f(x):
    time.sleep({seconds})
    {end}
"""


def test_what_failed_while_it_waited_runs_alone():
    """Its own clocks may have run out, as those of barriers do; a value needs no clock."""
    fails, values = "raise TimeoutError", "return 0"
    with contextlib.closing(pool.Seat(best())) as seat:
        for end, seconds, doubtful in ((fails, 1.3, "starved"), (fails, 0, ""), (values, 1.3, "")):
            job = Job(WAITING.format(seconds=seconds, end=end), ADD)
            result = seat.run(job, pool.SLACK)
            assert (result.outcome, result.doubtful) == ("wrong", doubtful), end
        program = Job("import time\ntime.sleep(1.3)\n1 / 0", program_tests([""], [""]))
        assert seat.run(program, pool.SLACK).doubtful == "starved"
        assert seat.run(program).doubtful == ""


# --- turns
# -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Graders of this test alone."""
    monkeypatch.setattr(turns, "FOLDER", str(tmp_path))


OTHER = """
import sys
from distill_nb.grading.sandbox import turns
turns.FOLDER = {folder!r}
with getattr(turns.Turns({places}), {kind!r})():
    print("has it", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def another(places, kind):
    """Another grader that has its turn."""
    line = [sys.executable, "-c", OTHER.format(folder=turns.FOLDER, places=places, kind=kind)]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with subprocess.Popen(line, text=True, cwd=paths.ROOT, **pipes) as process:
        assert process.stdout and process.stdout.readline() == "has it\n"
        yield process
        process.kill()


def had(some, kind):
    """Whether a turn is to be had at once."""
    some._longest = 0.05
    with getattr(some, kind)():
        given_up, some._over = some._over, False
    return not given_up


@pytest.mark.skipif(sys.platform != "linux", reason="locks of open files are Linux's")
@pytest.mark.parametrize(
    ("places", "kind", "one", "alone"),
    [(1, "one", False, False), (2, "one", True, False), (2, "alone", False, False)],
)
def test_two_graders_share_what_they_may_have(folder, places, kind, one, alone, caplog):
    ours = turns.Turns(places)
    with another(places, kind) as process:
        assert (had(ours, "one"), had(ours, "alone")) == (one, alone)
        assert "another grader has not let go" in caplog.text
        process.kill()
        process.wait()
        assert had(ours, "alone")  # whoever dies has left
    assert had(ours, "one")


@pytest.mark.skipif(sys.platform != "linux", reason="locks of open files are Linux's")
def test_all_come_in_their_order(folder):
    """Whoever has just had a turn comes after those that wait."""
    ours, order, threads = turns.Turns(1), [], []

    def waiting(name):
        with turns.Turns(1).one():
            order.append(name)

    def drawn():
        with open(turns._file(), "rb") as file:
            return file.read()

    with ours.one():
        for name in range(4):
            before = drawn()
            threads.append(threading.Thread(target=waiting, args=(name,)))
            threads[-1].start()
            while drawn() == before:
                time.sleep(0.001)
    with ours.one():
        order.append("ours")
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, "ours"]


@pytest.mark.skipif(sys.platform != "linux", reason="locks of open files are Linux's")
def test_a_turn_ends_though_a_forked_process_lives_on(folder):
    ours = turns.Turns(1)
    with ours.one():
        forked = os.fork()
        if forked == 0:
            time.sleep(60)
            os._exit(0)
    assert had(ours, "one")
    os.kill(forked, 9)
    os.waitpid(forked, 0)


def test_whoever_cannot_wait_goes_on(folder):
    ours = turns.Turns(1)
    with ours.alone():
        ours.abandon()
        with ours.one(), ours.alone():
            pass
