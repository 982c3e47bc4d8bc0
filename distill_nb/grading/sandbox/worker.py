"""The long-lived process inside the sandbox: it forks once for each candidate and watches over it.

It has the usual modules and packages loaded, so that a candidate costs a fork. It never sees code,
inputs or values: each job comes with a socket of its own that only the forked child reads. It keeps
time (watch.py) and reports how the child ended. A script that is sent its settings as JSON;
standard library only, besides the packages."""

import contextlib
import gc
import importlib
import json
import os
import signal
import site
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import child
import confine
import locks
import mappings
import report
import seccomp
import watch
import wire

# so that a candidate's own modules of these names come first
for _name in (
    "child",
    "codec",
    "confine",
    "locks",
    "mappings",
    "report",
    "seccomp",
    "watch",
    "wire",
):
    sys.modules.pop(_name, None)
sys.path.pop(0)

COMMON = (
    "bisect", "collections", "copy", "ctypes", "datetime", "decimal", "fractions", "functools",
    "heapq", "itertools", "math", "operator", "re", "statistics", "string", "typing",
)  # fmt: skip


def serve(control: socket.socket, settings: dict, rules: int) -> None:
    """Fork a child for each job until the grader closes the control socket."""
    shared = mappings.shared(report.SHARED)
    found = report.Report(shared)
    clean, settings["bell"] = watch.trace(settings["writable"]), watch.bell()
    while True:
        message, descriptors = wire.receive(control, 1)
        if not descriptors:  # the word to stop a child that has already ended
            continue
        (channel,), job = descriptors, json.loads(message)
        pid = os.fork()
        if pid == 0:
            watch.without_bell()
            child.run(channel, shared, settings, rules)
        settings["next"] = pid + 1
        os.close(channel)
        try:
            end = watch.watch(pid, shared, control, settings, found=found, **job)
        except EOFError:
            os.kill(pid, signal.SIGKILL)
            raise
        dirty = watch.trace(settings["writable"]) != clean
        found.send(control, job["serial"], dirty, *end)


def load_modules(folders: list[str], packages: list[str]) -> None:
    """Load what candidates commonly import; exit and quit, which -S leaves out; the packages that
    are wanted, which lie in `folders`."""
    for name in COMMON:
        importlib.import_module(name)
    site.setquit()
    site.sethelper()
    locks.install()
    mappings.install()
    before = [*sys.path]
    sys.path += folders
    for name in packages:
        module = importlib.import_module(name)
        if name == "numpy":
            module.random.seed(0)
        if name == "sympy":
            importlib.import_module("sympy.core.random").seed(0)
    sys.path[:] = before  # these alone, not what else is installed there


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
    load_modules(settings["site"], settings["packages"])
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
        for folder in {*filter(os.path.isdir, sys.path), *(settings["site"] or ["/"])}:
            descriptor = os.open(folder, os.O_PATH)
            opened[folder] = os.dup2(descriptor, child.FOLDERS + len(opened), inheritable=False)
            os.close(descriptor)
        confine.become(settings["uid"])
        confine.die_with_parent()  # again, as a change of user undoes it
        in_reach(opened)
    settings["folders"], settings["next"] = len(opened), 0
    confine.give_up_privileges()
    try:
        seccomp.of_child(0)  # made once for all children
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
