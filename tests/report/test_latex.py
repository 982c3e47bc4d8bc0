"""The paper includes nothing that is not generated, and builds."""

import re
import shutil
import subprocess

import pytest
from helpers import tiny

from distill_nb.evaluation import evaluate
from distill_nb.report import latex
from distill_nb.runtime import paths
from distill_nb.training import train

TEX = paths.ROOT / "paper" / "paper.tex"


def macros(folder):
    text = (folder / "numbers.tex").read_text()
    return dict(re.findall(r"\\newcommand\{\\(\w+)\}\{(.*)\}", text))


def test_every_number_and_table_of_the_paper_is_generated(runs_dir, tmp_path):
    latex.write(tmp_path)
    found, text = macros(tmp_path), TEX.read_text()
    own = {"intable", "newcommand"}
    used = set(re.findall(r"\\([A-Z]\w+)", text)) - {"IfFileExists"} - own
    assert used <= set(found), used - set(found)
    for name in re.findall(r"\\intable\{(\w+)\}", text):
        assert (tmp_path / "tables" / f"{name}.tex").exists() or name.startswith("ours"), name
    for name in re.findall(r"\\includegraphics\[[^]]*\]\{(\w+)\}", text):
        assert (paths.ROOT / "figures" / f"{name}.pdf").exists(), name
    assert (found["PublishedCells"], found["PublishedRuns"], found["GrimCanFail"]) == (
        "129",
        "10",
        "28",
    )
    assert (
        found["FindingOne"] == "confounded"
        and found["OurRuns"] == "0"
        and "No run" in found["OurSentence"]
    )


def test_our_runs_come_in_with_their_records(runs_dir, tmp_path):
    p = tiny(benchmark_limit=2)
    train.train(p)
    evaluate.evaluate(p)
    latex.write(tmp_path, "tiny")
    found = macros(tmp_path)
    assert (
        found["OurRuns"] == "1"
        and found["OurSentence"] == "None of the 129 published cells was run here."
    )
    assert r"sonnet\_math\_llama\_4k" in (tmp_path / "tables" / "ours.tex").read_text()
    assert (tmp_path / "tables" / "ours_kinds.tex").exists() and (
        tmp_path / "tables" / "ours_best.tex"
    ).exists()
    assert found["OurSelection"]
    latex.write(tmp_path, "pocket")
    assert not (tmp_path / "tables" / "ours.tex").exists()  # nothing of another scale stays


def test_the_paper_builds(runs_dir, tmp_path):
    if shutil.which("latexmk") is None:
        pytest.skip("LaTeX is not installed: make setup-ci installs it where it may")
    shutil.copytree(TEX.parent, tmp_path / "paper", ignore=shutil.ignore_patterns("generated"))
    (tmp_path / "figures").symlink_to(paths.ROOT / "figures")
    p = tiny(benchmark_limit=2)
    train.train(p)
    evaluate.evaluate(p)
    latex.write(tmp_path / "paper" / "generated", "tiny")
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(
        command, cwd=tmp_path / "paper", capture_output=True, text=True, errors="replace"
    )
    log = (tmp_path / "paper" / "paper.log").read_text(errors="replace")
    assert done.returncode == 0, log[-3000:]
    assert "There were undefined" not in log
    assert re.findall(r"Overfull \\hbox \((\d\d+)", log) == []  # by 10 points or more
