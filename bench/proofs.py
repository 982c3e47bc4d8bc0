"""How often is the proof that an adapter is applied wrong? Simulated texts, judged by the code.

    python bench/proofs.py [--draws 40]

A text is 512 tokens, as the trainer leaves them. Trainer and engine each round: the noise of a
token is heavy-tailed (Student's t with 4 degrees of freedom, every tenth token four times as large,
as where a router flips) and larger where the token is less certain, and so is an adapter's shift.
`floor` is the mean distance of the engine's base from the trainer's, `effect` the mean shift of the
adapter, both in nats a token and without the other. Rounding is drawn three ways, each for a third
of the texts: trainer and engine alike, base and adapter apart; the same with half of its variance
shared by base and adapter; in the engine alone.

What the engine does:
    applied      it applies the adapter; there are four other checkpoints, one nearly the same
    ignored      it answers with its base, rounded anew
    base         it answers with its base, to the last digit
    earlier      it applies an earlier checkpoint of the run, with 0.6 of the shift, and some of its
                 own; the trainer left that one's log-probabilities, too
    neighbour    the same, 0.9 of the shift
    elsewhere    it applies an adapter of another run, of which half is shared and nothing was left
    on base, too it applies the adapter to the base's requests, too

Every verdict is `passed`, `inconclusive` or `refused`. Then the same for other ways to judge: plain
least squares, and the 64 tokens that earlier versions left. Then a base that is another student,
that far from the trainer's. Seeded; writes bench/results/proofs.json."""

from __future__ import annotations

import argparse
import json
import os
import time
from functools import cache
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from distill_nb.evaluation import proofs, shares
from distill_nb.students import proof

FILE = Path(__file__).resolve().parent / "results" / "proofs.json"
FLOORS = (0.02, 0.1, 0.3, 0.6, 0.9)
EFFECTS = (0.05, 0.2, 0.5, 1.0, 2.0)
KINDS = ("applied", "ignored", "base", "earlier", "neighbour", "elsewhere", "on base, too")
# parts of the shift of other checkpoints of the run, of which the trainer left something
LEFT = {"applied": (0.6, 0.9, 0.97, 0.99), "earlier": (0.6,), "neighbour": (0.9,)}
VERDICTS = ("passed", "inconclusive", "refused")
# (of the variance of rounding, what base and adapter share; whether the trainer rounds)
ROUNDING = ((0.0, True), (0.5, True), (0.0, False))
STUDENTS = (0.2, 0.4, 1.0, 2.0, 4.0)  # nats a token that another student is away
MANY = 50_000  # tokens by which noise and shifts are scaled


def tokens(rng, n: int) -> np.ndarray:
    """The base's log-probabilities: most tokens are nearly certain, some are not at all."""
    return -rng.gamma(0.35, 2.2, n) - 1e-3


def doubt(logprobs: np.ndarray) -> np.ndarray:
    """How much of a change of its logit a token's log-probability takes."""
    return 1 - np.exp(logprobs)


def heavy(rng, n: int) -> np.ndarray:
    return rng.standard_t(4, n) * np.where(rng.random(n) < 0.1, 4.0, 1.0)


def direction(rng, base: np.ndarray) -> np.ndarray:
    """What training does to tokens: three of four become likelier, and few change much."""
    signs = np.where(rng.random(len(base)) < 0.75, 1.0, -1.0)
    return signs * rng.gamma(0.5, 1.0, len(base)) * (0.1 + doubt(base))


def moved(base: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.minimum(base + shift, -1e-3)


@cache
def scaled(effect: float) -> float:
    """The factor of `direction` by which the mean shift is `effect`."""
    rng, low, high = np.random.default_rng(0), 0.0, 1e3
    base = tokens(rng, MANY)
    raw = direction(rng, base)
    for _ in range(40):
        middle = (low + high) / 2
        if np.abs(moved(base, middle * raw) - base).mean() < effect:
            low = middle
        else:
            high = middle
    return low


class Text:
    """Draws texts of one floor and effect."""

    def __init__(self, floor: float, effect: float, trainer_rounds: bool, n: int):
        rng = np.random.default_rng(0)
        base, engines = tokens(rng, MANY), 2 if trainer_rounds else 1
        noise = sum(doubt(base) * heavy(rng, MANY) for _ in range(engines))
        self.noise, self.scale = floor / np.abs(noise).mean(), scaled(effect)
        self.trainer_rounds, self.n = trainer_rounds, n

    def rounded(self, rng, shared: float, *values: np.ndarray) -> list[np.ndarray]:
        """Values of one engine's passes over the text: what they share of their rounding is
        `shared` of its variance."""
        common = heavy(rng, self.n)
        return [
            v
            + self.noise
            * doubt(v)
            * (shared**0.5 * common + (1 - shared) ** 0.5 * heavy(rng, self.n))
            for v in values
        ]

    def judged(self, rng, kind: str, shared: float) -> proofs.Proof:
        base = tokens(rng, self.n)
        own, apart = direction(rng, base), direction(rng, base)

        def other(part: float) -> np.ndarray:
            return moved(base, self.scale * (part * own + (1 - part) * apart))

        adapter = moved(base, self.scale * own)
        served = {"earlier": other(0.6), "neighbour": other(0.9), "elsewhere": other(0.5)}
        served |= {"ignored": base, "base": base}
        left = [base, adapter, *map(other, LEFT.get(kind, ()))]
        if self.trainer_rounds:
            left = self.rounded(rng, shared, *left)
        on_base = adapter if kind == "on base, too" else base
        found = self.rounded(rng, shared, on_base, served.get(kind, adapter))
        if kind == "base":
            found[1] = found[0]
        text = {"tokens": [0], "base": left[0].tolist()}
        trainer, *others = (text | {"adapter": values.tolist()} for values in left[1:])
        engine, engine_base = found[1].tolist(), found[0].tolist()
        by_step = dict(enumerate(others, 3))
        return proofs.judge(2, trainer, engine, engine_base, by_step, "bfloat16", experts=True)


def verdict(made: proofs.Proof) -> str:
    if made.passed:
        return "passed"
    return "inconclusive" if made.why.startswith("inconclusive") else "refused"


def percent(verdicts: list[str]) -> list[float]:
    return [round(100 * verdicts.count(v) / len(verdicts), 2) for v in VERDICTS]


def cell(asked: tuple) -> list[float]:
    """Percent of each of VERDICTS of (kind, floor, effect, draws, places, clip)."""
    kind, floor, effect, draws, n, shares.CLIP = asked
    rng = np.random.default_rng([KINDS.index(kind), round(100 * floor), round(100 * effect)])
    texts = [(shared, Text(floor, effect, rounds, n)) for shared, rounds in ROUNDING]
    return percent(
        [verdict(text.judged(rng, kind, shared)) for shared, text in texts for _ in range(draws)]
    )


def rates(
    pool: Pool, kinds: tuple[str, ...], draws: int, n: int = proof.PLACES, clip: float = shares.CLIP
) -> dict:
    """kind → floor → effect → percent of each of VERDICTS."""
    asked = [(k, f, e, draws, n, clip) for k in kinds for f in FLOORS for e in EFFECTS]
    found = iter(pool.map(cell, asked, chunksize=1))
    return {k: {str(f): {str(e): next(found) for e in EFFECTS} for f in FLOORS} for k in kinds}


def other_students(draws: int) -> dict:
    """{"dense", "experts"} → nats → percent of each of VERDICTS, where the engine's base finds
    every token that much less likely, on average, and the adapter shifts it like the trainer's."""
    result: dict = {"dense": {}, "experts": {}}
    for kind, rows in result.items():
        text = Text(0.02 if kind == "dense" else 0.1, 0.5, True, proof.PLACES)
        for nats in STUDENTS:
            rng, made = np.random.default_rng(round(100 * nats)), []
            for _ in range(draws):
                base = tokens(rng, text.n)
                shift, there = (
                    text.scale * direction(rng, base),
                    base - rng.gamma(0.5, 2 * nats, text.n),
                )
                left = text.rounded(rng, 0.0, base, moved(base, shift))
                found = text.rounded(rng, 0.0, there, moved(there, shift))
                trainer = {"tokens": [0], "base": left[0].tolist(), "adapter": left[1].tolist()}
                engine, engine_base = found[1].tolist(), found[0].tolist()
                made.append(
                    proofs.judge(2, trainer, engine, engine_base, {}, "bfloat16", kind == "experts")
                )
            rows[str(nats)] = percent([verdict(m) for m in made])
    return result


def table(found: dict) -> str:
    """passed / inconclusive / refused, in percent; rows are floors, columns effects."""
    lines = []
    for kind, rows in found.items():
        lines.append(f"{kind:14}" + "".join(f"{effect:>16}" for effect in EFFECTS))
        for floor, cells in rows.items():
            shown = ["/".join(f"{x:.1f}" for x in cell) for cell in cells.values()]
            lines.append(f"{floor:>14}" + "".join(f"{cell:>16}" for cell in shown))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=40, help="texts a way of rounding and cell")
    draws, start = parser.parse_args().draws, time.perf_counter()
    few = max(1, draws // 4)
    result = {
        "verdicts": VERDICTS,
        "places": proof.PLACES,
        "texts_a_cell": draws * len(ROUNDING),
        "texts_a_cell_of_other_ways": few * len(ROUNDING),
    }
    with Pool(os.cpu_count()) as pool:
        result["percent"] = rates(pool, KINDS, draws)
        result["64 places"] = rates(pool, KINDS[:2], few, 64)
        result["plain least squares"] = rates(pool, KINDS[:2], few, clip=1e9)
    result["another student"] = other_students(draws)
    seconds = time.perf_counter() - start
    for name in ("percent", "64 places", "plain least squares"):
        print(f"{name}\n{table(result[name])}\n")
    print(json.dumps(result["another student"], indent=1), f"\n{seconds:.0f} s")
    FILE.write_text(json.dumps(result | {"numpy": np.__version__}, indent=1) + "\n")


if __name__ == "__main__":
    main()
