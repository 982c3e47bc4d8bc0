"""What contradicts what, and that a notebook is asked about its own keys alone."""

import re

import nbformat
import pytest

from distill_nb import params
from distill_nb.params import checks
from distill_nb.runtime import paths

POCKET = dict(params.pocket_values())


def notebook_cell(name, **changes):
    """The namespace of a notebook after its parameters cell and the injected one."""
    cells = nbformat.read(paths.ROOT / "notebooks" / f"{name}.ipynb", 4).cells
    exec(next(c.source for c in cells if "parameters" in c.metadata.get("tags", [])), made := {})
    return made | changes


CONTRADICTORY = [  # keys that train.ipynb and eval.ipynb declare, and the key of the refusal
    ("train", dict(max_steps=25), "save_every"), ("eval", dict(max_steps=25), ""),
    ("train", dict(max_steps=30, warmup_steps=31), "warmup_steps"),
    ("eval", dict(scale="tiny", max_steps=7), ""), ("train", dict(teacher="qwq"), "dataset"),
    ("eval", dict(teacher="qwq"), ""), ("eval", dict(domain="code", teacher="r1"), ""),
    ("eval", dict(teacher="none"), "domain"), ("train", dict(teacher="none"), "domain"),
    ("eval", dict(teacher="none", domain="none", max_steps=0), ""),
    ("eval", dict(teacher="none", domain="none", max_steps=0, adapter="a/b"), "adapter"),
    ("eval", dict(n_samples=2), "n_samples"), ("train", dict(n_examples=0), "n_examples"),
    ("eval", dict(max_num_seqs=9000), "max_num_batched_tokens"),
    ("train", dict(micro_batch_size=3), "micro_batch_size"),
    ("train", dict(train_processes=2), "train_processes"),
    ("train", dict(sharding="full"), "sharding"),
    ("train", dict(dataset="none"), "dataset"),
]  # fmt: skip


@pytest.mark.parametrize("name", ["train", "eval"])
def test_the_notebooks_defaults_are_the_demos_run(name):
    demo = params.read_files("pocket_math.yaml")
    declared = {key: value for key, value in notebook_cell(name).items() if key in demo}
    assert len(declared) > 15 and declared == {key: demo[key] for key in declared}


@pytest.mark.parametrize("name, changes, key", CONTRADICTORY)
def test_a_notebook_is_asked_about_keys_that_it_has_alone(name, changes, key):
    cell = notebook_cell(name)
    assert set(changes) <= set(cell)
    if not key:
        p = params.from_notebook(cell | changes)
        assert {k: getattr(p, k) for k in changes} == changes
        return
    with pytest.raises(ValueError, match=f"^notebook: {key} is ") as caught:
        params.from_notebook(cell | changes)
    named = {k for k in POCKET if re.search(rf"\b{k}\b", str(caught.value))}
    assert named <= set(cell) and key in named
    # where the run's file has been handed over whole, all of it is looked at
    others = {k: v for k, v in POCKET.items() if k not in cell}
    with pytest.raises(ValueError, match=f"^notebook: {key} is "):
        params.from_notebook(cell | changes | {"other_parameters": others})


def test_what_is_handed_over_beside_the_declared_keys_counts():
    cell = notebook_cell("eval", max_steps=25)
    for own in ({"other_parameters": {"save_every": 10}}, {"save_every": 10}):
        with pytest.raises(ValueError, match="save_every is 10, which does not divide max_steps"):
            params.from_notebook(cell | own)


def test_a_contradiction_says_all_keys_that_decide_it():
    """So that it is passed over where a notebook lacks one of them."""
    cases = [changes for _, changes, key in CONTRADICTORY if key]
    cases += [
        dict(scale="full", student_size="tiny"), dict(run_name="x_seed1"),
        dict(dataset="r1_code"), dict(sharding="full", train_processes=2, backend="unsloth"),
        dict(sharding="full", train_processes=2, load_in_4bit=True),
        dict(scale="full", benchmark_files={"math500": "pyproject.part.toml"}),
    ]  # fmt: skip
    for changes in cases:
        for keys, why in checks.contradictions(POCKET | changes):
            named = {k for k in POCKET if re.search(rf"(?<![\w/'-]){k}(?![\w'-])", why)}
            assert named <= set(keys), (keys, why)
