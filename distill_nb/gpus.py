"""Which GPUs there are, and one for each job: never two jobs on one.

    with gpus.claimed(1) as devices: ...        # ["2"], for CUDA_VISIBLE_DEVICES

`python -m distill_nb.gpus` prints how many this process may use.
"""
from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from pathlib import Path


def visible() -> list[str]:
    """The devices that this process may use: those of CUDA_VISIBLE_DEVICES where it is set (by a user or by Slurm), else all
    that nvidia-smi lists; none on a machine without."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        devices = [d.strip() for d in given.split(",")]
        return [d for d in devices if d and d not in ("-1", "NoDevFiles")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(i) for i, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


@contextlib.contextmanager
def claimed(n: int, poll: float = 0.5):
    """Hold n devices against all other claims on this machine, waiting for them; yields their names in CUDA's terms.

    The locks are the kernel's, so a process that dies lets go. Within a Slurm job the claim is among that job's own
    devices, for Slurm keeps jobs apart. Raises ValueError where there are fewer than n."""
    import fcntl

    devices = visible()
    if n > len(devices):
        raise ValueError(f"gpus: {n} are wanted and {len(devices)} are here; run it where there are more, or lower "
                         "train_processes, or tensor_parallel and data_parallel.")
    while True:
        with contextlib.ExitStack() as held:
            names = []
            for device in devices:
                if len(names) == n:
                    break
                lock = held.enter_context(open(_lock(device), "a"))
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    names.append(device)
            if len(names) == n:
                yield names
                return
        time.sleep(poll)  # with none held: two jobs that want two each must not hold one each


def _lock(device: str) -> Path:
    owner = os.environ.get("SLURM_JOB_ID", "machine")
    file = Path(tempfile.gettempdir()) / f"distill_nb-gpu-{owner}-{device.replace('/', '_')}.lock"
    if not file.exists():
        with contextlib.suppress(OSError):
            file.touch(0o666)
            file.chmod(0o666)  # other users of the machine lock it too
    return file


if __name__ == "__main__":
    print(len(visible()))
