"""Which GPUs there are, and one for each job: never two jobs on one.

with gpus.claimed(1) as devices:            # ["2"]
    subprocess.run(words, env=os.environ | gpus.environment(devices), close_fds=False)
gpus.hold()                                 # in what was started: taken until this ends
"""

import contextlib
import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

USES = "DISTILL_NB_GPUS_IN_USE"  # files, os.pathsep between them
log = logging.getLogger(__name__)
_held: dict[str, int] = {}  # file: descriptor, open as long as this process lives


def visible() -> list[str]:
    """The devices that this process may use: those of CUDA_VISIBLE_DEVICES where a user or Slurm
    has set it, else all that nvidia-smi lists; none on a machine without GPUs."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        devices = [d.strip() for d in given.split(",")]
        return [d for d in devices if d and d not in ("-1", "NoDevFiles")]
    lines = [line for line in _nvidia_smi().splitlines() if line.startswith("GPU ")]
    return [str(i) for i in range(len(lines))]


@contextlib.contextmanager
def claimed(n: int, poll: float = 0.5) -> Iterator[list[str]]:
    """Wait for n devices and hold them against all other claims on this machine; yields their names
    in CUDA's terms. poll: seconds between two tries.

    The locks are the system's, so a process that dies lets go. Start what uses the devices with
    `environment` and close_fds=False: it then has the claim too, and keeps it if only the claimer
    is killed. A device is not free while any process has a `hold` on it. Within a Slurm job the
    claim is among that job's own devices, for Slurm keeps jobs apart. Raises ValueError where there
    are fewer than n devices, or a lock's file cannot be opened."""
    devices = visible()
    if n > len(devices):
        raise ValueError(
            f"gpus: {n} are wanted and {len(devices)} are here; run it where there are more, or "
            "lower train_processes, or tensor_parallel and data_parallel."
        )
    said = False
    while True:
        with contextlib.ExitStack() as held:
            names: list[str] = []
            for device in devices:
                if len(names) < n and (lock := _free(device)) is not None:
                    # closed and not unlocked: the process that was started keeps it
                    held.callback(os.close, lock)
                    names.append(device)
            if len(names) == n:
                yield names
                return
        if not said:
            log.info(
                f"gpus: waiting until {n} of {', '.join(devices)} can be had; "
                f"`fuser -v {_file('*', '*')}` names the processes that use them."
            )
            said = True
        time.sleep(poll)  # with none held: two jobs that want two each must not hold one each


def environment(devices: list[str]) -> dict[str, str]:
    """What tells a process of its devices: CUDA's variable, and the files that `hold` locks."""
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(devices),
        USES: os.pathsep.join(str(_file(d, "use")) for d in devices),
    }


def hold() -> None:
    """Keep the devices that this process's `environment` names from all other claims until it ends.

    Every process that computes on a GPU calls it: a notebook's kernel outlives the stage and
    Papermill to save its state (stop.listening), and vLLM's and the training's processes outlive
    their kernel for a moment. Does nothing outside of a stage, or when called again."""
    for file in filter(None, os.environ.get(USES, "").split(os.pathsep)):
        if file not in _held and (lock := _locked(Path(file), shared=True)) is not None:
            _held[file] = lock


def _free(device: str) -> int | None:
    """The descriptor of a device's lock, for a child too; None while a process has the device."""
    lock = _locked(_file(device, "lock"))
    if lock is None:
        return None
    use = _locked(_file(device, "use"))
    if use is None:
        os.close(lock)
        return None
    os.close(use)
    os.set_inheritable(lock, True)
    return lock


def _locked(file: Path, shared: bool = False) -> int | None:
    """The descriptor of a file, once it is locked. A shared lock is waited for: another process has
    the file alone only for a moment. An exclusive one is not: None where another has the file."""
    import fcntl

    while True:
        descriptor = _open(file)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.close(descriptor)  # a cleaner of old files removed it before it was locked


def _open(file: Path) -> int:
    """A lock's file, open; the first process that needs it makes it, for all users."""
    try:
        while True:
            # with O_CREAT, Linux refuses other users' files in /tmp (fs.protected_regular)
            try:
                return os.open(file, os.O_RDWR | os.O_NOFOLLOW)
            except PermissionError:
                return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)  # that is enough but for NFS
            except FileNotFoundError:
                before = os.umask(0)
                try:
                    with contextlib.suppress(FileExistsError):
                        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
                finally:
                    os.umask(before)
    except OSError as error:
        raise ValueError(
            f"gpus: the lock {file} cannot be opened ({error.strerror}); have its owner delete it "
            "while no job uses a GPU of this machine."
        ) from error


def _file(device: str, what: str) -> Path:
    """A lock's place: the same for all users and jobs of the machine, whatever TMPDIR is, and for a
    GPU's number and UUID; below $DISTILL_NB_GPU_LOCKS where that is set."""
    owner = os.environ.get("SLURM_JOB_ID", "machine")
    if device.isdigit() and int(device) < len(_uuids()):
        device = _uuids()[int(device)]
    shared = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()
    place = os.environ.get("DISTILL_NB_GPU_LOCKS") or shared
    return Path(place) / f"distill_nb-gpu-{owner}-{device.replace('/', '_')}.{what}"


@cache
def _uuids() -> tuple[str, ...]:
    """The UUIDs of the machine's GPUs, by their numbers (with CUDA_DEVICE_ORDER=PCI_BUS_ID)."""
    return tuple(re.findall(r"^GPU \d+: .*\(UUID: ([^)]+)\)", _nvidia_smi(), re.MULTILINE))


def _nvidia_smi() -> str:
    command = ["nvidia-smi", "-L"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
