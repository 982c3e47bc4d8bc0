"""Diagnoses in words: of each run its headline."""

import pandas as pd
from answer_records import N, simulated

from distill_nb.analysis import change_words, diagnosis, paired


def headlines(records):
    changes = paired.paired_changes(records)
    return change_words.headlines(changes, diagnosis.diagnose(records, changes))


def test_a_run_is_said_in_a_line_with_what_its_changes_are_made_of():
    gain, same = simulated("a", 0.4, 0.8), simulated("b", 0.6, 0.6)
    said = headlines(pd.concat([gain, same]))
    assert list(said) == ["a", "b"]
    changes = paired.paired_changes(gain).iloc[0]
    numbers = f"{changes['base']:.0f}% → {changes['accuracy']:.0f}%"
    assert said["a"] == f"step 10: MATH-500 {numbers}, a gain (gained skill)"
    assert said["b"].startswith("step 10: MATH-500 ") and "(" not in said["b"]


def test_benchmarks_of_one_step_stand_together_and_unfinished_ones_are_named():
    first = simulated("a", 0.4, 0.8)
    second = simulated("a", 0.5, 0.5, seed=1).assign(benchmark="mbpp_plus")
    third = simulated("a", 0.5, 0.5, seed=2).assign(benchmark="pocket_code")
    third = third.drop(third.index[-1])  # of step 10
    (said,) = headlines(pd.concat([first, second, third])).values()
    assert said.startswith("step 10: MATH-500 ") and "; MBPP+ " in said
    assert said.endswith(". pocket_code: not finished") and said.count("step") == 1


def test_two_problems_say_nothing():
    records = simulated("a", 0.5, 0.5)
    errors = (records["step"] == 10) & (records["task_id"] != f"t{N - 1}")
    records.loc[errors, ["outcome", "lenient_outcome"]] = "sampling_error"
    (said,) = headlines(records).values()
    assert said.endswith(", too few problems to say")
