"""The best setting of a grid, and what choosing it costs, against studies whose truth is known."""

import json

import numpy as np
import pytest

from distill_nb.analysis import grid_choice
from distill_nb.analysis.grid import Grid, Setting
from distill_nb.analysis.selection import in_dev


def simulated(rng, shares, seeds=1, n=300, seed_sd=0.0):
    """A Grid of ranks: one setting a true share."""
    settings = []
    for rank, share in enumerate(shares):
        shift = seed_sd * rng.standard_normal((seeds, 1))
        answers = (rng.random((seeds, n)) < share + shift).astype(float)
        settings.append(Setting("r1", (rank,), 500, answers, [f"{rank}_{i}" for i in range(seeds)]))
    return Grid("s", "math", "math500", ("lora_rank",), [f"t{i}" for i in range(n)], settings)


def test_the_best_by_one_half_is_scored_on_the_other():
    found = simulated(np.random.default_rng(0), [0.3, 0.6, 0.5])
    choice = grid_choice.choose(found)
    dev = np.array([in_dev(task_id) for task_id in found.problems])
    assert choice.best == 1 and (choice.n_dev, choice.n_rest) == (dev.sum(), (~dev).sum())
    for i, setting in enumerate(found.settings):
        halves = (setting.shares[:, dev].mean(), setting.shares[:, ~dev].mean())
        assert (choice.dev[i], choice.rest[i]) == pytest.approx(tuple(100 * h for h in halves))
        assert choice.lo[i] < choice.rest[i] < choice.hi[i]
    few = found._replace(
        problems=found.problems[:2],
        settings=[s._replace(shares=s.shares[:, :2]) for s in found.settings],
    )
    assert grid_choice.choose(few) is None


def test_of_equal_settings_choosing_adds_what_it_does_and_the_other_half_adds_nothing():
    """Sixteen settings of 50%: the best of them on its own problems has some 55%."""
    rng = np.random.default_rng(1)
    found = [grid_choice.choose(simulated(rng, [0.5] * 16)) for _ in range(25)]
    naive, corrected, scored = (
        np.mean([value(choice) for choice in found])
        for value in (lambda c: c.naive, lambda c: c.corrected, lambda c: c.rest[c.best])
    )
    # 1.77 standard deviations: the mean of the largest of sixteen normals
    assert naive == pytest.approx(50 + 1.77 * 100 * (0.25 / 300) ** 0.5, abs=0.5)
    assert corrected == pytest.approx(50, abs=0.7) and scored == pytest.approx(50, abs=1.3)


def test_others_are_behind_only_where_runs_or_problems_show_it():
    rng = np.random.default_rng(2)
    shares = [0.3, 0.6, 0.6]
    table = grid_choice.table([grid_choice.choose(simulated(rng, shares, seeds=3, seed_sd=0.01))])
    best = table["verdict"].tolist().index(grid_choice.BEST)
    assert best in (1, 2) and table["verdict"][0] == grid_choice.BEHIND
    assert table["verdict"][3 - best] == grid_choice.OPEN
    assert table["behind"][best] == 0 and table["behind"][0] == pytest.approx(30, abs=6)
    assert table["seeds"].tolist() == [3, 3, 3] and table["lora_rank"].tolist() == [0, 1, 2]
    one = grid_choice.choose(simulated(rng, shares))
    verdicts = grid_choice.table([one])["verdict"]
    assert verdicts[0] == grid_choice.ALONE
    text = grid_choice.sentences([one])
    assert text.startswith(f"s, math, MATH-500: of 3 settings the best by {one.n_dev} problems is")
    assert "1 of the 2 others are not separable from it" in text
    assert f"Choosing adds about {one.naive - one.corrected:.1f} points to that" in text


def test_heldout_losses_are_the_last_ones(tmp_path):
    (tmp_path / "a").mkdir()
    rows = [
        {"step": 1, "loss": 2.0},
        {"step": 2, "heldout_loss": 1.5},
        {"step": 4, "heldout_loss": 1.25},
    ]
    (tmp_path / "a" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "metrics.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert grid_choice.heldout_losses(tmp_path) == {"a": 1.25}
    found = simulated(np.random.default_rng(3), [0.4, 0.5])
    found = found._replace(settings=[found.settings[0]._replace(folders=["a"]), found.settings[1]])
    table = grid_choice.table([grid_choice.choose(found)], {"a": 1.25})
    assert table["heldout_loss"][0] == 1.25 and np.isnan(table["heldout_loss"][1])
