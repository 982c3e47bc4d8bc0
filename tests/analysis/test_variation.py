"""How much answers vary, from records of a known truth; and the tables made of it."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import binom

from bench.simulated_records import Student, Study
from distill_nb.__main__ import main
from distill_nb.analysis import variation
from distill_nb.analysis.sample_size import Setting
from distill_nb.report import sample_size_tables


@pytest.fixture(scope="module")
def measured():
    """Two teachers, three seeds of each, and three samples a problem."""
    study = Study(np.random.default_rng(0), {"math500": 1500}, Student(0.6), 0.7, samples=3)
    parts = [
        study.run(f"{t}_math{end}", Student(0.6), steps=(500,), teacher=t, seed_sd=0.02)
        for t in ("r1", "sonnet")
        for end in ("", "_seed1", "_seed2")
    ]
    return variation.measured(pd.concat(parts, ignore_index=True))


def test_correlations_and_the_spread_of_seeds_are_those_of_the_truth(measured):
    (row,) = measured.to_dict("records")
    assert (row["benchmark"], row["problems"], row["samples_a_problem"]) == ("math500", 1500, 3)
    assert row["accuracy"] == pytest.approx(60, abs=3) and row["replicates"] == 4
    for name in ("checkpoint", "ways", "seeds", "samples"):
        assert row[name] == pytest.approx(0.7, abs=0.03), name
    assert row["discordant"] == pytest.approx(100 * 2 * 0.24 * 0.3, abs=1.5)
    assert row["seed_sd_lo"] <= 2 <= row["seed_sd_hi"]
    known = variation.setting(measured.iloc[0])
    assert known.seed_sd == row["seed_sd"] and known.ways <= known.seeds <= known.samples


def test_what_one_run_cannot_tell_is_unknown_and_assumed():
    study = Study(np.random.default_rng(0), {"math500": 200})
    found = variation.measured(study.run(steps=(100, 200)))
    (row,) = found.to_dict("records")
    assert row["checkpoint"] == pytest.approx(0.8, abs=0.15) and row["replicates"] == 0
    assert all(np.isnan(row[name]) for name in ("ways", "seeds", "samples", "seed_sd"))
    known = variation.setting(found.iloc[0])
    assert (known.ways, known.samples, known.seed_sd) == (Setting.ways, Setting.samples, 1)
    assert list(variation.measured(pd.DataFrame())) == variation.COLUMNS


def test_runs_that_solve_nothing_have_tables_too():
    study = Study(np.random.default_rng(0), {"math500": 2}, Student(0.0))
    after = Student(0.0)
    parts = [study.run(f"r1_math{end}", after, steps=(10,)) for end in ("", "_seed1")]
    found = variation.measured(pd.concat(parts, ignore_index=True))
    assert found["accuracy"][0] == 0 and np.isnan(found["checkpoint"][0])
    checkpoint, seeds, smallest = sample_size_tables.tables(found).values()
    # five answers that only the checkpoint has right are significant, as 1 / 2^5 < 5%
    n = int(checkpoint["5 points"][0])
    assert binom.sf(4, n, 0.05) >= 0.8 > binom.sf(4, n - 1, 0.05) and set(seeds["5 points"]) == {
        "2"
    }
    assert smallest[["loss", "gain"]].to_numpy().tolist() == [["—", "—"]]


def test_the_tables_say_what_is_measured_or_else_assumed(measured):
    tables = list(sample_size_tables.tables(measured).values())
    assert [set(table.iloc[:, 0]) for table in tables[1:]] == [{"MATH-500"}, {"MATH-500"}]
    assert tables[0]["answers"][0] == f"MATH-500, {measured['discordant'][0]:.1f}% discordant"
    assert "on MATH-500" in sample_size_tables.sentence(measured)
    checkpoint, seeds = sample_size_tables.tables(measured[:0]).values()
    assert checkpoint["5 points"].tolist() == ["754", "641", "300", "190"]
    by_sd = seeds[seeds["problems"] == "500"].set_index("seed sd, points")["3 points"]
    assert by_sd.to_dict() == {"0.5": "4", "1.0": "5", "2.0": "10", "3.0": "19"}
    assert "0.5 to 3 points is assumed" in sample_size_tables.sentence(measured[:0])


def test_the_command_prints_the_tables(runs_dir):
    said = CliRunner().invoke(main, ["need", "--problems", "164"]).output
    assert said == sample_size_tables.text(pd.DataFrame(), 164) + "\n"
    assert "0.5 to 3 points is assumed" in said and " 164 " in said and "4,710" in said
