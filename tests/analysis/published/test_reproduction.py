"""Our runs beside the published ones."""

import pytest

from distill_nb.analysis import stats
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
