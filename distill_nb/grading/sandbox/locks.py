"""Locks of multiprocessing for a candidate, which has one process: by threading's own.

The C library makes a semaphore of a file in /dev/shm, which a candidate may not write to. Without
this, multiprocessing.dummy, ThreadPool, Lock and Queue fail. Read inside the sandbox: standard
library only."""

import threading
import time

RECURSIVE_MUTEX, SEMAPHORE = 0, 1  # as in CPython's Modules/_multiprocessing/semaphore.c


class SemLock:
    """What `_multiprocessing.SemLock` is to multiprocessing.synchronize, within one process."""

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        self.kind, self.maxvalue, self.handle = kind, maxvalue, 0
        self.name = None if unlink else name
        self._free, self._changed = value, threading.Condition(threading.Lock())
        self._owner, self._held = 0, 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it, once more where this thread has the recursive one already."""
        with self._changed:
            if self.kind == RECURSIVE_MUTEX and self._is_mine():
                self._held += 1
                return True
            end = None if timeout is None else time.monotonic() + max(timeout, 0)
            while self._free == 0:
                left = None if end is None else end - time.monotonic()
                if not block or (left is not None and left <= 0):
                    return False
                self._changed.wait(left)
            self._free -= 1
            self._owner, self._held = threading.get_ident(), self._held + 1
            return True

    def release(self) -> None:
        """Give it back. Raises AssertionError for another's, ValueError for one too many."""
        with self._changed:
            if self.kind == RECURSIVE_MUTEX:
                if not self._is_mine():
                    raise AssertionError("attempt to release recursive lock not owned by thread")
                if self._held > 1:
                    self._held -= 1
                    return
            elif self._free >= self.maxvalue:
                raise ValueError("semaphore or lock released too many times")
            self._held -= 1
            self._free += 1
            self._changed.notify()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _is_mine(self) -> bool:
        return self._held > 0 and self._owner == threading.get_ident()

    def _count(self) -> int:
        return self._held

    def _get_value(self) -> int:
        return self._free

    def _is_zero(self) -> bool:
        return self._free == 0

    def _after_fork(self) -> None:
        self._held = 0


def install() -> None:
    """Have multiprocessing use it from now on."""
    try:
        import _multiprocessing
    except ImportError:  # a Python built without it
        return
    _multiprocessing.SemLock = SemLock  # type: ignore[misc]
