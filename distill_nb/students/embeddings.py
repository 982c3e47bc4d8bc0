"""The embedding and the head of a student: one tensor (tied) or two, and adapters on them.

PEFT 0.21 puts an adapter on one of the two, and merges it into the tensor that both share, so that
the merged student is another one. `merge` gives each its own tensor first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PretrainedConfig, PreTrainedModel


def tied(model: PreTrainedModel) -> bool:
    """Whether the embedding and the head are one tensor."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


def merge(adapted: PeftModel) -> PreTrainedModel:
    """The student with an adapter merged into its weights, as PEFT computes it unmerged. It is tied
    no longer where the adapter makes its embedding and head differ, and its config says so."""
    import torch

    base = adapted.get_base_model()
    configs = _configs(base)
    was = [config.tie_word_embeddings for config in configs]
    untied = _untie(base)
    if untied:
        for config in configs:  # before: PEFT would warn
            config.tie_word_embeddings = False
    model = adapted.merge_and_unload()
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if untied and torch.equal(head.weight, embedding.weight):  # the adapter changed both alike
        for config, before in zip(configs, was, strict=True):
            config.tie_word_embeddings = before
        model.tie_weights()
    return model


def _configs(model: PreTrainedModel) -> list[PretrainedConfig]:
    """Those that say whether the student is tied: its own, and the one of its text model."""
    found = {id(c): c for c in (model.config, model.config.get_text_config(decoder=True))}
    return [c for c in found.values() if hasattr(c, "tie_word_embeddings")]


def _untie(base: PreTrainedModel) -> bool:
    """Give the head a tensor of its own, where it shares the embedding's and one of them has
    something of an adapter. Returns whether it did. base: with the adapter's layers."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper
    from torch.nn import Parameter

    embedding, head = base.get_input_embeddings(), base.get_output_embeddings()
    of_peft = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    if head is None or not any(isinstance(layer, of_peft) for layer in (embedding, head)):
        return False
    shared, found = {id(weight) for weight in embedding.parameters()}, False
    for module in head.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if id(weight) in shared:
                found = True
                setattr(module, name, Parameter(weight.detach().clone(), requires_grad=False))
    return found
