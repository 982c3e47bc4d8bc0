"""Notebooks that stopped at an error, as the index page shows them."""
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from distill_nb import failures, report


def write(file, cells):
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), file)
    return file


def failing(text="lora_targets: no <module> named x"):
    coloured = ["\x1b[31mTraceback\x1b[39m (most recent call last)", f"\x1b[31mValueError\x1b[39m: {text}"]
    error = new_output("error", ename="ValueError", evalue=text, traceback=coloured)
    return [new_markdown_cell("# Train"), new_code_cell("a"), new_code_cell("train()", outputs=[error]), new_code_cell("b")]


def test_the_failing_cell_its_error_and_its_traceback_are_found(tmp_path):
    found = failures.failure(write(tmp_path / "x" / "train.ipynb", failing()))
    assert found == {"cell": 2, "source": "train()", "error": "ValueError: lora_targets: no <module> named x",
                     "traceback": "Traceback (most recent call last)\nValueError: lora_targets: no <module> named x"}
    good = write(tmp_path / "y" / "train.ipynb", [new_code_cell("a", outputs=[new_output("stream", text="ValueError: no")])])
    torn = tmp_path / "y" / "eval.ipynb"
    torn.write_text('{"cells": [')  # being written
    assert failures.failure(good) is None and failures.failure(torn) is None and failures.failure(tmp_path / "no") is None


def test_the_index_shows_failures_of_runs_that_came_to_nothing_and_of_sets(tmp_path):
    write(tmp_path / "run" / "train.ipynb", failing())
    write(tmp_path / "traces" / "r1_math" / "traces.ipynb", failing("source: the hub is down"))
    (tmp_path / "run" / "train.html").write_text("page")
    page = report.index(tmp_path).read_text()
    assert page.count("<details") == 2 and page.index("<h2>Failed</h2>") < page.index("Accuracy")
    link = '<a href="../run/train.html">run/train</a>'
    assert f"{link}: code cell 2, ValueError: lora_targets: no &lt;module&gt; named x" in page
    assert "traces/r1_math/traces: code cell 2, ValueError: source: the hub is down" in page
    assert "\x1b" not in page
    write(tmp_path / "run" / "train.ipynb", [new_code_cell("a")])
    (tmp_path / "traces" / "r1_math" / "traces.ipynb").unlink()
    assert "Failed" not in report.index(tmp_path).read_text()
