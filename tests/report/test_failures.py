"""Stages that failed, as the index page shows them."""

import os
import time

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from distill_nb.report import failures, index_page


def write(file, cells):
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), file)
    return file


def failing(text="lora_targets: no <module> named x"):
    coloured = [
        "\x1b[31mTraceback\x1b[39m (most recent call last)",
        f"\x1b[31mValueError\x1b[39m: {text}",
    ]
    error = new_output("error", ename="ValueError", evalue=text, traceback=coloured)
    return [
        new_markdown_cell("# Train"),
        new_code_cell("a"),
        new_code_cell("train()", outputs=[error]),
        new_code_cell("b"),
    ]


def test_the_failing_cell_its_error_and_its_traceback_are_found(tmp_path):
    found = failures.failure(write(tmp_path / "x" / "train.ipynb", failing()))
    assert found == {
        "where": "code cell 2",
        "source": "train()",
        "error": "ValueError: lora_targets: no <module> named x",
        "traceback": "Traceback (most recent call last)\nValueError: lora_targets: no <module> "
        "named x",
    }
    good = write(
        tmp_path / "y" / "train.ipynb",
        [new_code_cell("a", outputs=[new_output("stream", text="ValueError: no")])],
    )
    torn = tmp_path / "y" / "eval.ipynb"
    torn.write_text('{"cells": [')  # being written
    assert (
        failures.failure(good) is None
        and failures.failure(torn) is None
        and failures.failure(tmp_path / "no") is None
    )


def test_the_index_shows_failures_of_runs_that_came_to_nothing_and_of_sets(tmp_path):
    write(tmp_path / "run" / "train.ipynb", failing())
    write(tmp_path / "traces" / "r1_math" / "traces.ipynb", failing("source: the hub is down"))
    (tmp_path / "run" / "train.html").write_text("page")
    page = index_page.index(tmp_path).read_text()
    assert page.count("<summary>") - page.count("On this page") == 2
    assert page.index(">Failed <") < page.index(">Accuracy <")
    link = '<a href="../run/train.html">run/train</a>'
    assert f"{link}: code cell 2, ValueError: lora_targets: no &lt;module&gt; named x" in page
    assert "traces/r1_math/traces: code cell 2, ValueError: source: the hub is down" in page
    assert "\x1b" not in page
    write(tmp_path / "run" / "train.ipynb", [new_code_cell("a")])
    (tmp_path / "traces" / "r1_math" / "traces.ipynb").unlink()
    assert "Failed" not in index_page.index(tmp_path).read_text()


def test_what_is_kept_of_a_failure_is_shown_where_the_notebook_has_no_error(tmp_path):
    started, notebook = (
        time.time() - 1,
        write(tmp_path / "run" / "train.ipynb", [new_code_cell("a")]),
    )
    failures.keep(
        tmp_path / "run",
        "train",
        1,
        ["Traceback", "\x1b[31mDeadKernelError\x1b[39m: Kernel died", ""],
        started,
    )
    # no folder of the study's
    failures.keep(tmp_path / "run" / "new", "eval", 1, ["gpus: 2 are wanted"], started)
    failures.keep(tmp_path / "report", "paper", -9, [], started)
    failures.keep(tmp_path / "traces" / "r1_math", "traces", 137, ["<b>"], started)
    found = {str(file.relative_to(tmp_path)): f for file, f in failures.failures(tmp_path).items()}
    assert sorted(found) == ["report/paper.ipynb", "run/train.ipynb", "traces/r1_math/traces.ipynb"]
    shown = found["run/train.ipynb"]
    assert (
        shown["where"].startswith("exit status 1, 20")
        and shown["traceback"] == "Traceback\nDeadKernelError: Kernel died"
    )
    assert found["report/paper.ipynb"]["where"].startswith("killed by SIGKILL, ")
    page = index_page.index(tmp_path).read_text()
    assert (
        " UTC, DeadKernelError: Kernel died</summary>" in page
        and "killed by SIGKILL" in page
        and "&lt;b&gt;" in page
    )
    # the notebook's own error is shown instead, but for one of an earlier start; what was executed
    # since has the last word
    write(notebook, failing())
    assert failures.failures(tmp_path)[notebook]["where"] == "code cell 2"
    os.utime(notebook, (started - 60, started - 60))
    assert failures.failures(tmp_path)[notebook] == shown
    write(notebook, [new_code_cell("a")])
    assert failures.failures(tmp_path)[notebook] == shown
    os.utime(notebook, (time.time() + 60, time.time() + 60))
    assert notebook not in failures.failures(tmp_path)
    failures.forget(tmp_path / "report", "paper")
    (tmp_path / "traces" / "r1_math" / "failure_traces.json").write_text("{")
    assert failures.failures(tmp_path) == {}
