"""The paper includes nothing that is not generated, and builds."""

import re
import shutil
import subprocess

import pytest
from helpers import best, tiny

from distill_nb.evaluation import evaluate
from distill_nb.report import latex, paper_numbers, paper_tables
from distill_nb.runtime import paths
from distill_nb.training import train

TEX = paths.ROOT / "paper" / "paper.tex"


def macros(folder):
    text = (folder / "numbers.tex").read_text()
    return dict(re.findall(r"\\newcommand\{\\(\w+)\}\{(.*)\}", text))


def written():
    """The text of the paper, of all its sections."""
    sections = re.findall(r"\\input\{(sections/\w+\.tex)\}", TEX.read_text())
    assert {f"sections/{f.name}" for f in (TEX.parent / "sections").glob("*.tex")} == set(sections)
    return "\n".join([TEX.read_text(), *((TEX.parent / f).read_text() for f in sections)])


def spoken_of_late(tables):
    """The tables that come before a sentence has named them."""
    text, late = written(), []
    for name in re.findall(r"\\intable\{(\w+)\}", text):
        (label,) = re.findall(r"\\label\{(.*)\}", (tables / f"{name}.tex").read_text())
        named = text.find(rf"\ref{{{label}}}")
        if not 0 <= named < text.index(rf"\intable{{{name}}}"):
            late.append(name)
    return late


def test_every_number_and_table_of_the_paper_is_generated(runs_dir, tmp_path):
    latex.write(tmp_path)
    found, text = macros(tmp_path), written()
    used = set(re.findall(r"\\([A-Z]\w+)", text)) - {"IfFileExists"}
    assert used <= set(found), used - set(found)
    spoken = used | {f"Finding{word}" for word in paper_numbers.WORDS}
    assert {name for name in found if not name.endswith(("P", "Needed"))} <= spoken
    for name in re.findall(r"\\intable\{(\w+)\}", text):
        assert (tmp_path / "tables" / f"{name}.tex").exists() or name.startswith("ours"), name
    for name in re.findall(r"\\includegraphics\[[^]]*\]\{(\w+)\}", text):
        assert (paths.ROOT / "figures" / f"{name}.pdf").exists(), name
    cited = re.findall(r"\\cite\w\{(\w+)\}", text)
    listed = re.findall(r"^@\w+\{(\w+),", (TEX.parent / "references.bib").read_text(), re.MULTILINE)
    assert set(cited) == set(listed) and len(listed) == len(set(listed))
    assert (found["PublishedCells"], found["PublishedRuns"], found["GrimCanFail"]) == (
        "129",
        "10",
        "28",
    )
    assert found["OurRuns"] == "0" and "No run" in found["OurSentence"]


def test_the_prose_says_what_the_numbers_say(runs_dir, tmp_path):
    """Sentences around the generated numbers are written for these verdicts; where one changes, its
    paragraph must be written anew."""
    latex.write(tmp_path)
    found = macros(tmp_path)
    assert {word: found[f"Finding{word}"] for word in paper_numbers.WORDS[1:]} == {
        "One": "confounded", "Two": "contradicted", "Three": "inconclusive",
        "Four": "inconclusive", "Five": "supported", "Six": "inconclusive",
        "Seven": "contradicted",
    }  # fmt: skip
    assert (found["FindingsSupported"], found["BreakWording"]) == ("one", "contradicted")
    assert (found["LeadSure"], found["LeadHidden"]) == ("none", "one")
    assert found["NarrowLead"] == "1 of 500" and found["ForgetReversed"] == "Llama 8B Sonnet"
    assert found["ForgetHolds"] == "Qwen Base R1, Qwen Base Sonnet and Qwen Instruct Sonnet"
    assert found["ForgetOpen"] == "Llama 8B R1"
    assert found["OwnBaseRoneMath"].startswith("$-$8.6 points") and found["OwnHurts"] == "two"


def test_a_change_is_shown_with_a_minus_sign_and_a_name_keeps_its_hyphen():
    said = paper_tables.signed("MATH-500 -8.6 points [-13.8, -3.3]; 2e-5")
    assert said == "MATH-500 −8.6 points [−13.8, −3.3]; 2e-5"


def test_our_runs_come_in_with_their_records(runs_dir, tmp_path):
    best()
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
    assert spoken_of_late(tmp_path / "paper" / "generated" / "tables") == []
    assert re.findall(r"Overfull \\hbox \((\d\d+)", log) == []  # by 10 points or more
