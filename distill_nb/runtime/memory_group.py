"""Control groups that this process makes below its own, to hold others to an amount of memory.

All limits from above still hold for what is in them. Allowed is it seldom: version 1 of control
groups (https://docs.kernel.org/admin-guide/cgroup-v1/memory.html) needs root. Version 2
(https://docs.kernel.org/admin-guide/cgroup-v2.html) needs a group that systemd has delegated, or
the top of what a container sees, with no process in it besides this one and those below it: there
processes may be in leaves alone, and these move into a leaf of their own."""

import contextlib
import os
import secrets
import time
from pathlib import Path

from distill_nb.runtime import control_group

PREFIX = "distill_nb_"
LEAF = PREFIX + "itself"  # where a process moves that makes groups of version 2
SECONDS = 1.0  # by which what has been killed has left its group


class MemoryGroup:
    """A new group of at most `limit` bytes, without swap. Raises OSError where none may be made.

    Its maker holds the kernel's lock (flock) on its folder; `sweep` removes those whose makers have
    died."""

    def __init__(self, limit: int) -> None:
        home, self._second = _home()
        sweep(home)
        while True:
            self.folder = home / f"{PREFIX}{secrets.token_hex(6)}"
            self.folder.mkdir()
            try:
                self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:  # another's sweep came first
                continue
            if _locked(self._lock) and self.folder.is_dir():
                break
            os.close(self._lock)
        try:
            self.allow(limit)
            swap = self.folder / ("memory.swap.max" if self._second else "memory.swappiness")
            with contextlib.suppress(OSError):  # a kernel without swap has none of them
                swap.write_text("0")
        except OSError:
            self.remove()
            raise

    def allow(self, limit: int) -> None:
        """Set the limit in bytes; OSError where more is in use and cannot be given back."""
        file = "memory.max" if self._second else "memory.limit_in_bytes"
        (self.folder / file).write_text(str(limit))

    @property
    def entrance(self) -> Path:
        """A process that writes 0 to this file is in the group, with all that it starts."""
        return self.folder / "cgroup.procs"

    def empty(self) -> bool:
        """Whether no process is in it."""
        return not self.entrance.read_text().strip()

    def used(self) -> int:
        """Bytes in use."""
        file = "memory.current" if self._second else "memory.usage_in_bytes"
        return int((self.folder / file).read_text())

    def counts(self) -> tuple[int, int]:
        """How often so far (its own limit was hit, the kernel killed a process in it). The second
        alone rises where a limit further up was hit."""
        if self._second:
            found = _fields(self.folder / "memory.events")
            return found["oom"], found["oom_kill"]
        hits = int((self.folder / "memory.failcnt").read_text())
        fields = _fields(self.folder / "memory.oom_control")
        return hits, fields.get("oom_kill", hits)  # before Linux 4.13 it is not counted

    def remove(self) -> None:
        """Remove it; what was in it has been killed."""
        end = time.monotonic() + SECONDS
        while self.folder.exists():
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                break
            if time.monotonic() > end:  # the next sweep finds it
                break
            time.sleep(0.01)
        os.close(self._lock)


def allowed() -> bool:
    """Whether a group can be made here, by making one."""
    try:
        MemoryGroup(2**30).remove()
    except OSError:
        return False
    return True


def sweep(home: Path) -> None:
    """Remove the groups there whose makers have died, and what was in them."""
    for folder in home.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # gone, or still in use
            found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if _locked(found):
                    folder.rmdir()
            finally:
                os.close(found)


def _home() -> tuple[Path, bool]:
    """(the folder in which groups are made, whether it is of version 2). Raises OSError."""
    for folder in control_group.groups("memory"):
        if (folder / "memory.limit_in_bytes").exists():
            return folder, False
        if "memory" in _words(folder / "cgroup.controllers"):
            home = folder.parent if folder.name == LEAF else folder
            if "memory" not in _words(home / "cgroup.subtree_control"):
                _hand_down(home)
            return home, True
    raise OSError("no control group of memory is in sight")


def _hand_down(home: Path) -> None:
    """Have groups below a group of version 2 account memory. Raises OSError where this is not
    ours to do."""
    switch = home / "cgroup.subtree_control"
    delegated = home == control_group.TOP or home == control_group.TOP / "unified"
    with contextlib.suppress(OSError):
        delegated = delegated or os.getxattr(home, "user.delegate") == b"1"
    if not delegated:
        raise PermissionError(f"{home} is not delegated")
    with contextlib.suppress(OSError):  # EBUSY: it has processes and is not the machine's top
        switch.write_text("+memory")
        return
    import psutil

    this = psutil.Process()
    ours = {this.pid, *(child.pid for child in this.children(recursive=True))}
    inside = _words(home / "cgroup.procs")
    if not {int(pid) for pid in inside} <= ours:
        raise PermissionError(f"{home} has other processes")
    (home / LEAF).mkdir(exist_ok=True)
    for pid in inside:
        with contextlib.suppress(ProcessLookupError):
            (home / LEAF / "cgroup.procs").write_text(pid)
    switch.write_text("+memory")


def _locked(descriptor: int) -> bool:
    """Take the lock; False where another has it."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _fields(file: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return {line[0]: int(line[1]) for line in lines}
