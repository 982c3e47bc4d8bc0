"""The forked process that runs one candidate: it reads its job, confines itself, runs, and ends.

Once its code runs, a candidate can reach everything here. But it can forge only its own results,
which must equal values that it has never seen. Read inside the sandbox: standard library only."""

import atexit
import contextlib
import gc
import io
import marshal
import mmap
import os
import random
import resource
import struct
import sys
import tempfile
import threading
import time
from typing import Any, TextIO

import codec
import confine
import report
import seccomp
import wire

CHANNEL, RULES, FOLDERS = 3, 10, 20  # file descriptors


def describe(error: BaseException) -> str:
    """One line on an exception, even where its __str__ fails."""
    try:
        return f"{type(error).__name__}: {error}"[: wire.LONGEST_TEXT]
    except BaseException:
        return "an exception that cannot be shown"


def run(channel: int, shared: mmap.mmap, settings: dict, rules: int) -> None:
    """Read the job, confine this process, run the candidate. Never returns."""
    try:
        os.dup2(channel, CHANNEL, inheritable=False)
        os.closerange(CHANNEL + 1, RULES)
        os.closerange(RULES + 1, FOLDERS)
        os.closerange(FOLDERS + settings["folders"], 4096)
        size = struct.unpack("<I", wire.read_exactly(CHANNEL, 4))[0]
        job = marshal.loads(wire.read_exactly(CHANNEL, size))
        if settings["counted"] and settings["next"] not in (0, os.getpid()):
            os.write(CHANNEL, b"R")  # the one before had threads, and how many could be a message
            os._exit(0)
        mode, prelude, code, entry_point, inputs, limits, iterate, cpu_seconds, one_failure = job
        # opened anew: flags set on the worker's own would reach the next candidate
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.close(nothing)
        if mode == "program":
            standard_files(inputs[0])
        confine.die_with_parent()
        confine.give_up_privileges()
        confine.set_limits(settings["limits"] | {"RLIMIT_CPU": int(cpu_seconds) + 2})
        try:
            confine.restrict(rules)
            if settings["filtered"]:
                confine.add_filter(seccomp.of_child(os.getpid()))
            if rules >= 0:
                os.close(rules)
        except OSError as error:
            if settings["level"] != "process":
                os.write(CHANNEL, b"F" + repr(error).encode()[:200])
                os._exit(1)
        os.write(CHANNEL, b"C")  # from here on the channel may say anything
        preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        report.PREEMPTED.pack_into(shared, report.SHARED - report.PREEMPTED.size, preempted)
        random.seed(0)
        atexit._clear()
        sources = [(prelude, "<prelude>"), (code, "<candidate>")]
        if mode == "program":
            run_program(shared, sources, limits[0])
        else:
            run_function(shared, sources, entry_point, inputs, limits, iterate, one_failure)
    except BaseException as error:
        note(shared, describe(error))
        os._exit(1)
    os._exit(0)


def note(shared: mmap.mmap, text: str) -> None:
    """Leave a text for the worker."""
    data = text.encode("utf-8", "replace")[: report.LONGEST_NOTE]
    place, late, _ = report.PLACES.unpack_from(shared)
    shared[: report.PLACES.size + len(data)] = report.PLACES.pack(place, late, len(data)) + data


def run_function(
    shared: mmap.mmap,
    sources: list,
    entry_point: str,
    inputs: list,
    limits: list,
    iterate: bool,
    one_failure: bool,
) -> None:
    """Define the function, call it with each input in turn and send a frame for each.
    one_failure: an exception ends it."""
    pack, late, clock = wire.FRAME.pack, 0, time.process_time
    namespace: dict = {}  # empty, as evalplus has it: __name__ is "builtins"
    try:
        for text, name in sources:
            if text:
                exec(compile(text, name, "exec", dont_inherit=True), namespace)
        function = eval(entry_point, namespace)
    except BaseException as error:
        data = describe(error).encode("utf-8", "replace")
        return wire.write_all(CHANNEL, pack(b"L", 0, len(data)) + data)
    for i, args in enumerate(inputs):
        args = marshal.loads(args)
        report.PLACES.pack_into(shared, 0, i + 1, late, 0)
        started = clock()
        try:
            value = function(*args)
            # a finer clock than the worker's, which is coarse but out of the candidate's reach
            if clock() - started > limits[i] and not late:
                late = i + 1
                report.PLACES.pack_into(shared, 0, i + 1, late, 0)
            kind, data = b"V", codec.encode(value, iterate)
        except BaseException as error:
            kind, data = b"E", describe(error).encode("utf-8", "replace")
        wire.write_all(CHANNEL, pack(kind, i, len(data)) + data)
        if kind == b"E" and one_failure:
            return


def standard_files(text: bytes) -> None:
    """Standard input from memory: a real file, for readers below Python's own."""
    in_memory = hasattr(os, "memfd_create")
    with open(os.memfd_create("stdin"), "w+b") if in_memory else tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        os.dup2(file.fileno(), 0)
    stdin = standard_stream(0, "r", "<stdin>")
    for name in ("stdin", "__stdin__"):
        setattr(sys, name, stdin)


def standard_stream(descriptor: int, mode: str, name: str) -> io.TextIOWrapper:
    """A text stream with the mode and name that an interpreter gives its own; programs of contests
    ask for the mode."""
    raw: Any = io.FileIO(descriptor, mode, closefd=False)
    raw.name = name
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    stream: Any = io.TextIOWrapper(buffer, encoding="utf-8", errors="surrogateescape")
    stream.mode = mode
    return stream


def run_program(shared: mmap.mmap, sources: list, limit: float) -> None:
    """Run the program as __main__, its output to the grader, and end as an interpreter ends."""
    os.dup2(CHANNEL, 1)
    os.close(CHANNEL)
    stdout = standard_stream(1, "w", "<stdout>")
    for name in ("stdout", "__stdout__"):
        setattr(sys, name, stdout)
    module = sys.modules["__main__"] = type(sys)("__main__")
    report.PLACES.pack_into(shared, 0, 1, 0, 0)
    clock, failure = time.process_time, None
    try:
        for text, name in sources:
            if text:
                exec(compile(text, name, "exec", dont_inherit=True), module.__dict__)
    except SystemExit:
        pass
    except BaseException as error:
        failure = describe(error)
    # _shutdown closes executors and joins threads
    for end in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        with contextlib.suppress(BaseException):  # an interpreter's end ignores them too
            end()
    flush(sys.stdout, stdout)
    report.PLACES.pack_into(shared, 0, 1, int(clock() > limit), 0)
    # Files that the program never closed are written when their objects go. The interpreter's own
    # end would do so too, but it would also take down what the worker has loaded.
    namespace = module.__dict__
    del sys.modules["__main__"], module
    gc.collect()
    namespace.clear()
    gc.collect()
    flush(stdout)
    if failure is not None:
        note(shared, failure)
        os._exit(1)


def flush(*streams: TextIO) -> None:
    """Write what is left in their buffers; a program may have closed or replaced them."""
    for stream in streams:
        with contextlib.suppress(BaseException):
            stream.flush()
