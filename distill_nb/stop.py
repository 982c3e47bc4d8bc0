"""A process that is asked to end: SIGTERM, Slurm's time limit, or the end of the process that started it.

    with stop.listening() as stopping:
        ...
        if stopping():  # between two pieces of work: what asks, in words, or ""
            save; raise stop.Stopped(...)

Slurm sends SIGTERM at the time limit and SIGKILL 30 s later (KillWait), and with `--signal=USR1@300` SIGUSR1 five minutes
before. A process without a handler dies of either, and Papermill has none: its kernel, in which a notebook runs, then ends
itself within two seconds (ipykernel's ParentPollerUnix). While `listening`, it does not: it ends when the work is saved. To
keep Papermill alive too, so that the notebook with the message is written, start it from a shell that ignores both:
`trap '' TERM USR1; papermill …`.
"""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class Stopped(RuntimeError):
    """The work is not finished and can be gone on with; the message says how far it is."""


class _AnyProcess(int):
    """A process id that no other differs from."""

    def __ne__(self, other):
        return False

    __eq__, __hash__ = int.__eq__, int.__hash__


@contextlib.contextmanager
def listening():
    """Yields a function that says what asks this process to end (SIGTERM, …), "" if nothing does.

    Signals are heard in the main thread only, which is where notebooks and scripts run; elsewhere they do what they did."""
    heard, before, parent = [], {}, os.getppid()
    poller = _kernels_poller()
    watched = getattr(poller, "parent_pid", None)  # a script may outlive its shell, as with nohup; a kernel has no use then

    def stopping() -> str:
        if not heard and watched is not None and os.getppid() != parent:
            heard.append("the end of Papermill or Jupyter")
        return heard[0] if heard else ""

    if watched is not None:
        poller.parent_pid = _AnyProcess(1)
    if threading.current_thread() is threading.main_thread():
        before = {s: signal.signal(s, lambda number, _: heard.append(signal.Signals(number).name)) for s in SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if watched is not None:
            poller.parent_pid = watched


def _kernels_poller():
    """The thread that ends a notebook's kernel when its parent has ended; None outside of one."""
    application = sys.modules.get("ipykernel.kernelapp")
    if application is None or not application.IPKernelApp.initialized():
        return None
    return getattr(application.IPKernelApp.instance(), "poller", None)


def random_state() -> dict:
    """The state of all generators that training draws from; `set_random_state` takes it back."""
    import random

    import numpy as np
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict) -> None:
    """Back to a `random_state`."""
    import random

    import numpy as np
    import torch

    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
