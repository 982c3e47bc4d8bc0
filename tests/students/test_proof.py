"""What the trainer leaves of a checkpoint, and where it is looked at."""

import itertools
import json

import pytest
import torch
from helpers import tiny

from distill_nb.runtime import paths
from distill_nb.students import proof, student
from distill_nb.training import train


@pytest.mark.parametrize("length", [2, 3, 9, 64, 65, 512, 513, 1000])
@pytest.mark.parametrize("count", [64, 512])
def test_places_are_the_last_tokens_and_few_of_them_in_float32(length, count):
    ids = list(range(length))
    every = proof.places(ids, count)
    assert every == ids[1:][-count:] == proof.looked_at(every, "bfloat16")
    some = proof.looked_at(every, "float32")
    assert some[-1] == length - 1 and min(8, len(every)) <= len(some) <= 16
    assert len({b - a for a, b in itertools.pairwise(some)}) <= 1
    # of 64, as earlier versions left them, the same as then
    assert len(every) != 64 or some == every[3::4]


def test_the_text_ends_with_tokens_that_are_trained_on():
    example = {"input_ids": list(range(2000)), "labels": [-100] * 300 + list(range(300, 2000))}
    text = proof.text_of(example)
    assert text == list(range(812)) and proof.places(text) == list(range(300, 812))
    assert (
        len(proof.text_of({"input_ids": list(range(2000)), "labels": [-100] * 1500 + [7] * 500}))
        == 1024
    )
    assert proof.text_of({"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}) == [1, 2, 3]


def test_the_trainer_leaves_a_proof_that_the_checkpoint_keeps(runs_dir):
    p = tiny(learning_rate=0.05)
    train.train(p)
    folder = paths.checkpoint_dir(p, 4)
    left = proof.read(folder)
    assert left["tokens"] == proof.text_of(train.prepare(p).train[0])
    at = proof.places(left["tokens"])
    assert len(left["adapter"]) == len(left["base"]) == len(at) > 64 and left["dtype"] == "float32"
    again = proof.reference(p, folder, left["tokens"])
    assert again["adapter"] == pytest.approx(left["adapter"], abs=1e-4)
    assert again["base"] == pytest.approx(left["base"], abs=1e-4)
    assert again["base"] != pytest.approx(left["adapter"], abs=0.01)
    model = student.load(p).eval()
    direct = torch.log_softmax(model(torch.tensor([left["tokens"]])).logits[0], -1)
    for i in (0, 5, len(at) - 1):
        expected = direct[at[i] - 1, left["tokens"][at[i]]].item()
        assert left["base"][i] == pytest.approx(expected, abs=1e-4)
    some = proof.looked_at(at, "float32")
    found = proof.token_logprobs(model.train(), left["tokens"], some)
    assert model.training
    assert found == pytest.approx(proof.looked_at(left["base"], "float32"), abs=1e-4)


@pytest.mark.parametrize(
    ("left_in", "dtype", "anew"),
    [
        ("bfloat16", "float32", True),  # the trainer's rounding could hide a weak adapter
        ("bfloat16", "bfloat16", False),
        ("float32", "bfloat16", False),
        ("float32", "float32", False),
        (None, "float32", False),  # earlier versions did not say
        (None, "bfloat16", False),
    ],
)
def test_what_a_trainer_left_is_made_anew_only_where_it_is_too_coarse(
    left_in, dtype, anew, tmp_path, monkeypatch
):
    left = {"tokens": [1, 2, 3], "adapter": [-1.0, -2.0], "base": [-2.0, -3.0]}
    (tmp_path / proof.FILE).write_text(json.dumps(left | ({"dtype": left_in} if left_in else {})))
    monkeypatch.setattr(proof, "reference", lambda p, folder, ids: {"made of": ids})
    found = proof.of(tiny(dtype=dtype), tmp_path, [7, 8])
    assert found.get("made of") == ([1, 2, 3] if anew else None)
    (tmp_path / proof.FILE).unlink()
    assert proof.of(tiny(dtype=dtype), tmp_path, [7, 8]) == {"made of": [7, 8]}
