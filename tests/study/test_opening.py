"""`distill-nb open`: which page it is, and who is told where it lies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from distill_nb.__main__ import main
from distill_nb.runtime import paths
from distill_nb.study import opening

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


@pytest.fixture
def scale(runs_dir, monkeypatch) -> Path:
    """A scale with the page of all runs, a run of each kind, and a set of traces; no display."""
    folder = runs_dir / "pocket"
    for page in (
        "report/index.html",
        "both/train.html",
        "both/eval.html",
        "trained/train.html",
        "nothing/metrics.jsonl",
        "traces/r1_math/traces.html",
    ):
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text("")
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("", "report/index.html"),
        ("both", "both/eval.html"),
        ("trained", "trained/train.html"),
        ("r1_math", "traces/r1_math/traces.html"),
    ],
)
def test_a_run_is_found_by_its_name_or_its_folder(scale, name, page):
    assert opening.page_of(name, "pocket") == scale / page
    if name:
        folder = str((scale / page).parent)
        assert opening.page_of(folder, "full") == scale / page
    assert opening.page_of(str(scale), "full") == scale / "report" / "index.html"


def test_a_page_that_is_not_there_is_refused_in_a_sentence(scale):
    with pytest.raises(ValueError, match=r"^nobody: there is no such folder, and no such run"):
        opening.page_of("nobody", "pocket")
    with pytest.raises(ValueError, match=r"nothing has no page yet: `distill-nb report` writes"):
        opening.page_of("nothing", "pocket")
    with pytest.raises(ValueError, match=r"full/report/index\.html is not there: start a run"):
        opening.page_of("", "full")


def test_without_a_display_it_says_where_the_page_is(scale):
    ran = CliRunner().invoke(main, ["open", "both"])
    page = scale / "both" / "eval.html"
    assert ran.exit_code == 0 and ran.output.splitlines() == [
        "There is no display here. Open this in a browser:",
        str(page),
        page.as_uri(),
    ]


def test_the_browser_gets_the_page(scale, tmp_path):
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{asked}"\n')
    browser.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "distill_nb", "open", "trained"],
        cwd=paths.ROOT,
        env=os.environ | {"BROWSER": f"{browser} %s"},
        capture_output=True,
        text=True,
    )
    page = scale / "trained" / "train.html"
    assert done.stdout == f"Opened in the browser: {page}\n", done.stderr
    assert asked.read_text() == page.as_uri()


def test_a_desktop_without_a_browser_is_told_the_place(scale, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(opening.webbrowser, "open", lambda address: False)
    page = opening.page_of("", "pocket")
    assert opening.show(page) == f"No browser was found. Open this in one:\n{page}\n{page.as_uri()}"


def test_how_to_open_it_can_be_typed_where_one_stands(monkeypatch, tmp_path):
    program = tmp_path / ".venv" / "bin" / "distill-nb"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    runs = paths.resolve("runs")
    assert opening.how(runs / "pocket") == ".venv/bin/distill-nb open"
    assert opening.how(runs / "tiny") == ".venv/bin/distill-nb open --scale tiny"
    other = tmp_path / "my study" / "full"
    assert opening.how(other) == f".venv/bin/distill-nb open '{other}'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert opening.how(runs / "pocket") == "distill-nb open"
