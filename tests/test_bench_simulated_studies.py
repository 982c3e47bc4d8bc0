"""The bench of simulated studies judges verdicts rightly, and its committed table keeps what is
promised."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from distill_nb.analysis import paired
from distill_nb.runtime import paths

BENCH = paths.ROOT / "bench"


@pytest.fixture(scope="module")
def studies():
    """bench/simulated_studies.py as a module."""
    sys.path.insert(0, str(BENCH))
    spec = importlib.util.spec_from_file_location(
        "simulated_studies", BENCH / "simulated_studies.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulated_studies"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(studies):
    return json.loads(studies.FILE.read_text())


def test_verdicts_are_judged_by_the_truth(studies):
    fell = studies.Truth(
        {"wrong": -8.0, "misformatted": -4.0}, {"wrong": -8.0, "misformatted": -4.0}, -12.0
    )
    hidden = studies.Truth(
        {"wrong": -8.0, "misformatted": 8.0}, {"wrong": -8.0, "misformatted": 8.0}, 0.0
    )
    none = studies.Truth({"wrong": 0.0}, {}, 0.0)
    cases = [
        ("lost skill and lost format", fell, "right"),
        ("mostly lost skill, also lost format", fell, "right"),
        ("lost skill, in part", fell, "right"),
        ("lost skill", fell, "wrong"),  # two thirds of it
        ("mostly lost format, also lost skill", fell, "wrong"),
        ("lost format, in part", fell, "silent"),
        ("lost skill and lost to length", fell, "wrong"),
        ("an undetermined loss", fell, "silent"),
        ("an undetermined gain", fell, "wrong"),
        ("inconclusive", fell, "silent"),
        ("lost skill and gained format; score equivalent", hidden, "right"),
        ("lost skill, less gained format", hidden, "wrong"),  # the score did not fall
        ("gained skill; score inconclusive", hidden, "wrong"),
        ("equivalent", none, "right"),
        ("undetermined", none, "right"),
        ("an undetermined loss", none, "wrong"),
    ]
    for verdict, truth, grade in cases:
        assert studies.judged(verdict, truth) == grade, verdict


def test_its_short_way_to_changes_is_that_of_the_analysis(studies):
    for name, verdicts in (("skill -6 and format -6", {"loss"}), ("nothing changed", {"neither"})):
        rng, steps = np.random.default_rng(0), studies.STEPS[:2]
        records = studies.ROWS[name].records(rng, studies.PROBLEMS, steps)
        short, whole = studies.changes_of(records), paired.paired_changes(records)
        assert short["family"].tolist() == whole["family"].tolist()
        for column in ("p", "change", "lo", "hi"):
            assert short[column].tolist() == pytest.approx(whole[column].tolist())
        moved = whole["verdict"].where(whole["verdict"].isin(["gain", "loss"]), "neither")
        assert short["verdict"].tolist() == moved.tolist() and set(moved) == verdicts


def test_one_row_is_summed_up(studies):
    row = studies.ROWS["25% cut off"]
    truth = studies.truth_of(row, 0, 5000)
    assert truth.moved.keys() == {"cut_off"} and truth.total == pytest.approx(-15, abs=2)
    found = studies.summary([studies.some_studies((0, range(3), row, truth))], truth)
    assert found["named"]["math500"]["lost to length"] == 100 and found["studies_wrong"] == 0


def test_the_committed_rates_are_those_promised(studies, table):
    rows = table["rows"]
    assert table["studies_a_row"] >= 500 and list(rows) == list(studies.ROWS)
    for name, row in rows.items():
        assert row["studies_wrong"] <= 5, name
        assert all(cell["wrong"] <= 5 for cell in (row["last"] | row["all"]).values()), name
        pure = [
            v
            for cells in row["verdicts"].values()
            for v in cells
            if v.startswith(("lost skill", "mostly lost skill"))
        ]
        named = {
            word: [own.get(word, 0) for own in row["named"].values()]
            for word in ("lost skill", "lost format", "lost to length")
        }
        small = "56 and 30" in name
        if "cut off" in name and row["truth_total"] < 0 and "skill" not in name:
            assert not pure and (min(named["lost to length"]) >= 90 or small), name
        if name in ("skill -8", "skill -8 hidden by format +8"):
            assert min(named["lost skill"]) >= 80, name
        if "not boxed" in name or "misplaced" in name:
            assert min(named["lost format"]) >= 90, name


def test_the_docs_show_the_committed_table(studies, table):
    assert studies.markdown(table) in (paths.ROOT / "docs" / "statistics.md").read_text()
