"""Changes problem by problem, from records."""

import numpy as np
import pandas as pd
import pytest
from answer_records import records

from bench.simulated_records import Student, Study
from distill_nb.analysis import margins, paired, stats

BOTH = {"math500": 500, "mbpp_plus": 378}


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
    assert first["p"] == pytest.approx((2 * (1 + 7) - 7) / 2**7)  # mid-p, 1 of 7 discordant
    assert (second["change"], second["p"], second["lo"]) == (0, 1, -second["hi"])
    assert table["family"].tolist() == ["exploratory", "primary"]
    assert table["p_adjusted"].tolist() == pytest.approx([first["p"], 1])  # each alone in its own
    for level, ends in ((0.95, ["lo", "hi"]), (0.9, ["margin_lo", "margin_hi"])):
        expected = stats.paired(1, 6, 1, 0, level)
        bounds = (100 * expected.lo, 100 * expected.hi)
        assert tuple(first[ends]) == pytest.approx(bounds)
    assert tuple(first[["level", "margin_level"]]) == pytest.approx((95, 90))


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
    lost = paired.change_sentences(table.iloc[:1].assign(family="primary"))
    assert (
        "[-27.8, +27.8 at 95%] on 10 problems; 30 more left out, as sampling or grading failed, "
        "p = 1 (paired, Holm): inconclusive: no change and a loss of 5 points or more are both "
        "possible." in lost
    )
    at_base = paired.paired_changes(records([["sampling_error", 1, 1, 0], [1, 1, 1, 1]])).iloc[0]
    assert (at_base["n"], at_base["errors"], at_base["base"]) == (3, 1, pytest.approx(200 / 3))
    several = paired.paired_changes(
        records([[1, 1, 0, 1, 1, 1], [1, "grader_error", 0, 0, 1, 1]], samples=2)
    ).iloc[0]
    assert (several["n"], several["errors"], several["change"]) == (2, 1, -25)
    none = paired.paired_changes(records([[1, 1], ["grader_error", 0]]))
    assert none["p_adjusted"].isna().all() and paired.change_sentences(none) == (
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
    assert table["status"].tolist() == ["finished", "unfinished: 2 of 6"]
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


def test_another_run_changes_nothing_of_the_first():
    study = Study(np.random.default_rng(0), BOTH)
    runs = [study.run(f"run{i}", after=Student(0.65), steps=(100, 200)) for i in range(3)]
    alone, together = (paired.paired_changes(pd.concat(some)) for some in (runs[:1], runs))
    first = together[together["folder"] == "run0"]
    pd.testing.assert_frame_equal(first.reset_index(drop=True), alone)
    # its two last checkpoints are one family, its two others another
    assert alone["family"].tolist() == ["exploratory", "primary"] * 2
    p = alone["p"][alone["family"] == "primary"]
    assert alone["p_adjusted"][p.index].min() == pytest.approx(2 * p.min())
    assert set(alone["margin_level"][p.index].round(6)) == {95}


def test_an_unfinished_evaluation_has_no_verdict():
    """60 of 500 answers, 30 points worse: no loss, no family, and the finished step is primary."""
    study = Study(np.random.default_rng(1), BOTH)
    after = {100: Student(0.6), 200: Student(0.3)}
    whole = study.run(after=after, steps=(100, 200))
    late = whole["task_id"].str.split("/").str[1].astype(int) >= 60
    begun = whole[~((whole["step"] == 200) & (whole["benchmark"] == "math500") & late)]
    table = paired.paired_changes(begun).set_index(["benchmark", "step"])
    row = table.loc["math500", 200]
    assert (row["status"], row["family"], row["verdict"]) == ("unfinished: 60 of 500", "—", "—")
    assert (row["n"], row["missing"], row["level"]) == (60, 440, 95) and row["hi"] < 0
    assert np.isnan(row["p_adjusted"]) and np.isnan(row["margin_lo"])
    assert table.loc["math500", "family"].tolist() == ["primary", "—"]
    assert table.loc[("mbpp_plus", 200), "verdict"] == "loss"
    said = paired.change_sentences(table.reset_index()).splitlines()
    assert said[1].startswith("r1_math, MATH-500: step 200 is unfinished: 60 of 500 problems. So ")
    assert said[1].endswith(" on 60 problems: no verdict, as the others may differ.")
    # all that is there stopped at 60, and provenance says that 500 were asked
    equal = whole[~late].assign(asked=500)
    assert set(paired.paired_changes(equal)["verdict"]) == {"—"}
    assert set(paired.paired_changes(equal.drop(columns="asked"))["status"]) == {"finished"}


def test_no_verdict_contradicts_its_interval():
    words, rng = [], np.random.default_rng(2)
    for _ in range(12):
        study = Study(rng, {name: int(rng.integers(20, 200)) for name in BOTH})
        after = {step: Student(0.6 + rng.normal(0, 0.08)) for step in (1, 2, 3)}
        table = paired.paired_changes(study.run(after=after, steps=(1, 2, 3)))
        for r in table.itertuples():
            without_0 = r.lo > 0 or r.hi < 0
            words.append(margins.words(r))
            if r.verdict in ("gain", "loss"):
                assert (r.lo > 0 if r.verdict == "gain" else r.hi < 0) and r.p_adjusted < 0.05
            else:
                assert ("disagree" in words[-1]) == (without_0 or r.p_adjusted < 0.05)
            if r.verdict == "equivalent":
                assert -5 < r.margin_lo < r.margin_hi < 5
    assert {word[:5] for word in words} >= {"a gai", "a los", "equiv", "incon", "no wo"}
