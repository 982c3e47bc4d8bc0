"""Mapped memory without a file, for a candidate: private to it, as it has one process alone.

Shared memory is refused to it (seccomp.py), and Python's own default is shared. Read inside the
sandbox: standard library only."""

import mmap
import sys

_original = mmap.mmap


class Mapping(_original):
    """`mmap.mmap`, private where there is no file."""

    def __new__(cls, fileno: int, length: int, *flags: int, **named: int) -> "Mapping":
        """The same arguments."""
        if fileno == -1:
            if named.get("access") == mmap.ACCESS_READ:
                named["prot"] = mmap.PROT_READ
            named.pop("access", None)  # the others' protection is the default
            kept = (flags[0] if flags else named.pop("flags", 0)) & ~mmap.MAP_SHARED
            flags = (kept | mmap.MAP_PRIVATE, *flags[1:])
        return super().__new__(cls, fileno, length, *flags, **named)


def shared(size: int) -> mmap.mmap:
    """So many bytes that this process shares with those that it forks."""
    return _original(-1, size)


def install() -> None:
    """Have candidates use it from now on."""
    if sys.platform == "linux":
        mmap.mmap = Mapping  # type: ignore[misc]
