"""Workers side by side, and the strongest level of sandbox that works on this machine."""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import sys
import tempfile
import threading
from dataclasses import replace

from distill_nb.grading.sandbox.compare import Comparer, ComparerFailed
from distill_nb.grading.sandbox.jobs import Job, Result, function_tests
from distill_nb.grading.sandbox.launch import Worker, WorkerFailed
from distill_nb.grading.sandbox.run import run
from distill_nb.runtime.devices import cores

LEVELS = ("bubblewrap", "landlock", "process")  # from the strongest to none
# how many times its processor time code may take beside others on shared caches and cores
SLACK = 1.5
# A trial job: a thread must work, and everything in the list must fail.
TRIAL = """
import os, socket, threading

def fails(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        return True
    return False

def trial(secret):
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    fails(open, secret + ".new", "w")  # may work, in a /tmp of its own
    return [fails(open, secret), fails(open, "/etc/passwd"), fails(socket.socket), fails(os.fork),
            fails(os.kill, os.getppid(), 0), fails(os.execv, "/bin/true", ["true"])]
"""


@functools.cache
def why_unavailable(level: str) -> str:
    """Why a level cannot be had here, in a sentence, or "" if it can, by running a trial job: an
    installed bwrap proves nothing where namespaces are forbidden."""
    if level not in LEVELS:
        raise ValueError(f"sandbox: no level {level}; there are {', '.join(LEVELS)}.")
    if sys.platform != "linux" and level != "process":
        return f"{level} needs Linux, and this is {sys.platform}"
    with tempfile.TemporaryDirectory() as folder:
        secret = os.path.join(folder, "secret")
        with open(secret, "w"):
            os.chmod(folder, 0o777)  # so that only the sandbox is in the way
        code, n = (TRIAL, 6) if level != "process" else ("trial = lambda secret: []", 0)
        tests = function_tests("trial", [[secret]], [[True] * n], rule="equal", seconds=10.0)
        comparer = Comparer()
        try:
            with contextlib.closing(Worker(level, True)) as worker:
                result = run(worker, comparer, Job(code, tests))
        except (WorkerFailed, ComparerFailed, OSError) as error:
            return str(error)
        finally:
            comparer.close()
        if os.path.exists(secret + ".new"):
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
    """Workers that run jobs, one for each core unless told otherwise, in a `with` statement.

    level: auto (the strongest that works) or one of LEVELS. allow_unsafe permits process, which
    confines nothing. hidden: folders to look empty where they lie in Python's own; others cannot be
    reached anyway. Raises ValueError for an unknown level, RuntimeError for one that fails here."""

    def __init__(
        self,
        workers: int | None = None,
        level: str = "auto",
        allow_unsafe: bool = False,
        hidden: tuple[str, ...] = (),
    ) -> None:
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
        self._seats = [Seat(self.level, hidden) for _ in range(workers or cores())]
        self._threads = [
            threading.Thread(target=self._serve, args=(seat,), daemon=True) for seat in self._seats
        ]

    def __enter__(self) -> Pool:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, failure: type | None, *_: object) -> None:
        if failure:  # an interrupt does not wait for the jobs
            for seat in self._seats:
                seat.abandon()
        for _thread in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def run(self, jobs: list[Job]) -> list[Result]:
        """The results of jobs, in their order. The verdicts do not depend on how many run at once.

        Side by side, code may take SLACK times its seconds before it is out of time. A job that the
        backstop on wall time stopped (asleep, or without a processor) runs once more side by side,
        as alone it would keep others waiting; one that ended late, once more alone."""
        if not self._threads[0].is_alive():
            raise RuntimeError("The sandbox's workers are not running: use `with Pool() as pool`.")
        with self._batch:
            results = self._run(list(enumerate(jobs)), SLACK)
            asleep = [i for i, result in enumerate(results) if result.doubtful == "asleep"]
            again = self._run([(i, jobs[i]) for i in asleep], SLACK)
            for i, result in zip(asleep, again, strict=True):
                results[i] = replace(result, doubtful="") if result.doubtful == "asleep" else result
            for i, result in enumerate(results):
                if result.doubtful:
                    results[i] = self._run([(0, jobs[i])], 1.0)[0]
        return results

    def _run(self, jobs: list[tuple[int, Job]], slack: float) -> list[Result]:
        done: queue.SimpleQueue = queue.SimpleQueue()
        for i, job in jobs:
            self._queue.put((i, job, slack, done))
        found = dict(done.get() for _ in jobs)
        return [found[i] for i, _ in jobs]

    def _serve(self, seat: Seat) -> None:
        """A seat's own thread, since a worker dies with the thread that started it."""
        try:
            while (item := self._queue.get()) is not None:
                i, job, slack, done = item
                done.put((i, seat.run(job, slack)))
        finally:
            seat.close()


class Seat:
    """Two workers, with numpy and without, and a comparer, for one thread; started when needed."""

    def __init__(self, level: str, hidden: tuple[str, ...] = ()) -> None:
        self.level, self._hidden = level, hidden
        self._workers: dict[bool, Worker] = {}  # by with_numpy
        self._comparer, self._abandoned = Comparer(), False

    def run(self, job: Job, slack: float = 1.0) -> Result:
        """The job's result. Where the sandbox itself fails twice it is a grader_error."""
        reason, with_numpy = "", "numpy" in job.code or "numpy" in job.prelude
        for _ in range(2):
            if self._abandoned:
                reason = "interrupted"
                break
            try:
                if with_numpy not in self._workers:
                    self._workers[with_numpy] = Worker(self.level, with_numpy, self._hidden)
                return run(self._workers[with_numpy], self._comparer, job, slack)
            except Exception as error:  # of our own: what a candidate does is an outcome
                reason = f"{type(error).__name__}: {error}"
                self.close()
        not_run = ("not_run",) * len(job.tests.inputs)
        return Result("grader_error", reason[:300], not_run, self.level)

    def abandon(self) -> None:
        """Give up the job at work and run no more. For any thread."""
        self._abandoned = True
        for worker in list(self._workers.values()):
            worker.kill()

    def close(self) -> None:
        """End the processes."""
        while self._workers:
            self._workers.popitem()[1].close()
        self._comparer.close()
