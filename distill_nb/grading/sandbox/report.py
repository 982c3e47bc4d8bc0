"""How a candidate ended: bytes that pass through the worker and leave nothing there.

The next candidate is a copy of the worker, freed memory included. A text, an exit status or a time
of the one before, once an object in the worker, would lie there for it to find. So the kernel
writes the status and the usage into a buffer that no Python object is made of, the note goes from
the shared page to the grader as it is, and the rest is packed, sent and wiped. For both sides of
the sandbox: standard library only."""

import ctypes
import mmap
import os
import socket
import struct
import sys

STOPPED = ("", "stopped", "timeout", "asleep", "files", "threads")  # why the worker ended it
# serial, whether it left files, why it was stopped as its place in STOPPED, the first late input,
# the input at work (both from 1; 0: none), seconds of wall time
FACTS = struct.Struct("<IBBIId")
STATUS = struct.Struct("=i")  # of wait4
# struct rusage of 64-bit Linux: user and system time as seconds and microseconds, 12 numbers, then
# how often it gave up the processor and how often it lost it
USAGE = struct.Struct("=4q12q2q")
# places in a message: its length, FACTS, these two where the kernel may write them, the shared page
FACTS_AT, STATUS_AT, USAGE_AT = 4, 28, 32
PAGE_AT = USAGE_AT + USAGE.size
# the page that a child shares with the worker: PLACES, then a text; in the end PREEMPTED
SHARED = 4096  # bytes
# the input at work, the first input that was late, the text's length
PLACES = struct.Struct("<III")
PREEMPTED = struct.Struct("<I")  # how often the child had lost the processor before its code ran
LONGEST_NOTE = 600  # bytes
# A candidate that lost the processor so many times more than it gave it up was waiting for it, not
# asleep: who sleeps gives it up each time, and seldom loses it when what it sends wakes another.
LOST = 5
SCRUBBED = 256  # more than the numbers that Python keeps for reuse


class Report:
    """The worker's end: what is known of the child that has ended last."""

    def __init__(self, shared: mmap.mmap) -> None:
        self._shared, self._data = shared, bytearray(PAGE_AT + SHARED)
        self._status = ctypes.c_int.from_buffer(self._data, STATUS_AT)
        self._usage = (ctypes.c_char * USAGE.size).from_buffer(self._data, USAGE_AT)
        self._page = (ctypes.c_char * SHARED).from_buffer(self._data, PAGE_AT)
        self._theirs = (ctypes.c_char * SHARED).from_buffer(shared)
        self._wait4 = getattr(ctypes.CDLL(None), "wait4", None) if sys.platform == "linux" else None

    def reap(self, pid: int, wait: bool) -> bool:
        """Whether the child has ended; it is then no zombie any more."""
        options = 0 if wait else os.WNOHANG
        if self._wait4 is not None:
            status, usage = ctypes.byref(self._status), ctypes.byref(self._usage)
            return self._wait4(pid, status, options, usage) == pid
        found, word, used = os.wait4(pid, options)
        if found:
            STATUS.pack_into(self._data, STATUS_AT, word)
            times = [used.ru_utime, used.ru_stime]
            parts = [int(part) for t in times for part in (t, t % 1 * 1e6)]
            counts = (used.ru_nvcsw, used.ru_nivcsw)
            USAGE.pack_into(self._data, USAGE_AT, *parts, *[0] * 12, *counts)
        return bool(found)

    def send(
        self,
        control: socket.socket,
        serial: int,
        dirty: bool,
        stopped: str,
        late: int,
        at: int,
        wall: float,
    ) -> None:
        """Tell the grader what FACTS names and the rest, and wipe it all."""
        struct.pack_into("<I", self._data, 0, len(self._data) - FACTS_AT)
        why = STOPPED.index(stopped)
        FACTS.pack_into(self._data, FACTS_AT, serial, dirty, why, late, at, wall)
        ctypes.memmove(self._page, self._theirs, SHARED)
        control.sendall(self._data)
        self._data[:] = bytes(len(self._data))
        self._shared[:] = bytes(SHARED)
        # Small objects are made where the last ones were freed.
        numbers: list[float] = [1 << 40 | i for i in range(SCRUBBED)]
        numbers += [float(i) for i in range(SCRUBBED)]
        PLACES.unpack_from(self._shared)


def read(data: bytes) -> dict:
    """The grader's end: what FACTS names; exit, as os.waitstatus_to_exitcode gives it; seconds of
    processor time; starved, whether it waited for the processor when it was stopped; note, its last
    words. Raises ValueError for other bytes."""
    if len(data) != PAGE_AT + SHARED - FACTS_AT:
        raise ValueError(f"a report of {len(data)} bytes")
    data = bytes(FACTS_AT) + data
    serial, dirty, why, late, at, wall = FACTS.unpack_from(data, FACTS_AT)
    (status,), usage = STATUS.unpack_from(data, STATUS_AT), USAGE.unpack_from(data, USAGE_AT)
    page = data[PAGE_AT:]
    _, late_itself, size = PLACES.unpack_from(page)
    (before,) = PREEMPTED.unpack_from(page, SHARED - PREEMPTED.size)
    text = page[PLACES.size : PLACES.size + min(size, LONGEST_NOTE)]
    gave_up, lost = usage[-2:]
    return {
        "serial": serial,
        "stopped": STOPPED[why],
        "dirty": bool(dirty),
        "late": late or late_itself,
        "at": at,
        "wall": wall,
        "exit": os.waitstatus_to_exitcode(status),
        "seconds": usage[0] + usage[2] + (usage[1] + usage[3]) / 1e6,
        "starved": STOPPED[why] == "asleep" and lost - before >= gave_up + LOST,
        "note": text.decode("utf-8", "replace"),
    }
