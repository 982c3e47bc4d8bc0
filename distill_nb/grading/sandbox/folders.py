"""Temporary folders that are removed with their maker, or by the next one where it was killed.

The maker holds the kernel's lock (flock) on its folder, which ends with the maker's process. A
folder whose lock is free belongs to nobody any more. On a file system without locks nothing is
swept, as nobody can know."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PREFIX = "distill_nb_sandbox_"


class Folder:
    """An empty folder of mode 0700 in the temporary directory, of the user `uid` where given.
    Raises OSError where none can be made."""

    def __init__(self, uid: int | None = None) -> None:
        sweep()
        while True:
            self.name = tempfile.mkdtemp(prefix=PREFIX)
            self._lock = os.open(self.name, os.O_RDONLY | os.O_DIRECTORY)
            _locked(self._lock, wait=True)
            if os.path.isdir(self.name):  # no sweep came between making and locking it
                break
            os.close(self._lock)
        if uid is not None:
            os.chown(self.name, uid, uid)

    def remove(self) -> None:
        """Remove it with all that is in it. The processes that write to it have ended."""
        _remove(self.name)
        os.close(self._lock)


def sweep() -> None:
    """Remove the folders in the temporary directory whose makers are dead."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # gone, not a folder, or another user's
            found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if _locked(found, wait=False):
                    _remove(str(folder))
            finally:
                os.close(found)


def _locked(descriptor: int, wait: bool) -> bool:
    """Take the lock; False where another has it, or there are no locks."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except OSError:
        return False


def _remove(folder: str) -> None:
    """Remove a folder that hostile code has filled: folders without permissions, or nested deeper
    than Python's own removal goes. Links are not followed."""
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(folder)
        return
    for line in (["chmod", "-R", "u+rwX", folder], ["rm", "-rf", folder]):
        with contextlib.suppress(OSError):
            subprocess.run(line, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
