"""A grid over a run: its runs, their names, and what it refuses."""

import pytest

from distill_nb.study import grid


def test_a_grid_is_every_combination_named_by_what_differs():
    axes = {
        "learning_rate": [2e-5, 2e-4],
        "lora_rank": [8],
        "dataset": ["a/x.jsonl", "b/y z.jsonl"],
    }
    made = grid.expand("base", axes, "s.yaml: base.yaml")
    assert [name for name, _ in made] == [
        "base__lr_2e-05__dataset_x",
        "base__lr_2e-05__dataset_y-z",
        "base__lr_0.0002__dataset_x",
        "base__lr_0.0002__dataset_y-z",
    ]
    assert made[3][1] == {"learning_rate": 2e-4, "lora_rank": 8, "dataset": "b/y z.jsonl"}


def test_seeds_are_replicates_and_no_part_of_a_name():
    made = grid.expand("base", {"lora_experts": [True, False], "seed": [0, 7]}, "s.yaml")
    assert [(name, changes["seed"]) for name, changes in made] == [
        ("base__lora_experts_True", 0),
        ("base__lora_experts_True", 7),
        ("base__lora_experts_False", 0),
        ("base__lora_experts_False", 7),
    ]


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({}, "grid is {}: write keys with lists"),
        ({"learning_rate": 1e-4}, "learning_rate is 0.0001: write a list, as in [1, 2]."),
        ({"learning_rate": []}, "learning_rate is []: write a list"),
        (
            {"learning_rate": ["2e-5", 1e-4]},
            "learning_rate is the text '2e-5' and not a number: write 2.0e-5 (YAML 1.1 needs the "
            "point and a signed exponent).",
        ),
        ({"learning_rate": [-1.0]}, "learning_rate is -1.0: write a number that is more than 0"),
        ({"lora_rank": [8, 8]}, "lora_rank has 8 twice: take one of them out."),
        ({"lora_rnk": [8]}, "lora_rnk cannot be set, for it is no parameter of a run"),
        ({"scale": ["tiny"]}, "scale cannot be set, for the study gives it"),
        ({"dataset": ["a/x.jsonl", "b/x.jsonl"]}, "two runs of the name base__dataset_x"),
        ({"dataset": ["x" * 250, "y"]}, "vary fewer keys"),
    ],
)
def test_what_cannot_stand_is_one_sentence(axes, says):
    with pytest.raises(ValueError) as error:
        grid.expand("base", axes, "s.yaml: base.yaml")
    assert str(error.value).startswith("s.yaml: base.yaml: grid") and says in str(error.value)
