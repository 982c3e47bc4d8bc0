"""The worker processes that read row groups (row_group.py), and what they return, in order."""

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from typing import Any

from distill_nb.runtime import devices
from distill_nb.traces import row_group
from distill_nb.traces.decontamination.match import Statements


def _context() -> BaseContext:
    """How workers are started: by a server process that has imported once what they need. They are
    not forked from this process, for threads of a notebook's kernel do not survive a fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([row_group.__name__, "pyarrow.parquet", "rensa"])
    return context


def warm_up() -> None:
    """Let the server process begin to import, while this one does something else."""
    if _context().get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()


@contextlib.contextmanager
def pool(processes: int, evaluation: Statements) -> Iterator[ProcessPoolExecutor]:
    """Worker processes. evaluation: `evaluation_sets.problems` of every evaluation set.

    They end by themselves when the work is done, and nobody waits for that."""
    n = processes or devices.cores()
    workers = ProcessPoolExecutor(n, _context(), row_group.start_worker, (evaluation,))
    try:
        yield workers
    finally:
        workers.shutdown(wait=False, cancel_futures=True)


def results(workers: ProcessPoolExecutor, processes: int, calls: Iterable[tuple]) -> Iterator[Any]:
    """Yield what calls, [(function, arguments …)], return, in their order. Only a few are under way
    or waiting to be taken, so memory does not grow with their number. Raises RuntimeError, one
    sentence, where a worker was killed."""
    waiting: deque[Future] = deque()
    n = processes or devices.cores()
    try:
        for call in calls:
            waiting.append(workers.submit(*call))
            if len(waiting) >= 2 * n:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise RuntimeError(
            "processes: a worker was killed, most likely because memory ran out; start again with "
            f"fewer processes than {n}, and the rows that are judged stay judged."
        ) from None
