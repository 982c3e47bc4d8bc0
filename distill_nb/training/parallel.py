"""Several processes of one machine that share each batch (data parallel), started from a notebook:
one on each GPU, or on the CPU's cores.

torchrun cannot start a notebook, so the notebook's process hands the run to workers (worker.py) and
shows their progress. Process i of n takes every n-th micro-batch of a step. The gradients are
averaged once a step; the loss stays the mean over the tokens of the whole batch. This was run with
two processes on a CPU, and not on GPUs yet (bench/gpu_check.py, "processes")."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill_nb.params import Params
from distill_nb.runtime import paths, progress, stop

WORKERS, LOG = "workers", "train_workers.log"  # in the run's folder
Stopping = Callable[[], str]  # what asks a process to end, "" if nothing does
FAILED, STOP = "failed.json", "stop"  # in the folder of the workers


def is_worker() -> bool:
    """Whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def is_first() -> bool:
    """Whether this process writes: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_all() -> None:
    """Wait until every process has called this; return at once where there is only one."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def any_process(here: str) -> bool:
    """Whether `here` is not empty in any process; all call this at the same step."""
    if not is_worker():
        return bool(here)
    import torch
    import torch.distributed as dist

    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    asked = torch.tensor([float(bool(here))], device=device)
    dist.all_reduce(asked)
    return bool(asked.item())


def check_devices(p: Params) -> None:
    """Raises ValueError for fewer GPUs than processes; without any, these share the cores."""
    import torch

    if torch.cuda.is_available() and torch.cuda.device_count() < p.train_processes:
        raise ValueError(
            f"train_processes: {p.train_processes} processes need as many GPUs, and this machine "
            f"has {torch.cuda.device_count()}; set train_processes to that or less."
        )


def launch(p: Params, job: dict[str, Any], run_dir: Path, stopping: Stopping = lambda: "") -> None:
    """Run train.fit(**job) in p.train_processes processes, with a progress bar in this one.

    They die with this one; where stopping() asks it to end, they end after their current step.
    Raises ValueError or stop.Stopped where one of them did, else RuntimeError with its message.
    Their output is in train_workers.log in the run's folder."""
    folder = run_dir / WORKERS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    torchrun += ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={p.train_processes}"]
    worker = ["-m", "distill_nb.training.worker", str(folder)]
    # One thread each, unless set otherwise: more wait for each other on the same cores. A signal to
    # all processes, as a cluster sends it, must not make torchrun kill those that save their state.
    environment = {"OMP_NUM_THREADS": "1"} | paths.child_environment()
    environment["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGINT"
    try:
        (folder / "job.pickle").write_bytes(pickle.dumps(job))
        # The pipe to their standard input is open as long as this process lives: that is how they
        # know that it does. A session of their own, so that all of them can be killed together.
        with (
            open(run_dir / LOG, "w") as log_file,
            subprocess.Popen(
                [*stop.DEAF, *torchrun, *worker],
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            ) as process,
        ):
            try:
                _watch(process, p, job["start"], run_dir, stopping)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            raise _failure(folder / FAILED, run_dir / LOG, process.returncode)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def steps_bar(p: Params, start: int, **options) -> Any:
    """The progress bar of a run that goes on at step `start`."""
    return progress.bar(
        total=p.max_steps, initial=start, desc="training", unit="step", mininterval=5, **options
    )


def _watch(
    process: subprocess.Popen, p: Params, start: int, run_dir: Path, stopping: Stopping
) -> None:
    """Move a progress bar until the process ends, and hand what asks this one to end on to the
    workers, in the file `stop` of their folder."""
    metrics, told = run_dir / "metrics.jsonl", run_dir / WORKERS / STOP
    with steps_bar(p, start) as bar:
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


def _failure(file: Path, log_file: Path, status: int) -> Exception:
    """What a failed worker left, as an exception."""
    more = f"{log_file.parent.name}/{log_file.name} has more"
    if file.exists():
        failed = json.loads(file.read_text())
        if failed["type"] == "ValueError":
            return ValueError(failed["message"])
        if failed["type"] == "Stopped":
            return stop.Stopped(failed["message"])
        return RuntimeError(
            f"a training process failed: {failed['type']}: {failed['message']} ({more})"
        )
    output = log_file.read_text(errors="replace").strip().splitlines()
    return RuntimeError(
        f"the training processes ended with exit status {status} ({more}): "
        f"{output[-1] if output else 'no word'}"
    )
