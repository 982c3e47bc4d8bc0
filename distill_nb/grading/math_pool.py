"""Math-Verify in a warm pool of processes, one a core, with time limits that hold in any thread.

Importing SymPy takes longer than most comparisons, so the processes stay until the program ends. A
process that ends is replaced. The limit is processor time: a busy machine must not change a
verdict."""

import atexit
import contextlib
import json
import queue
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from distill_nb.runtime import paths
from distill_nb.runtime.devices import cores

SECONDS = 5  # of processor time, for parsing two answers and comparing them
BUSY = 20  # times as long by the clock, and the machine is too busy to grade


class _Worker:
    """One process, started at the first question."""

    process: subprocess.Popen[bytes] | None = None

    def ask(self, gold: str, answer: str, seconds: int) -> str:
        """The process's verdict; `timeout` or `error: …` where it ended or was too slow."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "distill_nb.grading.math_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=paths.child_environment(),
            )
            if self._exchange(["1", "1", 60], 120) != "equal":
                self.stop()
                return "error: the grader's process did not start"
        return self._exchange([gold, answer, seconds], BUSY * seconds)

    def _exchange(self, question: list, limit: float) -> str:
        assert self.process and self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], limit)[0]:
                self.stop()
                return "error: the grader's machine was too busy"
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            ended = self.stop()
            return "timeout" if ended == -signal.SIGXCPU else "error: the grader's process died"

    def stop(self) -> int | None:
        """End the process. Returns how it ended, which may have been before this."""
        process, self.process = self.process, None
        if process is None:
            return None
        with contextlib.suppress(OSError), process:  # OSError: what was left to write
            process.kill()
        return process.returncode


_idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
_lock = threading.Lock()
_workers: list[_Worker] = []


def _start() -> None:
    with _lock:
        if not _workers:
            _workers.extend(_Worker() for _ in range(cores()))
            for worker in _workers:
                _idle.put(worker)
            atexit.register(close)


def close() -> None:
    """End the processes; the next question starts new ones."""
    for worker in _workers:
        worker.stop()


def verdict(gold: str, answer: str) -> str:
    """`equal`, `different`, `timeout`, `too large` or `error: …` for two answers in plain form."""
    _start()
    worker = _idle.get()
    try:
        return worker.ask(gold, answer, SECONDS)
    finally:
        _idle.put(worker)


def verdicts(pairs: list[tuple[str, str]]) -> list[str]:
    """`verdict` of every (gold, answer), in order, on all cores."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda pair: verdict(*pair), pairs))
