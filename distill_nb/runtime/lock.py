"""One process at a time in a folder, among the processes of all machines that share it.

The lock is the kernel's own (flock on <folder>/.lock), so that it ends with the process that holds
it, however that ends; Linux carries it over NFS, and most cluster file systems have it. The file
only says who holds it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

FILE = ".lock"
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(folder: Path, wait: bool = True, doing: str = "in use"):
    """Alone with the folder. Yields a function that lets go early, or None where wait is false and
    another is at it.

    doing: what `holder` tells others; "" only looks whether anybody is there. A file system without
    locks is said to be one, and then nobody is kept out, and who only looks is told that somebody
    is there."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / FILE, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            if not wait and not doing:  # who only looks whether anybody is there cannot know
                yield None
                return
            print(
                f"{folder.name}: this file system has no locks ({error.strerror}): start nothing "
                "else on this folder now."
            )

        def unlock():
            nonlocal held
            if held:  # once: after that, what the file says is another's
                held = False
                with contextlib.suppress(OSError):
                    lock.truncate(0)
                    fcntl.flock(lock, fcntl.LOCK_UN)

        held = True
        with contextlib.suppress(OSError):  # a full disk keeps nobody from locking
            lock.truncate(0)
            lock.write(
                json.dumps(
                    {
                        "host": platform.node(),
                        "pid": os.getpid(),
                        "doing": doing,
                        "since": datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
                    }
                )
            )
            lock.flush()
        try:
            yield unlock
        finally:
            unlock()


def holder(folder: Path) -> str:
    """Who has locked a folder, in words: `being trained by process 12 on node7 since 2026-01-31
    10:00:00+00:00`."""
    try:
        found = json.loads((folder / FILE).read_text())
        return "{doing} by process {pid} on {host} since {since}".format(**found)
    except (OSError, ValueError, KeyError, TypeError):  # it has just let go, or has not written yet
        return "in use by another process"


@contextlib.contextmanager
def alone(folder: Path, doing: str, key: str = "run_name"):
    """As `locked`, for work that two processes must not do: raises ValueError where another is at
    the folder.

    doing: such as `being trained`; key: the parameter that chooses the folder."""
    with locked(folder, wait=False, doing=doing) as unlock:
        if unlock is None:
            raise ValueError(
                f"{key}: {folder.name} is {holder(folder)}; wait for its end, or choose another "
                f"{key}."
            )
        yield
