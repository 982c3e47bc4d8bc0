"""Which checkpoint is best by all problems, by a dev half, and that a table holds what its rule
says."""

import numpy as np
import pandas as pd
import pytest
from answer_records import simulated

from distill_nb.analysis import baseline_changes, names, results, selection, tidy

# Step 20 is best on the dev half, step 30 on the other and, by more, on all.
RIGHT = {10: (0.5, 0.5), 20: (0.7, 0.4), 30: (0.6, 0.9)}


@pytest.fixture(scope="module")
def records():
    rng, found = np.random.default_rng(3), simulated("run", 0.5, 0.5, seed=1, steps=(0, *RIGHT))
    dev = found["task_id"].map(selection.in_dev)
    assert 0.4 < dev.mean() < 0.6
    for step, (on_dev, on_rest) in RIGHT.items():
        own = found["step"] == step
        found.loc[own, "outcome"] = np.where(
            rng.random(own.sum()) < np.where(dev[own], on_dev, on_rest), "correct", "wrong"
        )
    return found.assign(
        run_name="run",
        student="s",
        teacher="sonnet",
        second_outcome=found["outcome"],
        completion_tokens=5,
    )


def tidied(records):
    return tidy.table(results.accuracy_of(records), {"run": 1e-3})


def test_a_dev_split_chooses_without_the_problems_that_score(records):
    (row,) = selection.both_rules(records).itertuples()
    dev = records["task_id"].map(selection.in_dev)
    assert (row.test_step, row.dev_step, row.n) == (30, 20, (~dev).sum() // 4)
    here = records[(records["step"] == row.dev_step) & ~dev]
    assert row.accuracy == pytest.approx(100 * (here["outcome"] == "correct").mean())
    assert row.lo < row.accuracy < row.hi < row.same_half and row.test_accuracy > row.accuracy
    assert row.benchmark == names.RULE["math"][0]
    assert selection.both_rules(records.iloc[:0]).empty
    # one checkpoint leaves no choice
    assert selection.both_rules(records[records["step"] < 20]).empty


def test_the_rule_decides_what_best_means_in_every_table(records):
    ours, (row,) = tidied(records), selection.both_rules(records).itertuples()
    test, dev = (selection.rescored(ours, records, rule) for rule in ("test", "dev"))
    assert test is ours and "dev" not in test
    for table, step, accuracy, n in (
        (test, row.test_step, row.test_accuracy, 300),
        (dev, row.dev_step, row.accuracy, row.n),
    ):
        (best,) = tidy.best_checkpoints(table).itertuples()
        assert (best.step, best.n) == (step, n) and best.accuracy == pytest.approx(accuracy)
        matrix = baseline_changes.forgetting_matrix(table).set_index("checkpoint")
        assert matrix.loc["best", "step"] == step and matrix.loc[
            "best", "accuracy"
        ] == pytest.approx(accuracy)
    base = dev[dev["step"] == 0].iloc[0]  # the base student answers the same half
    half = records[(records["step"] == 0) & ~records["task_id"].map(selection.in_dev)]
    assert base["n"] == len(half) and base["accuracy"] == pytest.approx(
        100 * (half["outcome"] == "correct").mean()
    )


def test_benchmarks_that_do_not_choose_stay_whole(records):
    other = records.assign(benchmark="humaneval_plus")
    both = pd.concat([records, other], ignore_index=True)
    table = selection.rescored(tidied(both), both, "dev")
    assert set(table[table["benchmark"] == "humaneval_plus"]["n"]) == {300}
    assert table[table["benchmark"] == "humaneval_plus"]["dev"].isna().all()


def test_errors_count_as_wrong_under_both_rules(records):
    broken = records.assign(outcome=records["outcome"].mask(records["step"] == 30, "grader_error"))
    (row,) = selection.both_rules(broken).itertuples()
    assert (row.test_step, row.dev_step) != (30, 30) and row.test_step == tidy.best_checkpoints(
        tidied(broken)
    )["step"][0]


def test_a_half_without_problems_cannot_choose(records, caplog):
    dev = records[records["task_id"].map(selection.in_dev)]
    assert tidy.best_checkpoints(selection.rescored(tidied(dev), dev, "dev")).empty
    assert (
        "math500 of run cannot choose: all of its" in caplog.text
        and selection.both_rules(dev).empty
    )


def test_the_sentence_names_the_rule_that_counts_first(records):
    assert "on all problems is step 30" in selection.sentences(records, "test")
    assert "on one half of the problems is step 20" in selection.sentences(records, "dev")


def test_why_a_run_has_no_choice_is_said_and_is_true(records):
    """One sentence a run, each with its own reason; two finished checkpoints are not denied."""
    dev = records[records["task_id"].map(selection.in_dev)]
    late = (records["step"] > 10) & (records["task_id"] > "t6")
    runs = {
        "one": records[records["step"] < 20],
        "other": records.assign(benchmark="humaneval_plus"),
        "half": dev,
        "begun": records[~late],
        "whole": records,
    }
    every = pd.concat([own.assign(folder=folder) for folder, own in runs.items()])
    found = selection.sentences(every, "test").splitlines()
    why = {line.split(":")[0]: line.partition("to choose, as ")[2] for line in found}
    assert why == {
        "one": "only step 10 is finished on MATH-500.",
        "other": "it was not evaluated on MATH-500 or pocket_math, which would choose.",
        "half": f"all {len(dev) // 4} problems of MATH-500 are in one half.",
        "begun": "only step 10 is finished on MATH-500.",
        "whole": "",
    }
    assert selection.both_rules(every)["folder"].tolist() == ["whole"]
    base = records[records["step"] == 0]
    for none in (base, base.iloc[:0]):
        assert selection.sentences(none, "dev") == "No run has a checkpoint to choose yet."
