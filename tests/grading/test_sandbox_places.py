"""What a candidate can see, import and write to: files of data, packages, its working folder."""

import ast
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from attacks.seats import ADD, HONEST, open_seat

from distill_nb.benchmarks import loading
from distill_nb.grading import code, sandbox
from distill_nb.grading.graders import grade_code
from distill_nb.grading.sandbox import Job, Pool, function_tests, packages, places, pool
from distill_nb.runtime import data_files

SECRET = "secret-" + os.urandom(8).hex()
READ = """
import os, sys
def f(path):  # by its own name, and below the folders of Python as they are called inside
    tops = [*PATHS, *sys.path]
    ends = [path.split("site-packages/")[-1], "/".join(path.split("/")[-2:])]
    last = None
    for place in (path, *(os.path.join(top, end) for top in tops for end in ends)):
        try:
            with open(place) as file:
                return file.read()
        except OSError as error:
            last = error
    raise last
"""


@pytest.fixture(scope="module", params=sandbox.LEVELS[:2])
def level(request):
    if reason := sandbox.why_unavailable(request.param):
        pytest.skip(f"level {request.param}: {reason}")
    return request.param


@pytest.fixture(scope="module", params=sandbox.LEVELS[:2])
def seat(request):
    yield from open_seat(request.param)


def test_a_file_of_data_is_hidden_wherever_it_lies(level):
    place = Path(os.__file__).resolve().parent
    if not os.access(place, os.W_OK):
        pytest.skip("this user may not write to Python's own folder")
    with (
        tempfile.TemporaryDirectory(prefix="distill_nb_test", dir=place) as folder,
        Pool(1, level) as one,
    ):
        os.chmod(folder, 0o755)
        file, beside, link = (Path(folder, name) for name in ("tests.json", "other", "link"))
        for path in (file, beside):
            path.write_text(SECRET)
            path.chmod(0o644)
        link.symlink_to(file.name)

        def read(path):
            tests = function_tests("f", [[str(path)]], [SECRET], seconds=5.0)
            return one.run([Job("PATHS = ()" + READ, tests)])[0].outcome

        assert [read(p) for p in (file, beside, link)] == ["correct"] * 3
        one.hide((str(link),))
        assert [read(p) for p in (file, beside, link)] == ["wrong", "correct", "wrong"]
        one.hide((folder,))
        assert [read(p) for p in (file, beside)] == ["wrong"] * 2
        assert one.run([HONEST])[0].outcome == "correct"


def test_of_the_machine_only_pythons_library_can_be_read(seat):
    """What lies beside it in /usr and in Python's own folder cannot."""
    library = Path(os.__file__).resolve().parent
    seen = places.view(os.path.realpath(getattr(sys, "_base_executable", sys.executable)), ())
    others = {"/bin/sh", "/usr/bin/env", "/usr/share/perl5", "/etc/passwd", "/etc/hostname"}
    for folder in {*map(os.path.dirname, seen.files), str(library.parent.parent / "bin")}:
        others |= {str(path) for path in Path(folder).iterdir() if path.is_file()}
    own = {os.path.realpath(path) for path in seen.files}  # also by its other names, at Landlock
    others = {p for p in map(os.path.realpath, others) if os.path.exists(p) and p not in own}
    # a program may be a link into the library, as Debian's pdb3 is
    others = {p for p in others if not Path(p).is_relative_to(library)}
    hidden = (library / "test" / "__init__.py", library / "idlelib" / "run.py")
    others |= {str(path) for path in hidden if path.is_file()}
    others = {p for p in others if not any(p.startswith(f + "/") for f in seen.folders[1:])}
    code = """
import os
def f(paths):
    found = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_RDONLY))
            found.append(path)
        except OSError:
            pass
    return found
"""
    assert len(others) > 4
    tests = function_tests("f", [[sorted(others)]], [[]], seconds=10.0)
    result = seat.run(Job(code, tests))
    assert result.outcome == "correct", result


def test_where_the_loader_tells_nothing_all_libraries_are_seen(monkeypatch):
    monkeypatch.setattr(places, "_libraries", lambda *_: iter(()))
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    seen = places.view.__wrapped__(python, ())
    assert set(seen.folders) & set(places.LIBRARIES) and python in seen.files


def test_many_modules_are_named_to_the_loader_in_turn(monkeypatch):
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    seen = places.view(python, ())
    monkeypatch.setattr(places, "AT_ONCE", 25)
    assert places.view.__wrapped__(python, ()) == seen


def test_all_that_python_brings_still_loads(seat):
    """Extension modules with their shared libraries, time zones, the locale."""
    suffix = EXTENSION_SUFFIXES[0]
    folders = [Path(p) for p in sys.path if p.endswith("lib-dynload")]
    names = [p.name.removesuffix(suffix) for f in folders for p in f.glob(f"*{suffix}")]
    names = sorted({n for n in names if "test" not in n} - {"_tkinter", "_xxsubinterpreters"})
    code = """
import importlib, locale, zoneinfo
def f(names):
    lacking = []
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            lacking.append(str(error))
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    return [lacking, len(zoneinfo.available_timezones() - {"localtime"})]
"""
    python = getattr(sys, "_base_executable", sys.executable)
    line = [python, *places.FLAGS, "-W", "ignore", "-c", f"{code}\nprint(f({names!r}))"]
    said = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
    # where Python itself lacks a library, so may a candidate
    tests = function_tests("f", [[names]], [ast.literal_eval(said)], seconds=10.0)
    assert names or not folders
    result = seat.run(Job(code, tests))
    assert result.outcome == "correct", result


def test_what_is_seen_is_read_beforehand(tmp_path):
    """A candidate that reads what nobody had read would leave it in the kernel's cache, and the
    time at which it did."""
    folder = tmp_path / "library"
    (folder / "site-packages").mkdir(parents=True)
    files = [folder / "module.py", tmp_path / "libx.so", folder / "site-packages" / "other.py"]
    for file in files:
        file.write_bytes(b"x" * 100_000)
        os.utime(file, (10**9, 10**9))
    if not hasattr(os, "RWF_NOWAIT"):
        pytest.skip("only Linux tells what is cached")
    for file in files:
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    places.warm.__wrapped__(places.View((str(files[1]),), (str(folder),)), ())

    def cached(file):
        try:
            with open(file, "rb", 0) as opened:
                return os.preadv(opened.fileno(), [bytearray(10)], 90_000, os.RWF_NOWAIT) == 10
        except OSError:
            return False

    times = [file.stat().st_atime_ns for file in files]
    if cached(files[2]):
        pytest.skip("this file system always has its files in memory")
    end = time.monotonic() + 20
    while not all(map(cached, files[:2])) and time.monotonic() < end:
        time.sleep(0.01)
    assert all(map(cached, files[:2]))
    assert times[2] == 10**18  # hidden, and so not read
    for file in files[:2]:  # mounted with relatime or noatime, a second reading changes nothing
        file.read_bytes()
    assert [file.stat().st_atime_ns for file in files[:2]] == times[:2] or "strictatime" in mounts()


def mounts():
    return Path("/proc/mounts").read_text()


def test_a_file_inside_a_package_is_hidden_too(level):
    folder = Path(next(p for p in packages.places(("numpy",)) if p.endswith("/numpy")))
    if not os.access(folder, os.W_OK):
        pytest.skip("this user may not write to numpy's folder")
    with tempfile.NamedTemporaryFile("w", prefix="distill_nb_test", dir=folder) as file:
        os.chmod(file.name, 0o644)
        print(SECRET, end="", file=file, flush=True)
        look = "import numpy\nPATHS = [os.path.dirname(p) for p in numpy.__path__]"
        tests = function_tests("f", [[file.name]], [SECRET], seconds=5.0)
        job = Job("import os\n" + look + READ, tests)
        for hidden, outcome in (((), "correct"), ((file.name,), "wrong")):
            with contextlib.closing(pool.Seat(level, hidden)) as one:
                assert one.run(job).outcome == outcome


def test_the_graders_files_are_hidden(monkeypatch, tmp_path):
    """A benchmark's file is known from the moment that it is read, by whatever name."""
    file = tmp_path / "aime.part.jsonl"
    row = {"ID": "2024-I-1", "Problem": "1 + 1?", "Answer": "2", "Solution": ""}
    file.write_text(json.dumps(row) + "\n")
    with contextlib.suppress(ValueError):
        loading.load("aime", str(file))
    assert str(file) in data_files.opened()
    told = []
    monkeypatch.setattr(Pool, "hide", lambda self, paths: told.append(paths))
    answer = "```python\ndef add(a, b):\n    return a + b\n```"
    assert grade_code("pocket_code", "pocket_code/add", answer).outcome == "correct"
    assert told and all(str(file) in paths for paths in told)
    monkeypatch.setenv("HF_HOME", "/usr/share/hub")
    assert "/usr/share/hub" in code._caches()


def test_what_is_hidden(tmp_path):
    """Folders and files below what is read, each once, and never the standard library."""
    for name in ("kept/hidden/inside", "kept/file", "else/file", "kept/test/a", "kept/config-3/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    prefix, more = str(tmp_path / "kept"), ("kept/hidden", "kept/hidden/inside", "kept/file")
    asked = tuple(str(tmp_path / name) for name in (*more, "else/file", "kept/none"))
    own = {p for p in places.hidden((prefix,), asked) if p.startswith(str(tmp_path))}
    assert own == {f"{prefix}/{name}" for name in ("hidden", "file", "test", "config-3")}
    library = os.path.dirname(os.path.realpath(os.__file__))
    found = places.hidden((sys.base_prefix,), (library, os.path.join(library, "json")))
    assert library not in found and os.path.join(library, "json") in found


# --- packages
# -----------------------------------------------------------------------------------------------


def test_packages_come_with_what_they_need_and_nothing_else():
    assert set(packages.USUAL) == set(packages.chosen()) == {"numpy", "sortedcontainers", "sympy"}
    names = {Path(p).name for p in packages.places(("sympy",))}
    assert {"sympy", "mpmath"} <= names and not names & {"numpy", "torch", "pytest"}
    assert packages.versions(("sortedcontainers",))[0].startswith("sortedcontainers 2.")
    assert {Path(p).name for p in packages.places(("yaml",))} >= {"yaml"}  # installed as PyYAML
    with pytest.raises(ValueError, match=r"sandbox_packages: 'nothing' is not installed; install"):
        packages.chosen(("numpy", "nothing"))
    with pytest.raises(ValueError, match=r"sandbox_packages: '\.\./x' is not installed"):
        packages.chosen(("../x",))


@pytest.mark.parametrize("allowed", [None, ("yaml", "sortedcontainers"), ()])
def test_only_the_packages_allowed_can_be_imported(level, allowed):
    code = "def f(name):\n    return __import__(name).__name__  # {}"
    names = ["numpy", "sortedcontainers", "sympy", "yaml", "torch", "pytest", "distill_nb"]
    there = packages.chosen(allowed)
    tests = [function_tests("f", [[name]], [name], seconds=20.0) for name in names]
    with Pool(1, level, packages=allowed) as one:
        jobs = [Job(code.format(name), t) for name, t in zip(names, tests, strict=True)]
        found = one.run(jobs)
        assert one.packages == there
    assert [r.outcome == "correct" for r in found] == [name in there for name in names]


def test_sympy_gives_the_same_values_in_every_worker(level):
    code = "import sympy.core.random as r\nraise ValueError([r.randint(0, 10**9) for _ in '12'])"
    details = set()
    for _ in range(2):
        with contextlib.closing(pool.Seat(level)) as one:
            details.add(one.run(Job(code, ADD)).detail)
    assert len(details) == 1 and "ValueError: [" in details.pop()


# --- the working folder
# -----------------------------------------------------------------------------------------------


def test_files_in_the_working_folder_are_gone_for_the_next(seat):
    code = "import os\ndef f(x):\n    open('left', 'w').write('x')\n    return os.listdir('.')"
    tests = function_tests("f", [[1]], [["left"]])
    assert [seat.run(Job(code, tests)).outcome for _ in range(2)] == ["correct"] * 2
    look = Job("import os\ndef f(x): return os.listdir('.')", function_tests("f", [[1]], [[]]))
    assert seat.run(look).outcome == "correct"


def test_a_folder_has_a_limit_of_bytes_at_both_levels(seat):
    code = """
def f(count):
    for i in range(count):
        with open(f"file{i}", "wb") as file:
            file.write(b"x" * 10**7)
    return count
"""
    for count, outcome in ((5, "correct"), (1000, "wrong")):
        tests = function_tests("f", [[count]], [count], seconds=20.0)
        assert seat.run(Job(code, tests)).outcome == outcome


def test_there_is_no_other_folder_to_write_to(seat):
    """At both levels alike: a temporary file lies in the working folder."""
    code = """
import os, tempfile
def f(place):
    try:
        open(os.path.join(place, "distill_nb_test"), "w").close()
        return "written"
    except OSError:
        with tempfile.NamedTemporaryFile() as file:
            return os.path.dirname(file.name) == os.getcwd()
"""
    folders = ["/tmp", "/var/tmp", "/dev/shm", "/sandbox", "..", os.path.dirname(os.__file__)]
    tests = function_tests("f", [[p] for p in folders], [True] * len(folders), seconds=5.0)
    result = seat.run(Job(code, tests))
    assert result.outcome == "correct", result
