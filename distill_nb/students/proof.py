"""Proof that an adapter is applied: log-probabilities of fixed tokens, the engine's against the
trainer's.

An engine may load an adapter and do nothing with it (vLLM PR #41384), or give one request's adapter
to another. So the trainer leaves in every checkpoint what it makes of a fixed text, with the
adapter and without, and before a checkpoint's scores count the engine must say the same with it,
and something else than its base does."""

from __future__ import annotations

import json
from pathlib import Path

from distill_nb.students import experts, student
from distill_nb.students.chat import IGNORE

FILE = "proof.json"
# tokens of the fixed text, at most; how many of its last tokens are compared
LONGEST, PLACES = (1024, 64)
SPARSE = 4  # of these every fourth in float32, where rounding is far below any adapter's effect


def text_of(example: dict) -> list[int]:
    """The fixed text: a training example's prompt and its first PLACES tokens that are trained on,
    where an adapter does most. example: as chat.encode_example makes it."""
    first = next(
        (i for i, label in enumerate(example["labels"]) if label != IGNORE), len(example["labels"])
    )
    return [int(i) for i in example["input_ids"][: first + PLACES][:LONGEST]]


def places(ids: list[int], dtype: str = "bfloat16") -> list[int]:
    """Where a text is looked at: its last PLACES tokens (the first has nothing before it), or every
    SPARSE-th of them."""
    return looked_at(range(max(1, len(ids) - PLACES), len(ids)), dtype)


def looked_at(values, dtype: str) -> list:
    """All values in bfloat16, every SPARSE-th in float32, the last among them."""
    return list(values[::-1][:: 1 if dtype == "bfloat16" else SPARSE][::-1])


def token_logprobs(model, ids: list[int], dtype: str = "bfloat16") -> list[float]:
    """Log-probability in nats of the token at each of `places(ids, dtype)`, given those before it;
    the model is left in the mode it was in."""
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
    """Leave in a checkpoint's folder what the PEFT model makes of a text (`text_of`), with its
    adapter and without. Nothing of a student in 4 bits: the adapter is evaluated on the unquantised
    one, so `reference` will say what it makes of it."""
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
    """The same for an adapter trained elsewhere, by Transformers and PEFT, unmerged, in p.dtype; on
    the CPU, as a GPU's memory will be an engine's."""
    from peft import PeftModel

    base = student.load(student.unquantised(p), where="cpu")
    with experts.without_false_alarm():
        model = PeftModel.from_pretrained(base, str(folder), torch_device="cpu")
    return _both(model, ids[-LONGEST:])
