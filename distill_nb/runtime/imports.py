"""Imports of large libraries, without Python's garbage collector; how the missing are installed."""

import contextlib
import gc
from collections.abc import Iterator

from distill_nb.runtime import paths


def install(extra: str) -> str:
    """The command that installs one of the package's extras, as it was installed itself."""
    if paths.CHECKOUT:
        return f"pip install -e '.[{extra}]' -c constraints.txt"
    return f"pip install 'distill_nb[{extra}]'"


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Import in this what has thousands of modules. Their objects are no garbage, and a fifth of
    the time goes into looking for it among them again and again (of vLLM's a third)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
