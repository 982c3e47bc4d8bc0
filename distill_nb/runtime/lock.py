"""One process at a time in a folder, among the processes of all machines that share it.

The lock is the kernel's (flock on <folder>/.lock), so it ends with the process that holds it. Linux
carries it over NFS, and most cluster file systems have it. The file says who holds it."""

import contextlib
import errno
import json
import logging
import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

FILE = ".lock"
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(
    folder: Path, wait: bool = True, doing: str = "in use"
) -> Iterator[Callable[[], None] | None]:
    """Alone with the folder. Yields a function that lets go early, or None where wait is false and
    another process has the lock.

    doing: what `holder` tells others; "" is for a caller who only asks whether anybody is there. On
    a file system without locks nobody is kept out, and a message says so; a caller who only asks
    gets None there, for nobody can know."""
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
            if not wait and not doing:
                yield None
                return
            log.warning(
                f"{folder.name}: this file system has no locks ({error.strerror}): start nothing "
                "else on this folder now."
            )

        held = True

        def unlock() -> None:
            nonlocal held
            if held:  # only once: after that, the file says who another holder is
                held = False
                with contextlib.suppress(OSError):
                    lock.truncate(0)
                    fcntl.flock(lock, fcntl.LOCK_UN)

        about = {
            "host": platform.node(),
            "pid": os.getpid(),
            "doing": doing,
            "since": datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # a full disk keeps nobody from locking
            lock.truncate(0)
            lock.write(json.dumps(about))
            lock.flush()
        try:
            yield unlock
        finally:
            unlock()


def holder(folder: Path) -> str:
    """Who has a folder: `being trained by process 12 on node7 since 2026-01-31 10:00:00+00:00`."""
    try:
        found = json.loads((folder / FILE).read_text())
        return "{doing} by process {pid} on {host} since {since}".format(**found)
    except (OSError, ValueError, KeyError, TypeError):  # it has just let go, or not yet written
        return "in use by another process"


def at_work(folder: Path) -> dict | None:
    """What the process that has a folder says in its lock ("host", "pid", "doing", "since"); None
    where there is none, or only one that asks. The lock is not touched, so nobody is kept out. A
    process of this machine must be alive; of another machine nothing more is known."""
    try:
        about = json.loads((folder / FILE).read_text())
        if not about["doing"]:
            return None
        if about["host"] == platform.node():
            with contextlib.suppress(PermissionError):  # it is there, and another user's
                os.kill(int(about["pid"]), 0)
        return about
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def alone(folder: Path, doing: str, key: str = "run_name") -> Iterator[None]:
    """As `locked`, but raises ValueError where another process has the lock. doing: such as `being
    trained`; key: the parameter that chooses the folder."""
    with locked(folder, wait=False, doing=doing) as unlock:
        if unlock is None:
            raise ValueError(
                f"{key}: {folder.name} is {holder(folder)}; wait for its end, or choose another "
                f"{key}."
            )
        yield
