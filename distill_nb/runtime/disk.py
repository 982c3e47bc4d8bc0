"""Files on disks that fill up, and folders that are whole or count as absent."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from distill_nb.runtime import files, lock, paths, provenance

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SEAL = "complete"  # in a sealed folder: the sha256 of every other file


class DiskFull(RuntimeError):
    """There is no room; the message names the place. What is on disk is whole."""


@contextlib.contextmanager
def room(folder: Path) -> Iterator[None]:
    """For work that writes below `folder`: an error of a full disk becomes a DiskFull."""
    try:
        yield
    except Exception as error:
        place = _named_place(error, folder)
        # torch, safetensors and Papermill do not say why a write failed
        said = full(folder) if place is None else _sentence(place)
        if not said:
            raise
        raise DiskFull(said) from error


def full(folder: Path) -> str:
    """A sentence where a folder that is there has no room for a small file, else ""."""
    probe = folder / f".room.{os.getpid()}"
    try:
        probe.write_bytes(bytes(2**16))
    except OSError as failed:
        return _sentence(folder) if failed.errno in FULL else ""
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return ""


def _sentence(place: Path) -> str:
    free = shutil.disk_usage(place).free
    return (
        f"{paths.movable(place)}: the disk is full, or a quota is used up ({free / 2**20:,.1f} MiB "
        "free): make room and start again; what is written is whole, and the work goes on from "
        "there."
    )


def need(folder: Path, size: int, what: str, remedy: str) -> None:
    """Raises DiskFull where the disk of a folder that is there has less than `size` bytes free.
    remedy: beside making room, such as `or name another folder`."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DiskFull(
            f"{paths.movable(folder)}: {what} takes {size / 2**30:,.2f} GiB, and the disk has "
            f"{free / 2**30:,.2f} GiB free: make room, {remedy}, and start again."
        )


def _named_place(error: BaseException, folder: Path) -> Path | None:
    """The folder that an error says has no room, None where it says something else."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in FULL:
            named = isinstance(seen.filename, (str, bytes))
            file = Path(os.fsdecode(seen.filename)) if named else folder / "x"
            return next((f for f in file.absolute().parents if f.is_dir()), folder)
        seen = seen.__cause__ or seen.__context__
    return None


def end_of(file: IO, size: int) -> list[str]:
    """The last `size` bytes of an open file, which another process may be writing to, as lines."""
    length = os.fstat(file.fileno()).st_size
    end = os.pread(file.fileno(), size, max(0, length - size))
    return end.decode(errors="replace").splitlines()


def sync(folder: Path) -> list[Path]:
    """The files below a folder, once they are safe from a power failure."""
    found = sorted(f for f in folder.rglob("*") if f.is_file())
    for file in found:
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
    return found


def seal(folder: Path) -> None:
    """Mark a folder as whole."""
    hashes = {
        f.relative_to(folder).as_posix(): provenance.sha256_of_file(f)
        for f in sync(folder)
        if f.name != SEAL
    }
    files.write_json(folder / SEAL, hashes)


def broken(folder: Path) -> str:
    """In words, what is wrong with a folder that should be sealed; "" where nothing is."""
    try:
        hashes = json.loads((folder / SEAL).read_text())
    except (OSError, ValueError):
        return "it is half-written"
    for name, sha256 in hashes.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if provenance.sha256_of_file(folder / name) != sha256:
            return f"{name} is damaged"
    return ""


class Scratch:
    """A folder below `parent` until `cleanup` or the end of this process: <prefix><name>, or one
    with a random name where none is given or another process has that one. Those of the same prefix
    that killed processes left are removed first: one may hold a whole model's weights."""

    def __init__(self, parent: Path, prefix: str, name: str = ""):
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.glob(f"{prefix}*"):
            if (left / lock.FILE).exists():  # else another process is just making it
                with lock.locked(left, wait=False, doing="") as free:
                    if free:
                        shutil.rmtree(left, ignore_errors=True)
        self._held = contextlib.ExitStack()
        folder = parent / f"{prefix}{name}"
        if not name or not self._take(folder):
            folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{name}", dir=parent))
            self._take(folder)
        self.name = str(folder)
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def _take(self, folder: Path) -> bool:
        """Lock a folder, where no other process has it."""
        held = self._held.enter_context(lock.locked(folder, wait=False, doing="in use"))
        # another process may have taken it for a left one before it was locked, and removed it
        return held is not None and (folder / lock.FILE).exists()

    def cleanup(self) -> None:
        """Remove it."""
        self._held.close()
        self._remove()
