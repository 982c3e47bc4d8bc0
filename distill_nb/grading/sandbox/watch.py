"""How the worker watches over one candidate: time by the kernel's clocks, files, threads.

Read inside the sandbox: standard library only."""

import contextlib
import json
import mmap
import os
import select
import signal
import socket
import stat
import sys
import time

import report
import wire

TICK = (0.002, 0.05)  # seconds between looks at a child's clock, at least and at most
IDLE = 10.0  # seconds that a candidate may sleep in all
# files and folders: a tmpfs limits bytes, but even empty files take the kernel's memory
MOST_FILES = 10_000


def wall_limit(seconds: float, patience: float) -> float:
    """The backstop on wall time: generous, as a busy machine is not the candidate's fault."""
    return 4 * patience * seconds + 2


def bell() -> int:
    """-1 where a process has a descriptor that tells its end (Linux 5.3 and a Python that knows
    it); else one that can be read after any child's end."""
    try:
        os.close(os.pidfd_open(os.getpid()))
        return -1
    except (AttributeError, OSError):
        pass
    rings, struck = os.pipe()
    for end in (rings, struck):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(struck, warn_on_full_buffer=False)
    return rings


def without_bell() -> None:
    """In a child: no signal is told to the worker."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def watch(
    pid: int,
    shared: mmap.mmap,
    control: socket.socket,
    settings: dict,
    serial: int,
    seconds: list[float],
    load: float,
    total: float,
    slack: float,
    patience: float,
    found: report.Report,
) -> tuple[str, int, int, float]:
    """Wait for the child's end: (why it was stopped, the first input that was late, the input at
    work, seconds of wall time); `found` has the rest. The child is killed at the grader's word,
    when an input has had `slack` times its seconds, when it fills its folder with files, or starts
    too many threads. Past its seconds an input is late; the grader decides what that means.
    patience: how many times longer than usual it may wait for a processor."""
    # the kernel's number for that process's clock
    clock = ((~pid) << 3) | 2 if sys.platform == "linux" else None
    rings = settings["bell"]
    ended = os.pidfd_open(pid) if rings < 0 else rings
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(ended, select.POLLIN)
    at, cpu, from_cpu, stopped, pause = 0, 0.0, 0.0, "", TICK[0]
    started = from_wall = time.monotonic()
    late, reaped = 0, False
    while True:
        events = [fd for fd, _ in poll.poll(pause * 1000)]
        if ended in events:
            if rings >= 0:  # read first: a bell that rings after the look below is heard next time
                with contextlib.suppress(BlockingIOError):
                    os.read(ended, 4096)
            if reaped := found.reap(pid, wait=False):
                break
        if control.fileno() in events:
            # EOFError: the grader is gone; this process ends, and the child with it
            message = json.loads(wire.receive(control)[0])
            if message == {"stop": serial}:
                stopped = "stopped"
                break
        now = time.monotonic()
        try:
            cpu = time.clock_gettime(clock) if clock is not None else now - started
        except OSError:  # it has just ended
            continue
        place = min(report.PLACES.unpack_from(shared)[0], len(seconds))
        if place > at:
            at, from_cpu, from_wall = place, cpu, now
        limit = seconds[at - 1] if at else load
        used = max((cpu - from_cpu) / limit, cpu / total)
        late = late or (used > 1 and max(at, 1))
        if used > slack:
            stopped = "timeout"
            break
        wall = now - started
        # no machine is so busy that it gives code less than a twentieth of the time beyond IDLE
        asleep = clock is not None and wall > IDLE + 20 * patience * cpu
        too_long = now - from_wall > wall_limit(limit, patience) or wall > wall_limit(
            total, patience
        )
        if asleep or too_long:
            stopped = "asleep"
            break
        if settings["writable"] is not None and too_full(settings["writable"], settings["bytes"]):
            stopped = "files"
            break
        if settings["threads"] and threads(pid) > settings["threads"]:
            stopped = "threads"
            break
        left = ((slack if late else 1) - used) * limit
        pause = min(max(left, TICK[0]), TICK[1])
    if not reaped:
        os.kill(pid, signal.SIGKILL)
        found.reap(pid, wait=True)
    if rings < 0:
        os.close(ended)
    return stopped, late, at, time.monotonic() - started


def too_full(folder: str, most_bytes: int | None) -> bool:
    """Whether a candidate's folder holds too many files, or too many bytes where it is no tmpfs of
    its own, which limits them itself (most_bytes is None)."""
    if most_bytes is None:
        disk = os.statvfs(folder)
        return disk.f_files - disk.f_ffree > MOST_FILES
    files, size, waiting = 0, 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    files, size = files + 1, size + 512 * found.st_blocks
                    if files > MOST_FILES or size > most_bytes:
                        return True
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(entry.path)
        except FileNotFoundError:  # removed at this moment
            pass
        except OSError:  # made so that nobody can look into it
            return True
    return False


def threads(pid: int) -> int:
    """The number of its threads, 0 where it cannot be read."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[17])
    return 0


def trace(folder: str | None) -> tuple:
    """What a candidate can leave for the next: files, and a folder's times where they are gone."""
    if folder is None:
        return ()
    names, state = os.listdir(folder), os.stat(folder)
    return names, state.st_mtime_ns, state.st_ctime_ns, state.st_mode
