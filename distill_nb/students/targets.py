"""lora_targets: whether the layers that they name can get an adapter, before data are prepared.

The embedding and the head of a tied student are one tensor, and none of its targets: an adapter on
one of the two would make them differ, and PEFT 0.21 merges it into both. Unsloth trains both layers
whole, whatever lora_targets says, so there they are no targets either (student.choose_backend)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.students import embeddings, experts

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def refuse(model: PreTrainedModel, p: Params) -> None:
    """Raises ValueError where one of p.lora_targets names no layer of a student, one that cannot
    get an adapter, or the embedding or head of a tied one; or as experts.lora_arguments does."""
    import torch
    from transformers.pytorch_utils import Conv1D

    fused = experts.LEAVES if experts.tensors(model) else ()
    named = {  # as PEFT finds them
        target: [m for name, m in model.named_modules() if f".{name}".endswith(f".{target}")]
        for target in p.lora_targets
        if target not in fused
    }
    if unknown := [target for target, modules in named.items() if not modules]:
        raise ValueError(
            f"lora_targets: {p.student} has no module named {', '.join(unknown)}; correct or "
            "remove it."
        )
    for target, modules in named.items():
        others = [m for m in modules if not isinstance(m, torch.nn.Linear | torch.nn.Embedding)]
        if others := [m for m in others if not isinstance(m, Conv1D)]:
            raise ValueError(
                f"lora_targets: {target} of {p.student} is a {type(others[0]).__name__}, and only "
                "linear layers get adapters; remove it."
            )
    if embeddings.tied(model):
        both = (model.get_input_embeddings(), model.get_output_embeddings())
        shared = [
            t for t, modules in named.items() if any(m is one for m in modules for one in both)
        ]
        if shared:
            raise ValueError(
                f"lora_targets: the embedding and the head of {p.student} are one tensor "
                f"(tie_word_embeddings), and an adapter on {' or '.join(shared)} would make them "
                "differ; remove it."
            )
    experts.lora_arguments(model, p)
