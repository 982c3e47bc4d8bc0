"""Whether an engine applies the adapters that it serves: its log-probabilities against those that
the trainer left. Else a checkpoint is not scored; `students/proof.py` says why."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distill_nb.evaluation.engines.types import Engine
from distill_nb.params import Params
from distill_nb.students.proof import looked_at

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# Mean absolute difference, in nats a token, that rounding may make between two engines.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}


@dataclass(frozen=True)
class Proof:
    """Mean absolute differences in nats a token: `error` of the engine from the trainer,
    `base_error` of its base from the trainer's base, `effect` of the adapter in the trainer,
    `moved` the same in the engine. `share` ± `share_se`: how much of the trainer's shift, token by
    token, is found in the engine (least squares): 1 where the adapter is applied, 0 where it is
    not, whatever rounding does to single tokens."""

    step: int
    passed: bool
    why: str
    error: float
    base_error: float
    effect: float
    moved: float
    share: float
    share_se: float
    tokens: int


def _distance(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    return float(np.abs(np.subtract(a, b)).mean())


def judge(
    step: int,
    trainer: dict,
    engine: list[float],
    engine_base: list[float],
    others: dict[int, dict],
    dtype: str,
) -> Proof:
    """Whether an engine applies the adapter of `step`, by log-probabilities at proof.places.

    others: step → what the trainer left in other checkpoints: an engine that mixes adapters up is
    nearer to one of these, or to the base. An adapter whose shift is lost in the engines' rounding
    is not proved: `why` says that it is inconclusive."""

    def sparse(values: list[float]) -> np.ndarray:  # the trainer leaves all places
        return np.array(looked_at(values, dtype))

    adapter, base, limit = sparse(trainer["adapter"]), sparse(trainer["base"]), TOLERANCE[dtype]
    expected, found = adapter - base, np.subtract(engine, engine_base)
    error, base_error = _distance(engine, adapter), _distance(engine_base, base)
    square = float(expected @ expected)
    share = se = 0.0
    if square:
        share = float(expected @ found) / square
        residual = np.sum((found - share * expected) ** 2)
        se = float(np.sqrt(residual / max(1, len(found) - 1) / square))
    nearest = min(
        (_distance(engine, sparse(other["adapter"])), s)
        for s, other in {**others, step: trainer}.items()
        if other["tokens"] == trainer["tokens"]
    )
    shift = f"of the trainer's shift the engine shows {share:.2f} ± {2 * se:.2f}"
    rounding = f"at most {limit:g} is rounding"
    weak = "inconclusive, as rounding hides so weak an adapter"
    if not error <= limit:  # nan too
        why = f"the engine is {error:.2g} nats a token from the trainer; {rounding}"
    elif not base_error <= limit:
        why = f"the engine's base is {base_error:.2g} nats a token from the trainer's; {rounding}"
    elif not square:
        why = "the adapter changes nothing in the trainer either"
    elif share < 0.5 or share - 2 * se > 1.5:
        why = f"the adapter is not applied as trained: {shift}"
    elif share - 2 * se < 0.25:
        why = f"{weak}: {shift}; evaluate with dtype: float32"
    elif nearest[0] < error / 2:
        why = f"the engine is nearer to the adapter of step {nearest[1]}"
    else:
        why = ""
    return Proof(
        step,
        passed=not why,
        why=why,
        error=round(error, 7),
        base_error=round(base_error, 7),
        effect=round(_distance(adapter, base), 7),
        moved=round(float(np.abs(found).mean()), 7),
        share=round(share, 7),
        share_se=round(se, 7),
        tokens=len(found),
    )


def table(record: dict) -> pd.DataFrame | None:
    """The proofs of an evaluation's provenance, by step; says which checkpoints are not scored."""
    import pandas as pd

    proofs = record.get("adapter_proof", [])
    if not proofs:
        return None
    for proof in proofs:
        if not proof["passed"]:
            log.info(f"Step {proof['step']} is not scored: {proof['why']}.")
    columns = ["passed", "error", "effect", "moved", "share", "tokens"]
    shown = pd.DataFrame(proofs).set_index("step")[columns]
    return shown.assign(error=shown["error"].map("{:.1e}".format)).round(4)


def proved(
    p: Params, engine: Engine, steps: list[int], references: dict[int, dict]
) -> Iterator[tuple[list[int], list[Proof]]]:
    """(steps that can be asked now, their adapters' proofs), one after another: the base student
    first, then `steps`, as the engine serves them. references: as for `collect`."""
    texts = sorted({tuple(references[step]["tokens"]) for step in steps})
    bases: dict[tuple, list[list[float]]] = {}
    for served in engine.serve(steps):
        proofs = _proofs(p, engine, served, texts, references, bases)
        while not all(made.passed for made in proofs) and engine.again():
            proofs = _proofs(p, engine, served, texts, references, bases)
        for made in proofs:
            if not made.passed:
                log.info(f"Step {made.step} is not scored: {made.why}.")
        yield served, proofs


def _proofs(
    p: Params,
    engine: Engine,
    served: list[int],
    texts: list[tuple],
    references: dict[int, dict],
    bases: dict[tuple, list[list[float]]],
) -> list[Proof]:
    """The proofs of the steps that are served now, each that of the first process that fails it.

    bases: text → the base's log-probabilities in each process, filled once the base is served."""
    asked = [(step, list(references[step]["tokens"])) for step in served if step]
    texts = texts if 0 in served else []
    if not asked and not texts:
        return []
    together = [*((0, list(text)) for text in texts), *asked]
    if len(served) > 1:
        # fills vLLM's slots: its fault shows only then
        engine.logprobs([(step, tokens[:2]) for step, tokens in together])
    found = engine.logprobs(together)
    for k, text in enumerate(texts):
        bases[text] = [process[k] for process in found]
    proofs = []
    for k, (step, tokens) in enumerate(asked, len(texts)):
        judged = [
            judge(step, references[step], process[k], base, references, p.dtype)
            for process, base in zip(found, bases[tuple(tokens)], strict=True)
        ]
        proofs.append(next((made for made in judged if not made.passed), judged[0]))
    return proofs
