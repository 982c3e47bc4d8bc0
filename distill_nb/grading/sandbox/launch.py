"""Start a worker at a level: its command line and settings, its process and control socket."""

import contextlib
import itertools
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from distill_nb.grading.sandbox import bubblewrap, folders, packages, places, report, wire
from distill_nb.grading.sandbox.bubblewrap import DEVICES, FOLDER_SIZE, HERE, WorkerFailed
from distill_nb.runtime.memory_group import MemoryGroup

MEMORY = 4 * 2**30  # bytes of a candidate's address space, as in evalplus
FULL = MEMORY + 2**28  # bytes of a worker and all that its candidate holds, files among them
FILE_SIZE = 16 * 2**20  # bytes of any file that a candidate writes
FILES, THREADS = 64, 256  # open files; threads
# Threads by which RLIMIT_NPROC is raised where it counts those of the user's other programs too,
# which may start and end at any time. The worker then counts the candidate's own (watch.py).
OTHERS = 8192
OWN_COUNT = (5, 14)  # the first Linux that counts a user namespace's threads apart
STACK_KIB = 512 * 1024  # of the main thread, for deep recursion in C
# as root: ids of users that own nothing, systemd's range for dynamic users; one for each worker
FIRST_UID, UIDS = (61184, 4336)
START_SECONDS = 60
_numbers = itertools.count()


def _python() -> str:
    """The interpreter outside its virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _user_threads() -> int:
    """The number of this user's threads on this machine: RLIMIT_NPROC counts them all."""
    count = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = status.read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines if ":" in line)
            if int(fields["Uid"].split()[0]) == os.getuid():
                count += int(fields["Threads"])
    return count


def _counted_apart(level: str) -> bool:
    """Whether the kernel counts the threads of an ordinary user's worker apart from the others."""
    try:
        release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    except ValueError:
        return False
    return level == "bubblewrap" and release >= OWN_COUNT


def command(
    level: str,
    loaded: tuple[str, ...],
    hidden: tuple[str, ...] = (),
    group: MemoryGroup | None = None,
) -> tuple[list[str], dict]:
    """The command line of a worker at a level, and the settings that it is then sent. loaded: the
    packages that it has. group: where it runs."""
    python, brought = _python(), packages.places(loaded)
    seen = places.View((), ())
    if level != "process":
        seen = places.view(python, brought)
        places.warm(seen, brought)
    hide = places.hidden(seen.folders, hidden, brought)
    inside, site = str(HERE), sorted({str(Path(place).parent) for place in brought})
    to_import = list(brought)
    if level == "bubblewrap":
        inside, site, to_import = (
            bubblewrap.OWN,
            [bubblewrap.SITE] if brought else [],
            [bubblewrap.SITE],
        )
    root, uid = sys.platform == "linux" and os.geteuid() == 0, None
    if root and level != "process":
        uid = FIRST_UID + (os.getpid() * 37 + next(_numbers)) % UIDS
    limits = {
        "RLIMIT_AS": MEMORY,
        "RLIMIT_FSIZE": FILE_SIZE,
        "RLIMIT_NOFILE": FILES,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_NPROC": THREADS,
    }
    apart = uid is not None or _counted_apart(level)
    if sys.platform == "linux" and not apart:
        limits["RLIMIT_NPROC"] += _user_threads() + OTHERS
    elif sys.platform != "linux":
        del limits["RLIMIT_NPROC"]
    settings = {
        "level": level,
        "uid": uid,
        "site": site,
        "packages": list(loaded),
        "readable": [*seen.files, *seen.folders, *to_import, *DEVICES],
        "hidden": hide,
        "limits": limits,
        "counted": level == "bubblewrap",  # whether none but its own processes take numbers
        "threads": 0 if apart or sys.platform != "linux" else THREADS,
        "writable": bubblewrap.WRITABLE if level == "bubblewrap" else None,
        "bytes": None,
    }
    line = [python, *places.FLAGS, f"{inside}/worker.py"]
    if level == "bubblewrap":
        line = [*bubblewrap.line(seen, hide, brought, root), *line]
    # The limit on the stack is read when a program starts, so the shell sets it: the soft limit
    # alone, at most the hard one, since programs of contests raise it themselves.
    stack = f'ulimit -S -s {STACK_KIB} 2>/dev/null || ulimit -S -s "$(ulimit -H -s)"'
    # Where the machine runs out of memory, candidates go before the grader, which may hold a model.
    first = "echo 1000 2>/dev/null >/proc/self/oom_score_adj"
    if group is not None:
        first += f"; echo 0 2>/dev/null >{shlex.quote(str(group.entrance))}"
    return ["/bin/sh", "-c", f'{stack}; {first}; exec "$@"', "sh", *line], settings


class Worker:
    """A running worker with packages loaded; without any a fork is half the work. It ends with
    `close`, and with the thread that started it. room: bytes that it may have with its candidate,
    where it has a control group of its own."""

    def __init__(self, level: str, loaded: tuple[str, ...], hidden: tuple[str, ...] = ()) -> None:
        self.level, self._loaded, self._hidden = level, loaded, hidden
        self._serial, self._dirty, self.room = 0, False, FULL
        self._start()

    def _start(self) -> None:
        self._folder, self._group, folder = None, None, "/"
        with contextlib.suppress(OSError):  # no group may be made here
            self._group = MemoryGroup(self.room)
            self._before = self._group.counts()
        line, settings = command(self.level, self._loaded, self._hidden, self._group)
        if self.level != "bubblewrap":  # there is no tmpfs: a folder of its own to write in
            try:
                self._folder = folders.Folder(settings["uid"])
            except OSError as error:
                self._remove()
                raise WorkerFailed(f"there is no temporary folder: {error}") from error
            folder = settings["writable"] = self._folder.name
            settings["bytes"] = FOLDER_SIZE
        self._control, theirs = socket.socketpair()
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": settings["writable"],
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",  # the same order of sets in every run
        }
        if "OPENBLAS_CORETYPE" in os.environ:  # a user who sets it needs it
            environment["OPENBLAS_CORETYPE"] = os.environ["OPENBLAS_CORETYPE"]
        with theirs, tempfile.TemporaryFile() as errors:
            try:
                self._process = subprocess.Popen(
                    line,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env=environment,
                    cwd=folder,
                    start_new_session=True,
                )
            except OSError as error:
                self._control.close()
                self._remove()
                raise WorkerFailed(f"could not start: {error}") from error
            theirs.close()
            try:
                wire.send(self._control, json.dumps(settings).encode())
                self._answer(START_SECONDS)
            except (WorkerFailed, OSError) as failure:  # OSError: also a TimeoutError
                self.close()
                errors.seek(0)
                said = errors.read(20_000).decode("utf-8", "replace").strip().splitlines()
                raise WorkerFailed(f"could not start: {said[-1] if said else failure}") from failure
        if self._group is not None and self._group.empty():  # it may not be entered
            self._group.remove()
            self._group = None

    def begin(
        self, seconds: list[float], load: float, total: float, slack: float, patience: float
    ) -> socket.socket:
        """Have a child forked for a job; returns a socket to it alone. Limits in seconds of
        processor time, for each input, for loading, in all; at `slack` times these it is killed.
        patience: as in watch.py."""
        if self._dirty:  # the last candidate left files; a new worker has an empty tmpfs
            self.restart()
        if self._group is not None:
            self._before = self._group.counts()
        self._serial += 1
        self._inputs, self._longest = len(seconds), slack * total
        ours, theirs = socket.socketpair()
        job = dict(
            serial=self._serial,
            seconds=seconds,
            load=load,
            total=total,
            slack=slack,
            patience=patience,
        )
        with theirs:
            try:
                wire.send(self._control, json.dumps(job).encode(), (theirs.fileno(),))
            except OSError as error:
                ours.close()
                raise WorkerFailed("the worker died") from error
        return ours

    def restart(self) -> None:
        """Start it anew, without anything that a candidate may have left."""
        self.close()
        self._start()

    def stop(self) -> None:
        """End the child now."""
        with contextlib.suppress(OSError):
            wire.send(self._control, json.dumps({"stop": self._serial}).encode())

    def end(self, seconds: float) -> dict | None:
        """How the child ended (report.read), or None after `seconds` of wall time. over: `over`."""
        try:
            end = report.read(self._answer(seconds))
        except TimeoutError:
            return None
        except ValueError as error:
            raise WorkerFailed("the worker died") from error
        if end["serial"] != self._serial:
            raise WorkerFailed("the worker answered out of turn")
        self._dirty, end["over"] = end["dirty"], self.over()
        end["late"] = min(end["late"], self._inputs)
        if end["exit"] == -signal.SIGKILL and not end["stopped"] and end["seconds"] > self._longest:
            end["stopped"] = "timeout"  # by RLIMIT_CPU
        return end

    def allow(self, room: int) -> None:
        """From now on, so many bytes for it and its candidate."""
        if self._group is not None and room != self.room:
            with contextlib.suppress(OSError):  # more is in use
                self._group.allow(room)
                self.room = room

    def used(self) -> int:
        """Bytes that it uses, as far as they are known."""
        return self._group.used() if self._group is not None else 0

    def over(self) -> bool:
        """Whether the kernel has killed something here since the last job began because it took
        more than `room`."""
        if self._group is None:
            return False
        with contextlib.suppress(OSError):  # somebody has removed it
            hits, killed = self._group.counts()
            return hits > self._before[0] and killed > self._before[1]
        return False

    def kill(self) -> None:
        """Kill the worker and all that runs in it. For any thread."""
        self._process.kill()

    def close(self) -> None:
        """Kill it and clean up."""
        self._control.close()
        self._process.kill()
        self._process.wait()
        self._remove()

    def _remove(self) -> None:
        if self._folder is not None:
            self._folder.remove()
        if self._group is not None:
            self._group.remove()
        self._folder = self._group = None

    def _answer(self, seconds: float) -> bytes:
        self._control.settimeout(seconds)
        try:
            return wire.receive(self._control, longest=100_000)[0]
        except TimeoutError:
            raise
        except (OSError, EOFError, ValueError) as error:
            raise WorkerFailed("the worker died") from error
        finally:
            self._control.settimeout(None)
