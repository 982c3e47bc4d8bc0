"""Our runs and the published ones, all cells together."""

import numpy as np
import pandas as pd
import pytest

from bench import verdicts as bench
from distill_nb.analysis import stats
from distill_nb.analysis.published import accuracies, pooled, reproduction


def test_many_problems_make_equal_cells_equal():
    published = accuracies.load_published().assign(n=100_000)
    half = published.assign(accuracy=(published["accuracy"] + 0.3).clip(upper=100))
    table = reproduction.compare(published, half)
    assert set(table["verdict"]) <= {"equal", "differs"} and (table["verdict"] == "equal").sum() > 9
    whole = pooled.table(table).iloc[0]
    assert (whole["verdict"], whole["difference"]) == ("differs", pytest.approx(0.3))
    assert "as a whole they differ, by less than 5 points" in reproduction.sentence(table)


def test_all_cells_together_find_what_no_cell_shows():
    """All 129 are four points off; each by itself is within noise, or almost."""
    published = accuracies.load_published()
    off = published.assign(accuracy=(published["accuracy"] + 4).clip(upper=100))
    table = reproduction.compare(published, off)
    assert (table["verdict"] == "differs").sum() < 9
    whole = pooled.table(table).iloc[0]
    assert (whole["benchmark"], whole["cells"], whole["runs"]) == ("all", 129, 13)
    assert whole["difference"] == pytest.approx(4) and whole["p"] < 0.001 < 0.5 < whole["scatter_p"]
    assert whole["verdict"] == "differs"
    text = reproduction.sentence(table)
    assert "Ours are +4.0 points" in text and "as a whole they differ." in text
    same = reproduction.compare(published, published)
    assert "as a whole they are equal, within ±5 points" in reproduction.sentence(same)


def test_the_standard_error_takes_the_cells_of_a_run_as_one_draw():
    """By hand, for a baseline and a run of two cells; the larger of sampling and scatter counts."""
    rows = pd.DataFrame(
        {
            "student": "s",
            "teacher": ["none", "r1", "r1"],
            "domain": ["none", "math", "math"],
            "learning_rate": [np.nan, 2e-5, 2e-5],
            "step": [0, 100, 200],
            "benchmark": "math500",
            "published": [50.0, 60, 60],
            "n_published": 500,
            "ours": [51.0, 62, 62],
            "n_ours": 500,
        }
    )
    out = pooled.table(rows)
    assert out["benchmark"].tolist() == ["all", "MATH-500"]

    def error(a, b):
        p = [(5 * x + 2) / 504 for x in (a, b)]
        return 100 * sum(q * (1 - q) / 500 for q in p) ** 0.5

    base, run = error(50, 51), error(60, 62)
    assert out["se"].iloc[0] == pytest.approx((base**2 + (2 * run) ** 2) ** 0.5 / 3)
    z = np.array([(1 - 5 / 3) / base, *[(2 - 5 / 3) / run] * 2])
    assert out["scatter"].iloc[0] == pytest.approx((z**2).mean())
    apart = pooled.table(rows.assign(ours=[80.0, 40, 40]))
    assert apart["se"].iloc[0] == pytest.approx(stats.clustered([30, -20, -20], [0, 1, 1]).se)
    assert apart["scatter_p"].iloc[0] < 0.001 and apart["verdict"].iloc[0] == "inconclusive"
    assert pooled.table(rows.iloc[:1])["runs"].tolist() == [1, 1]
    assert pooled.table(rows.assign(ours=np.nan)).empty


def test_rates_of_the_verdicts_on_the_study_run_again():
    """bench/verdicts.py, reduced: no difference is called one, four points are."""
    published = accuracies.load_published()
    same, off = (bench.again(published, shift, 0, 12, 0) for shift in (0, 4))
    assert same["differs"] == 0 and same["equal"] == 1
    assert off["differs"] >= 0.9 and off["cells that differ"] < 10
