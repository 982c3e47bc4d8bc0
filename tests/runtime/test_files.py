"""A file is the old one or the new one, whatever happens while it is written."""

import json
import os
import signal
import subprocess
import sys

import pytest

from distill_nb.runtime import files, paths


def test_a_file_is_replaced_whole_and_its_folder_made(tmp_path):
    file = tmp_path / "a" / "x.txt"
    files.write_bytes(file, "ä".encode())
    files.write_bytes(file, b"12")
    assert file.read_bytes() == b"12" and [f.name for f in file.parent.iterdir()] == ["x.txt"]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    file = tmp_path / "x"
    files.write_bytes(file, b"old")
    with pytest.raises(ZeroDivisionError), files.replacing(file) as beside:
        beside.write_text("half")
        assert not list(tmp_path.glob("x*.*")) and list(tmp_path.glob("*.partial")) == [beside]
        print(1 / 0)
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_a_killed_writer_leaves_the_old_file_and_one_that_is_told_by_its_name(tmp_path):
    file = tmp_path / "x"
    files.write_bytes(file, b"old")
    program = (
        "import os, sys; from pathlib import Path; from distill_nb.runtime import files\n"
        "with files.replacing(Path(sys.argv[1])) as beside:\n"
        "    beside.write_text('half'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(file)], cwd=paths.ROOT)
    assert killed.returncode == -signal.SIGKILL and file.read_text() == "old"
    (left,) = set(tmp_path.iterdir()) - {file}
    assert left.suffix == files.BESIDE and left.read_text() == "half"


def test_what_is_written_is_synced_before_it_counts(tmp_path, monkeypatch):
    file, fsync, replace, done = tmp_path / "x", os.fsync, os.replace, []
    monkeypatch.setattr(os, "fsync", lambda d: (fsync(d), done.append(os.fstat(d).st_ino)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    files.write_bytes(file, b"new")
    assert done == [file.stat().st_ino, "replace"]


def test_json_is_readable_by_all_and_refuses_what_it_cannot_hold(tmp_path):
    file, before = tmp_path / "x.json", os.umask(0o077)
    try:
        files.write_json(file, {"a": [1, "ä"]})
        files.write_bytes(tmp_path / "own", b"")
    finally:
        os.umask(before)
    assert file.read_text() == '{\n  "a": [\n    1,\n    "\\u00e4"\n  ]\n}\n'
    assert file.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o600
    for value, error in ((float("nan"), ValueError), (object(), TypeError)):
        with pytest.raises(error):
            files.write_json(file, value)
    assert json.loads(file.read_text()) == {"a": [1, "ä"]}
