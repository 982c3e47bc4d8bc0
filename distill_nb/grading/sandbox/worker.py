"""The long-lived process inside the sandbox: it forks once for each candidate and watches over it.

It has numpy and the usual modules loaded, so that a candidate costs a fork. It never sees code,
inputs or values: each job comes with a socket of its own that only the forked child reads. It keeps
time, by the kernel's clock of the child's processor time, and reports how the child ended. A script
that is sent its settings as JSON; standard library only, besides numpy."""

import contextlib
import gc
import importlib
import json
import mmap
import os
import select
import signal
import site
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import child
import confine
import seccomp
import wire

# so that a candidate's own modules of these names come first
for _name in ("child", "codec", "confine", "wire", "seccomp"):
    sys.modules.pop(_name, None)
sys.path.pop(0)

TICK = (0.002, 0.05)  # seconds between looks at a child's clock, at least and at most
IDLE = 10.0  # seconds that a candidate may sleep in all
# files and folders: the tmpfs limits bytes, but even empty files take the kernel's memory
MOST_FILES = 10_000
COMMON = (
    "bisect", "collections", "copy", "ctypes", "datetime", "decimal", "fractions", "functools",
    "heapq", "itertools", "math", "operator", "re", "statistics", "string", "typing",
)  # fmt: skip


def wall_limit(seconds: float) -> float:
    """The backstop on wall time: generous, as a busy machine is not the candidate's fault."""
    return 4 * seconds + 2


def watch(
    pid: int,
    shared: mmap.mmap,
    control: socket.socket,
    folder: str | None,
    serial: int,
    seconds: list[float],
    load: float,
    total: float,
    slack: float,
) -> dict:
    """Wait for the child's end, and report it. The child is killed at the grader's word, when an
    input has had `slack` times its seconds, or when `folder` fills with files. Past its seconds an
    input is late; the grader decides what that means."""
    # the kernel's number for that process's clock
    clock = ((~pid) << 3) | 2 if sys.platform == "linux" else None
    ended = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    poll = select.poll()
    poll.register(control, select.POLLIN)
    if ended >= 0:
        poll.register(ended, select.POLLIN)
    at, cpu, from_cpu, stopped, pause = 0, 0.0, 0.0, "", TICK[0]
    started = from_wall = time.monotonic()
    late = status = 0
    usage = None
    while True:
        events = [fd for fd, _ in poll.poll(pause * 1000)]
        if ended < 0 or ended in events:
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                break
        if control.fileno() in events:
            # EOFError: the grader is gone; this process ends, and the child with it
            message = json.loads(wire.receive(control)[0])
            if message == {"stop": serial}:
                stopped = "stopped"
                break
        now = time.monotonic()
        try:
            cpu = time.clock_gettime(clock) if clock is not None else now - started
        except OSError:  # it has just ended
            continue
        place = min(child.PLACES.unpack_from(shared)[0], len(seconds))
        if place > at:
            at, from_cpu, from_wall = place, cpu, now
        limit = seconds[at - 1] if at else load
        used = max((cpu - from_cpu) / limit, cpu / total)
        late = late or (used > 1 and max(at, 1))
        if used > slack:
            stopped = "timeout"
            break
        wall = now - started
        # no machine is so busy that it gives code less than a twentieth of the time beyond IDLE
        asleep = clock is not None and wall > IDLE + 20 * cpu
        if asleep or now - from_wall > wall_limit(limit) or wall > wall_limit(total):
            stopped = "asleep"
            break
        disk = os.statvfs(folder) if folder is not None else None
        if disk is not None and disk.f_files - disk.f_ffree > MOST_FILES:
            stopped = "files"
            break
        left = ((slack if late else 1) - used) * limit
        pause = min(max(left, TICK[0]), TICK[1]) if ended >= 0 else TICK[0]
    if usage is None:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    if ended >= 0:
        os.close(ended)
    _, first_late, size = child.PLACES.unpack_from(shared)
    text = shared[child.PLACES.size : child.PLACES.size + min(size, child.LONGEST_NOTE)]
    return {
        "serial": serial,
        "stopped": stopped,
        "late": min(late or first_late, len(seconds)),
        "at": at,
        "exit": os.waitstatus_to_exitcode(status),
        "seconds": usage.ru_utime + usage.ru_stime,
        "wall": time.monotonic() - started,
        "note": text.decode("utf-8", "replace"),
    }


def trace(folder: str | None) -> tuple:
    """What a candidate can leave for the next: files, and a folder's times where they are gone."""
    if folder is None:
        return ()
    names, state = os.listdir(folder), os.stat(folder)
    return names, state.st_mtime_ns, state.st_ctime_ns, state.st_mode


def serve(control: socket.socket, settings: dict, rules: int) -> None:
    """Fork a child for each job until the grader closes the control socket."""
    shared = mmap.mmap(-1, child.SHARED)
    clean = trace(settings["writable"])
    while True:
        message, descriptors = wire.receive(control, 1)
        if not descriptors:  # the word to stop a child that has already ended
            continue
        (channel,), job = descriptors, json.loads(message)
        shared[:] = bytes(child.SHARED)
        pid = os.fork()
        if pid == 0:
            child.run(channel, shared, settings, rules)
        os.close(channel)
        try:
            end = watch(pid, shared, control, settings["writable"], **job)
        except EOFError:
            os.kill(pid, signal.SIGKILL)
            raise
        end["dirty"] = trace(settings["writable"]) != clean
        wire.send(control, json.dumps(end).encode())


def load_modules(packages: str | None) -> None:
    """Load what candidates commonly import; exit and quit, which -S leaves out; numpy if wanted."""
    for name in COMMON:
        importlib.import_module(name)
    site.setquit()
    site.sethelper()
    if packages:
        sys.path.append(packages)
        import numpy

        sys.path.remove(packages)  # numpy alone, not what else is installed there
        numpy.random.seed(0)


def in_reach(opened: dict[str, int]) -> None:
    """Reach Python's folders through open descriptors where the new user may not walk to them."""

    def reachable(path: str) -> str:
        for folder, descriptor in opened.items():
            if path == folder or path.startswith(folder + "/"):
                return f"/proc/self/fd/{descriptor}{path[len(folder) :]}"
        return path

    if all(os.access(folder, os.R_OK | os.X_OK) for folder in opened):
        return
    sys.path[:] = map(reachable, sys.path)
    for module in list(sys.modules.values()):
        if isinstance(getattr(module, "__path__", None), list):
            module.__path__[:] = map(reachable, module.__path__)
    sys.path_importer_cache.clear()


def main() -> None:
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # the shell's, see launch.py
        os.environ.pop(name, None)
    control = socket.socket(fileno=os.dup(0))
    confine.die_with_parent()
    settings = json.loads(wire.receive(control)[0])  # a candidate could read an argument
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):  # errors of our own still go to the grader
        os.dup2(nothing, standard)
    load_modules(settings["site"])
    threading.stack_size(2**23)  # not RLIMIT_STACK's, which is large, for deep recursion
    rules = -1
    opened: dict[str, int] = {}
    abi = confine.landlock_abi()
    if settings["level"] != "process" and abi >= confine.OLDEST_LANDLOCK:
        writable = [settings["writable"]] if settings["writable"] else []
        made = confine.landlock_rules(settings["readable"], writable, settings["hidden"])
        rules = os.dup2(made, child.RULES, inheritable=False)
        os.close(made)
    elif settings["level"] == "landlock":
        needed = f"Landlock {confine.OLDEST_LANDLOCK} or later (Linux 6.2)"
        raise RuntimeError(f"{needed} is needed, and this is {abi or 'none'}")
    if settings["uid"] is not None:
        for folder in {*filter(os.path.isdir, sys.path), settings["site"] or "/"}:
            descriptor = os.open(folder, os.O_PATH)
            opened[folder] = os.dup2(descriptor, child.FOLDERS + len(opened), inheritable=False)
            os.close(descriptor)
        confine.become(settings["uid"])
        confine.die_with_parent()  # again, as a change of user undoes it
        in_reach(opened)
    settings["folders"] = len(opened)
    confine.give_up_privileges()
    try:
        confine.add_filter(seccomp.of_worker())
        settings["filtered"] = True
    except (OSError, KeyError) as error:  # KeyError: a processor that seccomp.py has no list for
        settings["filtered"] = False
        if settings["level"] != "process":
            raise RuntimeError(f"seccomp does not work here: {error!r}") from error
    del settings["readable"], settings["hidden"]
    sys.argv, sys.orig_argv = ["candidate"], ["python", "candidate"]
    gc.collect()
    gc.freeze()  # so that a child's collections do not copy this process's pages
    os.dup2(nothing, 2)
    wire.send(control, json.dumps({"ready": True, "landlock": rules >= 0}).encode())
    with contextlib.suppress(EOFError):  # the grader has closed its end
        serve(control, settings, rules)
    os._exit(0)


if __name__ == "__main__":
    main()
