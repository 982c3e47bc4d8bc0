"""The C compiler with which Triton builds what starts its kernels, the first time that one runs on
a GPU: Unsloth's, vLLM's, and torch's own, as torch 2.13 has one for the outer products of rotary
embeddings. So every student needs it."""

import os
import shutil
import sysconfig
from pathlib import Path

COMPILERS = ("gcc", "clang")  # Triton looks for these, unless CC is set
REMEDY = (
    "install them (apt-get install gcc python3-dev, or dnf install gcc python3-devel), or name a "
    "compiler in CC, without options"
)


def found() -> str | None:
    """The path of the compiler that Triton would call; None where there is none."""
    named = os.environ.get("CC")  # as a whole: Triton takes no options from it
    candidates = COMPILERS if named is None else (named,)
    return next(filter(None, map(shutil.which, candidates)), None)


def headers() -> Path:
    """Where Triton looks for Python's headers; Python.h may be missing there."""
    scheme = sysconfig.get_default_scheme()
    if scheme == "posix_local":  # Debian's, for which Triton takes the plain one
        scheme = "posix_prefix"
    return Path(sysconfig.get_paths(scheme)["include"])


def lacking() -> list[str]:
    """What Triton would miss on this machine, in words."""
    named = os.environ.get("CC")
    absent = "no C compiler" if named is None else f"no program that CC names ({named!r})"
    missing = [] if found() else [absent]
    if not (headers() / "Python.h").is_file():
        missing.append(f"no Python.h in {headers()}")
    return missing


def check(device: str) -> None:
    """Raises ValueError where work on `device` (cuda, cpu) would fail for want of a compiler, after
    a student has been loaded for minutes."""
    if device == "cuda" and (missing := lacking()):
        raise ValueError(
            f"compiler: this machine has {' and '.join(missing)}, and Triton needs a C compiler "
            f"and Python's headers on a GPU; {REMEDY}."
        )
