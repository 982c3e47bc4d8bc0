"""A verdict cannot be forged across samples: a candidate learns of none, and leaves nothing for the
next."""

import contextlib
import os
import textwrap

import pytest
from attacks import CHANNELS, PRELUDE
from attacks.seats import ADD, HONEST, open_seat

from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import Job, answers, doubts, function_tests, pool, program_tests

SAMPLES = 6


@pytest.fixture(scope="module", params=sandbox.LEVELS[:2])
def seat(request):
    yield from open_seat(request.param)


@pytest.fixture(scope="module")
def open_house():
    """A worker that confines nothing: a file is a perfect memory from one candidate to the next."""
    with contextlib.closing(pool.Seat("process")) as one:
        # what compares is there, so that it does not take the time by which a candidate is alive
        assert one.run(Job("def f(x): return x + 1.0", ADD)).outcome == "correct"
        yield one


# --- what a candidate learns
# -----------------------------------------------------------------------------------------------

MEMORY = """
import json, time
def load():
    try:
        with open(MEMORY) as file:
            return json.load(file)
    except OSError:
        return {"known": [], "guess": 0}
def save(known, guess):
    with open(MEMORY, "w") as file:
        json.dump({"known": known, "guess": guess}, file)
state, calls = load(), 0
known, guess = state["known"], state["guess"]
"""
FUNCTION = """
def f():
    global calls, guess
    place, calls = calls, calls + 1
    if place > len(known):
        time.sleep(0.6)  # still alive: the last answer was right
        known.append(guess)
        guess = 0
        save(known, guess)
    if place < len(known):
        return known[place]
    save(known, guess + 1)  # what the next one tries if this is wrong
    return guess
"""
PROGRAM = """
place = int(input())
if place > len(known):  # there is a test after the last: its answer was right
    known.append(guess - 1)
    guess = 0
if place < len(known):
    print(known[place])
else:
    print(guess)
    guess += 1
save(known, guess)
"""


def test_a_function_that_is_asked_on_learns_nothing(open_house, tmp_path):
    memory = f"MEMORY = {str(tmp_path / 'memory')!r}\n" + MEMORY
    tests = function_tests("f", [[], [], []], [1, 1, 1], seconds=5.0)
    found = [open_house.run(Job(memory + FUNCTION, tests)) for _ in range(SAMPLES)]
    assert {(r.outcome, r.tests[0]) for r in found} == {("wrong", "wrong")}


def test_a_program_that_runs_again_learns_nothing(open_house, tmp_path):
    memory = f"MEMORY = {str(tmp_path / 'memory')!r}\n" + MEMORY
    tests = program_tests(["0", "1", "2"], ["1", "1", "1"])
    found = [open_house.run(Job(memory + PROGRAM, tests)) for _ in range(SAMPLES)]
    assert {(r.outcome, r.tests[0]) for r in found} == {("wrong", "wrong")}


@pytest.mark.parametrize("stop_early", [True, False])
def test_only_what_a_candidate_does_itself_ends_its_run(open_house, tmp_path, stop_early):
    ran = tmp_path / "ran"
    note = f"with open({str(ran)!r}, 'a') as file: file.write('x')"
    for failure, outcome, runs in (
        ("0", "wrong", 3),
        ("1 / 0", "wrong", 1 if stop_early else 3),
        ("__import__('os')._exit(1)", "wrong", 1),
    ):
        ran.unlink(missing_ok=True)
        code = f"def f(x):\n    {note}\n    return {failure} if x == 1 else x + 1"
        result = open_house.run(Job(code, ADD, stop_early=stop_early))
        first = "not_run" if stop_early or "exit" in failure else "correct"
        assert (result.outcome, result.tests[:2]) == (outcome, ("wrong", first)), result
        assert len(ran.read_text()) == runs
        ran.unlink()
        code = f"{note}\nx = int(input())\nprint({failure} if x == 1 else x)"
        tests = program_tests(["1", "2", "3"], ["1", "2", "3"])
        result = open_house.run(Job(code, tests, stop_early=stop_early))
        first = "not_run" if stop_early else "correct"
        assert (result.outcome, result.tests[:2]) == (outcome, ("wrong", first)), result
        assert len(ran.read_text()) == (1 if stop_early and failure != "0" else 3)


LATE = """
import time
def f(x):
    while time.process_time() < (0.22 if x == 1 else 0):
        pass
    return x + {}
"""


@pytest.mark.parametrize(("add", "why"), [("1", "late"), ("(x == 1)", ""), ("(x != 1)", "")])
def test_a_second_run_does_not_tell_that_some_values_are_right(open_house, add, why):
    tests = function_tests("f", [[1], [2]], [2, 3], seconds=0.2)
    assert open_house.run(Job(LATE.format(add), tests), 1.5).doubtful == why
    code = LATE.format(add) + "x = int(input())\nprint(f(x))"
    tests = program_tests(["1", "2"], ["2", "3"], seconds=0.2)
    assert open_house.run(Job(code, tests), 1.5).doubtful == why


def test_a_value_stays_wrong_whatever_ends_the_run_later():
    """A second run is for whoever was killed, right or wrong so far; a third verdict is not."""
    killed = dict(exit=doubts.KILLED, stopped="", over=False)
    assert doubts.killed(killed, full=True) == "killed"
    wrong = sandbox.Result("wrong", "input 0", ("wrong",), doubtful="killed", refuted=True)
    assert pool.settled(wrong).outcome == "wrong" and not pool.settled(wrong).doubtful
    unknown = sandbox.Result("wrong", "input 0", ("wrong",), doubtful="killed")
    assert pool.settled(unknown).outcome == "grader_error"


def test_much_is_kept_on_disk_until_it_is_compared(open_house, monkeypatch):
    monkeypatch.setattr(answers, "IN_MEMORY", 10_000)
    code = "def f(x): return 'x' * x"
    sizes = [5_000, 20_000, 1, 0, 30_000]
    expected = ["x" * size for size in sizes]
    tests = function_tests("f", [[size] for size in sizes], expected, seconds=5.0)
    assert open_house.run(Job(code, tests)).tests == ("correct",) * 5
    tests = function_tests("f", [[size] for size in sizes], [*expected[:3], "", "x"], seconds=5.0)
    assert open_house.run(Job(code, tests)).tests == (*("correct",) * 4, "wrong")
    tests = program_tests(list(map(str, sizes)), expected)
    assert open_house.run(Job("print('x' * int(input()))", tests)).tests == ("correct",) * 5


# --- what a candidate leaves
# -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANNELS)
def test_nothing_is_left_for_the_next(seat, name):
    def one(body):
        tests = function_tests("f", [[]], [False], seconds=10.0)
        return seat.run(Job(CHANNELS[name] + f"\ndef f():\n    {body}", tests, prelude=PRELUDE))

    assert one("return look()").outcome == "correct"
    assert one("leave()").outcome == "wrong"
    found = one("return look()")
    assert found.outcome == "correct", found


def test_what_was_freed_would_be_found(seat):
    """The search of test_nothing_is_left_for_the_next finds what is there."""
    for kept in ("bytes.fromhex('6c65667420626568696e64')", "int('2b5d13ef', 16)"):
        body = f"kept = {kept}\n    builtins.kept = kept\n    return look()"
        code = CHANNELS["freed_memory"] + f"\ndef f():\n    {body}"
        tests = function_tests("f", [[]], [True], seconds=10.0)
        result = seat.run(Job(code, tests, prelude=PRELUDE))
        assert result.outcome == "correct", (kept, result)


def test_threads_do_not_count_for_the_next():
    """In a namespace of their own, process numbers would say how many threads there were."""
    threads = """
        import threading
        def f(x):
            for _ in range(300):
                thread = threading.Thread(target=int)
                thread.start()
                thread.join()
            return x + 1
        """
    number = Job("import os\ndef f(x): raise ValueError(os.getpid())", ADD)
    with contextlib.closing(pool.Seat("bubblewrap")) as seat:
        if reason := sandbox.why_unavailable("bubblewrap"):
            pytest.skip(reason)
        numbers = []
        for job in (number, number, Job(textwrap.dedent(threads), ADD), number, HONEST, number):
            result = seat.run(job)
            if job is number:
                numbers.append(int(result.detail.rpartition(" ")[2]))
    first = numbers[0]
    assert numbers == [first, first + 1, first, first + 2]


def test_calls_that_tell_of_others_or_of_what_is_cached(seat):
    """By number, on x86-64, each with arguments that the kernel would take."""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are those of x86-64")
    calls = {
        "fadvise64": (221, "fd, 0, 0, 4"),
        "mincore": (27, "page, 4096, some"),
        "readahead": (187, "fd, 0, 4096"),
        "cachestat": (451, "fd, some, some, 0"),
        "preadv2": (327, "fd, some, 0, 0, 0, 8"),
        "pwritev2": (328, "fd, some, 0, 0, 0, 8"),
        "process_madvise": (440, "fd, some, 0, 21, 0"),
        "vmsplice": (278, "fd, some, 0, 0"),
        "inotify_init1": (294, "0"),
        "fanotify_init": (300, "0, 0"),
        "futex_waitv": (449, "some, 0, 0, 0, 0"),
        "sysinfo": (99, "some"),
        "fstatfs": (138, "fd, some"),
        "flock": (73, "fd, 1"),
        "utimensat": (280, "fd, 0, some, 0"),
        "madvise WILLNEED": (28, "page, 4096, 3"),
        "madvise COLD": (28, "page, 4096, 20"),
        "madvise PAGEOUT": (28, "page, 4096, 21"),
        "madvise POPULATE_READ": (28, "page, 4096, 22"),
        "madvise COLLAPSE": (28, "page, 4096, 25"),
        "fcntl GETLK": (72, "fd, 5, some"),
        "fcntl OFD_GETLK": (72, "fd, 36, some"),
        "fcntl OFD_SETLK": (72, "fd, 37, some"),
        "futex WAKE": (202, "page, 1, 1"),
        "futex WAKE_BITSET": (202, "page, 10, 1, 0, 0, 1"),
        "clock_gettime": (228, "clock, some"),
        "clock_getres": (229, "clock, some"),
        "clock_nanosleep": (230, "clock, 0, some, 0"),
        "sched_getaffinity": (204, "parent, 8, some"),
        "sched_getscheduler": (145, "parent"),
        "sched_getparam": (143, "parent, some"),
        "getpriority": (140, "0, parent"),
        "getpgid": (121, "parent"),
        "getsid": (124, "parent"),
    }
    allowed = {
        "madvise DONTNEED": (28, "page, 4096, 4"),
        "futex WAKE, private": (202, "page, 129, 1"),
        "clock_gettime": (228, "2, some"),
        "sched_getaffinity": (204, "0, 128, some"),
        "getpgid": (121, "0"),
    }
    lines = [
        f"    found[{name!r}] = call({number}, {arguments})"
        for name, (number, arguments) in [
            *calls.items(),
            *((f"allowed: {name}", what) for name, what in allowed.items()),
        ]
    ]
    code = """
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *map(ctypes.c_long, arguments))
    return (result, ctypes.get_errno()) if result < 0 else "done"
def f():
    found = {}
    fd, parent = os.open(library + "/os.py", os.O_RDONLY), os.getppid()
    clock = ~parent << 3 | 2
    libc.mmap.restype = ctypes.c_void_p
    page = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0))
    buffer = ctypes.create_string_buffer(4096)
    some = ctypes.addressof(buffer)
"""
    code += "\n".join(lines) + "\n    return found"
    expected = dict.fromkeys(calls, (-1, 1)) | {f"allowed: {name}": "done" for name in allowed}
    result = seat.run(Job(code, function_tests("f", [[]], [expected]), prelude=PRELUDE))
    assert result.outcome == "correct", result
