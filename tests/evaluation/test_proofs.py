"""Verdicts on engines that apply an adapter, or do not, at every floor."""

from dataclasses import asdict

import numpy as np
import pytest

from distill_nb.evaluation import proofs
from distill_nb.students.proof import looked_at


def given(adapter, base, tokens=(1, 2, 3)):
    return {"tokens": list(tokens), "adapter": list(adapter), "base": list(base)}


RNG = np.random.default_rng(7)
BASE = -RNG.gamma(0.5, 2.0, 64) - 0.01
RIGHT = np.minimum(BASE + RNG.normal(0.3, 0.6, 64), -0.001)
TRAINER = given(RIGHT, BASE)


def judged(engine, base, dtype="float32", others=None, trainer=TRAINER, experts=False):
    engine, base = (looked_at(list(values), dtype) for values in (engine, base))
    return proofs.judge(100, trainer, engine, base, others or {}, dtype, experts)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("engine", "base", "words"),
    [
        (RIGHT, BASE, ""),
        (RIGHT + 0.0004, BASE - 0.0004, ""),
        (BASE, BASE, "not applied as trained: of the trainer's shift the engine shows 0.00"),
        (BASE + 3 * (RIGHT - BASE), BASE, "the engine shows 3.00 ± 0.00"),
        (2 * BASE - RIGHT, BASE, "the engine shows -1.00 ± 0.00"),
        (RIGHT - 0.3, BASE, "is 0.3 nats a token from the trainer, and at most"),
        (RIGHT, RIGHT, "the engine's base "),  # its requests get the adapter
        (RIGHT - 5, BASE - 5, "the engine's base is 5 nats a token from the trainer's"),
        (RIGHT, RIGHT[::-1], "the engine's base is"),
        (np.full(64, np.nan), BASE, "no numbers"),
        (RIGHT, np.full(64, -np.inf), "no numbers"),
    ],
)
def test_only_an_adapter_that_is_applied_passes(engine, base, words, dtype):
    made = judged(engine, base, dtype)
    assert made.passed == (not words) and words in made.why and made.step == 100
    assert made.tokens == (16 if dtype == "float32" else 64)


@pytest.mark.parametrize(("share", "passes"), [(0.3, False), (0.5, False), (0.7, False), (1, True)])
def test_a_part_of_an_adapter_does_not_pass(share, passes):
    engine = BASE + share * (RIGHT - BASE)
    for dtype in ("float32", "bfloat16"):
        made = judged(engine, BASE, dtype)
        assert made.passed == passes and made.share == pytest.approx(share, abs=1e-3), made.why


def simulated(rng, floor, effect, shared, trainer_rounds=True, n=512):
    """A function of (what the engine serves, "adapter" | "base" | "earlier", and what it gives the
    base's requests) to a Proof, of a text on which its base is `floor` from the trainer's."""
    base = -rng.gamma(0.35, 2.2, n) - 1e-3
    raw, apart = rng.normal(0.4, 1, (2, n)) * rng.gamma(0.5, 1.0, (2, n))
    size = effect / np.abs(np.minimum(base + 2 * effect * raw, 0) - base).mean() * 2 * effect
    true = {
        "base": base,
        "adapter": np.minimum(base + size * raw, -1e-3),
        "earlier": np.minimum(base + size * (0.6 * raw + 0.4 * apart), -1e-3),
    }

    def heavy():
        return rng.standard_t(4, n) * np.where(rng.random(n) < 0.1, 4.0, 1.0)

    # of one difference of two roundings; the constant is what makes its mean 1
    noise = floor / (0.62 if trainer_rounds else 0.46)

    def rounded(names):
        common = heavy()
        return [
            true[name]
            + noise
            * (1 - np.exp(true[name]))
            * (shared**0.5 * common + (1 - shared) ** 0.5 * heavy())
            for name in names
        ]

    names = ["base", "adapter", "earlier"]
    left = rounded(names) if trainer_rounds else [true[name] for name in names]

    def proof_of(served, on_base="base"):
        engine_base, engine = rounded([on_base, served])
        trainer, earlier = given(left[1], left[0]), given(left[2], left[0])
        return proofs.judge(
            2, trainer, list(engine), list(engine_base), {1: earlier}, "bfloat16", experts=True
        )

    return proof_of


MODES = [(0.0, True), (0.5, True), (0.0, False)]
# a dense student's floor, and those of mixtures of experts; an adapter well above each
NORMAL = [(0.02, 0.1), (0.06, 0.2), (0.2, 0.5), (0.5, 1.0), (0.9, 2.0)]


@pytest.mark.parametrize(("floor", "effect"), NORMAL)
@pytest.mark.parametrize("mode", MODES)
def test_at_every_floor_what_is_applied_passes_and_nothing_else(floor, effect, mode):
    rng = np.random.default_rng(0)
    made = {kind: [] for kind in ("adapter", "base", "earlier", "on base")}
    for _ in range(12):
        proof_of = simulated(rng, floor, effect, *mode)
        for kind in ("adapter", "base", "earlier"):
            made[kind].append(proof_of(kind))
        made["on base"].append(proof_of("adapter", "adapter"))
    floors = np.mean([m.base_error for m in made["adapter"]])
    assert floors == pytest.approx(floor, rel=0.3)  # what is meant is what is simulated
    assert sum(m.passed for m in made["adapter"]) >= 11, {m.why for m in made["adapter"]}
    for kind, most in (("base", 0), ("earlier", 1), ("on base", 0)):
        assert sum(m.passed for m in made[kind]) <= most, kind
    assert sum("not applied as trained" in m.why for m in made["base"]) >= 11
    assert sum("not applied" in m.why or "step 1" in m.why for m in made["earlier"]) >= 8
    assert sum("the engine's base" in m.why for m in made["on base"]) >= 11


@pytest.mark.parametrize("floor", [0.1, 0.3, 0.9])
@pytest.mark.parametrize("mode", MODES)
def test_an_adapter_that_is_lost_in_rounding_is_inconclusive_and_not_scored(floor, mode):
    rng = np.random.default_rng(1)
    for served, most in (("adapter", 12), ("base", 0)):
        made = [simulated(rng, floor, floor / 15, *mode)(served) for _ in range(12)]
        # where the trainer does not round, so weak an adapter is seen now and then
        assert sum(m.passed for m in made) <= (0 if mode[1] else most), served
        unsure = [m.why for m in made if m.why.startswith("inconclusive")]
        assert len(unsure) + sum(m.passed for m in made) >= 10
        assert "evaluate with dtype: float32" in unsure[0]
        assert "not applied" not in unsure[0]


@pytest.mark.parametrize(("floor", "dense", "experts"), [(0.1, 1, 1), (0.4, 0, 1), (2.5, 0, 0)])
def test_a_base_is_the_trainers_within_what_its_architecture_rounds(floor, dense, experts):
    base = BASE + np.where(np.arange(64) % 2, floor, -floor)
    engine = RIGHT + np.where(np.arange(64) // 2 % 2, floor, -floor)
    for is_moe, passes in ((False, dense), (True, experts)):
        made = judged(engine, base, "bfloat16", experts=is_moe)
        assert made.why.startswith("the engine's base is") == (not passes)
        assert made.base_error == pytest.approx(floor)


@pytest.mark.parametrize(("floor", "limit"), [(0.0, 0.1), (0.04, 0.1), (0.06, 0.12), (0.2, 0.4)])
def test_the_error_may_be_twice_the_floor_and_a_little_in_any_case(floor, limit):
    sign = np.where(np.arange(64) % 2, 1, -1)
    for error, passes in ((0.95 * limit, True), (1.05 * limit, False)):
        engine = RIGHT + error * np.where(np.arange(64) // 2 % 2, 1, -1)
        trainer = given(BASE + 6 * (RIGHT - BASE), BASE)
        engine = engine + 5 * (RIGHT - BASE)
        made = judged(engine, BASE + floor * sign, "bfloat16", trainer=trainer, experts=True)
        assert made.passed == passes and (passes or f"at most {limit:.2g} is" in made.why), made.why


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nobody_elses_adapter_passes(dtype):
    near = given(RIGHT + 0.02 * np.sign(RNG.normal(size=64)), BASE)
    engine = near["adapter"]
    made = judged(engine, BASE, dtype, {100: TRAINER, 200: near})
    assert not made.passed and "nearer to the adapter of step 200" in made.why
    assert judged(RIGHT, BASE, dtype, {100: TRAINER, 200: near}).passed
    other_text = near | {"tokens": [1, 2, 9]}
    assert judged(engine, BASE, "bfloat16", {100: TRAINER, 200: other_text}).passed


def test_an_adapter_without_any_effect_is_not_proved():
    made = judged(BASE, BASE, "bfloat16", trainer=given(BASE, BASE))
    assert not made.passed and "changes nothing in the trainer" in made.why


def test_a_table_says_who_is_not_scored(caplog):
    caplog.set_level("INFO", "distill_nb")
    good, bad = (asdict(judged(engine, BASE, "bfloat16")) for engine in (RIGHT, BASE))
    assert proofs.table({}) is None
    table = proofs.table({"adapter_proof": [good, bad | {"step": 200}]})
    assert list(table.index) == [100, 200] and list(table["passed"]) == [True, False]
    assert list(table["share"].round(2)) == [1.0, 0.0]
    assert "Step 200 is not scored: the adapter is not applied" in caplog.text


def test_a_neighbour_of_an_earlier_version_is_passed_over():
    """It left 64 places of the same text."""
    rng = np.random.default_rng(0)
    base, shift = rng.normal(-2, 1, 300), rng.normal(0, 0.5, 300)
    mine = {"tokens": [1, 2], "adapter": (base + shift).tolist(), "base": base.tolist()}
    older = mine | {"adapter": mine["adapter"][-64:], "base": mine["base"][-64:]}
    made = proofs.judge(200, mine, mine["adapter"], mine["base"], {100: older}, "bfloat16")
    assert made.passed and made.tokens == 300
