"""A process that is asked to end: by SIGTERM, by Slurm's time limit, or by the end of its parent.

    with stop.listening() as stopping:
        ...
        if stopping():  # between two pieces of work: what asks, in words, or ""
            save; raise stop.Stopped(...)

Slurm sends SIGTERM at the time limit and SIGKILL 30 s later (KillWait), too soon for a large batch:
so in a Slurm job `stopping` says so EARLY before the limit. Papermill dies of a signal; its kernel,
in which the notebook runs, then ends itself within two seconds (ipykernel's ParentPollerUnix), but
while `listening` only once the work is saved. `run` keeps Papermill alive too, so that the notebook
with the message is written; a shell does it with `trap '' TERM USR1; papermill …`."""

import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from distill_nb.runtime import gpus

EARLY = 300  # seconds before Slurm's time limit, but at most a tenth of the time that is left
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
# Words before a command, which then ignores SIGNALS.
DEAF = ["sh", "-c", "trap '' TERM USR1; exec \"$@\"", "sh"]


class Stopped(RuntimeError):
    """The work is not finished and can go on later; the message says how far it is."""


class _AnyProcess(int):
    """A process id that != finds equal to every other."""

    def __ne__(self, other: object) -> bool:
        return False

    __eq__, __hash__ = int.__eq__, int.__hash__


@contextlib.contextmanager
def listening() -> Iterator[Callable[[], str]]:
    """Yields a function that says what asks this process to end (SIGTERM, …), "" if nothing does.
    Signals are heard in the main thread only, where notebooks and scripts run."""
    gpus.hold()  # also when the stage that claimed them is gone
    heard: list[str] = []
    poller, limit = _kernels_poller(), _time_limit()
    # of a kernel only: a script may outlive its shell, as with nohup
    watched = getattr(poller, "parent_pid", None)
    parent = watched or os.getppid()  # it may have ended since the poller looked last

    def stopping() -> str:
        if not heard and watched is not None and os.getppid() != parent:
            heard.append("the end of Papermill or Jupyter")
        if not heard and time.time() > limit:
            heard.append("the end of its Slurm job's time")
        return heard[0] if heard else ""

    if watched is not None:
        poller.parent_pid = _AnyProcess(1)
    try:
        with _handling(lambda number, _: heard.append(signal.Signals(number).name)):
            yield stopping
    finally:
        if watched is not None:
            poller.parent_pid = watched


def _time_limit() -> float:
    """The Unix time at which a Slurm job should end by itself; infinite where there is none."""
    now, end, job = time.time(), 0.0, os.environ.get("SLURM_JOB_ID", "")
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        if "SLURM_JOB_END_TIME" in os.environ:  # of a newer Slurm
            end = float(os.environ["SLURM_JOB_END_TIME"])
        elif job:
            command = ["squeue", "-h", "-j", job, "-o", "%e"]
            local = os.environ | {"SLURM_TIME_FORMAT": "standard"}
            said = subprocess.run(command, capture_output=True, text=True, timeout=20, env=local)
            # in local time; else N/A or the like
            end = datetime.fromisoformat(said.stdout.strip()).timestamp()
    return end - min(EARLY, (end - now) / 10) if end > now else math.inf


@contextlib.contextmanager
def raising(what_is_kept: str) -> Iterator[None]:
    """For work that loses nothing when it ends at once: a signal raises Stopped."""
    gpus.hold()
    heard: list[int] = []

    def handle(number: int, _: Any) -> None:
        heard.append(number)
        if len(heard) == 1:  # a second one must not disturb how the first is handled
            raise Stopped(f"Stopped by {signal.Signals(number).name}: {what_is_kept}")

    with _handling(handle):
        yield


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """SIGNALS go to the handler; outside of the main thread nothing changes."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, signal.SIG_DFL if was is None else was)


def run(words: list[str], **options: Any) -> int:
    """Run Papermill so that it outlives SIGNALS, and return its exit status. Its kernel gets them,
    and is killed where it does not listen. options: as for subprocess.Popen."""
    import psutil  # noqa: F401  # before a signal: a second one may come while the first imports it

    with (
        subprocess.Popen([*DEAF, *words], **options) as process,
        _handling(lambda number, _: _hand_on(process, number)),
    ):
        return process.wait()


def _hand_on(process: subprocess.Popen, number: int) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        kernels = psutil.Process(process.pid).children()
        for kernel in kernels:
            kernel.send_signal(number if _listens(kernel.pid, number) else signal.SIGKILL)
        if not kernels:
            process.kill()


def _listens(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal, as far as the system tells."""
    try:
        with open(f"/proc/{pid}/status") as lines:
            caught = next(line for line in lines if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return True
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def _kernels_poller():
    """The thread that ends a notebook's kernel when its parent has ended; None outside of one."""
    application = sys.modules.get("ipykernel.kernelapp")
    if application is None or not application.IPKernelApp.initialized():
        return None
    return getattr(application.IPKernelApp.instance(), "poller", None)


def random_state() -> dict:
    """The state of all random generators that training draws from."""
    import numpy as np
    import torch

    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict) -> None:
    """Back to a `random_state`."""
    import numpy as np
    import torch

    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
