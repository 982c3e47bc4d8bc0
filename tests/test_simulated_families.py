"""Verdicts are wrong as seldom as they say: bench/simulated_families.py in a reduced form, and that
docs/verdicts.md shows its results."""

import json

import numpy as np
import pytest

from bench import simulated_families as bench
from bench.simulated_records import PROBLEMS
from distill_nb.analysis import families, stats

SHARES = np.array([0.555, 0.045, 0.045, 0.355])  # no change from 60%, answers correlated 0.81


def drawn(rng, runs):
    """p [runs × benchmarks] of runs that change nothing."""
    return np.stack(
        [stats.paired(*rng.multinomial(n, SHARES, runs).T).p for n in PROBLEMS.values()], 1
    )


def test_a_run_that_changes_nothing_shows_a_change_in_5_percent_at_most():
    """Of 4,000 runs of two benchmarks; each at 5% by itself would make it 9%."""
    p = drawn(np.random.default_rng(0), 4000)
    assert 0.08 < (p < 0.05).any(axis=1).mean() < 0.11
    folders = np.repeat(np.arange(len(p)), p.shape[1])
    adjusted = families.adjust(p.ravel(), folders).p.reshape(p.shape)
    assert 0.035 < (adjusted < 0.05).any(axis=1).mean() < 0.06


def test_of_a_sweep_few_of_what_is_called_a_change_are_none():
    """Of 1,000 sweeps of four benchmarks with a gain and four without one."""
    rng, false = np.random.default_rng(1), []
    for null, gain in zip(
        drawn(rng, 2000).reshape(-1, 4), rng.random((1000, 4)) * 0.005, strict=True
    ):
        found = families.adjust([*null, *gain], method="fdr").p < 0.05
        false.append(found[:4].sum() / max(1, found.sum()))
    assert 0.01 < np.mean(false) < 0.05


def test_the_bench_runs_and_its_studies_have_the_truth_that_they_say():
    found = bench.studies([bench.one_study(seed, runs=2) for seed in range(3)])
    assert found["gain found"] + found["loss found"] > 100 and found["studies"] == 3
    assert sum(found["verdicts on no change"].values()) == pytest.approx(100)
    assert found["verdicts on no change"]["equivalent"] > 50


@pytest.mark.parametrize("same", [True, False])
def test_rates_of_single_comparisons_are_those_of_the_page(same):
    report = json.loads(bench.RESULTS.read_text())
    for row in report["comparisons"]:
        if row["n"] in (500, 100_000) and (row["problems"] == "same") == same:
            found = bench.comparisons(row["true"], row["n"], same, draws=400, seed=1)
            assert found == pytest.approx(row["percent"], abs=8)  # three standard errors


def test_the_page_shows_the_results():
    report = json.loads(bench.RESULTS.read_text())
    assert bench.tables(report) in bench.PAGE.read_text()
    found, runs = report["studies"], [str(k) for k in bench.RUNS]
    assert found["studies"] == 500 and found["false alarm in a run"] < 5.5
    assert found["gain found"] > 80  # and by the earlier rule it falls with each run
    before = [found["gain found by the earlier rule"][k] for k in runs]
    assert before == sorted(before, reverse=True) and before[-1] < before[0] - 10
    for row in report["comparisons"]:
        if row["n"] == 100_000:
            expected = {0: 100, -8: 0}.get(row["true"])
            assert expected is None or row["percent"]["within"] == expected
        if row["true"] == -5:
            assert max(row["percent"]["within"], row["percent"]["below"]) < 6.5
