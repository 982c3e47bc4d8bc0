"""One job in one worker: send it, read what comes back, compare, decide. Runs in the grader."""

import contextlib
import marshal
import signal
import socket
import struct
from collections.abc import Iterator

from distill_nb.grading.sandbox import rules, wire
from distill_nb.grading.sandbox.compare import Comparer
from distill_nb.grading.sandbox.jobs import FunctionTests, Job, ProgramTests, Result
from distill_nb.grading.sandbox.launch import FULL, Worker, WorkerFailed

LOAD_SECONDS = 5.0  # of processor time to define the functions
# of processor time for all calls of an evalplus job, which is base or plus inputs: as evalplus
TOTAL_SECONDS = 60.0
# of wall time beyond the processor time twice over: its own clocks may have run out meanwhile, or
# its threads were slow to end
WAITED = 1.0
IDLE = 60.0  # seconds that a program may sleep in all its tests; worker.IDLE is for one
GRACE = 60.0  # seconds of wall time after which a worker that does not answer is given up
SHORTER = 300  # characters of a detail
# why the worker stopped it (watch.MOST_FILES, launch.FOLDER_SIZE, launch.THREADS)
TOO_MANY = {"files": "made too many files", "threads": "started too many threads"}
TOO_MUCH = "took too much memory"
OUT_OF_TIME = ("timeout", "asleep")  # by processor time, by the backstop on wall time
KILLED = -signal.SIGKILL  # the exit status


class Ended(Exception):
    """The frames ended or broke before the last one; the reason as its argument."""


def run(
    worker: Worker, comparer: Comparer, job: Job, slack: float = 1.0, patience: float = 1.0
) -> Result:
    """The result of a job. Code may take `slack` times its seconds, but is doubtful beyond these.
    patience: how many times longer than usual it may wait for a processor. Raises WorkerFailed,
    ComparerFailed or OSError where the sandbox itself fails."""
    if isinstance(job.tests, FunctionTests):
        return run_function(worker, comparer, job, job.tests, slack, patience)
    return run_program(worker, comparer, job, job.tests, slack, patience)


def _wall(seconds: float, patience: float) -> float:
    """Wall time by which a worker must have ended a child: watch.wall_limit and a grace."""
    return 4 * patience * seconds + 2 + GRACE


def _begin(
    worker: Worker,
    seconds: list[float],
    total: float,
    slack: float,
    patience: float,
    payload: tuple,
) -> socket.socket:
    """The socket to a child that has its job and has confined itself."""
    channel = worker.begin(seconds, LOAD_SECONDS, total, slack, patience)
    channel.settimeout(_wall(total, patience))
    try:
        data = marshal.dumps(payload, 2)
        channel.sendall(struct.pack("<I", len(data)) + data)
        first = channel.recv(1)
        if first == b"C":
            return channel
        said = channel.recv(200).decode("utf-8", "replace") if first else ""
    except OSError as error:
        said = str(error)
    channel.close()
    raise WorkerFailed(f"a child could not confine itself: {said or 'it ended'}")


def _end(worker: Worker, total: float, patience: float, at_once: bool) -> dict:
    """The child's end. at_once: it has nothing more to send and is stopped if it does not end."""
    end = worker.end(0.2) if at_once else None
    if end is None:
        if at_once:
            worker.stop()
        end = worker.end(_wall(total, patience))
    if end is None:
        raise WorkerFailed("the worker does not answer")
    return end


def frames(channel: socket.socket, count: int) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of exactly `count` frames in order, then the end; anything else is Ended."""
    buffer, received = bytearray(), 0

    def fill(size: int) -> bool:
        nonlocal received
        while len(buffer) < size:
            part = channel.recv(2**18)
            if not part:
                return False
            received += len(part)
            if received > wire.LONGEST_RESULT:
                raise Ended("sent too much")
            buffer.extend(part)
        return True

    for i in range(count):
        if not fill(wire.FRAME.size):
            raise Ended("")
        kind, place, size = wire.FRAME.unpack_from(buffer)
        if kind not in b"VEL" or place != i or (kind == b"L" and i) or size > wire.LONGEST_FRAME:
            too_large = kind == b"V" and place == i
            raise Ended("returned a value that is too large" if too_large else "broke the protocol")
        end = wire.FRAME.size + size
        if not fill(end):
            raise Ended("")
        content = bytes(buffer[wire.FRAME.size : end])
        del buffer[:end]
        yield kind, content
        if kind == b"L":
            return
    if fill(1):
        raise Ended("broke the protocol: more than one end")


def _shown(content: bytes) -> str:
    """A candidate's own words, for a reader."""
    text = content[: 2 * SHORTER].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)[:SHORTER]


def run_function(
    worker: Worker,
    comparer: Comparer,
    job: Job,
    tests: FunctionTests,
    slack: float,
    patience: float,
) -> Result:
    """Call the function with each input, and compare as the values come."""
    outcomes: list[str] = []
    detail = ended = ""
    failed_itself = by_end = False
    total = min(TOTAL_SECONDS if tests.dataset else float("inf"), sum(tests.seconds)) + LOAD_SECONDS
    iterate = tests.dataset == "mbpp" and tests.entry_point in rules.AS_SETS
    start = ("function", job.prelude, job.code, tests.entry_point, tests.inputs)
    payload = (*start, tests.seconds, iterate, total * slack)
    begun = _begin(worker, list(tests.seconds), total, slack, patience, payload)
    with contextlib.closing(begun) as channel:
        try:
            for kind, content in frames(channel, len(tests.inputs)):
                i = len(outcomes)
                if kind == b"L":
                    raise Ended(_shown(content))
                if kind == b"V":
                    passed, why = _passes(comparer, tests, i, content)
                else:
                    passed, why, failed_itself = False, _shown(content), True
                outcomes.append("correct" if passed else "wrong")
                if not passed:
                    detail = detail or f"input {i}: {why or 'another value than expected'}"
                    if job.stop_early:
                        break
        except Ended as end:
            ended = str(end)
        except TimeoutError as error:
            raise WorkerFailed("the worker does not answer") from error
        except OSError as error:  # the child was killed with bytes unread
            ended = str(error)
    end = _end(worker, total, patience, at_once=True)
    if len(outcomes) < len(tests.inputs) and not (job.stop_early and "wrong" in outcomes):
        failed = "timeout" if end["stopped"] in OUT_OF_TIME and not ended else "wrong"
        detail = detail or _why(failed, end, ended, len(outcomes))
        outcomes.append(failed)
        failed_itself = by_end = True
    elif ended:  # all values came, then something else
        outcomes, detail = [*outcomes[:-1], "wrong"], detail or ended
    place = end["late"] - 1  # the first input that was done too late, or -1
    if slack == 1 and 0 <= place < len(outcomes) and outcomes[place] == "correct":
        outcomes[place:] = ["timeout"] if job.stop_early else ["timeout", *outcomes[place + 1 :]]
        detail = f"input {place}: out of time ({tests.seconds[place]} s of processor time)"
    killed = by_end and _killed(worker, end)
    doubtful = "killed" if killed else _doubtful(end, outcomes, failed_itself, slack)
    return _result(worker, outcomes, len(tests.inputs), detail, end["seconds"], doubtful)


def _passes(comparer: Comparer, tests: FunctionTests, i: int, content: bytes) -> tuple[bool, str]:
    if tests.exact[i] and content == tests.expected[i]:
        return True, ""
    values = (content, tests.expected[i], tests.inputs[i])
    problem = (tests.atols[i], tests.dataset, tests.entry_point)
    return comparer.value_passes(tests.rules[i], *values, *problem)


def _why(failed: str, end: dict, ended: str, place: int) -> str:
    if failed == "timeout":
        took = f"{end['seconds']:.1f} s of processor time"
        if end["at"]:
            return f"input {place}: out of time after {took}"
        return f"out of time while the code was loaded ({took})"
    if end["stopped"] in TOO_MANY:
        return f"input {place}: {TOO_MANY[end['stopped']]}"
    if end["over"]:
        return f"input {place}: {TOO_MUCH}"
    said = ended or _shown(end["note"].encode())
    return said or f"input {place}: ended early (exit status {end['exit']})"


def _result(
    worker: Worker, outcomes: list[str], count: int, detail: str, seconds: float, doubtful: str
) -> Result:
    failed = [outcome for outcome in outcomes if outcome != "correct"]
    tests = tuple(outcomes) + ("not_run",) * (count - len(outcomes))
    return Result(
        failed[0] if failed else "correct", detail, tests, worker.level, round(seconds, 4), doubtful
    )


def _killed(worker: Worker, end: dict) -> bool:
    """Whether somebody else killed it: not the worker, and not the kernel because it took more than
    all the memory that a candidate may have."""
    own = end["stopped"] or (end["over"] and worker.room >= FULL)
    return end["exit"] == KILLED and not own


def _doubtful(end: dict, outcomes: list[str], failed_itself: bool, slack: float) -> str:
    """Why a run without neighbours could end otherwise, "" where it could not, as what is wrong or
    used up its slack. late: done, but not in time. asleep, starved: stopped before it had its
    processor time, while it slept or waited for a processor; or it failed by itself, without a
    value, after it had waited for WAITED seconds."""
    if end["stopped"] == "asleep" and end["starved"]:
        return "starved"
    if slack == 1 or end["stopped"] == "timeout":
        return ""
    if end["stopped"] == "asleep":
        return "asleep"
    if "wrong" in outcomes:
        waited = end["wall"] - 2 * end["seconds"]
        ended = end["stopped"] in ("", "stopped")  # by itself, or since its verdict was there
        return "starved" if failed_itself and ended and waited > WAITED else ""
    return "late" if end["late"] else ""


def run_program(
    worker: Worker, comparer: Comparer, job: Job, tests: ProgramTests, slack: float, patience: float
) -> Result:
    """Run the program once for each test, in a process of its own, and compare what it wrote."""
    outcomes: list[str] = []
    detail = doubtful = ""
    seconds = wall = 0.0
    for i, limit in enumerate(tests.seconds):
        start = ("program", job.prelude, job.code, "", (tests.inputs[i],))
        payload = (*start, (limit,), False, limit * slack)
        output, too_much = bytearray(), False
        begun = _begin(worker, [limit], limit, slack, patience, payload)
        with contextlib.closing(begun) as channel:
            try:
                while not too_much and (part := channel.recv(2**18)):
                    output += part
                    too_much = len(output) > wire.LONGEST_OUTPUT
            except TimeoutError as error:
                raise WorkerFailed("the worker does not answer") from error
            except OSError:
                pass
        end = _end(worker, limit, patience, at_once=too_much)
        seconds, wall = seconds + end["seconds"], wall + end["wall"]
        if (
            wall > IDLE + 20 * patience * seconds and end["stopped"] == ""
        ):  # it sleeps a little in each test
            end["stopped"] = "asleep"
        if too_much:
            outcome, why = "wrong", "wrote too much"
        elif end["stopped"] in OUT_OF_TIME or (end["late"] and slack == 1):
            outcome, why = "timeout", f"out of time after {end['seconds']:.1f} s of processor time"
        elif end["stopped"] in TOO_MANY:
            outcome, why = "wrong", TOO_MANY[end["stopped"]]
        elif end["over"] and end["exit"] == KILLED:
            outcome, why = "wrong", TOO_MUCH
        elif end["exit"] != 0:
            outcome, why = "wrong", _shown(end["note"].encode()) or f"exit status {end['exit']}"
        else:
            passed, why = _output_passes(comparer, bytes(output), tests.expected[i])
            outcome, why = "correct" if passed else "wrong", why or "another output than expected"
        outcomes.append(outcome)
        why_doubtful = _doubtful(end, [outcome], end["exit"] != 0, slack)
        doubtful = doubtful or ("killed" if _killed(worker, end) else why_doubtful)
        if outcome != "correct":
            detail = detail or f"test {i}: {why}"
            if job.stop_early or end["stopped"] == "asleep":
                break
    return _result(worker, outcomes, len(tests.inputs), detail, seconds, doubtful)


def _output_passes(comparer: Comparer, output: bytes, expected: str) -> tuple[bool, str]:
    """Equal bytes pass here. Splitting into lines may take a GiB and is left to the comparer."""
    if output.strip() == expected.encode("utf-8", "surrogatepass").strip():
        return True, ""
    return comparer.output_passes(output, expected)
