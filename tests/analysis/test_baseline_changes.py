"""Bands around a base student's score, from percentages alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from distill_nb.analysis import baseline_changes, stats
from distill_nb.report import change_figures


@pytest.mark.parametrize(("n", "p"), [(500, 0.6), (378, 0.75), (100, 0.5)])
def test_equal_checkpoints_lie_outside_the_band_as_often_as_it_says(n, p):
    """Exactly, over all scores of both: 5% outside this band, and 1 in 6 outside the interval of
    the base student's own score."""
    chance, outside, own = binom.pmf(np.arange(n + 1), n, p), 0.0, 0.0
    for k in np.flatnonzero(chance > 1e-4):
        lo, hi = baseline_changes.equal_band(100 * k / n, n)
        assert lo <= 100 * k / n <= hi
        scores = 100 * np.arange(n + 1) / n
        outside += chance[k] * chance[(scores < lo - 1e-9) | (scores > hi + 1e-9)].sum()
        lo, hi = stats.wilson(k, n)
        own += chance[k] * chance[(scores < 100 * lo) | (scores > 100 * hi)].sum()
    assert outside == pytest.approx(0.05, abs=0.008)
    assert own == pytest.approx(1 / 6, abs=0.02)


def test_a_band_at_the_ends_stays_within_0_and_100():
    assert (
        baseline_changes.equal_band(0, 50)[0] == 0
        and baseline_changes.equal_band(100, 50)[1] == 100
    )


def test_what_was_forgotten_shows_beside_both_domains():
    benchmarks = {
        "math500": (40, 60), "mbpp_plus": (50, 45), "aime25": (10, 20), "ifeval": (70, 50),
        "gpqa_diamond": (30, 35), "sums": (80, 20),
    }  # fmt: skip
    rows = [
        dict(
            student="s", teacher="none" if step == 0 else "r1", domain="math" if step else "none",
            step=step, benchmark=name, accuracy=float(scores[step > 0]), decimals=1, n=100,
            flagged=False, learning_rate=float("nan") if step == 0 else 1e-4, source="run",
        )
        for name, scores in benchmarks.items()
        for step in (0, 10)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    matrix = baseline_changes.forgetting_matrix(table)
    best = matrix[matrix["checkpoint"] == "best"].set_index("evaluated")
    assert best["change"].to_dict() == {
        "math": 20, "code": -5, "science": 5, "instructions": -20, "sums": -60,
    }  # fmt: skip
    assert best["benchmark"].to_dict()["math"] == "math500"  # aime25 is of math, and not the first
    figure, data = change_figures.forgetting(table)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "math", "code", "instructions", "science", "sums",
    ]  # fmt: skip
    assert "−60.0\n" in "".join(t.get_text() for t in ax.texts) and len(data) == len(matrix)
    assert "in neither the changes go from −60.0 to +5.0 points" in figure.alt_text
