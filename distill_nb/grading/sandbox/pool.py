"""Workers side by side, and the strongest level of sandbox that works on this machine."""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import sys
import tempfile
import threading
import time
from dataclasses import replace

from distill_nb.grading.sandbox import memory
from distill_nb.grading.sandbox import packages as candidates_packages
from distill_nb.grading.sandbox.compare import Comparer, ComparerFailed
from distill_nb.grading.sandbox.jobs import Job, Result, function_tests
from distill_nb.grading.sandbox.launch import FULL, Worker, WorkerFailed
from distill_nb.grading.sandbox.run import TOO_MUCH, run
from distill_nb.grading.sandbox.turns import Turns

LEVELS = ("bubblewrap", "landlock", "process")  # from the strongest to none
# how many times its processor time code may take beside others on shared caches and cores
SLACK = 1.5
# how many times longer than usual a job may wait for a processor when it runs alone once more
PATIENCE = 10.0
KILLED_PAUSE = 3.0  # seconds until a job that was killed alone, too, runs a last time
NO_PROCESSOR = "it hardly got a processor, also when it ran alone: too much else runs here"
# A trial job: a thread must work, and everything in the list must fail.
TRIAL = """
import os, socket, threading

def fails(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        return True
    return False

def trial(grader, new):
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    fails(open, new, "w")  # may work, in a /tmp of its own
    return [fails(open, f"/proc/{grader}/stat"), fails(open, "/etc/passwd"), fails(socket.socket),
            fails(os.fork), fails(os.kill, os.getppid(), 0),
            fails(os.execv, "/bin/true", ["true"])]
"""


@functools.cache
def why_unavailable(level: str) -> str:
    """Why a level cannot be had here, in a sentence, or "" if it can, by running a trial job: an
    installed bwrap proves nothing where namespaces are forbidden."""
    if level not in LEVELS:
        raise ValueError(f"sandbox: no level {level}; there are {', '.join(LEVELS)}.")
    if sys.platform != "linux" and level != "process":
        return f"{level} needs Linux, and this is {sys.platform}"
    # A file that anybody could make: only the sandbox is in the way. No folder is made here that a
    # kill would leave behind.
    new = os.path.join(tempfile.gettempdir(), f"distill_nb_trial_{os.getpid()}_{time.time_ns()}")
    code, n = (TRIAL, 6) if level != "process" else ("trial = lambda grader, new: []", 0)
    arguments = [os.getpid(), new]
    tests = function_tests("trial", [arguments], [[True] * n], rule="equal", seconds=10.0)
    comparer = Comparer()
    try:
        with contextlib.closing(Worker(level, candidates_packages.chosen())) as worker:
            result = run(worker, comparer, Job(code, tests), patience=PATIENCE)
    except (WorkerFailed, ComparerFailed, OSError) as error:
        return str(error)
    finally:
        comparer.close()
    if os.path.exists(new):
        os.unlink(new)
        return "a trial job could write outside"
    if result.outcome != "correct":
        return f"a trial job did not end as it must: {result.detail}"
    return ""


def strongest_level(allow_unsafe: bool = False) -> str:
    """The strongest level that works here: bubblewrap, landlock, or with allow_unsafe process,
    which is no sandbox. Raises RuntimeError where there is none."""
    levels = LEVELS if allow_unsafe else LEVELS[:2]
    for level in levels:
        if not why_unavailable(level):
            return level
    reasons = "; ".join(f"{level}: {why_unavailable(level)}" for level in levels)
    raise RuntimeError(
        f"No sandbox for model-written code works here ({reasons}). Install bubblewrap (Debian, "
        "Ubuntu: apt-get install bubblewrap), or set allow_unsafe to run code as a plain process "
        "of yours."
    )


class Pool:
    """Workers that run jobs, memory.workers_here() unless told otherwise, in a `with` statement.

    level: auto (the strongest that works) or one of LEVELS. allow_unsafe permits process, which
    confines nothing. hidden: see `hide`. packages: what candidates may import beside the standard
    library; None is those of packages.USUAL that are installed. Raises ValueError for an unknown
    level or package, RuntimeError for a level that fails here."""

    def __init__(
        self,
        workers: int | None = None,
        level: str = "auto",
        allow_unsafe: bool = False,
        hidden: tuple[str, ...] = (),
        packages: tuple[str, ...] | None = None,
    ) -> None:
        self.packages = candidates_packages.chosen(packages)
        if workers is not None and workers < 1:
            raise ValueError(f"sandbox: workers is {workers}; it must be at least 1.")
        self.level = strongest_level(allow_unsafe) if level == "auto" else level
        if self.level == "process" and not allow_unsafe:
            raise RuntimeError(
                "Level process is no sandbox; set allow_unsafe to run model-written code in it."
            )
        if reason := why_unavailable(self.level):
            raise RuntimeError(f"Sandbox level {self.level} does not work here: {reason}.")
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._batch = threading.Lock()  # a job that runs alone is beside no other batch either
        here = memory.workers_here()
        count = workers or here
        self._turns = Turns(max(count, here))
        room = memory.beside(max(count, here))
        self._seats = [Seat(self.level, hidden, self.packages, room) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._serve, args=(seat,), daemon=True) for seat in self._seats
        ]

    def __enter__(self) -> Pool:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, failure: type | None, *_: object) -> None:
        if failure:  # an interrupt does not wait for the jobs
            self._turns.abandon()
            for seat in self._seats:
                seat.abandon()
        for _thread in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def hide(self, paths: tuple[str, ...]) -> None:
        """Files and folders that no later job can read where they lie in what a worker reads
        (Python's own folders, /usr); others cannot be reached anyway."""
        with self._batch:
            for seat in self._seats:
                seat.hidden = tuple(sorted({*seat.hidden, *paths}))

    def run(self, jobs: list[Job]) -> list[Result]:
        """The results of jobs, in their order. The verdicts do not depend on how many run at once.

        Side by side, code may take SLACK times its seconds before it is out of time. A job that the
        backstop on wall time stopped while it slept runs once more side by side, as alone it would
        keep others waiting. Once more alone, also without a candidate of another grader, runs what
        ended late, what had no processor, and what was killed by somebody else, as the kernel does
        where memory runs out. What is killed or gets no processor then, too, is a grader_error."""
        if not self._threads[0].is_alive():
            raise RuntimeError("The sandbox's workers are not running: use `with Pool() as pool`.")
        with self._batch:
            results = self._run(list(enumerate(jobs)), SLACK)
            asleep = [i for i, result in enumerate(results) if result.doubtful == "asleep"]
            again = self._run([(i, jobs[i]) for i in asleep], SLACK)
            for i, result in zip(asleep, again, strict=True):
                results[i] = replace(result, doubtful="") if result.doubtful == "asleep" else result
            for i, result in enumerate(results):
                if result.doubtful or result.outcome == "grader_error":
                    result = self._alone(jobs[i])
                if result.doubtful == "killed":  # memory may have been short for a while
                    time.sleep(KILLED_PAUSE)
                    result = self._alone(jobs[i])
                results[i] = settled(result)
        return results

    def _alone(self, job: Job) -> Result:
        """The result without slack, where no other candidate runs."""
        with self._turns.alone():
            return self._run([(0, job)], 1.0, PATIENCE)[0]

    def _run(
        self, jobs: list[tuple[int, Job]], slack: float, patience: float = 1.0
    ) -> list[Result]:
        done: queue.SimpleQueue = queue.SimpleQueue()
        for i, job in jobs:
            self._queue.put((i, job, slack, patience, done))
        found = dict(done.get() for _ in jobs)
        return [found[i] for i, _ in jobs]

    def _serve(self, seat: Seat) -> None:
        """A seat's own thread, since a worker dies with the thread that started it."""
        try:
            while (item := self._queue.get()) is not None:
                i, job, slack, patience, done = item
                with contextlib.nullcontext() if patience > 1 else self._turns.one():
                    result = seat.run(job, slack, patience)
                done.put((i, result))
        finally:
            seat.close()


def settled(result: Result) -> Result:
    """What stands of a last run: a grader_error where that, too, was cut short from outside."""
    if result.doubtful not in ("killed", "starved") or result.refuted:
        return replace(result, doubtful="")
    why = memory.short() if result.doubtful == "killed" else NO_PROCESSOR
    tests = tuple("correct" if test == "correct" else "not_run" for test in result.tests)
    detail = f"{result.detail}; {why}"
    return replace(result, outcome="grader_error", detail=detail, tests=tests, doubtful="")


class Seat:
    """Workers and a comparer, for one thread; started when needed. There is a worker without
    packages, one with numpy, and one with all packages, as a fork takes longer the more is loaded.
    hidden: as in Pool.hide; a change of it starts new workers. room: bytes for a worker beside
    others (memory.py)."""

    def __init__(
        self,
        level: str,
        hidden: tuple[str, ...] = (),
        packages: tuple[str, ...] | None = None,
        room: int = FULL,
    ) -> None:
        self.level, self.hidden, self._room = level, hidden, room
        self._packages = candidates_packages.chosen(packages)
        self._hidden_before = hidden
        self._workers: dict[tuple[str, ...], Worker] = {}  # by the packages that are loaded
        self._comparer, self._abandoned = Comparer(), False

    def run(self, job: Job, slack: float = 1.0, patience: float = 1.0) -> Result:
        """The job's result. Where the sandbox itself fails twice it is a grader_error. With a
        patience over 1 no other candidate is there, and it may have all the memory that is left."""
        reason, loaded = "", self._loaded(job)
        if self.hidden != self._hidden_before:
            self._close_workers()
            self._hidden_before = self.hidden
        not_run = ("not_run",) * len(job.tests.inputs)
        for _ in range(2):
            if self._abandoned:
                reason = "interrupted"
                break
            worker = None
            try:
                if loaded not in self._workers:
                    self._workers[loaded] = Worker(self.level, loaded, self.hidden)
                worker = self._workers[loaded]
                if self._abandoned:  # while it started, when it was not there to be killed
                    raise WorkerFailed("interrupted")
                alone = patience > 1
                worker.allow(memory.alone(worker.used()) if alone else self._room)
                return run(worker, self._comparer, job, slack, patience)
            except Exception as error:  # of our own: what a candidate does is an outcome
                reason = f"{type(error).__name__}: {error}"
                over = worker is not None and worker.over()
                self.close()
                if worker is not None and over:  # the worker was killed instead
                    doubtful = "" if worker.room >= FULL else "killed"
                    return Result("wrong", TOO_MUCH, not_run, self.level, 0.0, doubtful)
        return Result("grader_error", reason[:300], not_run, self.level)

    def _loaded(self, job: Job) -> tuple[str, ...]:
        """What the worker for a job has loaded; a package is there only if it is named."""
        named = tuple(p for p in self._packages if p in job.code or p in job.prelude)
        return named if named in ((), ("numpy",)) else self._packages

    def abandon(self) -> None:
        """Give up the job at work and run no more. For any thread."""
        self._abandoned = True
        for worker in list(self._workers.values()):
            worker.kill()

    def close(self) -> None:
        """End the processes."""
        self._close_workers()
        self._comparer.close()

    def _close_workers(self) -> None:
        while self._workers:
            self._workers.popitem()[1].close()
