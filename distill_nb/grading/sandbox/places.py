"""What a worker sees of the file system: Python's own library, the shared libraries that it and the
packages need, time zones and locales. And what lies in these and must look empty."""

import contextlib
import functools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
# how a worker starts Python
FLAGS = ("-S", "-s", "-P", "-B", "-X", "utf8")
# in the standard library's folder, but no part of what a candidate needs
INSIDE_LIBRARY = (
    "site-packages", "dist-packages", "test", "config-*", "ensurepip", "idlelib", "turtledemo",
)  # fmt: skip
# where libraries lie, for a loader that does not tell which it needs
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
AT_ONCE = 500  # modules named to the loader in one run, as their names must fit
TABLES = ("/usr/share/zoneinfo", "/usr/lib/locale")  # read by the C library and by zoneinfo
ALSO = ("libgcc_s.so.1",)  # the C library loads it when a thread ends early
NO_DISPLAY = "_tkinter"  # the only module that would bring the libraries of a display
CACHE = "/etc/ld.so.cache"  # where the loader finds libraries


@dataclass(frozen=True)
class View:
    """Files and whole folders, by the names that the worker itself uses for them."""

    files: tuple[str, ...]
    folders: tuple[str, ...]


@functools.cache
def view(python: str, packages: tuple[str, ...]) -> View:
    """What an interpreter needs, with packages (files and folders, which are not named again).
    Raises OSError where the interpreter does not run."""
    asked = [python, *FLAGS, "-c", "import sys; print(*sys.path, sep='\\n')"]
    said = subprocess.run(asked, capture_output=True, text=True, env={}, check=False).stdout
    library = [path for path in said.splitlines() if os.path.isdir(path)]
    tables = [path for path in TABLES if os.path.isdir(path)]
    found = {path for path in (python, CACHE) if os.path.exists(path)}
    libraries = set(_libraries(python, (*library, *packages)))
    elsewhere = [] if libraries else [path for path in LIBRARIES if os.path.isdir(path)]
    found |= libraries
    folders = _outermost([*library, *tables, *elsewhere])
    within = (*folders, *packages)
    return View(tuple(sorted(f for f in found if not _is_below(f, within))), tuple(folders))


def _libraries(python: str, folders: tuple[str, ...]) -> Iterator[str]:
    """The files of the shared libraries that the loader maps for an interpreter together with all
    extension modules in these folders, by the names under which it looks for them.

    LD_TRACE_LOADED_OBJECTS has the loader say so instead of running anything (ld.so(8)), as ldd
    does for one file. A C library without it runs Python, which has nothing to do."""
    modules = [path for path in _files(folders) if ".so" in os.path.basename(path)]
    modules = [m for m in modules if NO_DISPLAY not in m and ":" not in m]
    for start in range(0, max(len(modules), 1), AT_ONCE):
        loaded = ":".join([*ALSO, *modules[start : start + AT_ONCE]])
        traced = subprocess.run(
            [python, *FLAGS, "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={"LD_TRACE_LOADED_OBJECTS": "1", "LD_PRELOAD": loaded},
            check=False,
        )
        for line in traced.stdout.splitlines():
            words = line.split(" => ")[-1].split()  # "name => path (address)", "path (address)"
            if words and words[0].startswith("/") and os.path.exists(words[0]):
                yield os.path.normpath(words[0])


def hidden(
    folders: tuple[str, ...], more: tuple[str, ...] = (), packages: tuple[str, ...] = ()
) -> list[str]:
    """The folders and files that must look empty: in `folders` installed packages, tests, the home
    and this package's own; there and in `packages`, also `more`. Never a folder that holds Python's
    standard library. What lies in a hidden folder is not named."""
    found = {str(p) for top in folders for name in INSIDE_LIBRARY for p in Path(top).glob(name)}
    found |= {os.path.expanduser("~"), str(HERE.parents[2])}
    read = tuple(os.path.realpath(folder) for folder in folders)
    below = _outermost([p for p in _there(found | set(more)) if _is_below(p, read)])
    inside = _outermost([p for p in _there(set(more)) if _is_below(p, packages)])
    return sorted({*below, *inside})


@functools.cache
def warm(seen: View, packages: tuple[str, ...]) -> None:
    """Read all that a worker sees, so that a candidate which reads something changes nothing by it
    that a later one could measure: the file is in the kernel's cache already, and its access time
    is of today, which is not renewed on a file system mounted with relatime (mount(8))."""
    for path in (*seen.files, *_files((*seen.folders, *packages))):
        with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
            while file.read(2**20):  # to its end: advice to read it ahead does not wait for it
                pass


def _files(tops: tuple[str, ...]) -> Iterator[str]:
    """The files of these folders without what is hidden in every one; those that are files."""
    out = set(hidden(tops))
    for top in tops:
        if os.path.isfile(top):
            yield top
        for folder, below, files in os.walk(top):
            below[:] = [name for name in below if os.path.join(folder, name) not in out]
            yield from (os.path.join(folder, name) for name in files)


def _there(paths: set[str]) -> list[str]:
    """Those that exist, without links, and hold no standard library."""
    found = {os.path.realpath(p) for p in paths if os.path.exists(p)}
    library = os.path.realpath(os.__file__)
    return sorted(p for p in found if not _is_below(library, (p,)))


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _outermost(paths: list[str]) -> list[str]:
    """Those that lie in none of the others."""
    return [p for p in dict.fromkeys(paths) if not _is_below(p, tuple(paths))]
