"""Changes problem by problem, from records."""

import numpy as np
import pytest
from answer_records import records

from distill_nb.analysis import paired, stats


def test_paired_changes_count_discordant_problems():
    table = paired.paired_changes(
        records([[1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0, 0, 0]])
    )
    first, second = table.iloc[0], table.iloc[1]
    assert (first["base"], first["accuracy"], first["change"]) == (25, 87.5, 62.5)
    assert (first["only_base"], first["only_step"], first["n"], first["method"]) == (
        1,
        6,
        8,
        "paired",
    )
    assert first["p"] == pytest.approx(2 * (1 + 7) / 2**7)  # exact McNemar, 1 of 7 discordant
    assert (second["change"], second["p"], second["lo"]) == (0, 1, -second["hi"])
    assert table["p_holm"].tolist() == pytest.approx([2 * first["p"], 1])
    expected = stats.paired(1, 6, 1, 0)
    assert (first["lo"], first["hi"]) == pytest.approx((100 * expected.lo, 100 * expected.hi))


def test_paired_changes_cluster_samples_by_problem():
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    correct = rng.random((2, 40 * 3)) < np.array([[0.4], [0.7]])
    row = paired.paired_changes(records(correct, samples=3)).iloc[0]
    means = correct.reshape(2, 40, 3).mean(2)
    assert (row["method"], row["n"]) == ("clustered", 40) and np.isnan(row["only_base"])
    assert row["change"] == pytest.approx(100 * (means[1] - means[0]).mean())
    test = ttest_1samp(means[1] - means[0], 0)
    assert row["p"] == pytest.approx(test.pvalue)
    assert (row["lo"], row["hi"]) == pytest.approx(
        tuple(100 * x for x in test.confidence_interval())
    )


def test_paired_changes_use_problems_that_both_answered():
    both = records([[1, 0, 1, 0], [1, 1, 1, 0]])
    assert paired.paired_changes(both.iloc[:-1]).iloc[0][["n", "base"]].tolist() == [
        3,
        pytest.approx(200 / 3),
    ]
    assert (
        paired.paired_changes(both[both["step"] > 0]).empty
        and paired.paired_changes(both.iloc[:0]).empty
    )


def test_errors_are_no_wrong_answers():
    """30 of 40 answers that could not be graded: 10 problems are left to compare, and they did not
    change."""
    base = [1] * 20 + [0] * 20
    table = paired.paired_changes(records([base, ["grader_error"] * 30 + [0] * 10, base]))
    assert table["n"].tolist() == [10, 40] and table["errors"].tolist() == [30, 0]  # step by step
    assert table["change"].tolist() == [0, 0] and table["p"].tolist() == [1, 1]
    lost = paired.change_sentences(table.iloc[:1])
    assert (
        "on 10 problems; 30 more left out, as sampling or grading failed, p = 1 (paired, Holm): "
        "within noise." in lost
    )
    at_base = paired.paired_changes(records([["sampling_error", 1, 1, 0], [1, 1, 1, 1]])).iloc[0]
    assert (at_base["n"], at_base["errors"], at_base["base"]) == (3, 1, pytest.approx(200 / 3))
    several = paired.paired_changes(
        records([[1, 1, 0, 1, 1, 1], [1, "grader_error", 0, 0, 1, 1]], samples=2)
    ).iloc[0]
    assert (several["n"], several["errors"], several["change"]) == (2, 1, -25)
    none = paired.paired_changes(records([[1, 1], ["grader_error", 0]]))
    assert none["p_holm"].isna().all() and paired.change_sentences(none) == (
        "run, pocket_math: 1 problems to compare at step 10; 1 more left out, as sampling or "
        "grading failed: nothing can be said."
    )


def test_an_unfinished_step_takes_nothing_from_the_others():
    rows = [[1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1], [1, 0, None, None, None, None]]
    table = paired.paired_changes(records(rows))
    assert (
        table["n"].tolist() == [6, 2]
        and table["missing"].tolist() == [0, 4]
        and table["change"].tolist() == [50, 0]
    )
    assert "on 2 problems; 4 more not answered yet" in paired.change_sentences(table)
    # two samples: the third problem has one of its two
    half = [[1, 0] * 4, [1, 1, 1, 0, 0, None, None, None]]
    assert paired.paired_changes(records(half, samples=2)).iloc[0][["n", "missing"]].tolist() == [
        2,
        2,
    ]


def test_equal_changes_of_every_problem_are_no_absence_of_change():
    """Each of 20 problems from no to all samples correct: no variance, so an exact sign test."""
    row = paired.paired_changes(records([[0] * 60, [1] * 60], samples=3)).iloc[0]
    assert (row["change"], row["method"], row["hi"]) == (
        100,
        "sign test",
        pytest.approx(100),
    ) and 60 < row["lo"] < 100
    assert row["p"] == pytest.approx(2 * 0.5**20)
    half = paired.paired_changes(records([[0, 0] * 20, [1, 0] * 20], samples=2)).iloc[0]
    assert half["p"] == pytest.approx(2 * 0.5**20) and half["lo"] < 50 < half["hi"]
    same = paired.paired_changes(records([[0, 1] * 20, [1, 0] * 20], samples=2)).iloc[0]
    assert (same["change"], same["p"]) == (0, 1) and same["lo"] == -same["hi"] < 0
