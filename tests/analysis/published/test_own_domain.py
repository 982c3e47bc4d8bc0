"""The finding of ours: what each run did in the domain that it trains."""

import pandas as pd
import pytest

from distill_nb.analysis import tidy
from distill_nb.analysis.published import accuracies, comparisons, own_domain
from distill_nb.analysis.published.lookup import Lookup


@pytest.fixture(scope="module")
def published():
    return accuracies.load_published()


def check(table):
    return own_domain.helps(Lookup(table, tidy.best_checkpoints(table)))


def test_each_run_at_its_best_and_at_its_last_checkpoint(published):
    result = check(published)
    assert (result.number, result.ours, result.verdict) == (7, True, "contradicted")
    runs = comparisons.by_group(result.numbers)
    assert len(runs) == 10 and runs["verdict"].value_counts().to_dict() == {
        "inconclusive": 5,
        "supported": 3,
        "contradicted": 2,
    }
    lower = runs[runs["verdict"] == "contradicted"]["group"]
    assert lower.tolist() == ["Qwen Base R1 math", "Qwen Base R1 code"]
    numbers = result.numbers.set_index("comparison")
    row = numbers.loc["Qwen Base R1 math, best: MATH-500 above the baseline"]
    assert (row["first"], row["second"], row["decides"]) == (72, 80.6, True)
    last = numbers.loc["Qwen Base R1 math, last: MATH-500 above the baseline"]
    assert (last["first"], last["decides"]) == (67, False)
    # the best is the last in three of the runs
    assert (~numbers["decides"]).sum() == 7


def test_a_run_that_loses_at_home_did_not_merely_forget(published):
    text = check(published).sentence
    assert "did not merely forget the other one (Qwen Base R1 math: MBPP+ -44.7 points" in text
    one = published[published["teacher"].isin(["none", "sonnet"])]
    assert "merely" not in check(one).sentence and check(one).verdict == "inconclusive"


def test_runs_at_two_rates_are_two_runs(published):
    extra = published[published["teacher"] == "r1"].assign(learning_rate=2e-4, accuracy=90.0)
    runs = comparisons.by_group(check(pd.concat([published, extra])).numbers)
    runs = runs.set_index("group")["verdict"]
    assert len(runs) == 14 and runs["Qwen Base R1 math at 2e-5"] == "contradicted"
    assert runs["Qwen Base R1 math at 2e-4"] == "supported"


def test_other_numbers_and_none(published):
    trained = published["step"] > 0
    better = published.assign(accuracy=published["accuracy"].mask(trained, 97.0))
    assert check(better).verdict == "supported"
    other = published[~((published["step"] > 0) & (published["benchmark"] == "mbpp_plus"))]
    math = other[other["teacher"].isin(["none", "r1"]) & (other["domain"] != "code")]
    assert "Qwen Base R1 math: not reported" in check(math).sentence
    none = check(pd.DataFrame(columns=published.columns).astype(published.dtypes))
    assert none.verdict == "not testable" and none.sentence == (
        "Not testable: there is no distilled run."
    )
