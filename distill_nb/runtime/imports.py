"""Imports of large libraries, without Python's garbage collector."""

import contextlib
import gc
from collections.abc import Iterator


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
