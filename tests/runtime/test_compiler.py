"""Triton builds C code on a GPU: without a compiler nothing is loaded first."""

import sys

import pytest
from helpers import tiny

from distill_nb.evaluation import evaluate
from distill_nb.runtime import compiler
from distill_nb.students import sources, student
from distill_nb.training import train


def test_the_compiler_is_the_one_that_triton_would_call(tmp_path, monkeypatch):
    for name in ("cc", "clang", "mine"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert compiler.found() == str(tmp_path / "clang")  # Triton does not try cc
    monkeypatch.setenv("CC", "mine")
    assert compiler.found() == str(tmp_path / "mine")
    for value in ("mine -O1", "absent", ""):  # Triton starts the whole text as a program
        monkeypatch.setenv("CC", value)
        assert compiler.found() is None
        assert f"no program that CC names ({value!r})" in compiler.lacking()


def test_it_is_needed_on_cuda_only(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "headers", lambda: tmp_path)
    monkeypatch.setenv("CC", sys.executable)
    compiler.check("cpu")
    with pytest.raises(ValueError, match=r"^compiler: .*no Python\.h in .*gcc python3-dev"):
        compiler.check("cuda")
    (tmp_path / "Python.h").touch()
    compiler.check("cuda")
    monkeypatch.setenv("CC", "absent")
    said = r"^compiler: this machine has no program that CC names \('absent'\), and Triton needs"
    with pytest.raises(ValueError, match=said):
        compiler.check("cuda")


@pytest.mark.parametrize("start", [train.prepare, train.train, evaluate.evaluate])
def test_a_gpu_without_one_stops_a_run_before_anything_is_loaded(start, monkeypatch):
    monkeypatch.setenv("CC", "absent")
    monkeypatch.setattr(student, "device", lambda: "cuda")
    monkeypatch.setattr(sources, "check_student", lambda p: pytest.fail("it was looked for"))
    with pytest.raises(ValueError, match=r"^compiler: "):
        start(tiny())
