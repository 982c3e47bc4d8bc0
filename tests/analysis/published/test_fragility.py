"""By how much the best checkpoint leads, and what the runner-up would have said."""

import math

import pytest

from distill_nb.analysis import names
from distill_nb.analysis.published import accuracies, fragility

QWEN, INSTRUCT = names.NAMES["Qwen Base"], names.NAMES["Qwen Instruct"]


@pytest.fixture(scope="module")
def published():
    return accuracies.load_published()


@pytest.fixture(scope="module")
def rows(published):
    return fragility.table(published).set_index(["student", "teacher", "domain"])


def test_instructs_best_leads_by_one_problem(rows):
    row = rows.loc[INSTRUCT, "sonnet", "math"]
    assert (row["step"], row["accuracy"]) == (200, 88.6)
    assert (row["runner_up"], row["runner_up_accuracy"]) == (300, 88.4)
    assert (row["lead"], row["lead_lowest"], row["lead_highest"]) == pytest.approx((1, 1, 1))
    assert (row["other_change"], row["runner_up_other_change"]) == pytest.approx((-9.2, -16.1))
    assert row["other_benchmark"] == "mbpp_plus"
    p = (0.886 + 0.884) / 2
    assert row["noise"] == pytest.approx(1.959964 * math.sqrt(2 * 500 * p * (1 - p)))


def test_rounding_hides_a_lead(rows):
    row = rows.loc[QWEN, "sonnet", "code"]
    assert (row["step"], row["runner_up"], row["lead"]) == (200, 300, 0)
    assert (row["lead_lowest"], row["lead_highest"]) == (-3, 3)  # 278 to 281 of 378 problems
    assert (row["other_change"], row["runner_up_other_change"]) == pytest.approx((-1.6, -3.6))
    row = rows.loc[QWEN, "sonnet", "math"]
    assert (row["lead_lowest"], row["lead_highest"]) == (6, 14)  # 438 to 442, 428 to 432 of 500


def test_the_sentence_names_the_narrowest_lead_and_the_largest_change(published):
    text = fragility.sentence(fragility.table(published))
    assert text == (
        "The best checkpoint leads by more than noise in 0 of 10 runs; in 1 rounding hides which "
        "is the best. The lead is narrowest in Qwen Instruct Sonnet math, 1 of 500 problems of "
        "MATH-500: with the runner-up, step 300, MBPP+ changes by -16.1 points instead of -9.2. "
        "Most would change in Qwen Base R1 math: with the runner-up, step 500, MBPP+ changes by "
        "-31.7 points instead of -44.7."
    )


def test_runs_with_one_checkpoint_or_without_a_baseline(published):
    one = published[published["step"].isin([0, 500])]
    assert list(fragility.table(one)) == fragility.COLUMNS and fragility.table(one).empty
    nothing = "No run has two checkpoints to choose from."
    assert fragility.sentence(fragility.table(one)) == nothing
    alone = published[(published["teacher"] == "r1") & (published["benchmark"] == "math500")]
    rows = fragility.table(alone[alone["domain"] == "math"])
    assert len(rows) == 2 and rows[["change", "other_change"]].isna().all().all()
    assert fragility.sentence(rows).endswith("which is the best. " + _end(rows))


def _end(rows):
    return (
        f"The lead is narrowest in Qwen Base R1 math, {fragility.problems(rows.iloc[0])} of 500 "
        "problems of MATH-500: there is no baseline to say what the runner-up would change."
    )
