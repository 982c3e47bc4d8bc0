"""A student's architecture from its config alone, without its weights: what the plan counts and
tries."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from distill_nb.params import POCKET_STUDENT, Params
from distill_nb.runtime import paths
from distill_nb.students import check_student, sources, student

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PretrainedConfig

_QWEN3_30B = dict(
    model_type="qwen3_moe",
    vocab_size=151936,
    hidden_size=2048,
    intermediate_size=6144,
    num_hidden_layers=48,
    num_attention_heads=32,
    num_key_value_heads=4,
    head_dim=128,
    num_experts=128,
    num_experts_per_tok=8,
    moe_intermediate_size=768,
    norm_topk_prob=True,
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
)
# config.json of the study's students and of PyPI's, as far as sizes go; read on 2026-11-24 from the
# models' pages on the hub.
KNOWN = {
    "meta-llama/Llama-3.1-8B-Instruct": dict(
        model_type="llama",
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
    ),
    "Qwen/Qwen3-30B-A3B-Base": _QWEN3_30B,
    "Qwen/Qwen3-30B-A3B-Instruct-2507": _QWEN3_30B,
    POCKET_STUDENT: dict(
        model_type="llama",
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    ),
}


def config_of(p: Params) -> tuple[PretrainedConfig, str]:
    """(the student's config, where it is from). A student of KNOWN that is not on this machine is
    taken from there, without asking the hub.

    Raises ValueError where the hub does not give the config of another student, or a folder is
    damaged or an adapter's."""
    from huggingface_hub import try_to_load_from_cache
    from transformers import AutoConfig

    if p.student_size == "full" and p.student in KNOWN and not paths.resolve(p.student).is_dir():
        cached = try_to_load_from_cache(p.student, "config.json") if "/" in p.student else None
        if not isinstance(cached, str):
            sizes = dict(KNOWN[p.student])
            config = AutoConfig.for_model(sizes.pop("model_type"), **sizes)
            return config, "sizes as in distill_nb/plan/architectures.py"
    if paths.resolve(p.student).is_dir():
        # a plan needs no weights; those that are there are to be whole
        whole = check_student.has_weights(p)
        (check_student.check_folder if whole else check_student.check_config)(p)
    try:
        return AutoConfig.from_pretrained(sources.source(p)), "its config.json"
    except (OSError, ValueError) as error:
        raise ValueError(
            f"student: the hub did not give the config of {p.student} ({type(error).__name__}); "
            "log in if it is gated, or download it and name its folder."
        ) from None


def head_dim(config: PretrainedConfig) -> int:
    """The width of one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def with_layers(config: PretrainedConfig, layers: int) -> PretrainedConfig:
    """The same architecture with fewer layers."""
    small = copy.deepcopy(config)
    small.num_hidden_layers = layers
    if getattr(small, "layer_types", None):
        small.layer_types = small.layer_types[:layers]
    return small


def on_meta(config: PretrainedConfig, p: Params, checkpointing: bool) -> PeftModel:
    """The student with its adapters, in p.dtype, shapes only (torch's meta device)."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        options = {"dtype": getattr(torch, p.dtype), "attn_implementation": "sdpa"}
        model = AutoModelForCausalLM.from_config(config, **options)
        model.config.use_cache = False
        p = replace(p, recompute="on" if checkpointing else "off")
        return student.attach_lora(model, p, "hf").train()


def count(config: PretrainedConfig, p: Params) -> dict[str, int]:
    """SIZES of the student with its adapters, from two models with few layers, as all layers are
    alike or take turns."""
    total = config.num_hidden_layers
    least = min(total, 2)
    most = min(total, 2 * least)
    few, more = (
        _count(on_meta(with_layers(config, n), p, False), config, p) for n in (least, most)
    )
    if total <= 2 * least:
        return more
    return {key: few[key] + (more[key] - few[key]) * (total - least) // least for key in few}


SIZES = (
    "parameters",
    "bytes_of_weights",  # in 4 bits where p.load_in_4bit
    "adapter_parameters",
    "bytes_of_adapters",
    # of the matrices that one token meets
    "active_parameters",  # of the layers
    "active_adapter_parameters",
    "head_parameters",
)
# bytes a weight with its doubly quantised scale: Dettmers et al. 2023, arXiv 2305.14314, section 3
NF4 = 4.127 / 8


def _count(model: PeftModel, config: PretrainedConfig, p: Params) -> dict[str, int]:
    """`count` of a model; the share of experts that see a token is `config`'s."""
    import torch

    base = model.get_base_model()
    head, embedding = base.get_output_embeddings().weight, base.get_input_embeddings().weight
    linear = [m.weight for m in base.modules() if type(m) is torch.nn.Linear]
    frozen = {id(w) for w in linear if w is not head and not w.requires_grad}
    quantised = frozen if p.load_in_4bit else set()
    share = getattr(config, "num_experts_per_tok", 1) / (getattr(config, "num_experts", 0) or 1)
    found = dict.fromkeys(SIZES, 0) | {"head_parameters": head.numel()}
    for name, weight in base.named_parameters():
        size, active = weight.numel(), weight.numel() * (share if ".experts." in name else 1)
        if "lora_" in name:
            found["adapter_parameters"] += size
            found["bytes_of_adapters"] += size * weight.element_size()
            found["active_adapter_parameters"] += int(active)
            continue
        found["parameters"] += size
        each = NF4 if id(weight) in quantised else weight.element_size()
        found["bytes_of_weights"] += int(size * each)
        if weight.dim() > 1 and weight is not head and weight is not embedding:
            found["active_parameters"] += int(active)
    return found
