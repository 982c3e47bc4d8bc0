"""Control groups of memory: real ones where this user may make them, and when it may."""

import os
import signal
import subprocess
import sys

import pytest

from distill_nb.runtime import control_group, memory_group, paths

needs_groups = pytest.mark.skipif(
    not memory_group.allowed(), reason="this user may make no control groups of memory here"
)
MIB = 2**20
TAKE = """
import pathlib, sys
pathlib.Path(sys.argv[1]).write_text("0")
print(len(b"x" * int(sys.argv[2])))
"""


def take(group, size):
    """A process in the group that takes so much memory; its exit status."""
    line = [sys.executable, "-S", "-c", TAKE, str(group.entrance), str(size)]
    return subprocess.run(line, stdout=subprocess.DEVNULL, check=False).returncode


@needs_groups
def test_what_takes_too_much_is_killed_and_counted():
    group = memory_group.MemoryGroup(40 * MIB)
    try:
        assert group.empty() and group.counts() == (0, 0)
        assert take(group, 10 * MIB) == 0 and group.counts()[1] == 0
        assert take(group, 80 * MIB) == -signal.SIGKILL
        assert min(group.counts()) >= 1
        killed = group.counts()[1]
        group.allow(200 * MIB)
        assert take(group, 80 * MIB) == 0 and group.counts()[1] == killed
    finally:
        group.remove()
    assert not group.folder.exists()


@needs_groups
def test_a_limit_further_up_is_told_apart():
    """The group above is full; the one below is not."""
    above = memory_group.MemoryGroup(40 * MIB)
    below = above.folder / "below"
    try:
        if above._second:
            (above.folder / "cgroup.subtree_control").write_text("+memory")
        below.mkdir()
        inner = memory_group.MemoryGroup.__new__(memory_group.MemoryGroup)
        inner.folder, inner._second = below, above._second
        assert take(inner, 80 * MIB) == -signal.SIGKILL
        assert inner.counts() == (0, 1)
    finally:
        below.rmdir()
        above.remove()


@needs_groups
def test_groups_of_the_dead_are_swept():
    script = (
        "import os\nfrom distill_nb.runtime.memory_group import MemoryGroup\n"
        "print(MemoryGroup(2**24).folder, flush=True)\nos.kill(os.getpid(), 9)"
    )
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, cwd=paths.ROOT, check=False)
    left = done.stdout.strip()
    assert done.returncode == -signal.SIGKILL and os.path.isdir(left), done.stderr
    used = memory_group.MemoryGroup(2**24)  # sweeps
    try:
        assert not os.path.exists(left)
        memory_group.sweep(used.folder.parent)
        assert used.folder.exists()
    finally:
        used.remove()


def second(tmp_path, monkeypatch, group, delegated=False, processes=(), down=""):
    """A tree of version 2 in which this process is in `group`."""
    folder = tmp_path / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.controllers").write_text("cpu memory\n")
    (folder / "cgroup.subtree_control").write_text(down)
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in processes))
    monkeypatch.setattr(control_group, "TOP", tmp_path)
    monkeypatch.setattr(control_group, "groups", lambda _: [folder])
    monkeypatch.setattr(os, "getxattr", lambda *_: b"1" if delegated else b"0")
    return folder


def test_a_group_that_is_somebody_elses_is_left_alone(tmp_path, monkeypatch):
    folder = second(tmp_path, monkeypatch, "session.scope")
    with pytest.raises(PermissionError, match="is not delegated"):
        memory_group._home()
    assert (folder / "cgroup.subtree_control").read_text() == ""
    assert not memory_group.allowed()


@pytest.mark.parametrize("others", [True, False])
def test_processes_move_into_a_leaf_where_all_are_our_own(tmp_path, monkeypatch, others):
    processes = [os.getpid(), *([os.getppid()] if others else [])]
    folder = second(tmp_path, monkeypatch, "grader.scope", delegated=True, processes=processes)
    leaf, write = folder / memory_group.LEAF, memory_group.Path.write_text

    def busy(path, text):  # as the kernel, while the group has processes
        if path.name == "cgroup.subtree_control" and not leaf.exists():
            raise OSError(16, "Device or resource busy")
        return write(path, text)

    monkeypatch.setattr(memory_group.Path, "write_text", busy)
    if others:
        with pytest.raises(PermissionError, match="has other processes"):
            memory_group._home()
        assert not leaf.exists()
    else:
        assert memory_group._home() == (folder, True)
        assert (leaf / "cgroup.procs").read_text() == str(os.getpid())
        assert (folder / "cgroup.subtree_control").read_text() == "+memory"


def test_a_leaf_makes_groups_beside_itself(tmp_path, monkeypatch):
    folder = second(tmp_path, monkeypatch, "grader.scope", down="memory")
    leaf = folder / memory_group.LEAF
    leaf.mkdir()
    (leaf / "cgroup.controllers").write_text("memory\n")
    monkeypatch.setattr(control_group, "groups", lambda _: [leaf, folder])
    assert memory_group._home() == (folder, True)


def test_without_control_groups_none_is_made(monkeypatch):
    monkeypatch.setattr(control_group, "groups", lambda _: [])
    with pytest.raises(OSError, match="no control group of memory is in sight"):
        memory_group.MemoryGroup(2**30)
    assert not memory_group.allowed()
