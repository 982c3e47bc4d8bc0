"""Which settings there are, by the parameters that runs were trained with."""

import pandas as pd
import pytest

from distill_nb.analysis import grid
from tests.analysis.test_teacher_comparison import run

TRAINED = {"learning_rate": 1e-4, "lora_rank": 8, "lora_targets": ["a", "b"]}


def records(*folders, n=10, **more):
    """One run a folder, each with a first correct answer more than the one before."""
    parts = [
        run(folder, more.get(folder, "r1"), [[int(j <= i) for j in range(n)]])
        for i, folder in enumerate(folders)
    ]
    return pd.concat(parts)


def test_settings_are_the_keys_that_vary_under_one_teacher_and_seeds_are_replicates():
    names = ["a", "a_seed1", "b", "c", "d"]
    parameters = {name: TRAINED for name in ("a", "a_seed1", "d")}
    parameters |= {"b": TRAINED | {"learning_rate": 2e-5}, "c": TRAINED | {"lora_targets": ["a"]}}
    (found,) = grid.grids(records(*names, d="sonnet"), parameters)
    assert (found.student, found.domain, found.benchmark) == ("s", "math", "math500")
    assert found.keys == ("learning_rate", "lora_targets") and len(found.problems) == 10
    shown = [(s.teacher, s.values, s.folders, s.shares.mean().item()) for s in found.settings]
    assert shown == [
        ("r1", (2e-5, "a, b"), ["b"], pytest.approx(0.3)),
        ("r1", (1e-4, "a"), ["c"], pytest.approx(0.4)),
        ("r1", (1e-4, "a, b"), ["a", "a_seed1"], pytest.approx(0.15)),
        ("sonnet", (1e-4, "a, b"), ["d"], pytest.approx(0.5)),
    ]
    words = grid.in_words(found.settings[0], found.keys)
    assert words == "R1, learning rate 2e-5, lora targets a, b"


def test_where_settings_differ_between_teachers_only_there_is_no_grid():
    """As in the published study: the rate is the teacher's."""
    parameters = {"a": TRAINED, "b": TRAINED | {"learning_rate": 2e-4}}
    assert list(grid.grids(records("a", "b", b="sonnet"), parameters)) == []
    assert list(grid.grids(records("a").iloc[:0], {})) == []
    # imported answers have no parameters of training
    assert list(grid.grids(records("a", "b"), {"a": TRAINED})) == []


def test_problems_without_a_sound_answer_and_late_replicates_are_left_out():
    parameters = {
        name: TRAINED | {"lora_rank": 8 * (name == "b")} for name in ("a", "b", "b_seed1")
    }
    parameters["b_seed1"] = parameters["b"]
    late = run("b_seed1", "r1", [[1] * 10, [1] * 4 + ["grader_error"] + [1] * 5])
    (found,) = grid.grids(pd.concat([records("a", "b"), late]), parameters)
    assert [(s.step, s.folders) for s in found.settings] == [(100, ["a"]), (200, ["b_seed1"])]
    assert len(found.problems) == 9 and "t4" not in found.problems


def test_a_benchmark_that_does_not_choose_is_a_grid_too_unless_only_choices_are_wanted():
    parameters = {"a": TRAINED, "b": TRAINED | {"lora_rank": 32}}
    both = [records("a", "b"), records("a", "b").assign(benchmark="mbpp_plus")]
    found = grid.grids(pd.concat(both), parameters)
    assert [g.benchmark for g in found] == ["math500", "mbpp_plus"]
    (only,) = grid.grids(pd.concat(both), parameters, choosing_only=True)
    assert only.benchmark == "math500" and only.where == "s, math, MATH-500"
