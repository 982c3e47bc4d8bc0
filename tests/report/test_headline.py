"""The sentence of the landing page says what the verdicts say, and nothing beyond them."""

import numpy as np
import pandas as pd
import pytest
from answer_records import records

from bench.simulated_records import Student, Study
from distill_nb.analysis import paired
from distill_nb.report import headline

N = 60


def changes(*of_benchmarks, folder="run"):
    return paired.paired_changes(
        pd.concat([records(rows, benchmark=name, folder=folder) for name, rows in of_benchmarks])
    )


def test_one_run_its_own_domain_first():
    said = headline.sentence(
        changes(
            ("pocket_code", [[1] * 18 + [0] * 12, [1] * 16 + [0] * 14]),
            ("pocket_math", [[0] * N, [1] * 53 + [0] * 7]),
        )
    )
    assert said == "Math 0 → 88%, a gain; code 60 → 53%, inconclusive."


def test_a_gain_of_format_is_called_one():
    cut = [["truncated"] * N, [1] * 53 + [0] * 7]
    said = headline.sentence(changes(("pocket_math", cut)))
    assert said == "Math 0 → 88%, a gain, in format or length as much as in skill."


@pytest.mark.parametrize(
    "before, after, verdict",
    [
        ([1] * 50 + [0] * 10, [1] * 20 + [0] * 40, "83 → 33%, a loss"),
        ([1, 0] * 500, [1, 0] * 500, "50 → 50%, equivalent"),
        ([1, 0] * 10, [0, 1] * 10, "50 → 50%, inconclusive"),
        ([1], [0], "too few problems to say"),
    ],
)
def test_verdicts_in_words(before, after, verdict):
    assert headline.sentence(changes(("math500", [before, after]))) == f"MATH-500 {verdict}."


def test_runs_are_named_where_there_are_several():
    math = ("pocket_math", [[0] * N, [1] * 53 + [0] * 7])
    both = pd.concat([changes(math, folder=name) for name in ("a_run", "b_run")])
    said = headline.sentence(both)
    assert said == "a_run: math 0 → 88%, a gain.\nb_run: math 0 → 88%, a gain."


def test_unfinished_evaluations_say_nothing():
    half = changes(("math500", [[0] * N, [1] * 20 + [None] * 40]))
    assert set(half["status"]) == {"unfinished: 20 of 60"} and headline.sentence(half) == ""
    assert headline.sentence(paired.paired_changes(pd.DataFrame())) == ""


def test_of_many_runs_verdicts_are_counted_and_the_largest_change_is_named():
    study = Study(np.random.default_rng(3), {"math500": 500, "mbpp_plus": 378}, Student(0.5))
    made = [study.run(f"r{i}", {"math500": Student(0.6), "mbpp_plus": Student(0.5)}, steps=(100,))
            for i in range(4)]  # fmt: skip
    made.append(study.run("worse", Student(0.2), steps=(100,), domain="code"))
    found = paired.paired_changes(pd.concat(made))
    verdicts = found.set_index(["folder", "benchmark"])["verdict"]
    assert set(verdicts["worse"]) == {"loss"}
    own = [verdicts[f"r{i}", "math500"] for i in range(4)]
    assert own == ["gain"] * 4
    said = headline.sentence(found)
    assert said.startswith(
        "5 runs, each at its last checkpoint: in their own domain 4 gains, 1 loss; elsewhere "
    )
    worst = found[found["folder"] == "worse"].set_index("benchmark").loc["math500"]
    text = f"worse on MATH-500: {worst['base']:.0f} → {worst['accuracy']:.0f}%, a loss."
    other = found[found["folder"] == "worse"].set_index("benchmark").loc["mbpp_plus"]
    if abs(other["change"]) > abs(worst["change"]):
        text = f"worse on MBPP+: {other['base']:.0f} → {other['accuracy']:.0f}%, a loss."
    assert f"The largest change is of {text}" in said
    assert said.endswith("the likelier is a false gain or loss in one of them.")
