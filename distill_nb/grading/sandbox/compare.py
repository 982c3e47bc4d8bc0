"""The disposable process in which values that candidates sent meet the expected ones.

A comparison can be made to explode: a set whose hashes collide, a number of a million digits,
arrays that broadcast. So it happens in a process of its own with limits on memory and processor
time, which is thrown away when it fails. Run as a script it is that process; `Comparer` is the
grader's end. What the process cannot compare does not pass."""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import os
import select
import signal
import struct
import subprocess
import sys
from pathlib import Path

MEMORY = 2 * 2**30  # bytes of address space
SECONDS = 5  # of processor time for one comparison
WALL_SECONDS = 120  # after which it is the machine's fault
READY = b"r"


def numpy_folder() -> str | None:
    """The folder that holds numpy, without importing it."""
    found = importlib.util.find_spec("numpy")
    return str(Path(found.origin).resolve().parent.parent) if found and found.origin else None


class ComparerFailed(RuntimeError):
    """The process could not be started, or was lost through no fault of the values: a failure of
    our own."""


class Comparer:
    """The grader's end: a process that is started when it is needed. Use it from one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def value_passes(
        self,
        rule: str,
        value: bytes,
        expected: bytes,
        args: bytes,
        atol: float,
        dataset: str,
        entry_point: str,
    ) -> tuple[bool, str]:
        """(passes, why not in special cases) for two values as the codec's bytes. args: marshal's
        bytes of our own input. Raises ComparerFailed."""
        return self._ask(("value", rule, value, expected, args, atol, dataset, entry_point))

    def output_passes(self, out: bytes, expected: str) -> tuple[bool, str]:
        """The same for the output of a program."""
        return self._ask(("output", out, expected))

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            process.stdout.close()
            with contextlib.suppress(OSError):  # what was left to write
                process.stdin.close()

    def _ask(self, question: tuple) -> tuple[bool, str]:
        if self._process is None:
            self._start()
        process, data = self._process, marshal.dumps(question, 2)
        with contextlib.suppress(OSError):  # it ended while it was reading
            process.stdin.write(struct.pack("<I", len(data)))
            process.stdin.write(data)
            process.stdin.flush()
        answer = self._read(WALL_SECONDS)
        if answer in (b"0", b"1"):
            return answer == b"1", ""
        status = process.poll() if answer is None else process.wait()
        self.close()
        if status is None:
            raise ComparerFailed(f"a comparison took over {WALL_SECONDS} s")
        if status == -signal.SIGKILL:  # the kernel's, for want of memory, or somebody's
            raise ComparerFailed("the process that compares was killed")
        return False, "could not be compared within the limits of memory and time"

    def _start(self) -> None:
        script = Path(__file__).resolve()
        environment = {k: v for k, v in os.environ.items() if k == "OPENBLAS_CORETYPE"} | {
            "OMP_NUM_THREADS": "1"
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-B", str(script), str(SECONDS), numpy_folder() or ""],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ComparerFailed(f"could not start the process that compares: {error}") from error
        if self._read(WALL_SECONDS) != READY:
            self.close()
            raise ComparerFailed("the process that compares did not start")

    def _read(self, seconds: float) -> bytes | None:
        """One byte, b"" at the end, None if it takes too long."""
        output, poll = self._process.stdout.fileno(), select.poll()
        poll.register(output, select.POLLIN)
        return os.read(output, 1) if poll.poll(seconds * 1000) else None


def serve() -> None:
    """The process: read a question, write 1 or 0, until the grader's end closes."""
    sys.path[:0] = [str(Path(__file__).resolve().parent), sys.argv[2]]
    import codec
    import confine
    import numpy  # noqa: F401  before the limits, and before the first values
    import rules

    confine.die_with_parent()
    with (
        contextlib.suppress(OSError),
        open("/proc/self/oom_score_adj", "w") as first,
    ):  # as in launch.command
        first.write("1000")
    confine.set_limits(
        {"RLIMIT_AS": MEMORY, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 16}
    )
    seconds = float(sys.argv[1])
    sys.set_int_max_str_digits(10_000)
    os.write(1, READY)
    source = sys.stdin.buffer
    while head := source.read(4):
        kind, *question = marshal.loads(source.read(struct.unpack("<I", head)[0]))
        # Processor time, whose signal ends the process: no loop in C can put it off.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            if kind == "value":
                rule, value, expected, args, atol, dataset, entry_point = question
                classes: dict = {}
                verdict = rules.passes(
                    rule,
                    codec.decode(value, classes),
                    codec.decode(expected, classes),
                    marshal.loads(args),
                    atol,
                    dataset,
                    entry_point,
                )
            else:
                verdict = rules.output_passes(question[0].decode("utf-8", "replace"), question[1])
        except ValueError:  # bytes that are no value
            verdict = False
        except (MemoryError, RecursionError):
            os._exit(1)
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(1, b"1" if verdict else b"0")


if __name__ == "__main__":
    serve()
