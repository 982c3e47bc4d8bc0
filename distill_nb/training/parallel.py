"""Several processes of one machine that share each batch (data parallel), started from a notebook:
one on each GPU, or on the CPU's cores.

A notebook cannot be started by torchrun, so its process hands the run to workers (worker.py), which
torchrun starts, and shows how far they are. Process i of n takes every n-th micro-batch of a step;
the gradients are averaged once a step, and the loss stays the mean over the tokens of the whole
batch. The first process writes metrics and checkpoints. Run with two processes on a CPU, on GPUs
not yet (bench/gpu_check.py, "processes")."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from distill_nb.params import Params
from distill_nb.runtime import paths, stop

FAILED, LOG, STOP = "failed.json", "train_workers.log", "stop"


def is_worker() -> bool:
    """Whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def is_first() -> bool:
    """Whether this process writes: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_all() -> None:
    """Go on when every process is here; at once where there is only one."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def any_of_all(here: str) -> bool:
    """Whether anything asks any process to end: all of them call this at the same step, and all get
    the same answer."""
    if not is_worker():
        return bool(here)
    import torch
    import torch.distributed as dist

    asked = torch.tensor(
        [float(bool(here))], device="cuda" if dist.get_backend() == "nccl" else "cpu"
    )
    dist.all_reduce(asked)
    return bool(asked.item())


def check_devices(p: Params) -> None:
    """Raises ValueError where there are fewer GPUs than processes. Without a GPU processes share
    the cores."""
    import torch

    if torch.cuda.is_available() and torch.cuda.device_count() < p.train_processes:
        raise ValueError(
            f"train_processes: {p.train_processes} processes need as many GPUs, and this machine "
            "has "
            f"{torch.cuda.device_count()}; set train_processes to that or less."
        )


def launch(p: Params, job: dict, run_dir: Path, stopping=lambda: "") -> None:
    """Run train.fit(**job) in p.train_processes processes, to their end, with a progress bar in
    this one.

    If this process dies, they die; what asks it to end, by stopping(), they are told, and they end
    after the step they are at. Raises ValueError or stop.Stopped where one of them did, else
    RuntimeError with what it said; all that they said is in train_workers.log in the run's
    folder."""
    folder = run_dir / "workers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        (folder / "job.pickle").write_bytes(pickle.dumps(job))
        command = [
            *stop.DEAF,
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--local-addr=127.0.0.1",
            f"--nproc-per-node={p.train_processes}",
            "-m",
            "distill_nb.training.worker",
            str(folder),
        ]
        # Threads of several processes that wait for each other on the same cores are slow: one
        # each, unless set otherwise. A signal to all processes, as a cluster sends it, must not
        # make torchrun kill those that are saving their state.
        environment = (
            {"OMP_NUM_THREADS": "1"}
            | paths.child_environment()
            | {"TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGINT"}
        )
        with open(run_dir / LOG, "w") as log:
            # The pipe to their standard input is open as long as this process lives: that is how
            # they know that it does.
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
            try:
                _watch(
                    process,
                    p.max_steps,
                    job["start"],
                    run_dir / "metrics.jsonl",
                    folder / STOP,
                    stopping,
                )
            finally:
                process.stdin.close()
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            raise _failure(folder / FAILED, run_dir / LOG, process.returncode)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watch(
    process: subprocess.Popen, steps: int, start: int, metrics: Path, told: Path, stopping
) -> None:
    """Move a progress bar until the process ends; hand on to the workers, in the file `told`, what
    asks this one to end."""
    from tqdm.auto import tqdm

    with tqdm(total=steps, initial=start, desc="training", unit="step", mininterval=5) as bar:
        ended = False
        while not ended:
            ended = process.poll() is not None
            if (why := stopping()) and not told.exists():
                told.write_text(why)
            lines = metrics.read_text().splitlines() if metrics.exists() else []
            with contextlib.suppress(json.JSONDecodeError):  # the last line may be half-written
                last = json.loads(lines[-1]) if lines else {"step": start}
                bar.set_postfix(loss=f"{last['loss']:.3f}" if "loss" in last else "", refresh=False)
                bar.update(last["step"] - bar.n)
            if not ended:
                time.sleep(0.2)


def _failure(file: Path, log: Path, status: int) -> Exception:
    """What a failed worker left, as an exception."""
    more = f"{log.parent.name}/{log.name} has more"
    if file.exists():
        said = json.loads(file.read_text())
        if said["type"] == "ValueError":
            return ValueError(said["message"])
        if said["type"] == "Stopped":
            return stop.Stopped(said["message"])
        return RuntimeError(
            f"a training process failed: {said['type']}: {said['message']} ({more})"
        )
    said = log.read_text(errors="replace").strip().splitlines()
    return RuntimeError(
        f"the training processes ended with exit status {status} ({more}): "
        f"{said[-1] if said else 'no word'}"
    )
