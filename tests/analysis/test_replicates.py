"""Runs that differ in their seed alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_ind

from bench.simulated_seeds import runs
from distill_nb.analysis import replicates


def one_way(shares, folder="run", step=100, benchmark="math500"):
    """Records of replicates: [seeds × problems] 1, 0 or an outcome's name."""
    names = {1: "correct", 0: "wrong"}
    return pd.DataFrame(
        [
            dict(
                folder=folder if i == 0 else f"{folder}_seed{i}",
                student="s",
                benchmark=benchmark,
                step=step,
                task_id=f"t{j}",
                sample=0,
                outcome=names.get(x, x),
            )
            for i, row in enumerate(shares)
            for j, x in enumerate(row)
        ]
    )


def test_without_spread_of_problems_it_is_the_t_test_of_the_runs_means():
    """Where ways and seeds move all problems alike, only the runs' means are left."""
    problems = np.linspace(0.2, 0.6, 50)
    first = problems + np.array([[0.00], [0.05], [0.10]])
    second = problems + np.array([[0.10], [0.13], [0.22]])
    found, expected = replicates.compare(first, second), ttest_ind(second.mean(1), first.mean(1))
    interval = expected.confidence_interval()
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.lo, found.hi) == pytest.approx((100 * interval.low, 100 * interval.high))
    pooled = (np.var([0, 5, 10], ddof=1) + np.var([10, 13, 22], ddof=1)) / 2
    assert found.seed_sd == pytest.approx(pooled**0.5)
    # of unequal numbers, the larger variance of both: pooled here
    found = replicates.compare(first[:2], second)
    assert found.p == pytest.approx(ttest_ind(second.mean(1), first[:2].mean(1)).pvalue)
    # and here that of each way by itself
    found = replicates.compare(first, second[[0, 2]])
    variance = np.var([0, 5, 10], ddof=1) / 3 + np.var([10, 22], ddof=1) / 2
    assert found.p == pytest.approx(2 * t.sf(found.change / variance**0.5, 3))


def test_a_difference_within_the_chance_of_the_problems_is_never_significant():
    """Two seeds that happen to score alike: a t test of their means would be sure of anything."""
    rng = np.random.default_rng(0)
    rows = [rng.permuted(np.arange(200) < k) for k in (120, 120, 124, 124)]
    found = replicates.compare(np.array(rows[:2], float), np.array(rows[2:], float))
    assert found.change == pytest.approx(2) and found.lo < 0 < found.hi and found.p > 0.5


def test_p_and_interval_agree_and_bad_shapes_are_refused():
    rng = np.random.default_rng(1)
    for _ in range(50):
        first, second = runs(rng, 3, 2, problems=60, seed_sd=3, difference=8)
        found = replicates.compare(first, second)
        assert (found.p < 0.05) == (not found.lo <= 0 <= found.hi)
        mirrored = replicates.compare(second, first)
        assert (mirrored.p, mirrored.lo) == pytest.approx((found.p, -found.hi))
    for first, second in ((np.ones((1, 9)), np.ones((2, 9))), (np.ones((2, 9)), np.ones((2, 8)))):
        with pytest.raises(ValueError, match="two or more"):
            replicates.compare(first, second)


def test_ways_that_are_equal_differ_in_one_study_of_twenty_at_most():
    """Where a normal quantile in the place of Student's t would be wrong in one of eight."""
    rng = np.random.default_rng(4)
    for r1, r2, sd in ((2, 2, 3.0), (3, 3, 0.0), (3, 3, 2.0), (2, 5, 3.0)):
        pairs = [runs(rng, r1, r2, seed_sd=sd) for _ in range(400)]
        rate = np.mean([replicates.compare(*pair).p < 0.05 for pair in pairs])
        assert rate <= 0.075, (r1, r2, sd, rate)
    # teachers that solve different problems, and as many
    pairs = [runs(rng, 5, 5, 200, ways=0.6, seeds=0.9) for _ in range(400)]
    found = [replicates.compare(*pair) for pair in pairs]
    assert np.mean([f.p < 0.05 for f in found]) <= 0.075
    means = [(a.mean(1), b.mean(1)) for a, b in pairs]
    assert np.mean([ttest_ind(*pair).pvalue < 0.05 for pair in means]) > 0.2


def test_the_spread_between_seeds_is_split_from_the_chance_of_answers():
    rows = np.zeros((3, 100), int)
    for row, k in zip(rows, (60, 64, 65), strict=True):
        row[:k] = 1
    records = pd.concat([one_way(rows), one_way(rows[:1], "alone")])
    (row,) = replicates.across_seeds(records).itertuples()
    assert (row.run, row.seeds, row.mean, row.lowest, row.highest) == ("run", 3, 63, 60, 65)
    assert row.sd == pytest.approx(np.std([60, 64, 65], ddof=1))
    assert row.hi - row.mean == pytest.approx(4.3027 * row.sd / 3**0.5, rel=1e-4)
    assert row.seed_sd == pytest.approx((row.sd**2 - row.answers_sd**2) ** 0.5)
    pooled = replicates.seed_sd(replicates.across_seeds(records))
    assert (pooled.sd, pooled.lo, pooled.hi) == pytest.approx(
        (row.seed_sd, row.seed_sd_lo, row.seed_sd_hi)
    )
    assert pooled.df == 2 and replicates.seed_sd(replicates.across_seeds(records[:0])) is None
    two = np.zeros((2, 100), int)
    two[0, :99], two[1, :90] = 1, 1
    (row,) = replicates.across_seeds(one_way(two)).itertuples()
    assert row.hi == 100 and row.lo == pytest.approx(
        94.5 - 12.7062 * 4.5 * 2**0.5 / 2**0.5, rel=1e-3
    )


def test_errors_and_unfinished_seeds_are_left_out_of_the_spread():
    rows = [[1] * 8 + [0] * 2, ["sampling_error"] + [1] * 5 + [0] * 4, [1] * 10]
    records = pd.concat([one_way(rows[:2]), one_way(rows).query("folder == 'run_seed2'")[:4]])
    (row,) = replicates.across_seeds(records).itertuples()
    assert row.seeds == 2 and row.mean == pytest.approx(100 * (7 + 5) / 18)
    assert replicates.across_seeds(one_way([["grader_error"] * 3] * 2)).empty


def test_the_seed_sd_of_many_runs_is_right_and_its_interval_covers():
    rng, n = np.random.default_rng(3), 100
    answers = np.concatenate([runs(rng, 4, 1, n, seed_sd=4)[0] for _ in range(60)])
    folders = [f"run{i // 4}_seed{i % 4}" for i in range(len(answers))]
    table = {"folder": np.repeat(folders, n), "task_id": np.tile(np.arange(n), len(answers))}
    outcome = np.where(answers.ravel() == 1, "correct", "wrong")
    records = pd.DataFrame(table | {"outcome": outcome, "sample": 0, "step": 100})
    spread = replicates.across_seeds(records.assign(student="s", benchmark="math500"))
    pooled = replicates.seed_sd(spread)
    assert pooled.df == 180 and pooled.lo < pooled.sd < pooled.hi
    assert pooled.sd == pytest.approx(4, abs=0.5)
    assert spread["answers_sd"].mean() > 2  # without the split it would be well above
    held = (spread["seed_sd_lo"] <= 4) & (spread["seed_sd_hi"] >= 4)
    assert len(spread) == 60 and held.mean() >= 0.88
