"""A record says what made a result, and nothing about whose machine it was."""

import getpass
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from distill_nb import params
from distill_nb.runtime import paths, provenance
from distill_nb.runtime.code_hash import modules_of


def test_a_record_has_parameters_versions_and_code(tmp_path):
    notebook = tmp_path / "train.ipynb"
    notebook.write_text("{}")
    p = params.pocket(seed=3)
    record = provenance.collect(p, notebook=notebook, data_sha256="abc")
    assert record["parameters"]["learning_rate"] == 1.0e-3
    assert record["parameters"]["benchmarks"] == ["pocket_math", "pocket_code"]
    assert record["seed"] == 3 and record["data_sha256"] == "abc"
    assert record["packages"]["papermill"] == "2.7.0"
    assert record["python"] == platform.python_version()
    assert record["device"]["kind"] in ("cpu", "cuda") and record["device"]["name"]
    assert (
        abs((datetime.now(UTC) - datetime.fromisoformat(record["started_at"])).total_seconds()) < 60
    )
    assert record == json.loads(json.dumps(record))


def test_a_records_code_is_its_entrys_modules_and_the_notebook(tmp_path):
    notebook = tmp_path / "eval.ipynb"

    def code(text):
        notebook.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [text]}]}))
        return provenance.collect(params.pocket(), notebook, "distill_nb.params.run")["code"]

    first = code("one")
    assert first == code("one") and "code_sha256" not in provenance.collect(params.pocket())
    assert set(first) == {
        str(notebook),
        *(f.relative_to(paths.ROOT).as_posix() for f in modules_of("distill_nb.params.run")),
    }
    file = "distill_nb/params/run.py"
    assert first[file] == provenance.sha256_of_file(paths.ROOT / file)[:16]
    second = code("two")
    assert {name for name in first if first[name] != second[name]} == {str(notebook)}


def test_the_one_hash_of_earlier_records_is_kept_with_their_session():
    before = {"started_at": "then", "code_sha256": "ab"}
    assert provenance.follow({"started_at": "now"}, before)["sessions"] == [before]


def test_a_record_names_no_machine_user_or_home():
    extra = {
        "file": paths.ROOT / "runs" / "x",
        "files": [str(Path.home() / "data")],
        "note": "as is",
    }
    record = provenance.collect(
        params.pocket(), notebook=paths.ROOT / "notebooks" / "train.ipynb", **extra
    )
    assert record["notebook"] == "notebooks/train.ipynb"
    assert (
        record["file"] == "runs/x" and record["files"] == ["~/data"] and record["note"] == "as is"
    )
    text = json.dumps(record)
    for private in (str(paths.ROOT), str(Path.home()) + "/", platform.node()):
        assert not private or private not in text, private
    user = getpass.getuser()
    assert user not in record["platform"].split() and user not in record.values()


def test_each_session_says_which_of_its_parameters_are_others_now():
    record = {}
    for when, micro, rank in ((1, 5, 8), (2, 5, 8), (3, 2, 8), (4, 5, 4)):
        record = provenance.follow(
            {"started_at": when, "parameters": {"micro_batch_size": micro, "rank": rank}}, record
        )
        if when == 3:
            assert [s.get("parameters") for s in record["sessions"]] == [
                {"micro_batch_size": 5}
            ] * 2
    assert [(s["started_at"], s["parameters"]) for s in record["sessions"]] == [
        (1, {"rank": 8}),
        (2, {"rank": 8}),
        (3, {"micro_batch_size": 2, "rank": 8}),
    ]


def test_finish_adds_the_time_and_keeps_the_rest():
    record = {"started_at": "2025-01-01T00:00:00.000+00:00", "seed": 0}
    done = provenance.finish(record)
    assert "seconds" not in record and done["seed"] == 0
    expected = (datetime.now(UTC) - datetime(2025, 1, 1, tzinfo=UTC)).total_seconds()
    assert done["seconds"] == pytest.approx(expected, abs=60)
    assert datetime.fromisoformat(done["finished_at"]).utcoffset().total_seconds() == 0


def test_hashes(tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert provenance.sha256_of_file(file) == abc
    # of the two bytes {}
    empty_object = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert provenance.sha256_of_json({}) == empty_object
    assert provenance.sha256_of_json({"a": 1, "b": [2]}) == provenance.sha256_of_json(
        {"b": [2], "a": 1}
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        provenance.sha256_of_json(float("nan"))


def _git(folder, *words):
    command = ["git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@t", *words]
    subprocess.run(command, check=True, capture_output=True)


def test_git_state(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_state(tmp_path) is None
    _git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path) == {"commit": None, "dirty": False}
    (tmp_path / "a").write_text("1")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-q", "-m", "a")
    clean = provenance.git_state(tmp_path)
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert provenance.git_state(tmp_path) == {"commit": clean["commit"], "dirty": True}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(tmp_path) is None  # git is missing


def test_write_is_all_or_nothing(tmp_path, monkeypatch):
    file = tmp_path / "run" / "provenance_train.json"
    provenance.write(file, {"a": 1})
    assert json.loads(file.read_text()) == {"a": 1}
    with pytest.raises(TypeError):
        provenance.write(file, {"a": object()})

    def crash(*_):
        raise OSError("disk")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk"):
        provenance.write(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 1}
    assert [f.name for f in file.parent.iterdir()] == ["provenance_train.json"]


def test_collecting_does_not_load_torch():
    code = ("import sys; from distill_nb import params; from distill_nb.runtime import provenance; "
            "provenance.collect(params.pocket()); "
            "print('torch' in sys.modules)")  # fmt: skip
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=paths.ROOT)
    assert printed.strip() == "False"


@pytest.mark.parametrize("was, now, said", [
    ("full", "tiny", "full, now tiny"), (0.0, 0.1, "0.0, now 0.1"),
    (None, "x", "not recorded, now x"),
    (["a"], ["a", "b"], '["a"], now ["a", "b"]'), (True, False, "true, now false"),
    ("0" * 64, "f" * 64, "000000000000, now ffffffffffff"),
    ("x" * 100, "y", "x" * 40 + "…, now y"),
    ("a" * 60 + "/one", "a" * 60 + "/two", "…aaaaaaaaa/one, now …aaaaaaaaa/two"),
    ("a" * 60, "a" * 61, "…aaaaaaaaaa, now …aaaaaaaaaaa"),
])  # fmt: skip
def test_two_values_are_named_and_shortened_to_what_is_not_the_same(was, now, said):
    assert provenance.both(was, now) == said
    assert provenance.differing({"k": was, "same": 1}, {"k": now, "same": 1}, ["k", "same"]) == [
        f"k ({said})"
    ]


@pytest.mark.parametrize("text", [None, "", "{", "[1]", '"a"', "\x00"])
def test_what_cannot_be_read_says_as_little_as_what_is_not_there(tmp_path, text):
    file = tmp_path / "provenance_train.json"
    if text is not None:
        file.write_text(text)
    assert provenance.if_readable(file) == {}
    provenance.write(file, {"finished": True})
    assert provenance.if_readable(file) == {"finished": True}
