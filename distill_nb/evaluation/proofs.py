"""Whether an engine applies the adapters that it serves: its log-probabilities against those that
the trainer left. Else a checkpoint is not scored; `students/proof.py` says why.

Engines round differently, and where routers choose experts, they flip: without any adapter, mean
differences of 0.06 to 0.90 nats a token are published (tinker-cookbook PR #928). So the yardstick
is the engine's own floor, the distance of its base from the trainer's base on the same text, and
what decides is how much of the trainer's shift the engine shows. `bench/proofs.py` simulates how
often that is wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distill_nb.evaluation.engines.types import Engine
from distill_nb.evaluation.shares import share as share_of
from distill_nb.params import Params
from distill_nb.students import student
from distill_nb.students.proof import looked_at, places

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# Mean absolute difference, in nats a token, that is rounding however small the floor is.
ROUNDING = {"float32": 1e-3, "bfloat16": 0.1}
TIMES = 2.0  # floors that the engine may be from the trainer with the adapter
# The largest floor; beyond, the base is not the trainer's. A dense student's in bfloat16 is 0.01 to
# 0.04, a mixture of experts' up to 0.9; another student is further, unless it is a close relative.
LARGEST = {"float32": 0.1, "bfloat16": 0.25}
LARGEST_EXPERTS = {"float32": 0.1, "bfloat16": 1.5}
HALF = 0.5  # a share of it is as near to the adapter as to the base
NEARER = 0.6  # somewhat more than HALF, which chance gives of a difference that is rounding alone
TOO_MUCH = 1.5  # a share that no adapter has that is applied as it is
SURE = 3.0  # standard errors that a share must be from HALF to say either
CLEAR = 1.5  # floors that an adapter must change to be called missing
OTHER_WAY = "set adapters to merged, or engine to hf"


@dataclass(frozen=True)
class Proof:
    """Mean absolute differences in nats a token: `error` of the engine from the trainer,
    `base_error` of its base from the trainer's base (the floor), `effect` of the adapter in the
    trainer, `moved` the same in the engine. `share` ± `share_se`: how much of the trainer's shift,
    token by token, is found in the engine (least squares): 1 where the adapter is applied, 0 where
    it is not, whatever rounding does to single tokens; between them where rounding is a large part
    of the trainer's own shift."""

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
    experts: bool = False,
) -> Proof:
    """Whether an engine applies the adapter of `step`, by its log-probabilities at those places
    that are looked at. experts: whether the student is a mixture of experts.

    others: step → what the trainer left in other checkpoints: an engine that mixes adapters up is
    nearer to one of these, or to the base. Those with other places are passed over. Two
    checkpoints that differ by less than the floor can not be told apart. An adapter whose shift is
    lost in the engines' rounding is not proved: `why` says that it is inconclusive."""

    def sparse(values: list[float]) -> np.ndarray:  # the trainer leaves all places
        return np.array(looked_at(values, dtype))

    adapter, base = sparse(trainer["adapter"]), sparse(trainer["base"])
    served, served_base = np.array(engine, float), np.array(engine_base, float)
    error, floor = _distance(served, adapter), _distance(served_base, base)
    effect, moved = _distance(adapter, base), _distance(served, served_base)
    limit, largest = max(ROUNDING[dtype], TIMES * floor), LARGEST[dtype]
    if experts:
        largest = LARGEST_EXPERTS[dtype]
    finite = bool(np.isfinite([error, floor]).all())
    share = se = 0.0
    if finite:
        # Beside the shift, the base's own error explains what rounding does the same to both. So
        # the share of an adapter that is not applied stays below HALF even where the trainer's
        # shift, in which the trainer rounds too, is rounding alone.
        share, se = share_of(served - base, adapter - base, served_base - base)
    same_text = {
        s: sparse(other["adapter"])
        for s, other in sorted({**others, step: trainer}.items())
        # an earlier version left fewer places of the same text
        if other["tokens"] == trainer["tokens"] and len(other["adapter"]) == len(trainer["adapter"])
    }

    def nearer(found: np.ndarray, here: np.ndarray, beside: np.ndarray | None = None) -> int | None:
        """The step whose adapter `found`, a difference from `here`, surely is nearer to."""
        for s, values in same_text.items():
            there, error = share_of(found, values - here, beside)
            if NEARER + SURE * error < there < TOO_MUCH:
                return s
        return None

    shift = f"of the trainer's shift the engine shows {share:.2f} ± {SURE * se:.2f}"
    if not finite:
        why = f"the engine gives log-probabilities that are no numbers; {OTHER_WAY}"
    elif floor > largest:
        why = (
            f"the engine's base is {floor:.2g} nats a token from the trainer's, and at most "
            f"{largest:g} is rounding: see that student and student_size are those of the training"
        )
    elif (carried := nearer(served_base - base, base)) is not None:
        why = f"the engine's base answers with the adapter of step {carried}; {OTHER_WAY}"
    elif not effect:
        why = "the adapter changes nothing in the trainer either"
    elif share - SURE * se > TOO_MUCH or (
        share + SURE * se < HALF and (effect > CLEAR * floor or not moved)
    ):
        why = f"the adapter is not applied as trained: {shift}; {OTHER_WAY}"
    elif (other := nearer(served - adapter, adapter, served_base - base)) is not None:
        why = f"the engine is nearer to the adapter of step {other}; {OTHER_WAY}"
    elif error > limit:
        why = (
            f"the engine is {error:.2g} nats a token from the trainer, and at most {limit:.2g} is "
            f"rounding; {OTHER_WAY}"
        )
    elif share - SURE * se <= HALF:
        remedy = "a later checkpoint may show more"
        if dtype != "float32":
            remedy = "evaluate with dtype: float32"
        why = f"inconclusive, as rounding hides so weak an adapter: {shift}; {remedy}"
    else:
        why = ""
    return Proof(
        step,
        passed=not why,
        why=why,
        error=round(error, 7),
        base_error=round(floor, 7),
        effect=round(effect, 7),
        moved=round(moved, 7),
        share=round(share, 7),
        share_se=round(se, 7),
        tokens=len(served),
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
    columns = ["passed", "error", "base_error", "effect", "moved", "share", "tokens"]
    shown = pd.DataFrame(proofs).set_index("step")[columns]
    small = {name: shown[name].map("{:.1e}".format) for name in ("error", "base_error")}
    return shown.assign(**small).round(4)


def proved(
    p: Params, engine: Engine, steps: list[int], references: dict[int, dict]
) -> Iterator[tuple[list[int], list[Proof]]]:
    """(steps that can be asked now, their adapters' proofs), one after another: the base student
    first, then `steps`, as the engine serves them. references: as for `collect`."""
    bases: dict[tuple, list[list[float]]] = {}
    experts = bool(steps) and student.is_mixture_of_experts(p)
    for served in engine.serve(steps):
        proofs = _proofs(p, engine, served, references, bases, experts)
        while not all(made.passed for made in proofs) and engine.again():
            proofs = _proofs(p, engine, served, references, bases, experts)
        for made in proofs:
            if not made.passed:
                log.info(f"Step {made.step} is not scored: {made.why}.")
        yield served, proofs


def _proofs(
    p: Params,
    engine: Engine,
    served: list[int],
    references: dict[int, dict],
    bases: dict[tuple, list[list[float]]],
    experts: bool,
) -> list[Proof]:
    """The proofs of the steps that are served now, each that of the first process that fails it.

    bases: text → the base's log-probabilities in each process, filled once the base is served."""
    texts = {step: _text(p, reference) for step, reference in references.items()}
    asked = [step for step in served if step]
    of_base = sorted(set(texts.values())) if 0 in served else []
    if not asked and not of_base:
        return []
    together = [*((0, *text) for text in of_base), *((step, *texts[step]) for step in asked)]
    if len(served) > 1:
        # fills vLLM's slots: its fault shows only then
        engine.logprobs([(step, list(ids[:2]), [1]) for step, ids, _ in together])
    found = engine.logprobs([(step, list(ids), list(at)) for step, ids, at in together])
    for k, text in enumerate(of_base):
        bases[text] = [process[k] for process in found]
    proofs = []
    for k, step in enumerate(asked, len(of_base)):
        judged = [
            judge(step, references[step], process[k], base, references, p.dtype, experts)
            for process, base in zip(found, bases[texts[step]], strict=True)
        ]
        proofs.append(next((made for made in judged if not made.passed), judged[0]))
    return proofs


def _text(p: Params, reference: dict) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(token ids, compared positions) of what a trainer left; earlier versions left 64 places."""
    at = places(reference["tokens"], len(reference["adapter"]))
    return tuple(reference["tokens"]), tuple(looked_at(at, p.dtype))
