"""The command line of bubblewrap: what a worker sees of the file system, and its namespaces."""

import os
import shlex
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
# the files of this package that a worker reads
INSIDE = (
    "worker.py", "child.py", "codec.py", "confine.py", "locks.py", "mappings.py", "seccomp.py",
    "watch.py", "wire.py",
)  # fmt: skip
FOLDER_SIZE = 64 * 2**20  # bytes of all files that a candidate writes
DEVICES = ("/dev/null", "/dev/urandom")


class WorkerFailed(RuntimeError):
    """A worker could not be started, died or stopped answering: never a candidate's verdict."""


def line(prefixes: list[str], hide: list[str], brought: tuple[str, ...], root: bool) -> list[str]:
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
        f"{capabilities if root else '--unshare-user'} --ro-bind /usr /usr"
    )
    for library in ("/lib", "/lib64"):
        if os.path.islink(library):
            words += ["--symlink", os.readlink(library), library]
        elif os.path.isdir(library):
            words += ["--ro-bind", library, library]
    words += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    words += ["--perms", "0755", "--dir", "/dev"]  # bwrap would make it for its own user alone
    for device in DEVICES:
        words += ["--dev-bind", device, device]
    made: set[Path] = set()
    for folder in prefixes:  # a parent that is private outside must not be so inside
        for parent in reversed(Path(folder).parents[:-1]):
            if parent not in made:
                words += ["--perms", "0755", "--dir", str(parent)]
                made.add(parent)
        words += ["--ro-bind", folder, folder]
    in_packages = [p for p in hide if any(Path(p).is_relative_to(place) for place in brought)]
    for path in hide:
        if path not in in_packages:
            words += _covered(path, path)
    for folder in ("/sandbox", "/sandbox/site"):
        words += ["--perms", "0755", "--dir", folder]
    for name in INSIDE:
        words += ["--ro-bind", str(HERE / name), f"/sandbox/{name}"]
    for place in brought:
        words += ["--ro-bind", place, f"/sandbox/site/{Path(place).name}"]
        for path in in_packages:
            if Path(path).is_relative_to(place):
                below = Path(path).relative_to(Path(place).parent)
                words += _covered(path, f"/sandbox/site/{below}")
    end = f"--perms 1777 --size {FOLDER_SIZE} --tmpfs /tmp --remount-ro / --chdir /tmp --"
    return [program, *words, *end.split()]


def _covered(path: str, inside: str) -> list[str]:
    """bwrap's arguments that put something empty over a folder or a file."""
    if os.path.isdir(path):
        return ["--perms", "0755", "--size", "4096", "--tmpfs", inside, "--remount-ro", inside]
    return ["--ro-bind", "/dev/null", inside]
