"""The proof that an adapter is applied, and what it must not let through."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from helpers import tiny

from distill_nb.evaluation import proofs
from distill_nb.runtime import paths
from distill_nb.students import proof, student
from distill_nb.training import train


def given(adapter, base, tokens=(1, 2, 3)):
    return {"tokens": list(tokens), "adapter": adapter, "base": base}


TRAINER = given([-1.0, -2.0, -1.5, -4.0, -1.0, -2.0], [-3.0, -1.0, -1.0, -2.0, -3.0, -1.0])
RIGHT, BASE = TRAINER["adapter"], TRAINER["base"]


def sparse(values):
    return values[1::4]  # of six places float32 compares the second and the last


@pytest.mark.parametrize(
    ("engine", "base", "words"),
    [
        (RIGHT, BASE, ""),
        ([x + 0.0004 for x in RIGHT], [x - 0.0004 for x in BASE], ""),
        (BASE, BASE, "from the trainer; at most 0.001"),  # not applied
        (
            [x - 0.1 for x in RIGHT],
            BASE,
            "0.1 nats a token from the trainer",
        ),  # half applied, or another's
        (RIGHT, RIGHT, "base is 1 nats a token"),  # the base's requests get the adapter
        ([float("nan")] * 6, BASE, "nan nats a token from"),
    ],
)
def test_only_an_adapter_that_is_applied_passes(engine, base, words):
    made = proofs.judge(100, TRAINER, sparse(engine), sparse(base), {100: TRAINER}, "float32")
    assert (
        made.passed == (not words) and words in made.why and made.step == 100 and made.tokens == 2
    )


def simulated(rng, effect, noise, applied=1.0, n=64):
    """(trainer, engine, engine_base) of an adapter that moves a token by `effect`, between engines
    that round by `noise`."""
    base = -rng.exponential(2.0, n)
    adapter = base + rng.normal(0, effect, n)
    engine_base = base + rng.normal(0, noise, n)
    engine = base + applied * (adapter - base) + rng.normal(0, noise, n)
    return given(list(adapter), list(base)), list(engine), list(engine_base)


@pytest.mark.parametrize(("effect", "noise"), [(0.05, 0.03), (0.3, 0.06), (1.0, 0.08)])
def test_in_bfloat16_rounding_hides_no_adapter_and_applies_none(effect, noise):
    rng = np.random.default_rng(0)
    passed = {
        applied: sum(
            proofs.judge(2, trainer, *engine, {2: trainer}, "bfloat16").passed
            for _ in range(200)
            for trainer, *engine in [simulated(rng, effect, noise, applied)]
        )
        for applied in (1.0, 0.0, 2.0)
    }
    assert passed[1.0] >= 190 and passed[0.0] <= 2 and (effect < 0.3 or passed[2.0] <= 2), passed


def test_an_adapter_that_is_lost_in_rounding_is_inconclusive_and_not_scored():
    rng = np.random.default_rng(1)
    for applied, most in ((1.0, 30), (0.0, 5)):
        made = [
            proofs.judge(2, trainer, *engine, {2: trainer}, "bfloat16")
            for _ in range(100)
            for trainer, *engine in [simulated(rng, 0.01, 0.05, applied)]
        ]
        assert sum(m.passed for m in made) <= most, applied
        assert any("inconclusive" in m.why and "float32" in m.why for m in made)


def test_nobody_elses_adapter_passes():
    near = given([x - 0.02 for x in RIGHT], BASE)
    engine = near["adapter"]
    assert proofs.judge(2, TRAINER, engine, BASE, {2: TRAINER}, "bfloat16").passed
    made = proofs.judge(2, TRAINER, engine, BASE, {2: TRAINER, 4: near}, "bfloat16")
    assert not made.passed and "nearer to the adapter of step 4" in made.why
    other_text = near | {"tokens": [1, 2, 9]}
    assert proofs.judge(2, TRAINER, engine, BASE, {2: TRAINER, 4: other_text}, "bfloat16").passed


def test_an_adapter_without_any_effect_is_not_proved():
    idle = given(BASE, BASE)
    made = proofs.judge(2, idle, BASE, BASE, {2: idle}, "bfloat16")
    assert not made.passed and "changes nothing in the trainer" in made.why


@pytest.mark.parametrize("length", [2, 3, 9, 64, 65, 66, 1000])
def test_places_are_the_last_tokens_and_every_fourth_of_them_in_float32(length):
    ids = list(range(length))
    every, some = proof.places(ids), proof.places(ids, "float32")
    assert every == ids[1:][-64:] and some[-1] == every[-1] == length - 1
    assert some == every[::-1][::4][::-1] and len(some) == -(-len(every) // 4)


def test_the_text_ends_with_tokens_that_are_trained_on():
    example = {"input_ids": list(range(2000)), "labels": [-100] * 300 + list(range(300, 2000))}
    assert proof.text_of(example) == list(range(364)) and proof.places(
        proof.text_of(example)
    ) == list(range(300, 364))
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
    assert left["tokens"] == proof.text_of(train.prepare(p).train[0]) and len(left["adapter"]) == 64
    again = proof.reference(p, folder, left["tokens"])
    torch.testing.assert_close(
        torch.tensor(again["adapter"]), torch.tensor(left["adapter"]), rtol=0, atol=1e-4
    )
    assert again["base"] == pytest.approx(left["base"], abs=1e-4) and again[
        "base"
    ] != pytest.approx(left["adapter"], abs=0.01)
    model = student.load(p).train()
    direct = torch.log_softmax(model.eval()(torch.tensor([left["tokens"]])).logits[0], -1)
    place = proof.places(left["tokens"])[5]
    assert left["base"][5] == pytest.approx(
        direct[place - 1, left["tokens"][place]].item(), abs=1e-4
    )


def test_a_table_says_who_is_not_scored(caplog):
    caplog.set_level("INFO", "distill_nb")
    good, bad = (
        asdict(proofs.judge(s, TRAINER, e, BASE, {}, "bfloat16"))
        for s, e in ((2, RIGHT), (4, BASE))
    )
    assert proofs.table({}) is None
    table = proofs.table({"adapter_proof": [good, bad]})
    assert list(table.index) == [2, 4] and list(table["passed"]) == [True, False]
    assert "Step 4 is not scored: the engine is" in caplog.text
