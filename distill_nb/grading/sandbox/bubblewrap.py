"""The command line of bubblewrap: what a worker sees of the file system, and its namespaces."""

import os
import shlex
import shutil
from pathlib import Path

from distill_nb.grading.sandbox.places import View

HERE = Path(__file__).resolve().parent
# the files of this package that a worker reads
INSIDE = (
    "worker.py", "child.py", "codec.py", "confine.py", "locks.py", "mappings.py", "report.py",
    "seccomp.py", "watch.py", "wire.py",
)  # fmt: skip
FOLDER_SIZE = 64 * 2**20  # bytes of all files that a candidate writes
DEVICES = ("/dev/null", "/dev/urandom")
OWN, SITE, WRITABLE = "/sandbox", "/sandbox/site", "/sandbox/folder"  # names inside


class WorkerFailed(RuntimeError):
    """A worker could not be started, died or stopped answering: never a candidate's verdict."""


def line(seen: View, hide: list[str], brought: tuple[str, ...], root: bool) -> list[str]:
    """bwrap with its arguments. Root keeps two capabilities until it has become another user."""
    program = shutil.which("bwrap")
    if program is None:
        raise WorkerFailed(
            "there is no bwrap; install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap)"
        )
    capabilities = "--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID"
    words = shlex.split(
        "--unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try "
        "--die-with-parent --new-session --hostname sandbox "
        f"{capabilities if root else '--unshare-user'}"
    )
    made: set[Path] = set()

    def folder(path: Path) -> None:
        """A folder that everybody may enter, although it or bwrap's own may be private outside."""
        nonlocal words
        if path not in made and path != Path("/"):
            folder(path.parent)
            words += ["--perms", "0755", "--dir", str(path)]
            made.add(path)

    for path in (*seen.files, *seen.folders):
        folder(Path(path).parent)
        words += ["--ro-bind", path, path]
    folder(Path("/dev"))
    for device in DEVICES:
        words += ["--dev-bind", device, device]
    in_packages = [p for p in hide if any(Path(p).is_relative_to(place) for place in brought)]
    for path in hide:
        if path not in in_packages:
            words += _covered(path, path)
    folder(Path(SITE))
    for name in INSIDE:
        words += ["--ro-bind", str(HERE / name), f"{OWN}/{name}"]
    for place in brought:
        words += ["--ro-bind", place, f"{SITE}/{Path(place).name}"]
        for path in in_packages:
            if Path(path).is_relative_to(place):
                below = Path(path).relative_to(Path(place).parent)
                words += _covered(path, f"{SITE}/{below}")
    end = f"--perms 1777 --size {FOLDER_SIZE} --tmpfs {WRITABLE} --remount-ro / --chdir {WRITABLE}"
    return [program, *words, *end.split(), "--"]


def _covered(path: str, inside: str) -> list[str]:
    """bwrap's arguments that put something empty over a folder or a file."""
    if os.path.isdir(path):
        return ["--perms", "0755", "--size", "4096", "--tmpfs", inside, "--remount-ro", inside]
    return ["--ro-bind", "/dev/null", inside]
