"""Turns: how many candidates run at once, in all graders that share a control group's limits.

Graders of a user know each other by one file in memory and the locks on its bytes. Each set of
limits has a stretch of bytes, far beyond the file's end: first a door, where numbers are drawn,
then one for each number, then the places. Who waits keeps its number locked until it has a place,
and waits first for the number before its own, so that all come in their order. Who has locked a
place runs a candidate. Locks are those of open files (F_OFD_SETLK,
https://man7.org/linux/man-pages/man2/fcntl_locking.2.html), which end with their process. Without
Linux each grader is on its own."""

import contextlib
import hashlib
import logging
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from distill_nb.runtime import control_group

FOLDER = "/dev/shm"
NUMBERS = PLACES = 2**15
STRETCH = 1 + NUMBERS + PLACES  # bytes for one set of limits
COUNTERS, COUNTER = 1024, struct.Struct("<Q")  # in the file: the number that is drawn next
PAUSE = (0.001, 0.01)  # seconds between two looks, at first and at most
LONGEST = 900.0  # seconds; a grader that is stopped (Ctrl-Z) keeps its places
log = logging.getLogger(__name__)


class Turns:
    """places: how many candidates may run at once."""

    def __init__(self, places: int, longest: float = LONGEST) -> None:
        self._longest, self._over, self._file = longest, False, _file()
        stretch = _stretch()
        self._counter = stretch % COUNTERS * COUNTER.size  # one that two sets share skips numbers
        self._door = stretch * STRETCH
        self._first = self._door + 1 + NUMBERS  # place
        self._places = range(self._first, self._first + min(places, PLACES))

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """One place, for a candidate beside others."""
        with self._turn() as descriptor:
            if descriptor is not None:
                number = self._first_in_line(descriptor)
                self._waited(lambda: any(_lock(descriptor, p) for p in self._places))
                _unlock(descriptor, number)
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """All places, for a candidate that must have no other beside it."""
        with self._turn() as descriptor:
            if descriptor is not None:
                self._first_in_line(descriptor)  # and keep the number, so that nobody else comes
                self._waited(lambda: _lock(descriptor, self._first, PLACES))
            yield

    def abandon(self) -> None:
        """Wait no more. For any thread."""
        self._over = True

    def _first_in_line(self, descriptor: int) -> int:
        """Draw a number and wait until all before it have had theirs. Returns its byte, locked."""
        self._waited(lambda: _lock(descriptor, self._door))
        drawn = os.pread(descriptor, COUNTER.size, self._counter).ljust(COUNTER.size, b"\0")
        number = COUNTER.unpack(drawn)[0]
        with contextlib.suppress(OSError):  # no room: who comes next is in line beside this one
            os.pwrite(descriptor, COUNTER.pack((number + 1) % NUMBERS), self._counter)
        mine, before = (self._door + 1 + n % NUMBERS for n in (number, number - 1))
        _lock(descriptor, mine)
        _unlock(descriptor, self._door)
        self._waited(lambda: _lock(descriptor, before))
        _unlock(descriptor, before)
        return mine

    @contextlib.contextmanager
    def _turn(self) -> Iterator[int | None]:
        """The file, opened for one turn; None where there are no turns to take."""
        descriptor = None
        if self._file is not None and not self._over:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with contextlib.suppress(OSError):  # somebody else's file of that name
                descriptor = os.open(self._file, flags, 0o600)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                # a process that was forked meanwhile has the file open, too
                _unlock(descriptor, self._door, STRETCH)
                os.close(descriptor)

    def _waited(self, locked: Callable[[], bool]) -> None:
        """Wait until it is locked."""
        end, pause = time.monotonic() + self._longest, PAUSE[0]
        while not self._over and not locked():
            if time.monotonic() > end:
                log.warning(
                    f"sandbox: another grader has not let go for {self._longest:.0f} s (is it "
                    "stopped?); this one goes on without waiting for it."
                )
                self._over = True
            time.sleep(pause)
            pause = min(1.2 * pause, PAUSE[1])


def _file() -> str | None:
    """The file for this user, None where there is none."""
    if sys.platform != "linux":
        return None
    folder = FOLDER if os.access(FOLDER, os.W_OK) else tempfile.gettempdir()
    return os.path.join(folder, f"distill_nb_turns_{os.getuid()}")


def _stretch() -> int:
    """The number of the stretch for the limits of this process and the cores that it may use."""
    groups: list[object] = [sorted(os.sched_getaffinity(0))] if sys.platform == "linux" else []
    for group in control_group.limiting():
        with contextlib.suppress(OSError):
            groups.append(group.stat().st_ino)  # the path may be the same in two containers
    return int.from_bytes(hashlib.sha256(repr(groups).encode()).digest()[:5])


def _lock(descriptor: int, start: int, length: int = 1) -> bool:
    """Lock these bytes; False where another has any of them."""
    return _set(descriptor, True, start, length)


def _unlock(descriptor: int, start: int, length: int = 1) -> None:
    _set(descriptor, False, start, length)


def _set(descriptor: int, lock: bool, start: int, length: int) -> bool:
    import fcntl

    kind = fcntl.F_WRLCK if lock else fcntl.F_UNLCK
    # struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid
    wanted = struct.pack("@hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        return True
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nobody is kept out
        return True
