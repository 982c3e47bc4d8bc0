"""Jobs beside others that take the processor or the memory: their verdicts stay the same."""

import contextlib
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest
from attacks.seats import ADD, HONEST

from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import Job, Pool, function_tests, pool

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


def best():
    try:
        return sandbox.strongest_level()
    except RuntimeError as error:
        pytest.skip(str(error))


def test_what_was_starved_runs_alone(one_core):
    """Fifteen that spin leave the next no processor, and all of them end at the backstop."""
    level, tests = best(), function_tests("f", [[0.3]], [1], seconds=0.4)
    jobs = [Job(SPINNING, tests) for _ in range(15)]
    with Pool(16, level) as many:
        many.run([HONEST] * 16)
        results = many.run([*jobs, Job(BUSY, tests)])
    assert [r.outcome for r in results] == ["timeout"] * 15 + ["correct"]
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
    job = Job(BUSY, function_tests("f", [[0.25]], [1], seconds=0.4))
    with contextlib.closing(pool.Seat(best())) as seat:
        assert seat.run(HONEST, 1.0, pool.PATIENCE).outcome == "correct"
        assert (seat.run(job).outcome, seat.run(job, 1.5).doubtful) == ("timeout", "starved")
        assert seat.run(job, 1.0, pool.PATIENCE).outcome == "correct"


def test_patience_is_not_for_sleepers():
    started = time.monotonic()
    asleep = Job("import time\ndef f(x): time.sleep(100)", ADD)
    with contextlib.closing(pool.Seat(best())) as seat:
        result = seat.run(asleep, 1.5, pool.PATIENCE)
    assert (result.outcome, result.doubtful) == ("timeout", "asleep")
    assert time.monotonic() - started < 40


def kill_children(some, times):
    """Kill what the pool's worker has forked, each as soon as it is there."""
    killed = 0
    while killed < times:
        time.sleep(0.05)
        for worker in list(some._seats[0]._workers.values()):
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                below = psutil.Process(worker._process.pid).children(recursive=True)
                forked = [p for p in below if p.parent() and p.parent().cmdline() == p.cmdline()]
                candidate = [p for p in forked if "worker.py" in " ".join(p.cmdline())]
                if candidate and candidate[-1].cpu_times().user > 0.2:
                    candidate[-1].kill()
                    killed += 1


@pytest.mark.parametrize(("times", "outcome"), [(1, "correct"), (2, "correct"), (3, "wrong")])
def test_what_somebody_else_killed_runs_again(times, outcome):
    """As the kernel does where memory runs out; the third time alone it is the candidate's own."""
    job = Job(BUSY, function_tests("f", [[0.8]], [1], seconds=5.0))
    with Pool(1, "landlock" if not sandbox.why_unavailable("landlock") else best()) as one:
        one.run([HONEST])
        killer = threading.Thread(target=kill_children, args=(one, times), daemon=True)
        killer.start()
        result = one.run([job])[0]
    assert (result.outcome, result.doubtful) == (outcome, ""), result
    killer.join(0.1)
    assert not killer.is_alive()


def test_a_candidate_that_kills_itself_is_wrong():
    code = "import os\ndef f(x): os.kill(os.getpid(), 9)"
    with Pool(1, best()) as one:
        result = one.run([Job(code, ADD)])[0]
    assert (result.outcome, result.doubtful) == ("wrong", "")
    assert result.detail == "input 0: ended early (exit status -9)"


def test_workers_follow_the_control_groups_limits(monkeypatch):
    for cores, limit, workers in (
        (8, None, 8),
        (8, 16 * 2**30, 4),
        (8, 3 * 2**29, 1),
        (2, 2**40, 2),
    ):
        monkeypatch.setattr(pool, "cores", lambda cores=cores: cores)
        monkeypatch.setattr(pool, "memory_limit", lambda limit=limit: limit)
        assert pool.workers_here() == workers
