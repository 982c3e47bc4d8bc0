"""Proof that an adapter is applied: log-probabilities of fixed tokens, the engine's against the trainer's.

An engine may load an adapter and do nothing with it (vLLM PR #41384), or give one request's adapter to another. So the
trainer leaves in every checkpoint what it makes of a fixed text, with the adapter and without, and before a checkpoint's
scores count the engine must say the same with it, and something else than its base does.
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill_nb.students.chat import IGNORE

FILE = "proof.json"
LONGEST, PLACES = 1024, 64  # tokens of the fixed text, at most; how many of its last tokens are compared
SPARSE = 4  # of these every fourth in float32, where rounding is far below any adapter's effect
# Mean absolute difference, in nats a token, that rounding may make between two engines.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}


@dataclass(frozen=True)
class Proof:
    """Mean absolute differences in nats a token: `error` of the engine from the trainer, `base_error` of its base from
    the trainer's base, `effect` of the adapter in the trainer, `moved` the same in the engine. `share` ± `share_se`: of the
    trainer's shift, token by token, what is found in the engine (least squares); 1 where the adapter is applied, 0 where it
    is not, whatever rounding does to single tokens."""

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


def text_of(example: dict) -> list[int]:
    """The fixed text: a training example's prompt and its first PLACES tokens that are trained on, where an adapter does
    most. example: as chat.encode_example makes it."""
    first = next((i for i, label in enumerate(example["labels"]) if label != IGNORE), len(example["labels"]))
    return [int(i) for i in example["input_ids"][:first + PLACES][:LONGEST]]


def places(ids: list[int], dtype: str = "bfloat16") -> list[int]:
    """Where a text is looked at: its last PLACES tokens (the first has nothing before it), or every SPARSE-th of them."""
    return _looked_at(range(max(1, len(ids) - PLACES), len(ids)), dtype)


def _looked_at(values, dtype: str) -> list:
    """All values in bfloat16, every SPARSE-th in float32, the last among them."""
    return list(values[::-1][::1 if dtype == "bfloat16" else SPARSE][::-1])


def token_logprobs(model, ids: list[int], dtype: str = "bfloat16") -> list[float]:
    """Log-probability in nats of the token at each of `places(ids, dtype)`, given those before it; the model is left in the
    mode it was in."""
    import torch

    was_training = model.training
    model.eval()
    with torch.no_grad():
        tokens = torch.tensor([ids], device=next(model.parameters()).device)
        found = torch.log_softmax(model(input_ids=tokens).logits[0, :-1].float(), -1)
        found = found.gather(1, tokens[0, 1:, None].to(found.device))[:, 0].tolist()
    model.train(was_training)
    return [round(found[place - 1], 6) for place in places(ids, dtype)]


def write(model, ids: list[int], folder: Path) -> None:
    """Leave in a checkpoint's folder what the PEFT model makes of a text (`text_of`), with its adapter and without. Nothing
    of a student in 4 bits: the adapter is evaluated on the unquantised one, so `reference` will say what it makes of it."""
    if getattr(model, "is_loaded_in_4bit", False):
        return
    (folder / FILE).write_text(json.dumps(_both(model, ids)))


def _both(model, ids: list[int]) -> dict:
    with_adapter = token_logprobs(model, ids)
    with model.disable_adapter():
        return {"tokens": ids, "adapter": with_adapter, "base": token_logprobs(model, ids)}


def read(folder: Path) -> dict | None:
    """What `write` left, or None: the adapter was trained elsewhere."""
    file = folder / FILE
    return json.loads(file.read_text()) if file.exists() else None


def reference(p, folder: Path, ids: list[int]) -> dict:
    """The same for an adapter trained elsewhere, by Transformers and PEFT, unmerged, in p.dtype; on the CPU, as a GPU's
    memory will be an engine's."""
    from peft import PeftModel

    from distill_nb.students import experts, student

    base = student.load(student.unquantised(p), where="cpu")
    with experts.without_false_alarm():
        model = PeftModel.from_pretrained(base, str(folder), torch_device="cpu")
    return _both(model, ids[-LONGEST:])


def _distance(a, b) -> float:
    return float(np.abs(np.subtract(a, b)).mean())


def judge(step: int, trainer: dict, engine: list[float], engine_base: list[float], others: dict[int, dict],
          dtype: str) -> Proof:
    """Whether an engine applies the adapter of `step`, from both sides' log-probabilities at places(tokens, dtype).

    others: step → what the trainer left in other checkpoints, on the same tokens. An engine that mixes adapters up stands
    nearer to one of these, or to the trainer's base. An adapter whose shift is lost in the rounding of the two engines is
    not proved: `why` says that it is inconclusive."""
    def sparse(values):  # the trainer leaves all places
        return np.array(_looked_at(values, dtype))

    adapter, base, limit = sparse(trainer["adapter"]), sparse(trainer["base"]), TOLERANCE[dtype]
    expected, found = adapter - base, np.subtract(engine, engine_base)
    error, base_error = _distance(engine, adapter), _distance(engine_base, base)
    square = float(expected @ expected)
    share = float(expected @ found) / square if square else 0.0
    se = float(np.sqrt(np.sum((found - share * expected) ** 2) / max(1, len(found) - 1) / square)) if square else 0.0
    nearest = min((_distance(engine, sparse(other["adapter"])), s) for s, other in {**others, step: trainer}.items()
                  if other["tokens"] == trainer["tokens"])
    shift = f"of the trainer's shift the engine shows {share:.2f} ± {2 * se:.2f}"
    if not error <= limit:  # nan too
        why = f"the engine is {error:.2g} nats a token from the trainer; at most {limit:g} is rounding"
    elif not base_error <= limit:
        why = f"the engine's base is {base_error:.2g} nats a token from the trainer's; at most {limit:g} is rounding"
    elif not square:
        why = "the adapter changes nothing in the trainer either"
    elif share < 0.5 or share - 2 * se > 1.5:
        why = f"the adapter is not applied as trained: {shift}"
    elif share - 2 * se < 0.25:
        why = f"inconclusive, as rounding hides so weak an adapter: {shift}; evaluate with dtype: float32"
    elif nearest[0] < error / 2:
        why = f"the engine is nearer to the adapter of step {nearest[1]}"
    else:
        why = ""
    numbers = (error, base_error, _distance(adapter, base), float(np.abs(found).mean()), share, se)
    return Proof(step, not why, why, *(round(x, 7) for x in numbers), len(found))


def table(record: dict):
    """The proofs of an evaluation's provenance, as a DataFrame by step; says which checkpoints are not scored."""
    import pandas as pd

    proofs = record.get("adapter_proof", [])
    if not proofs:
        return None
    for proof in proofs:
        if not proof["passed"]:
            print(f"Step {proof['step']} is not scored: {proof['why']}.")
    shown = pd.DataFrame(proofs)[["step", "passed", "error", "effect", "moved", "share", "tokens"]].set_index("step")
    return shown.assign(error=shown["error"].map("{:.1e}".format)).round(4)
