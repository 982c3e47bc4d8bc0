"""Whose a difference is, against studies whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from bench.simulated_records import Student, Study
from distill_nb.analysis import grid, grid_effects
from distill_nb.analysis.grid import Grid, Setting

LOW, HIGH = 2e-5, 2e-4


def simulated(rng, truth, seeds=3, seed_sd=0.015, n=400):
    """A Grid of teacher × rate: truth is (teacher, rate) → the true share; problems have a
    difficulty that all runs share, and each run a shift of its own."""
    hard = rng.normal(0, 0.25, n)
    settings = []
    for (teacher, rate), share in truth.items():
        shift = seed_sd * rng.standard_normal((seeds, 1))
        shares = (rng.random((seeds, n)) < share + shift + hard).astype(float)
        names = [f"{teacher}{rate}_{i}" for i in range(seeds)]
        settings.append(Setting(teacher, (rate,), 500, shares, names))
    problems = [f"t{i}" for i in range(n)]
    return Grid("s", "math", "math500", ("learning_rate",), problems, settings)


def truth(teacher=0.0, rate=0.0, interaction=0.0):
    """True shares from the parts; the first teacher at the low rate has 45%."""
    both = teacher + rate + interaction
    return {
        ("r1", LOW): 0.45,
        ("r1", HIGH): 0.45 + rate,
        ("sonnet", LOW): 0.45 + teacher,
        ("sonnet", HIGH): 0.45 + both,
    }


def rows(found):
    table = grid_effects.effects([found])
    assert list(table["part"]) == list(grid_effects.PARTS)
    return {row.part: row for row in table.itertuples()}


def test_the_parts_add_up_and_are_the_means_of_the_four_ways():
    found = simulated(np.random.default_rng(0), truth(0.02, 0.1))
    a, b, c, d = (100 * s.shares.mean() for s in found.settings)
    parts = rows(found)
    changes = [parts[part].change for part in grid_effects.PARTS]
    expected = [d - a, ((c - a) + (d - b)) / 2, ((b - a) + (d - c)) / 2, d - c - b + a]
    assert changes == pytest.approx(expected)
    assert changes[0] == pytest.approx(changes[1] + changes[2])
    about = parts["teacher"]
    assert (about.first, about.second, about.key) == ("r1", "sonnet", "learning_rate")
    assert (about.low, about.high, about.seeds, about.n) == (LOW, HIGH, "3 / 3 / 3 / 3", 400)


@pytest.mark.parametrize(
    ("teacher", "rate", "interaction"), [(0, 0, 0), (0, 0.12, 0), (0.12, 0, 0), (0.06, 0.06, 0.06)]
)
def test_intervals_hold_the_truth_and_what_is_not_there_is_not_shown(teacher, rate, interaction):
    rng, studies = np.random.default_rng(7), 60
    mean = {"teacher": teacher + interaction / 2, "setting": rate + interaction / 2}
    mean |= {"difference": teacher + rate + interaction, "interaction": interaction}
    found = [rows(simulated(rng, truth(teacher, rate, interaction))) for _ in range(studies)]
    for part, share in mean.items():
        changes = np.array([parts[part].change for parts in found])
        assert changes.mean() == pytest.approx(100 * share, abs=1.0)
        held = np.mean([parts[part].lo <= 100 * share <= parts[part].hi for parts in found])
        assert held >= 0.9, part
        if part in ("teacher", "setting"):
            shown = np.mean([parts[part].verdict == grid_effects.SHOWN for parts in found])
            assert shown <= 0.1 if share == 0 else shown >= 0.9, part


def test_the_conclusion_names_what_matters_and_what_does_not():
    rng = np.random.default_rng(1)

    def said(**parts):
        found = simulated(rng, truth(**parts), n=1500, seed_sd=0.005)
        return grid_effects.sentences(grid_effects.effects([found]))

    text = said(rate=0.12)
    assert text.startswith(
        "s, math, MATH-500: Sonnet at learning rate 2e-4 over R1 at learning rate 2e-5 is +1"
    )
    assert text.endswith("The learning rate matters; the teacher does not by 5 points or more.")
    assert said(teacher=0.12).endswith(
        "The teacher matters; the learning rate does not by 5 points or more."
    )
    assert said(teacher=0.1, rate=0.1).endswith("Both matter.")
    assert said().endswith("Neither matters by 5 points or more.")
    few = grid_effects.effects([simulated(rng, truth(), n=60, seeds=2)])
    assert grid_effects.sentences(few).endswith("Neither is shown to matter.")
    both = said(teacher=0.05, rate=0.05, interaction=0.12)
    assert "Both matter. What the one makes depends on the other, by +1" in both
    assert both.endswith("look at each learning rate by itself.")


def test_one_seed_shows_nothing_and_says_what_a_seed_would_have_to_do():
    found = simulated(np.random.default_rng(2), truth(rate=0.2), seeds=1, n=1000)
    parts = rows(found)
    rate = parts["setting"]
    assert rate.method == "problems" and rate.verdict == grid_effects.BEYOND and rate.enough > 3
    assert parts["teacher"].verdict == grid_effects.ALONE and np.isnan(rate.seed_sd)
    # half of each of four runs: as far as the mean of two runs against two
    se = (rate.hi - rate.change) / 2.241  # the normal's quantile of 97.5%, two-sided
    assert rate.enough == pytest.approx(((rate.change / 1.96) ** 2 - se**2) ** 0.5, rel=0.02)
    text = grid_effects.sentences(grid_effects.effects([found]))
    assert text.endswith("One seed of a way to train cannot tell either from what a seed does.")


def test_squares_need_all_four_ways_and_other_keys_equal():
    found = simulated(np.random.default_rng(3), truth())
    assert len(grid_effects.effects([found._replace(settings=found.settings[:3])])) == 0
    ranked = [s._replace(values=(s.values[0], rank)) for s in found.settings for rank in (8, 32)]
    two = found._replace(keys=("learning_rate", "lora_rank"), settings=ranked)
    table = grid_effects.effects([two]).query("part == 'teacher'")
    assert table[["key", "low", "high", "others"]].to_numpy().tolist() == [
        ["learning_rate", LOW, HIGH, "lora rank 8"],
        ["learning_rate", LOW, HIGH, "lora rank 32"],
        ["lora_rank", 8, 32, "learning rate 2e-5"],
        ["lora_rank", 8, 32, "learning rate 2e-4"],
    ]
    text = grid_effects.sentences(grid_effects.effects([two]))
    assert "Sonnet at lora rank 32 over R1 at lora rank 8 is " in text
    assert grid_effects.sentences(grid_effects.effects([])).startswith("No two teachers were tried")


def test_from_records_to_the_conclusion():
    """As analyze.ipynb does, from one record an answer."""
    study = Study(np.random.default_rng(0), {"math500": 300}, Student(0.4))
    parts, parameters = [], {}
    for (teacher, rate), share in truth(rate=0.15).items():
        for seed in range(2):
            name = f"{teacher}_lr_{rate}" + (f"_seed{seed}" if seed else "")
            after = Student(share)
            parts.append(study.run(name, after, steps=(500,), teacher=teacher, seed_sd=0.005))
            parameters[name] = {"learning_rate": rate, "lora_rank": 32}
    table = grid_effects.effects(list(grid.grids(pd.concat(parts), parameters)))
    verdicts = table.set_index("part")["verdict"]
    assert verdicts["setting"] == "shown" and verdicts["teacher"] != "shown"
    assert "The learning rate matters" in grid_effects.sentences(table)
