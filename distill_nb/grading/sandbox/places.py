"""The folders below those that a worker reads whose content a candidate must not see."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATTERNS = (
    "lib*/python*/site-packages", "lib*/python*/dist-packages", "local/lib/python*/dist-packages",
    "src", "envs", "pkgs",  # the last two are conda's
)  # fmt: skip


def hidden(prefixes: list[str], more: tuple[str, ...] = ()) -> list[str]:
    """The folders below /usr and `prefixes` that must look empty: installed packages, sources, the
    home, this package's own, and `more`; never one that holds Python's standard library."""
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
