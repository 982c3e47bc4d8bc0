"""What choosing a checkpoint on the test set is worth: against simulated data with known truth."""

import math

import numpy as np
import pandas as pd
import pytest
from answer_records import records

from distill_nb.analysis import selection_bias

RNG = np.random.default_rng


def test_selection_correction_removes_the_bias():
    """Five checkpoints of one true accuracy: the best looks better by the known inflation, the
    corrected one not."""
    rng, naive, corrected, hits, regret, regret_hits = RNG(6), [], [], 0, [], 0
    for i in range(150):
        s = selection_bias.corrected(rng.random((5, 120)) < 0.5, seed=i, repeats=20, resamples=150)
        naive.append(s.naive)
        corrected.append(s.corrected)
        regret.append(s.regret)
        hits += s.lo <= 0.5 <= s.hi
        regret_hits += s.regret_lo <= 0 <= s.regret_hi
    assert np.mean(naive) - 0.5 == pytest.approx(selection_bias.inflation(0.5, 120, 5), abs=0.008)
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.008)
    assert np.mean(regret) == pytest.approx(0, abs=0.008)
    assert hits / 150 > 0.9 and regret_hits / 150 > 0.9


def test_selection_finds_a_clear_winner():
    rng = RNG(7)
    correct = rng.random((5, 400)) < np.array([0.3, 0.9, 0.3, 0.3, 0.4])[:, None]
    s = selection_bias.corrected(correct)
    assert (
        s.selected == 1
        and s.corrected == pytest.approx(s.naive, abs=1e-9)
        and s.naive == correct[1].mean()
    )
    assert s.regret == pytest.approx(s.naive - s.last) and s.regret_lo > 0.3
    assert s == selection_bias.corrected(correct)  # seeded
    with pytest.raises(ValueError, match=r"\[checkpoints, problems\]"):
        selection_bias.corrected(correct[0])


@pytest.mark.parametrize("n", [4, 5, 12])
def test_selection_on_few_problems_has_an_interval(n):
    """Some resamples have all their weight in one half, which cannot choose; none may end as
    nan."""
    for seed in range(5):
        correct = RNG(seed).random((3, n)) < 0.5
        s = selection_bias.corrected(correct, seed=seed)
        assert 0 <= s.lo <= s.hi <= 1 and -1 <= s.regret_lo <= s.regret <= s.regret_hi <= 1
        assert s.lo <= s.corrected <= s.hi


def test_inflation_against_known_normal_scores():
    """Expected largest of 2 and 5 standard normals: 0.56419 and 1.16296 (David & Nagaraja 2003)."""
    se = math.sqrt(0.25 / 500)
    assert selection_bias.inflation(0.5, 500, 2) == pytest.approx(0.56419 * se, rel=1e-4)
    assert selection_bias.inflation(0.5, 500, 5) == pytest.approx(1.16296 * se, rel=1e-4)
    assert selection_bias.inflation(0.5, 500, 1) == pytest.approx(0, abs=1e-9)
    assert selection_bias.inflation(0.5, 500, 5, correlation=1) == 0


def test_inflation_against_simulation_with_correlation():
    rng, p, n = RNG(8), 0.7, 300
    # half the problems are answered alike by all five: correlation 0.5
    shared = rng.random((4000, n)) < 0.5
    common, own = rng.random((4000, n)) < p, rng.random((4000, 5, n), dtype=np.float32) < p
    best = np.where(shared[:, None], common[:, None], own).mean(2).max(1)
    assert best.mean() - p == pytest.approx(selection_bias.inflation(p, n, 5, 0.5), abs=0.002)


def test_selection_of_a_run_is_that_of_its_matrix():
    rng = np.random.default_rng(1)
    correct = rng.random((4, 60)) < 0.5
    row = selection_bias.table(records(correct), seed=3).iloc[0]
    names = pd.Series([f"t{j}" for j in range(60)])
    # step 0 is no checkpoint
    expected = selection_bias.corrected(correct[1:][:, names.sort_values().index], seed=3)
    assert row["step"] == 10 * (1 + expected.selected) and (row["checkpoints"], row["n"]) == (3, 60)
    assert row[["naive", "corrected", "lo", "regret_hi"]].tolist() == pytest.approx(
        [100 * x for x in (expected.naive, expected.corrected, expected.lo, expected.regret_hi)]
    )
    # a math run is chosen by its math
    assert selection_bias.table(records(correct, benchmark="pocket_code")).empty


def test_selection_leaves_out_errors_and_unfinished_checkpoints():
    rng = np.random.default_rng(2)
    rows = (rng.random((4, 40)) < 0.5).astype(int).tolist()
    whole = selection_bias.table(records(rows)).iloc[0]
    assert (whole["n"], whole["errors"], whole["checkpoints"]) == (40, 0, 3)
    unfinished = selection_bias.table(records([*rows, [1] * 10 + [None] * 30])).iloc[0]
    assert unfinished.equals(whole)
    rows[2][:5] = ["grader_error"] * 5
    left = selection_bias.table(records(rows)).iloc[0]
    assert (left["n"], left["errors"]) == (35, 5)
    assert left["naive"] == pytest.approx(
        100 * max(np.mean([x == 1 for x in row[5:]]) for row in rows[1:])
    )


def test_why_a_run_is_left_out_is_said_and_is_true():
    rng = np.random.default_rng(3)
    rows = (rng.random((4, 40)) < 0.5).astype(int).tolist()
    assert selection_bias.left_out(records(rows)) == "Every run with checkpoints is in this table."
    assert selection_bias.left_out(records(rows[:1])) == "No run has a checkpoint to choose yet."
    few = [row[:3] + ["grader_error"] * 37 for row in rows]
    assert selection_bias.table(records(few)).empty
    said = selection_bias.left_out(records(few))
    assert said.endswith("pocket_math has 3 problems without an error of ours, and 4 are needed.")
    begun = selection_bias.left_out(records([*rows[:2], [1] * 10 + [None] * 30]))
    assert begun.endswith("only step 10 is finished on pocket_math.")
