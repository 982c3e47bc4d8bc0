"""Attacks on the sandbox at every level that works here: not passed, nothing read or written,
nobody left, the next job passes. The programs are in attacks/."""

import contextlib
import os
import socket
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest
from attacks import FUNCTIONS, MARKER, PRELUDE, PROGRAMS
from attacks.seats import ADD, HONEST, open_seat

from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import Job, function_tests, program_tests

SECRET = "secret-" + os.urandom(8).hex()
PROCESSES = {"bubblewrap": 6, "landlock": 2}  # of a seat's two workers, with numpy and without


@pytest.fixture(scope="module", params=sandbox.LEVELS[:2])
def seat(request):
    yield from open_seat(request.param)


@pytest.fixture(scope="module")
def world():
    """What an attack would like to reach: secrets in files and in the environment, servers that
    hand one out."""
    os.environ["DISTILL_NB_SECRET"] = SECRET
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.ExitStack() as stack,
    ):
        for place in (Path.home(), Path.home() / ".cache"):
            if place.is_dir() and os.access(place, os.W_OK):
                file = stack.enter_context(
                    tempfile.NamedTemporaryFile("w", prefix=".distill_nb_test", dir=place)
                )
                print(SECRET, file=file, flush=True)
        os.chmod(folder, 0o777)
        Path(folder, "secret").write_text(SECRET)
        os.chmod(Path(folder, "secret"), 0o666)
        tcp, unix, abstract = (
            socket.socket(),
            socket.socket(socket.AF_UNIX),
            socket.socket(socket.AF_UNIX),
        )
        tcp.bind(("127.0.0.1", 0))
        unix.bind(f"{folder}/socket")
        os.chmod(f"{folder}/socket", 0o777)
        abstract.bind(f"\0distill_nb_test{os.getpid()}")
        for server in (tcp, unix, abstract):
            stack.enter_context(server)
            server.listen()
            threading.Thread(target=hand_out, args=(server,), daemon=True).start()
        yield folder, tcp.getsockname()[1]
    del os.environ["DISTILL_NB_SECRET"]


def hand_out(server):
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            with client:
                client.sendall(SECRET.encode())


def running():
    """Processes of the sandbox on this machine, and those that an attack has left, by process
    id."""
    found, mine = set(), psutil.Process()
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if MARKER in line or (
            "worker.py" in line and process.info["status"] != psutil.STATUS_ZOMBIE
        ):
            found.add(process.pid)
    return found & (
        {p.pid for p in mine.children(recursive=True)} | {p for p in found if MARKER in _line(p)}
    )


def _line(pid):
    with contextlib.suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())
    return ""


def settled(count):
    """Wait until as many processes run as before, for the dying take a moment; returns those that
    are too many."""
    for _ in range(100):
        if len(now := running()) <= count:
            return set()
        time.sleep(0.02)
    return now


def state(folder):
    """What a change to a folder's files would show in."""
    return {
        p.name: (p.stat().st_mode, p.stat().st_uid, p.stat().st_mtime, p.stat().st_size)
        for p in Path(folder).iterdir()
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_attack(seat, world, name):
    folder, port = world
    before = state(folder)
    elsewhere = [
        f"{p}/written"
        for p in ("/", "/usr", "/etc", "/tmp", "/var/tmp", "/root", sys.prefix, sys.base_prefix)
    ]
    assert not [p for p in elsewhere if os.path.exists(p)], (
        "left over from something else: delete it"
    )
    seat.run(HONEST)
    count = len(running())
    tests = function_tests("f", [[folder, port, os.getpid()]], [SECRET], seconds=0.3)
    result = seat.run(Job(FUNCTIONS[name], tests, prelude=PRELUDE))
    assert result.outcome in ("wrong", "timeout") and result.tests[0] == result.outcome, result
    assert SECRET not in result.detail
    assert state(folder) == before
    assert not [p for p in elsewhere if os.path.exists(p)]
    assert seat.run(HONEST).outcome == "correct"
    assert not settled(max(count, PROCESSES[seat.level])), "something outlived the test"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_attack(seat, world, name):
    tests = program_tests([""], [SECRET], seconds=0.3)
    assert seat.run(Job(PROGRAMS[name], tests)).outcome in ("wrong", "timeout")
    assert seat.run(HONEST).outcome == "correct"


def test_a_candidate_finds_nothing_of_the_one_before(seat):
    left = (
        "marker = 'left' + 'over'\nopen_now = []\ndef f(x):\n    open_now.append(marker)\n    "
        "return x + 1"
    )
    assert seat.run(Job(left, ADD)).outcome == "correct"
    scan = """
        import gc, os
        def f(x):
            marker = "left" + "over"[0:]
            dicts = [o for o in gc.get_objects() if isinstance(o, dict)]
            seen = sum(marker in [v for v in d.values() if type(v) is str] for d in dicts)
            return [seen, os.listdir(".")]
        """
    tests = function_tests("f", [[0]], [[0, []]])
    assert seat.run(Job(textwrap.dedent(scan), tests)).outcome == "correct"


def test_packages_beside_python_are_hidden(seat):
    """A package that is installed without a virtual environment lies in a folder that the
    interpreter is read from."""
    folder = Path(os.__file__).resolve().parent / "site-packages"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} cannot be written to")
    code = "def f(path):\n    import csv, wave, sqlite3\n    return open(path).read()"
    with tempfile.NamedTemporaryFile("w", prefix="distill_nb_test", dir=folder) as file:
        os.chmod(file.name, 0o644)
        print(SECRET, file=file, flush=True)
        for with_numpy in ("", "import numpy.polynomial\n"):
            result = seat.run(
                Job(
                    with_numpy + code,
                    function_tests("f", [[file.name]], [SECRET + "\n"], seconds=5.0),
                )
            )
            assert result.outcome == "wrong" and result.detail.startswith(
                ("input 0: FileNotFound", "input 0: Permission")
            )


def test_a_candidate_leaves_no_flags_and_no_times(seat):
    look = """
        import fcntl, os, sys
        def f(x):
            for fd in (0, 1, 2):
                seen = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
                if seen:
                    raise ValueError("nonblocking")
            raise ValueError(os.stat(".").st_mtime_ns)
        """
    leave = """
        import os
        def f(x):
            for fd in (0, 1, 2):
                os.set_blocking(fd, False)
            os.close(os.open("file", os.O_CREAT))
            os.unlink("file")
            raise ValueError(os.stat(".").st_mtime_ns)
        """
    left, seen = (seat.run(Job(textwrap.dedent(code), ADD)).detail for code in (leave, look))
    assert "ValueError: 1" in left and "ValueError: 1" in seen, (left, seen)
    assert left != seen


def test_the_settings_are_not_among_the_arguments(seat):
    code = "import sys\ndef f(x): raise ValueError(sys.orig_argv)"
    assert seat.run(Job(code, ADD)).detail == "input 0: ValueError: ['python', 'candidate']"
    started = psutil.Process(seat._workers[()]._process.pid)
    lines = [" ".join(p.cmdline()) for p in (started, *started.children(recursive=True))]
    assert not [line for line in lines if "readable" in line or "RLIMIT" in line]


def test_system_calls_that_must_fail(seat):
    """By number, on x86-64: clone3 is not there, all others are forbidden."""
    calls = {
        "socket": 41,
        "socketpair": 53,
        "sendmsg": 46,
        "recvmsg": 47,
        "fork": 57,
        "vfork": 58,
        "execve": 59,
        "ptrace": 101,
        "mount": 165,
        "chroot": 161,
        "unshare": 272,
        "setns": 308,
        "bpf": 321,
        "execveat": 322,
        "userfaultfd": 323,
        "io_uring_setup": 425,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "pidfd_open": 434,
        "pidfd_getfd": 438,
        "perf_event_open": 298,
        "keyctl": 250,
        "memfd_create": 319,
        "kexec_load": 246,
        "chmod": 90,
        "setxattr": 188,
        "mq_open": 240,
        "shmget": 29,
        "inotify_init": 253,
        "personality": 135,
        "name_to_handle_at": 303,
        "seccomp": 317,
        "setpriority": 141,
        "sched_setaffinity": 203,
        "flock": 73,
        "rt_sigqueueinfo": 129,
        "mknod": 133,
        "link": 86,
        "setsid": 112,
    }
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are those of x86-64")
    code = f"""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        def call(number, *arguments):
            ctypes.set_errno(0)
            return libc.syscall(number, *arguments), ctypes.get_errno()
        def f():
            refused = {{n: call(k, 0, 0, 0, 0, 0) for n, k in {calls!r}.items()}}
            kills = call(62, os.getpid(), 0), call(62, os.getppid(), 0)
            others = call(56, 17, 0, 0, 0, 0), call(157, 1, 0, 0, 0, 0)
            return (refused, call(435, 0, 0), *kills, *others)
        """
    expected = (dict.fromkeys(calls, (-1, 1)), (-1, 38), (0, 0), (-1, 1), (-1, 1), (-1, 1))
    result = seat.run(Job(textwrap.dedent(code), function_tests("f", [[]], [expected])))
    assert result.outcome == "correct", result


@pytest.mark.parametrize("call", ["table", "libc.syscall(0x40000000 + 39)"])
def test_the_other_tables_of_system_calls_end_the_candidate(seat, call):
    """The 32-bit table by int 0x80, from a page of machine code, and the x32 table by its numbers:
    both have fork, too."""
    if os.uname().machine != "x86_64":
        pytest.skip("the tables are those of x86-64")
    code = f"""
        import ctypes, mmap
        libc = ctypes.CDLL(None)
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
        table = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        def f(x):
            return {call.replace("table", "table()")}
        """
    # SIGSYS
    assert (
        seat.run(Job(textwrap.dedent(code), ADD)).detail == "input 0: ended early (exit status -31)"
    )


def test_no_thread_in_a_namespace_and_no_number_beside_the_filters(seat):
    """clone's flags in every mixture that is not a plain thread's; numbers and arguments with an
    upper half, of which the filters see the lower one as the kernel does; limits that only fall."""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are those of x86-64")
    code = """
        import ctypes, os, resource
        libc = ctypes.CDLL(None, use_errno=True)
        thread, upper, long = 0x10900, 1 << 32, ctypes.c_long
        def raised(kind):
            hard = resource.getrlimit(kind)[1]
            for limit in {hard + 1, -1} - {0 if hard == -1 else hard}:
                try:
                    resource.setrlimit(kind, (limit, limit))
                    return hard != -1
                except (ValueError, OSError, OverflowError):
                    pass
            return False
        def f():
            flags = [thread | 0x10000000, thread | 0x80, thread | 0x02000000, 0x100]
            flags += [0x4100 | 17, 0x800000 | 17, upper | 17]
            limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
            return ([libc.syscall(56, long(flag), 0, 0, 0, 0) for flag in flags],
                    libc.syscall(long(62), long(upper | os.getppid()), 0),
                    libc.syscall(long(upper | 57)),
                    libc.syscall(long(72), 3, long(upper | 8), long(os.getppid())),
                    [name for name in limits if raised(getattr(resource, name))])
        """
    tests = function_tests("f", [[]], [([-1] * 7, -1, -1, -1, [])])
    result = seat.run(Job(textwrap.dedent(code), tests))
    assert result.outcome == "correct", result


def test_empty_files_are_counted_too(seat):
    """64 MiB of them would be millions, in the kernel's memory."""
    code = (
        "import os\ndef f(x):\n    for i in range(10 ** 9):\n        os.close(os.open(f'{i}', "
        "os.O_CREAT))\n"
    )
    said = "made too many files"
    result = seat.run(Job(code, function_tests("f", [[1]], [2], seconds=30.0)))
    assert (result.outcome, said in result.detail) == ("wrong", True) and result.seconds < 10, (
        result
    )
    if seat.level == "bubblewrap":  # on a disk it takes longer
        assert said in seat.run(Job(code + "f(1)", program_tests([""], ["1"], seconds=30.0))).detail
    assert seat.run(HONEST).outcome == "correct"


def test_candidates_are_the_first_to_go_where_memory_runs_out(seat):
    assert seat.run(Job("def f(x): return x + 1.0", ADD)).outcome == "correct"  # by the comparer
    started = psutil.Process(seat._workers[()]._process.pid)
    below = [*started.children(recursive=True), psutil.Process(seat._comparer._process.pid)]
    assert {Path(f"/proc/{p.pid}/oom_score_adj").read_text() for p in (started, *below)} == {
        "1000\n"
    }


def test_nobody_in_particular(seat):
    """Nothing of the environment; as root, another user with no groups and no capability."""
    code = """
        import os
        def f(nobody):
            root = nobody and 0 in os.getresuid() + os.getresgid()
            return [root, os.getgroups() if nobody else [], sorted(os.environ)]
        """
    names = ["HOME", "LANG", "OMP_NUM_THREADS", "PATH", "PYTHONHASHSEED"]
    names += ["OPENBLAS_CORETYPE"] if "OPENBLAS_CORETYPE" in os.environ else []
    tests = function_tests("f", [[os.getuid() == 0]], [[False, [], sorted(names)]])
    result = seat.run(Job(textwrap.dedent(code), tests))
    assert result.outcome == "correct", result


def test_no_capability(seat):
    """The worker's and the candidate's sets, as the kernel shows them outside."""
    assert seat.run(HONEST).outcome == "correct"
    started = seat._workers[()]._process.pid
    worker = [
        p
        for p in [psutil.Process(started), *psutil.Process(started).children(recursive=True)]
        if "worker.py" in " ".join(p.cmdline()) and "bwrap" not in p.cmdline()[0]
    ][-1]
    lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert [int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")] == [0, 0, 0, 0]
    assert (
        status["NoNewPrivs"] == "1"
        and status["Seccomp"] == "2"
        and (os.getuid() or status["Uid"].split()[0] != "0")
    )
