"""Our runs beside the published ones; replicates."""

import numpy as np
import pandas as pd
import pytest

from distill_nb.analysis import results, stats
from distill_nb.analysis.published import accuracies, reproduction


def test_each_published_cell_is_equal_differs_is_open_or_was_not_run():
    published = accuracies.load_published()
    ours = published[published["student"].str.contains("Llama")].copy()
    math = (ours["benchmark"] == "math500") & (ours["step"] == 100) & (ours["teacher"] == "r1")
    ours.loc[math, "accuracy"] += 20
    table = reproduction.compare(published, ours)
    assert len(table) == len(published) == 129
    assert table["verdict"].value_counts().to_dict() == {
        "not run": 129 - len(ours),
        "inconclusive": len(ours) - math.sum() - 5,
        "equal": 5,  # 0% and 1%
        "differs": math.sum(),
    }
    assert (table["ours"].isna() == (table["verdict"] == "not run")).all()
    row = table[table["verdict"] == "differs"].iloc[0]
    d = stats.difference(row["ours"] * 5, 500, row["published"] * 5, 500)
    assert (row["difference"], row["lo"], row["hi"]) == pytest.approx((20, 100 * d.lo, 100 * d.hi))
    assert f"{len(ours)} of the 129 published cells were run here" in reproduction.sentence(table)
    shown = reproduction.for_reading(table)
    assert (
        len(shown) == 129
        and (shown["ours"] == "—").sum() == 129 - len(ours)
        and "nan" not in shown.to_string()
    )


def test_a_run_at_another_learning_rate_is_not_the_published_one():
    published = accuracies.load_published()
    ours = published[published["teacher"] == "r1"].assign(learning_rate=2e-4)
    table = reproduction.compare(published, ours)
    assert set(table["verdict"]) == {"not run"}
    assert reproduction.sentence(table) == "None of the 129 published cells was run here."
    assert set(reproduction.compare(published, published.iloc[:0])["verdict"]) == {"not run"}


def test_replicates_show_the_spread_between_seeds():
    rows = [
        dict(
            student="s",
            run_name="run",
            folder=f"run_seed{i}",
            benchmark="math500",
            step=100,
            accuracy=a,
            problems=500,
        )
        for i, a in enumerate([60.0, 64.0, 65.0])
    ]
    rows += [dict(rows[0], run_name="alone", folder="alone")]
    (row,) = results.across_seeds(pd.DataFrame(rows)).itertuples()
    assert (row.run_name, row.seeds, row.mean, row.lowest, row.highest) == ("run", 3, 63, 60, 65)
    assert row.sd == pytest.approx(np.std([60, 64, 65], ddof=1))
    assert row.sampling_sd == pytest.approx(100 * (0.63 * 0.37 / 500) ** 0.5)
    assert row.hi - row.mean == pytest.approx(4.3027 * row.sd / 3**0.5, rel=1e-4)
    assert results.across_seeds(pd.DataFrame(rows[:1])).empty
    (two,) = results.across_seeds(
        pd.DataFrame([rows[0] | {"accuracy": a} for a in (99.0, 90.0)])
    ).itertuples()
    assert two.hi == 100 and two.lo == pytest.approx(94.5 - 12.7062 * 4.5, rel=1e-4)
