"""Jobs beside others that take the memory: their verdicts stay the same. Control groups of memory
are real ones, where this user may make them."""

import contextlib
import importlib.util
import tempfile
import threading
import time

import psutil
import pytest
from attacks import read
from attacks.seats import ADD, HONEST
from helpers import best

from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import Job, Pool, function_tests, launch, memory, pool, run
from distill_nb.runtime import memory_group, paths

GREEDY = read("greedy")
BUSY = """
import time
def f(seconds):
    while time.process_time() < seconds:
        pass
    return 1
"""
needs_groups = pytest.mark.skipif(
    not memory_group.allowed(), reason="this user may make no control groups of memory here"
)


@pytest.fixture(params=sandbox.LEVELS[:2])
def level(request):
    if reason := sandbox.why_unavailable(request.param):
        pytest.skip(f"level {request.param}: {reason}")
    return request.param


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


@pytest.mark.parametrize(("times", "seconds"), [(1, 1.0), (3, 4.0)])
def test_what_somebody_else_killed_runs_again(times, seconds, monkeypatch):
    """As the kernel does where memory runs out. The third time it is no verdict."""
    monkeypatch.setattr(pool, "KILLED_PAUSE", 0.0)
    job = Job(BUSY, function_tests("f", [[0.0], [seconds]], [1, 1], seconds=5.0))
    with Pool(1, "landlock" if not sandbox.why_unavailable("landlock") else best()) as one:
        one.run([HONEST])
        killer = threading.Thread(target=kill_children, args=(one, times), daemon=True)
        killer.start()
        result = one.run([job])[0]
    killer.join(0.1)
    assert not killer.is_alive()
    if times == 1:
        assert (result.outcome, result.doubtful) == ("correct", ""), result
    else:
        assert (result.outcome, result.tests) == ("grader_error", ("correct", "not_run")), result
        assert "input 1: ended early (exit status -9); killed for want of memory" in result.detail


# the new limit at an address whose lower half is zero
AT_4_GIB = (
    "import ctypes; libc = ctypes.CDLL(None, use_errno=True); p = 1 << 32; n = ctypes.c_long; "
    "libc.mmap(n(p), n(4096), 3, 0x32, -1, n(0)); ctypes.memmove(p, bytes([1] + [0] * 7) * 2, 16); "
    "assert libc.prlimit(0, 0, n(p), None) == 0, OSError()"
)


def test_a_candidate_cannot_pass_for_killed(level):
    """It cannot send itself the kernel's signal, nor have the kernel send it."""
    ways = (
        "os.kill(os.getpid(), 9)",
        "signal.raise_signal(9)",
        "signal.pthread_kill(threading.get_ident(), 9)",
        "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))",
        "resource.prlimit(0, resource.RLIMIT_CPU, (1, 1))",
        f"{AT_4_GIB}",
    )
    head = "import os, resource, signal, threading\ndef f(x):\n    "
    tests = function_tests("f", [[1]], [2], seconds=3.0)
    with Pool(1, level) as one:
        results = one.run([Job(f"{head}{way}\n    while True: pass", tests) for way in ways])
    for way, result in zip(ways, results, strict=True):
        assert result.outcome == "wrong" and "Error: " in result.detail, (way, result)


MEMORY_ALONE = """
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_ssize_t
def f(kind):
    if kind == "device":
        mapped = mmap.mmap(os.open("/dev/zero", os.O_RDWR), 4096)
        return 0
    flags = {"shared": 0x21, "validated": 0x23, "private": 0x22}[kind]
    return 0 if libc.mmap(None, 4096, 3, flags, -1, 0) > 0 else ctypes.get_errno()
"""


def test_memory_that_is_no_processs_own_is_refused(level):
    """It would stay when it leaves the process's pages, and nothing would count it."""
    kinds = ["shared", "validated", "private"]
    tests = function_tests("f", [[kind] for kind in kinds], [1, 1, 0])
    with Pool(1, level) as one:
        refused = one.run([
            Job(MEMORY_ALONE, tests),
            Job(MEMORY_ALONE, function_tests("f", [["device"]], [0])),
        ])  # fmt: skip
    assert refused[0].outcome == "correct", refused[0]
    assert refused[1].outcome == "wrong" and "Error" in refused[1].detail, refused[1]


@needs_groups
@pytest.mark.parametrize("full", [False, True])
def test_the_limit_that_a_candidate_meets_is_its_own(level, monkeypatch, full):
    """It takes 350 MB. With all that a candidate may have, that is its verdict; with less, it is
    none, as a larger machine would have had it. Its neighbour is not the one that is killed."""
    room = 250 * 2**20
    if full:
        monkeypatch.setattr(launch, "FULL", room)
        monkeypatch.setattr(run, "FULL", room)
    code = "def f(x): return x + len(b'x' * 350 * 10 ** 6) // (350 * 10 ** 6)"
    with contextlib.closing(pool.Seat(level, room=room)) as seat:
        assert seat.run(HONEST).outcome == "correct"
        (worker,) = seat._workers.values()
        assert not worker._group.empty() and worker.used() > 2**20
        result = seat.run(Job(code, ADD))
        assert (result.outcome, result.doubtful) == ("wrong", "" if full else "killed"), result
        assert result.detail == f"input 0: {run.TOO_MUCH}"
        assert seat.run(HONEST).outcome == "correct"
        if not full:
            assert seat.run(Job(code, ADD), 1.0, pool.PATIENCE).outcome == "correct"


@needs_groups
def test_files_in_memory_count(level, monkeypatch):
    """A temporary directory in memory, and files that are deleted but mapped, so that neither their
    number nor their size is seen."""
    if level == "landlock":
        monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    room = 120 * 2**20
    for module in (launch, run, pool):
        monkeypatch.setattr(module, "FULL", room)
    job = Job(GREEDY["memory_of_deleted_files"], ADD)
    with contextlib.closing(pool.Seat(level, room=room)) as seat:
        assert seat.run(HONEST).outcome == "correct"
        result = seat.run(job, pool.SLACK)
    assert (result.outcome, result.doubtful) == ("wrong", ""), result
    wanted = "No space left" if level == "bubblewrap" else run.TOO_MUCH
    assert wanted in result.detail


def test_workers_follow_the_control_groups_limits(monkeypatch):
    """(cores, limit in GiB) → workers where each has a group of its own, and where none may."""
    for cores, limit, own, none in ((8, None, 8, 8), (8, 16, 8, 4), (8, 1.5, 1, 1), (2, 999, 2, 2)):
        monkeypatch.setattr(memory, "cores", lambda cores=cores: cores)
        found = None if limit is None else int(limit * 2**30)
        monkeypatch.setattr(memory, "memory_limit", lambda found=found: found)
        for allowed, workers in ((True, own), (False, none)):
            monkeypatch.setattr(memory_group, "allowed", lambda allowed=allowed: allowed)
            assert memory.workers_here() == workers
        assert memory.beside(own) <= memory.FULL
        assert limit is None or memory.beside(own) * own <= 0.75 * found


def test_alone_a_worker_has_what_is_left(monkeypatch):
    mib = 2**20
    for found, used, room in (
        (None, 0, memory.FULL),
        ((1500 * mib, 900 * mib), 100 * mib, 936 * mib),
        ((1500 * mib, 10 * mib), 100 * mib, 256 * mib),
        ((9000 * mib, 8000 * mib), 100 * mib, memory.FULL),
    ):
        monkeypatch.setattr(memory.control_group, "memory", lambda found=found: found)
        assert memory.alone(used) == room


@needs_groups
def test_two_graders_side_by_side():
    """In one core and 500 MB, a few honest programs and greedy ones each; the long form has 1.5 GB
    (bench/grade_neighbours.py)."""
    script = paths.ROOT / "bench" / "grade_neighbours.py"
    spec = importlib.util.spec_from_file_location("grade_neighbours", script)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    args = bench.arguments(["--few", "--memory", "500", "--level", best()])
    found = bench.side_by_side(args, 0)
    assert bench.false_verdicts(found) == []
    for grader in found["graders"]:
        assert grader["own_groups"] and grader["workers"] == 1
        assert [row["honest"] for row in grader["rows"]].count(True) == 6
