"""AIME by year, our hundred of HumanEval+, and pass@k, from records."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from distill_nb.analysis import results, slices, stats
from distill_nb.benchmarks import aime, humaneval_plus


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_all_choices_with_a_correct_sample(n):
    for c in range(n + 1):
        samples = [True] * c + [False] * (n - c)
        for k in range(1, n + 1):
            choices = [any(chosen) for chosen in combinations(samples, k)]
            assert stats.pass_at_k(n, c, k) == pytest.approx(sum(choices) / len(choices))


def test_pass_at_k_broadcasts_and_is_unbiased():
    assert stats.pass_at_k([4, 4, 8], [0, 4, 1], 2).tolist() == pytest.approx([0, 1, 0.25])
    assert stats.pass_at_k(200, 3, 100) == pytest.approx(1 - (100 * 99 * 98) / (200 * 199 * 198))
    correct = np.random.default_rng(0).binomial(10, 0.2, 200_000)
    assert stats.pass_at_k(10, correct, 4).mean() == pytest.approx(1 - 0.8**4, abs=0.003)
    for n, c, k in ((3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0)):
        with pytest.raises(ValueError, match="pass@"):
            stats.pass_at_k(n, c, k)


def records(benchmark, outcomes, step=0):
    """outcomes: task id → the outcomes of its samples."""
    return [
        dict(
            folder="run",
            student="s",
            step=step,
            benchmark=benchmark,
            task_id=i,
            sample=j,
            outcome=o,
            answer="7" if o == "correct" else f"{j}",
        )
        for i, samples in outcomes.items()
        for j, o in enumerate(samples)
    ]


def test_aime_by_year_with_pass_at_k():
    outcomes = {
        i: ["correct" if i[:4] == "2022" else "wrong"] * 2
        + ["correct" if i == "2023-I-1" else "wrong"] * 2
        for i in sorted(aime.IDS)
    }
    table = slices.table(pd.DataFrame(records("aime", outcomes))).set_index("slice")
    assert table.index.tolist() == ["aime", "aime 2022", "aime 2023", "aime 2024"]
    assert table["problems"].tolist() == [90, 30, 30, 30] and table["n"].tolist() == [
        360,
        120,
        120,
        120,
    ]
    assert table["accuracy"].tolist() == pytest.approx(
        [100 * (15 + 0.5) / 90, 50, 100 * 0.5 / 30, 0]
    )
    assert (
        table.loc["aime 2022", "pass@2"] == pytest.approx(100 * (1 - 1 / 6))
        and table.loc["aime 2022", "pass@4"] == 100
    )
    assert (
        table.loc["aime 2023", "pass@4"] == pytest.approx(100 / 30)
        and (table["lo"] <= table["accuracy"]).all()
    )
    assert tuple(table.loc["aime 2024", ["lo", "hi"]]) == pytest.approx(
        tuple(100 * x for x in stats.wilson(0, 30))
    )


def test_pass_at_k_and_majority_have_intervals_by_problem():
    outcomes = {f"t{i}": ["correct"] * (i % 5) + ["wrong"] * (4 - i % 5) for i in range(40)}
    found = slices.table(pd.DataFrame(records("math500", outcomes)))
    more = [
        f"{name}{end}" for name in ("pass@2", "pass@4", "majority@4") for end in ("", " lo", " hi")
    ]
    assert list(found) == [*slices.COLUMNS, *more]
    (row,) = found.to_dict("records")
    values = stats.pass_at_k(4, np.arange(40) % 5, 2)
    lo, hi = results.interval(values, 160)
    assert (row["pass@2 lo"], row["pass@2 hi"]) == pytest.approx((100 * lo, 100 * hi))
    # wrong answers of a problem all differ: two correct ones of four are the majority, one is a tie
    assert row["majority@4"] == pytest.approx(100 * (0 + 1 / 4 + 1 + 1 + 1) / 5)
    assert row["pass@4"] == pytest.approx(80) and row["pass@4 lo"] < 80 < row["pass@4 hi"]
    shown = slices.for_reading(found)
    assert list(shown) == [
        *(c for c in slices.COLUMNS if c not in ("lo", "hi")),
        "pass@2",
        "pass@4",
        "majority@4",
    ]
    assert shown["pass@4"].tolist() == [f"80.0 [{row['pass@4 lo']:.1f}, {row['pass@4 hi']:.1f}]"]
    code = slices.table(pd.DataFrame(records("mbpp_plus", outcomes)))
    assert "majority@4" not in code and "pass@4 lo" in code


def test_our_hundred_beside_all_of_humaneval_plus():
    everything = [f"HumanEval/{i}" for i in range(164)]
    outcomes = {i: ["correct" if i in humaneval_plus.OUR_100 else "wrong"] for i in everything}
    outcomes["HumanEval/0"] = ["sampling_error"]
    table = slices.table(
        pd.DataFrame(
            records("humaneval_plus", outcomes)
            + records("humaneval_plus", dict(list(outcomes.items())[:50]), step=100)
        )
    )
    k = 100 - ("HumanEval/0" in humaneval_plus.OUR_100)
    # 50 are not our hundred
    assert table[["step", "slice", "problems"]].to_numpy().tolist() == [
        [0, "humaneval_plus", 164],
        [0, slices.OUR_100, 100],
        [100, "humaneval_plus", 50],
    ]
    assert table["accuracy"][:2].tolist() == pytest.approx([100 * k / 164, float(k)])
    assert table["flagged"].tolist() == [True, k == 99, True] and not [
        c for c in table if c.startswith("pass@")
    ]


def test_a_part_never_counts_as_the_benchmark():
    outcomes = {"part/2022-I-1": ["correct", "wrong", "wrong"], "part/2023-I-1": ["wrong"] * 3}
    table = slices.table(pd.DataFrame(records("aime", outcomes)))
    assert table["slice"].tolist() == ["aime (part)", "aime 2022 (part)", "aime 2023 (part)"]
    assert table["pass@3"].tolist() == [50, 100, 0] and table["pass@2"].tolist() == pytest.approx(
        [100 / 3, 200 / 3, 0]
    )


def test_a_table_of_slices_may_say_nothing_new():
    plain = slices.table(pd.DataFrame(records("pocket_math", {"a": ["correct"], "b": ["wrong"]})))
    assert not slices.more_than_scores(plain)
    assert slices.more_than_scores(
        slices.table(pd.DataFrame(records("pocket_math", {"a": ["correct", "wrong"]})))
    )
    assert slices.more_than_scores(
        slices.table(pd.DataFrame(records("aime", {"2022-I-1": ["wrong"]})))
    )


def test_no_records_are_an_empty_table(tmp_path):
    assert slices.table(results.load_records(tmp_path)).columns.tolist() == slices.COLUMNS
