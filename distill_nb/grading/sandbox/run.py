"""One job in one worker: send it, read what comes back, compare, decide. Runs in the grader.

What a candidate can notice (whether it goes on, whether it runs again) depends on what it did
itself; or on whether all its values are right, never on whether some of them are."""

import contextlib
import marshal
import socket
import struct

from distill_nb.grading.sandbox import doubts, rules, wire
from distill_nb.grading.sandbox.answers import Ended, Kept, frames
from distill_nb.grading.sandbox.compare import Comparer
from distill_nb.grading.sandbox.jobs import FunctionTests, Job, ProgramTests, Result
from distill_nb.grading.sandbox.launch import FULL, Worker, WorkerFailed

LOAD_SECONDS = 5.0  # of processor time to define the functions
# of processor time for all calls of an evalplus job, which is base or plus inputs: as evalplus
TOTAL_SECONDS = 60.0
IDLE = 60.0  # seconds that a program may sleep in all its tests; worker.IDLE is for one
GRACE = 60.0  # seconds of wall time after which a worker that does not answer is given up
SHORTER = 300  # characters of a detail
# why the worker stopped it (watch.MOST_FILES, launch.FOLDER_SIZE, launch.THREADS)
TOO_MANY = {"files": "made too many files", "threads": "started too many threads"}
TOO_MUCH = "took too much memory"
OUT_OF_TIME = ("timeout", "asleep")  # by processor time, by the backstop on wall time


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
    data = marshal.dumps(payload, 2)
    for _ in range(2):
        channel = worker.begin(seconds, LOAD_SECONDS, total, slack, patience)
        channel.settimeout(_wall(total, patience))
        try:
            channel.sendall(struct.pack("<I", len(data)) + data)
            first = channel.recv(1)
            if first == b"C":
                return channel
            said = channel.recv(200).decode("utf-8", "replace") if first else ""
        except OSError as error:
            first, said = b"", str(error)
        channel.close()
        if first != b"R":  # the worker is to be started anew
            break
        worker.restart()
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
    """Call the function with each input, and compare when the candidate has ended."""
    kinds: list[bytes] = []
    ended = ""
    total = min(TOTAL_SECONDS if tests.dataset else float("inf"), sum(tests.seconds)) + LOAD_SECONDS
    iterate = tests.dataset == "mbpp" and tests.entry_point in rules.AS_SETS
    start = ("function", job.prelude, job.code, tests.entry_point, tests.inputs)
    payload = (*start, tests.seconds, iterate, total * slack, job.stop_early)
    begun = _begin(worker, list(tests.seconds), total, slack, patience, payload)
    with contextlib.closing(begun) as channel, contextlib.closing(Kept()) as kept:
        try:
            for kind, content in frames(channel, len(tests.inputs)):
                if kind == b"L":
                    raise Ended(_shown(content))
                kinds.append(kind)
                kept.add(content)
                if kind == b"E" and job.stop_early:  # an exception never passes
                    break
        except Ended as end:
            ended = str(end)
        except TimeoutError as error:
            raise WorkerFailed("the worker does not answer") from error
        except OSError as error:  # the child was killed with bytes unread
            ended = str(error)
        end = _end(worker, total, patience, at_once=True)
        outcomes, detail = _compared(comparer, tests, kinds, kept, job.stop_early)
    refuted = any(kind == b"V" and o == "wrong" for kind, o in zip(kinds, outcomes, strict=False))
    if len(outcomes) < len(tests.inputs) and not (job.stop_early and "wrong" in outcomes):
        failed = "timeout" if end["stopped"] in OUT_OF_TIME and not ended else "wrong"
        detail = detail or _why(failed, end, ended, len(outcomes))
        outcomes.append(failed)
    elif ended:  # all values came, then something else
        outcomes, detail = [*outcomes[:-1], "wrong"], detail or ended
    place = end["late"] - 1  # the first input that was done too late, or -1
    if slack == 1 and 0 <= place < len(outcomes) and outcomes[place] == "correct":
        outcomes[place:] = ["timeout"] if job.stop_early else ["timeout", *outcomes[place + 1 :]]
        detail = f"input {place}: out of time ({tests.seconds[place]} s of processor time)"
    cut = job.stop_early and b"E" in kinds  # by the grader
    short = len(kinds) < len(tests.inputs) and not cut
    doubtful = doubts.killed(end, worker.room >= FULL) if short else ""
    doubtful = doubtful or doubts.cut_short(end, short or b"E" in kinds, slack)
    doubtful = doubtful or doubts.late(bool(end["late"]), outcomes, slack)
    return _result(worker, outcomes, len(tests.inputs), detail, end["seconds"], doubtful, refuted)


def _compared(
    comparer: Comparer, tests: FunctionTests, kinds: list[bytes], kept: Kept, stop_early: bool
) -> tuple[list[str], str]:
    """(outcomes, why the first failed) of the values that came, up to the first that fails with
    stop_early."""
    outcomes: list[str] = []
    detail = ""
    for i, (kind, content) in enumerate(zip(kinds, kept, strict=True)):
        if kind == b"V":
            passed, why = _passes(comparer, tests, i, content)
        else:
            passed, why = False, _shown(content)
        outcomes.append("correct" if passed else "wrong")
        if not passed:
            detail = detail or f"input {i}: {why or 'another value than expected'}"
            if stop_early:
                break
    return outcomes, detail


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
    worker: Worker,
    outcomes: list[str],
    count: int,
    detail: str,
    seconds: float,
    doubtful: str,
    refuted: bool,
) -> Result:
    outcome = next((outcome for outcome in outcomes if outcome != "correct"), "correct")
    tests = tuple(outcomes) + ("not_run",) * (count - len(outcomes))
    return Result(outcome, detail, tests, worker.level, round(seconds, 4), doubtful, refuted)


def run_program(
    worker: Worker, comparer: Comparer, job: Job, tests: ProgramTests, slack: float, patience: float
) -> Result:
    """Run the program once for each test, in a process of its own, and compare what the runs wrote
    when the last has ended. With stop_early a run that fails by itself is the last."""
    failed: list[tuple[str, str]] = []  # of each run, where it failed by itself; else ("", "")
    doubtful, late = "", False
    seconds = wall = 0.0
    with contextlib.closing(Kept()) as kept:
        for i, limit in enumerate(tests.seconds):
            start = ("program", job.prelude, job.code, "", (tests.inputs[i],))
            payload = (*start, (limit,), False, limit * slack, job.stop_early)
            begun = _begin(worker, [limit], limit, slack, patience, payload)
            most = min(wire.LONGEST_OUTPUT, wire.LONGEST_RESULT - kept.size)
            with contextlib.closing(begun) as channel:
                output, too_much = _all_of(channel, most)
            end = _end(worker, limit, patience, at_once=too_much)
            seconds, wall = seconds + end["seconds"], wall + end["wall"]
            asleep = wall > IDLE + 20 * patience * seconds  # it sleeps a little in each test
            if asleep and end["stopped"] == "":
                end["stopped"] = "asleep"
            kept.add(output)
            failed.append(_failed(end, too_much, slack))
            doubtful = doubtful or doubts.killed(end, worker.room >= FULL)
            doubtful = doubtful or doubts.cut_short(end, end["exit"] != 0, slack)
            late = late or bool(end["late"])
            if (failed[-1][0] and job.stop_early) or end["stopped"] == "asleep":
                break
        outcomes: list[str] = []
        detail = ""
        for i, (output, (outcome, why)) in enumerate(zip(kept, failed, strict=True)):
            if not outcome:
                passed, why = _output_passes(comparer, output, tests.expected[i])
                outcome, why = (
                    "correct" if passed else "wrong",
                    why or "another output than expected",
                )
            outcomes.append(outcome)
            if outcome != "correct":
                detail = detail or f"test {i}: {why}"
                if job.stop_early:
                    break
    doubtful = doubtful or doubts.late(late, outcomes, slack)
    refuted = any(o == "wrong" and not own for o, (own, _) in zip(outcomes, failed, strict=False))
    return _result(worker, outcomes, len(tests.inputs), detail, seconds, doubtful, refuted)


def _all_of(channel: socket.socket, most: int) -> tuple[bytes, bool]:
    """(what a program writes, whether it is more than `most` bytes, of which the rest is left)."""
    output, too_much = bytearray(), False
    try:
        while not too_much and (part := channel.recv(2**18)):
            output += part
            too_much = len(output) > most
    except TimeoutError as error:
        raise WorkerFailed("the worker does not answer") from error
    except OSError:
        pass
    return bytes(output[:most]), too_much


def _failed(end: dict, too_much: bool, slack: float) -> tuple[str, str]:
    """(outcome, why) of a run that failed whatever it wrote; ("", "") for one that did not."""
    if too_much:
        return "wrong", "wrote too much"
    if end["stopped"] in OUT_OF_TIME or (end["late"] and slack == 1):
        return "timeout", f"out of time after {end['seconds']:.1f} s of processor time"
    if end["stopped"] in TOO_MANY:
        return "wrong", TOO_MANY[end["stopped"]]
    if end["over"] and end["exit"] == doubts.KILLED:
        return "wrong", TOO_MUCH
    if end["exit"] != 0:
        return "wrong", _shown(end["note"].encode()) or f"exit status {end['exit']}"
    return "", ""


def _output_passes(comparer: Comparer, output: bytes, expected: str) -> tuple[bool, str]:
    """Equal bytes pass here. Splitting into lines may take a GiB and is left to the comparer."""
    if output.strip() == expected.encode("utf-8", "surrogatepass").strip():
        return True, ""
    return comparer.output_passes(output, expected)
