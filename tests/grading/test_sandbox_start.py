"""Workers: what a kill while they start leaves behind; threads of the user's other programs; a
system without pidfd."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import folders, launch, pool
from distill_nb.runtime import memory_group, paths

NOBODY = 54_321  # a user that owns nothing
MANY = 300  # threads of that user's other programs


@pytest.fixture
def temporary(monkeypatch):
    """A temporary directory of this test's own, which a worker's other user may walk through:
    pytest's are closed by each new run of pytest."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield place
    shutil.rmtree(place, ignore_errors=True)


START = """
import sys
sys.path[:] = {path!r}
from distill_nb.grading.sandbox import Job, Pool, function_tests
print("imported", flush=True)
with Pool(2, {level!r}, allow_unsafe=True) as pool:
    pool.run([Job("def f(): return 1", function_tests("f", [[]], [1]))] * 2)
    print("ran", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("level", sandbox.LEVELS)
def test_a_kill_while_it_starts_leaves_no_folder(temporary, level):
    """In bubblewrap none is made; elsewhere the next start takes away what a kill left."""
    if reason := sandbox.why_unavailable(level):
        pytest.skip(f"level {level}: {reason}")
    script = START.format(path=[str(paths.ROOT), *sys.path], level=level)
    seen = set()
    for wait in (0.05, 0.2, 0.4, 0.8, 30.0):
        line = [sys.executable, "-c", script]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with subprocess.Popen(line, text=True, **pipes) as process:
            assert process.stdout and process.stdout.readline() == "imported\n"
            end = time.monotonic() + wait
            while time.monotonic() < end:
                # folders: Python tries out a temporary folder with a file
                seen |= {p.name for p in temporary.iterdir() if p.is_dir()}
                if wait == 30.0 and len(seen) and process.stdout.readline() == "ran\n":
                    break
                if wait == 30.0 and level == "bubblewrap":
                    break
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        left = {p.name for p in temporary.iterdir()}
        assert level != "bubblewrap" or not left
    if level != "bubblewrap":
        assert left and all(name.startswith(folders.PREFIX) for name in left | seen)
        end = time.monotonic() + 10
        while left and time.monotonic() < end:  # a worker may take a moment to follow its maker
            folders.sweep()
            left = {p.name for p in temporary.iterdir()}
        assert not left


def test_a_folder_in_use_is_not_swept(temporary):
    used = folders.Folder()
    Path(used.name, "file").write_text("x")
    other = temporary / "somebody_elses"
    other.mkdir()
    folders.sweep()
    assert Path(used.name, "file").exists() and other.exists()
    script = f"""
        import os, sys, time
        sys.path[:] = {[str(paths.ROOT), *sys.path]!r}
        from distill_nb.grading.sandbox import folders
        folder = folders.Folder()
        os.makedirs(folder.name + "/closed/inside")
        os.chmod(folder.name + "/closed", 0)
        print(folder.name, flush=True)
        os.kill(os.getpid(), 9)
        """
    line = [sys.executable, "-c", textwrap.dedent(script)]
    left = subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
    assert os.path.isdir(left) and left != used.name
    folders.sweep()
    assert not os.path.exists(left) and Path(used.name, "file").exists()
    deep = used.name
    for _ in range(1100):  # deeper than Python's own removal goes
        os.mkdir(deep + "/d")
        os.rename(deep + "/d", used.name + "/top_")
        with contextlib.suppress(FileNotFoundError):
            os.rename(used.name + "/top", used.name + "/top_/d")
        os.rename(used.name + "/top_", used.name + "/top")
    used.remove()
    assert not os.path.exists(used.name)


@pytest.mark.skipif(not memory_group.allowed(), reason="control groups may not be made here")
def test_a_kill_leaves_no_control_group():
    """The next start takes away what it left."""
    home = memory_group._home()[0]
    script = START.format(path=[str(paths.ROOT), *sys.path], level="process")
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) as process:
        assert process.stdout and process.stdout.readline() == "imported\n"
        assert process.stdout.readline() == "ran\n"
        below = {str(p.pid) for p in psutil.Process(process.pid).children(recursive=True)}
        groups = home.glob(f"{memory_group.PREFIX}*/cgroup.procs")
        made = [file.parent for file in groups if below & set(file.read_text().split())]
        assert made
        process.kill()
    end = time.monotonic() + 10
    while any(folder.exists() for folder in made) and time.monotonic() < end:
        memory_group.sweep(home)
    assert not any(folder.exists() for folder in made)


# --- without pidfd
# -----------------------------------------------------------------------------------------------

WATCH = """
import errno, json, os, socket, sys, time
sys.path.insert(0, {folder!r})
import mappings, report, watch, wire
if {missing}:
    del os.pidfd_open
else:
    def refused(pid, flags=0):
        raise OSError(errno.ENOSYS, "no such call")
    os.pidfd_open = refused
settings = dict(writable=None, threads=0, bell=watch.bell())
shared, (ours, theirs) = mappings.shared(report.SHARED), socket.socketpair()
found = report.Report(shared)
job = dict(serial=1, seconds=[0.2], load=0.2, total=0.2, slack=1.0, patience=1.0)
for seconds in (0.0, 0.0, 0.1, 60.0):
    pid = os.fork()
    if pid == 0:
        watch.without_bell()
        while time.process_time() < seconds:
            pass
        os._exit(3)
    began, used = time.monotonic(), time.process_time()
    ended = watch.watch(pid, shared, theirs, settings, found=found, **job)
    try:
        os.kill(pid, 0)
        left = True
    except ProcessLookupError:
        left = False
    used = time.process_time() - used
    found.send(theirs, 1, False, *ended)
    end = report.read(wire.receive(ours)[0])
    print(json.dumps(end | dict(left=left, used=used)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the clock of another process is Linux's")
@pytest.mark.parametrize("missing", [True, False])
def test_a_system_without_pidfd(missing):
    """A Python that does not know it, or a kernel before 5.3: a child's end is heard, and one that
    is out of time is killed."""
    script = WATCH.format(folder=str(launch.HERE), missing=missing)
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(e["stopped"], e["exit"], e["left"]) for e in ends] == [
        *[("", 3, False)] * 3,
        ("timeout", -9, False),
    ]
    assert 0.2 <= ends[3]["seconds"] < 2 and max(e["used"] for e in ends) < 0.1


STALE_BELL = """
import json, os, signal, socket, sys
sys.path.insert(0, {folder!r})
import mappings, report, watch, wire
del os.pidfd_open
rings = watch.bell()
struck = signal.set_wakeup_fd(-1)
signal.set_wakeup_fd(struck)
gate, opener = os.pipe()


class EndsAfterTheLook(report.Report):
    def reap(self, pid, wait):
        global opener
        if opener is None:
            return super().reap(pid, wait)
        assert not super().reap(pid, wait)
        os.close(opener)
        opener = None
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return False


shared, (ours, theirs) = mappings.shared(report.SHARED), socket.socketpair()
found = EndsAfterTheLook(shared)
pid = os.fork()
if pid == 0:
    watch.without_bell()
    os.close(opener)
    os.read(gate, 1)
    os._exit(3)
os.write(struck, b"c")
job = dict(serial=1, seconds=[0.2], load=0.2, total=0.2, slack=1.0, patience=1.0)
settings = dict(writable=None, threads=0, bell=rings)
found.send(theirs, 1, False, *watch.watch(pid, shared, theirs, settings, found=found, **job))
print(json.dumps(report.read(wire.receive(ours)[0])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the worker's bell is Linux's")
def test_a_bell_for_an_earlier_child_does_not_hide_the_end_of_this_one():
    line = [sys.executable, "-c", STALE_BELL.format(folder=str(launch.HERE))]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    end = json.loads(done.stdout)
    assert (end["stopped"], end["exit"]) == ("", 3) and end["seconds"] < 5


# --- a user's other threads
# -----------------------------------------------------------------------------------------------

OTHER = f"""
import threading, time
for _ in range({MANY}):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("there", flush=True)
time.sleep(60)
"""
GRADER = """
import subprocess, sys
sys.path[:] = {path!r}
from distill_nb.grading.sandbox import *
code = '''
from concurrent.futures import ThreadPoolExecutor
import threading, time
def f(n):
    with ThreadPoolExecutor(n) as pool:
        barrier = threading.Barrier(n)
        return sum(pool.map(lambda i: barrier.wait(9) >= 0, range(n)))
'''
bomb = '''
import threading, time
def f(n):
    threading.stack_size(32768)
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
'''
tests = function_tests("f", [[200]], [200], seconds=5.0)
with Pool(1, {level!r}) as pool:
    print(pool.run([Job(code, tests)])[0].outcome, flush=True)
    with subprocess.Popen([sys.executable, "-c", {other!r}], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        print(pool.run([Job(code, tests)])[0].outcome, flush=True)
        print(pool.run([Job(bomb, tests)])[0], flush=True)
        print(pool.run([Job(code, tests)])[0].outcome, flush=True)
        other.kill()
"""


@pytest.mark.parametrize("level", sandbox.LEVELS[:2])
def test_threads_of_the_users_other_programs_do_not_count(temporary, level):
    """They start after the worker. As root, all runs as another user, by a Python that it can
    read."""
    if reason := sandbox.why_unavailable(level):
        pytest.skip(f"level {level}: {reason}")
    python, become = sys.executable, {}
    if os.getuid() == 0:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        python = shutil.which(version, path="/usr/local/bin:/usr/bin") or ""
        if not python:
            pytest.skip(f"there is no {version} that another user can read")
        become = dict(user=NOBODY, group=NOBODY, extra_groups=[])
    path = [str(paths.ROOT), *sys.path]
    if os.getuid() == 0:  # its own standard library
        kept = [p for p in path if p.endswith("site-packages") or p == str(paths.ROOT)]
        path, own = kept, [python, "-c", "import sys; print(sys.path)"]
        lines = subprocess.run(own, capture_output=True, text=True, check=True).stdout
        path = [*kept[:1], *[p for p in eval(lines) if p and "packages" not in p], *kept[1:]]
    script = GRADER.format(path=path, level=level, other=OTHER)
    done = subprocess.run(
        [python, "-c", script],
        capture_output=True,
        text=True,
        cwd="/",
        env={"TMPDIR": str(temporary), "PATH": os.environ["PATH"], "HOME": "/nowhere"},
        **become,
    )
    if "does not work here" in done.stderr and os.getuid() == 0:
        pytest.skip(f"as another user: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (lines[0], lines[1], lines[3]) == ("correct",) * 3, lines
    assert "outcome='correct'" not in lines[2], lines
    if level == "landlock":
        assert "started too many threads" in lines[2], lines


def test_an_interrupt_while_a_worker_starts_ends_it(monkeypatch):
    seat = pool.Seat("process")

    def start(*settings):
        worker = launch.Worker(*settings)
        seat.abandon()  # it is not there yet to be killed
        return worker

    monkeypatch.setattr(pool, "Worker", start)
    forever = "def f(x):\n    while True: pass"
    tests = sandbox.function_tests("f", [[1]], [2], seconds=600.0)
    with contextlib.closing(seat):
        result = seat.run(sandbox.Job(forever, tests))
    assert (result.outcome, result.detail) == ("grader_error", "interrupted")


OTHER_PROCESSOR = """
import ctypes, platform
ctypes.CDLL(None).personality(8)  # PER_LINUX32: uname names another processor, also to children
from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import Job, function_tests, pool, seccomp
if __name__ == "__main__":
    assert platform.machine() not in seccomp.MACHINES, platform.machine()
    print(sandbox.why_unavailable("landlock"))
    with pool.Pool(1, sandbox.strongest_level(allow_unsafe=True), allow_unsafe=True) as one:
        print(one.level)
        tests = function_tests("f", [[1]], [2], seconds=10.0)
        print(one.run([Job("def f(x): return x + 1", tests)])[0].outcome)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can name another processor")
def test_a_processor_without_a_list_of_calls_has_no_sandbox_and_runs_code_without_one():
    """As Apple's, which is called arm64."""
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESSOR], capture_output=True, text=True, env=environment
    )
    if done.returncode and "AssertionError" in done.stderr:
        pytest.skip("this kernel names no other processor")
    assert done.returncode == 0, done.stderr
    why, level, outcome = done.stdout.splitlines()
    assert "seccomp does not work here: KeyError" in why
    assert (level, outcome) == ("process", "correct")
