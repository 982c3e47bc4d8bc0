"""Turns: how many candidates run at once, in all graders that share a control group's limits.

Graders of a user know each other by one file in memory. It stays empty: each set of limits has a
stretch of places in it, and who has locked one of them runs a candidate. The first place is the
door: who waits, waits there, so that a grader that has just had its turn comes after one that
waits. Locks are those of open files (F_OFD_SETLK,
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
STRETCH = 2**16  # bytes of the file for one set of limits: the door, then places
SOON, LATER = 0.001, 0.002  # seconds between two looks: of the one at the door, of those before it
LONGEST = 900.0  # seconds; a grader that is stopped (Ctrl-Z) keeps its places
log = logging.getLogger(__name__)


class Turns:
    """places: how many candidates may run at once."""

    def __init__(self, places: int, longest: float = LONGEST) -> None:
        self._longest, self._over, self._file = longest, False, _file()
        self._door = _stretch()
        self._places = range(self._door + 1, self._door + 1 + min(places, STRETCH - 1))

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """One place, for a candidate beside others."""
        with self._turn() as descriptor:
            if descriptor is not None and self._at_the_door(descriptor):
                self._waited(lambda: any(_lock(descriptor, p) for p in self._places), SOON)
                _unlock(descriptor, self._door)
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """All places, for a candidate that must have no other beside it."""
        with self._turn() as descriptor:
            if descriptor is not None and self._at_the_door(descriptor):
                self._waited(lambda: _lock(descriptor, self._door + 1, STRETCH - 1), SOON)
            yield

    def abandon(self) -> None:
        """Wait no more. For any thread."""
        self._over = True

    def _at_the_door(self, descriptor: int) -> bool:
        return self._waited(lambda: _lock(descriptor, self._door), LATER)

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

    def _waited(self, locked: Callable[[], bool], pause: float) -> bool:
        """Whether it is locked at last."""
        end = time.monotonic() + self._longest
        while not self._over:
            if locked():
                return True
            if time.monotonic() > end:
                log.warning(
                    f"sandbox: another grader has not let go for {self._longest:.0f} s (is it "
                    "stopped?); this one goes on without waiting for it."
                )
                self._over = True
            time.sleep(pause)
        return False


def _file() -> str | None:
    """The file for this user, None where there is none."""
    if sys.platform != "linux":
        return None
    folder = FOLDER if os.access(FOLDER, os.W_OK) else tempfile.gettempdir()
    return os.path.join(folder, f"distill_nb_turns_{os.getuid()}")


def _stretch() -> int:
    """Where the places begin for the limits that hold for this process, and the cores that it may
    use."""
    groups: list[object] = [sorted(os.sched_getaffinity(0))] if sys.platform == "linux" else []
    for group in control_group.limiting():
        with contextlib.suppress(OSError):
            groups.append(group.stat().st_ino)  # the path may be the same in two containers
    return int.from_bytes(hashlib.sha256(repr(groups).encode()).digest()[:5]) * STRETCH


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
