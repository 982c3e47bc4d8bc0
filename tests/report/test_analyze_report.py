"""What the analysis says first: of runs, of none, of those that were not evaluated."""

import re

import pytest
import simulated_scale

from distill_nb.analysis import params
from distill_nb.report import analyze_report, published_report, study_tables
from distill_nb.runtime import files


def loaded(scale="full"):
    return analyze_report.load(params.AnalysisParams(scale, "test", 5.0))


@pytest.mark.parametrize(
    ("scale", "remedy"),
    [("pocket", "make demo"), ("full", "make study"), ("tiny", "make study SCALE=tiny")],
)
def test_without_runs_one_sentence_says_what_makes_one(scale, remedy, runs_dir):
    said = loaded(scale).verdicts().data
    assert said.startswith(f"<p>There are no runs of scale {scale} yet, so ") and remedy in said
    assert '<a href="published.ipynb">' in said and said.count("<p>") == 1


def test_runs_that_were_not_evaluated_are_counted(runs_dir):
    for name in ("a", "b"):
        (runs_dir / "full" / name).mkdir(parents=True)
        files.write_json(runs_dir / "full" / name / "provenance_train.json", {"parameters": {}})
        count = "1 run of scale full has begun" if name == "a" else "2 runs of scale full have"
        said = loaded().verdicts().data
        assert count in said and "run eval.ipynb" in said


def test_each_run_is_a_line_and_the_published_study_stands_beside(runs_dir):
    runs = ("run07.yaml", "run09.yaml", "run08.yaml")
    sizes = {"math500": 200, "mbpp_plus": 200}
    simulated_scale.write(runs_dir / "full", runs, sizes, (100, 500))
    ours = loaded()
    said = ours.verdicts().data
    lines = re.findall(r"<li><b>(.+?)</b> \((.+?)\), step 500: (.+?)</li>", said)
    assert [(name, about) for name, about, _ in lines] == [
        ("llama8b_code_4k", "Llama 8B, R1 code"),
        ("llama8b_math_4k", "Llama 8B, R1 math"),
        ("sonnet_math_llama_4k", "Llama 8B, Sonnet math"),
    ]
    for name, _, words in lines:
        gained, lost = ("MBPP+", "MATH-500") if "code" in name else ("MATH-500", "MBPP+")
        assert re.search(rf"{re.escape(lost)} \d+% → \d+%, a loss \(.*length", words), words
        assert re.search(rf"{re.escape(gained)} \d+% → \d+%, (a gain|no worse|inconcl)", words)
    assert said.count("comparisons: 2 not separable from seed noise.") == 1
    assert "Of the 7 findings that are checked on these runs: " in said
    assert "14 of the 129 published cells were run here" in said
    assert set(ours.beside["verdict"]) >= {"not run"}
    (best,) = study_tables.best(ours.scored)["config"][1:2]
    assert best == "R1 code"  # nothing else is like it


def test_runs_that_only_their_rate_tells_apart_are_shown_with_it(runs_dir):
    sizes = {"math500": 40}
    for changes in ({}, {"run_name": "slow", "learning_rate": 1e-6}):
        simulated_scale.write(runs_dir / "full", ("run07.yaml",), sizes, (10, 20), **changes)
    table = study_tables.best(loaded().scored)
    assert table["config"].tolist() == ["Baseline", "R1 math at 2e-5", "R1 math at 1e-6"]


def test_the_published_verdicts_are_those_of_the_findings():
    study = published_report.load(5.0)
    said = study.verdicts().data
    found = re.findall(r'<li value="(\d)"><b>(.+?)</b>( \(ours\))?: <em>(.+?)</em>', said)
    assert [int(number) for number, *_ in found] == list(range(1, 8))
    assert [verdict for *_, verdict in found] == [f.verdict for f in study.findings]
    assert [bool(ours) for _, _, ours, _ in found] == [False] * 6 + [True]
    agree = (study.checked_claims["verdict"] == "agrees").sum()
    assert f"Of the {len(study.checked_claims)} claims of the write-up {agree} agree" in said
    failed = (~study.tested["consistent"]).sum()
    assert f"{failed} of the 129 printed numbers cannot be a whole number" in said
    assert len(study.disagreements()) == len(study.checked_claims) - agree > 0
