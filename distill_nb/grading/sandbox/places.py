"""What lies below the folders that a worker reads, and is none of a candidate's business."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
# the last two are conda's
PATTERNS = (
    "lib*/python*/site-packages",
    "lib*/python*/dist-packages",
    "local/lib/python*/dist-packages",
    "src",
    "envs",
    "pkgs",
)


def hidden(prefixes: list[str], more: tuple[str, ...] = ()) -> list[str]:
    """The folders below /usr and `prefixes` that are to look empty: installed packages, sources,
    the home, what this package is installed in, and `more`. None of them holds Python's own
    library, which would be lost with it."""
    tops = [Path(prefix) for prefix in ("/usr", "/usr/local", *prefixes)]
    found = {str(p) for top in tops for pattern in PATTERNS for p in top.glob(pattern)}
    found |= {os.path.expanduser("~"), str(HERE.parents[2]), *more}
    found = {os.path.realpath(p) for p in found if os.path.isdir(p)}
    library = os.path.realpath(os.__file__)
    return sorted(
        p
        for p in found
        if not library.startswith(p.rstrip("/") + "/")
        and any(p.startswith(prefix.rstrip("/") + "/") for prefix in ("/usr", *prefixes))
    )
