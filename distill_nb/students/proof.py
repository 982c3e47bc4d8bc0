"""Proof that an adapter is applied: log-probabilities by the engine against the trainer's.

An engine may load an adapter and do nothing with it (vLLM PR #41384), or give one request's adapter
to another. So the trainer writes into every checkpoint its log-probabilities of a fixed text, with
and without the adapter. Before a checkpoint's scores count, the engine's must equal the first, and
differ from those of its own base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from distill_nb.params import Params
from distill_nb.students import student
from distill_nb.students.chat import IGNORE

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

T = TypeVar("T")
FILE = "proof.json"
# tokens of the fixed text, at most; how many of its last tokens are compared: as many as it takes
# where a mixture of experts' engines are far apart (bench/proofs.py)
LONGEST, PLACES = (1024, 512)
FEW = 16  # of these in float32, evenly: rounding is far below any adapter's effect


def text_of(example: dict) -> list[int]:
    """The fixed text: a training example's prompt and the first PLACES tokens that are trained on,
    where an adapter has the largest effect. example: as traces/ledger.py makes it."""
    labels = list(example["labels"])
    first = next((i for i, label in enumerate(labels) if label != IGNORE), len(labels))
    return [int(i) for i in example["input_ids"][: first + PLACES][:LONGEST]]


def places(ids: Sequence[int], count: int = PLACES) -> list[int]:
    """The compared positions of a text: of its last `count`, without the very first."""
    return list(range(max(1, len(ids) - count), len(ids)))


def looked_at(values: Sequence[T], dtype: str) -> list[T]:
    """Of the values at `places` those that are compared: in bfloat16 all, in float32 every n-th,
    FEW at most and the last among them."""
    every = 1 if dtype == "bfloat16" else max(1, -(-len(values) // FEW))
    return list(values[::-1][::every][::-1])


def token_logprobs(
    model: PreTrainedModel | PeftModel, ids: list[int], at: Sequence[int]
) -> list[float]:
    """Log-probability in nats of the token at each position of `at`, given those before."""
    import torch

    was_training = model.training
    model.eval()
    with torch.no_grad():
        tokens = torch.tensor([ids], device=next(model.parameters()).device)
        logits = model(input_ids=tokens).logits[0]
        rows = torch.tensor(at, device=logits.device)
        found = torch.log_softmax(logits[rows - 1].float(), -1)
        wanted = tokens[0].to(logits.device)[rows, None]
        logprobs = found.gather(1, wanted)[:, 0].tolist()
    model.train(was_training)
    return [round(logprob, 6) for logprob in logprobs]


def write(model: PeftModel, ids: list[int], folder: Path) -> None:
    """Write a PEFT model's log-probabilities of a text (`text_of`) into a checkpoint's folder; not
    in 4 bits, as an adapter is evaluated on the unquantised student (`reference`)."""
    if not getattr(model, "is_loaded_in_4bit", False):
        (folder / FILE).write_text(json.dumps(_both(model, ids)))


def take_part(model: PeftModel, ids: list[int]) -> None:
    """What `write` computes, in the other processes of a student that is divided among them."""
    _both(model, ids)


def _both(model: PeftModel, ids: list[int]) -> dict:
    at = places(ids)
    with_adapter = token_logprobs(model, ids, at)
    with model.disable_adapter():
        base = token_logprobs(model, ids, at)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return {"tokens": ids, "adapter": with_adapter, "base": base, "dtype": dtype}


def read(folder: Path) -> dict | None:
    """What `write` wrote, or None for an adapter that was trained elsewhere. Earlier versions wrote
    no dtype, and 64 places."""
    file = folder / FILE
    return json.loads(file.read_text()) if file.exists() else None


def of(p: Params, folder: Path, ids: list[int]) -> dict:
    """What the trainer left, or the same made anew (`reference`): of an adapter that was trained
    elsewhere, on `ids`; and in float32, where the trainer's bfloat16 could hide a weak adapter."""
    left = read(folder)
    if left is None:
        return reference(p, folder, ids)
    if p.dtype == "float32" and left.get("dtype", p.dtype) != p.dtype:
        return reference(p, folder, left["tokens"])
    return left


def reference(p: Params, folder: Path, ids: list[int]) -> dict:
    """What `write` writes, by Transformers and PEFT, unmerged, in p.dtype, on the CPU, as an engine
    will need a GPU's memory."""
    base = student.load(student.unquantised(p), where="cpu")
    model = student.with_adapter(p, base, folder, where="cpu")
    return _both(model, ids[-LONGEST:])
