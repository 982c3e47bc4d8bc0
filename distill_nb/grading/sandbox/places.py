"""What lies below the folders that a worker reads and must stay out of a candidate's sight."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATTERNS = (
    "lib*/python*/site-packages", "lib*/python*/dist-packages", "local/lib/python*/dist-packages",
    "src", "envs", "pkgs",  # the last two are conda's
)  # fmt: skip


def hidden(
    prefixes: list[str], more: tuple[str, ...] = (), packages: tuple[str, ...] = ()
) -> list[str]:
    """The folders and files that must look empty: below /usr, /lib and `prefixes` installed
    packages, sources, the home and this package's own; there and in `packages`, also `more`. Never
    a folder that holds Python's standard library. What lies in a hidden folder is not named."""
    tops = [Path(prefix) for prefix in ("/usr", "/usr/local", *prefixes)]
    found = {str(p) for top in tops for pattern in PATTERNS for p in top.glob(pattern)}
    found |= {os.path.expanduser("~"), str(HERE.parents[2])}
    read = tuple(os.path.realpath(p) for p in ("/usr", "/lib", "/lib64", *prefixes))
    below = _outermost([p for p in _there(found | set(more)) if _is_below(p, read)])
    inside = _outermost([p for p in _there(set(more)) if _is_below(p, packages)])
    return sorted({*below, *inside})


def _there(paths: set[str]) -> list[str]:
    """Those that exist, without links, and hold no standard library."""
    found = {os.path.realpath(p) for p in paths if os.path.exists(p)}
    library = os.path.realpath(os.__file__)
    return sorted(p for p in found if not _is_below(library, (p,)))


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _outermost(paths: list[str]) -> list[str]:
    """Those that lie in none of the others."""
    return [p for p in paths if not _is_below(p, tuple(paths))]
