"""The disposable process that compares candidates' values with the expected ones.

A hostile value can make a comparison explode: a set whose hashes collide, a number of a million
digits, arrays that broadcast. The process has limits on memory and processor time, and is thrown
away when it fails; what it cannot compare does not pass. It is this file run as a script;
`Comparer` is the grader's end."""

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
WALL_SECONDS = 120  # beyond these the machine is at fault
READY = b"r"


def numpy_folder() -> str | None:
    """The folder that holds numpy, without importing it."""
    found = importlib.util.find_spec("numpy")
    return str(Path(found.origin).resolve().parent.parent) if found and found.origin else None


class ComparerFailed(RuntimeError):
    """The process could not be started, or was lost through no fault of the values."""


class Comparer:
    """The grader's end. The process starts at the first question. For one thread."""

    _process: subprocess.Popen[bytes] | None = None

    def value_passes(
        self, rule: str, value: bytes, expected: bytes, args: bytes, *problem: float | str
    ) -> tuple[bool, str]:
        """(passes, why not where it could not be compared) for two values as the codec's bytes.
        args: of our own input, by marshal. problem: atol, dataset, entry_point."""
        return self._ask(("value", rule, value, expected, args, *problem))

    def output_passes(self, out: bytes, expected: str) -> tuple[bool, str]:
        """The same for the output of a program."""
        return self._ask(("output", out, expected))

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError), process:  # OSError: what was left to write
                process.kill()

    def _ask(self, question: tuple) -> tuple[bool, str]:
        process, data = self._process or self._start(), marshal.dumps(question, 2)
        assert process.stdin
        with contextlib.suppress(OSError):  # it ended while it was reading
            process.stdin.write(struct.pack("<I", len(data)))
            process.stdin.write(data)
            process.stdin.flush()
        answer = _read_byte(process)
        if answer in (b"0", b"1"):
            return answer == b"1", ""
        status = process.poll() if answer is None else process.wait()
        self.close()
        if status is None:
            raise ComparerFailed(f"a comparison took over {WALL_SECONDS} s")
        if status == -signal.SIGKILL:  # by the kernel, for want of memory, or from outside
            raise ComparerFailed("the process that compares was killed")
        return False, "could not be compared within the limits of memory and time"

    def _start(self) -> subprocess.Popen[bytes]:
        script = str(Path(__file__).resolve())
        environment = {"OMP_NUM_THREADS": "1"}
        if "OPENBLAS_CORETYPE" in os.environ:
            environment["OPENBLAS_CORETYPE"] = os.environ["OPENBLAS_CORETYPE"]
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-B", script, str(SECONDS), numpy_folder() or ""],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ComparerFailed(f"could not start the process that compares: {error}") from error
        if _read_byte(process) != READY:
            self.close()
            raise ComparerFailed("the process that compares did not start")
        return process


def _read_byte(process: subprocess.Popen[bytes]) -> bytes | None:
    """One byte of its output, b"" at the end, None after WALL_SECONDS."""
    assert process.stdout
    output, poll = process.stdout.fileno(), select.poll()
    poll.register(output, select.POLLIN)
    return os.read(output, 1) if poll.poll(WALL_SECONDS * 1000) else None


def serve() -> None:
    """The process: read a question, write 1 or 0, until the grader closes its end."""
    sys.path[:0] = [str(Path(__file__).resolve().parent), sys.argv[2]]
    import codec
    import confine
    import numpy  # noqa: F401  before the limits, and before the first values
    import rules

    confine.die_with_parent()
    # where memory runs out it goes before the grader, as in launch.command
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    limits = {"RLIMIT_AS": MEMORY, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 16}
    confine.set_limits(limits)
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
                rule, value, expected, args, *problem = question
                classes: dict = {}
                values = codec.decode(value, classes), codec.decode(expected, classes)
                verdict = rules.passes(rule, *values, marshal.loads(args), *problem)
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
