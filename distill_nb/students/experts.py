"""Adapters on a mixture of experts: where they are, their rank, and the layout that vLLM loads.

Transformers keeps the experts of a layer as two tensors, gate_up_proj [experts, 2 * width, hidden]
and down_proj [experts, hidden, width]. PEFT puts its adapter on such a tensor
(`target_parameters`): A [experts * rank, in], B [out, rank * experts]. vLLM 0.32 refuses this
layout for Qwen3's mixture and wants gate_proj, up_proj and down_proj of every expert separately;
`write_per_expert` writes an adapter that way. The router never gets an adapter."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

# tensor of all experts → the projections that it consists of
FUSED = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}
LEAVES = tuple(leaf for leaves in FUSED.values() for leaf in leaves)
KEY = re.compile(r"(?P<experts>.*\.experts)(?P<inner>\.base_layer)?\.lora_(?P<side>[AB])\.weight")


def tensors(model: PreTrainedModel) -> list[str]:
    """The names of the tensors that hold all experts of a layer, such as mlp.experts.down_proj."""
    last = re.compile(rf"[^.]+\.experts\.({'|'.join(FUSED)})$")
    found = [last.search(name) for name, _ in model.named_parameters()]
    return sorted({match[0] for match in found if match})


def rank(p: Params, config: PretrainedConfig) -> int:
    """The rank on each expert: p.lora_expert_rank, or where that is 0 p.lora_rank divided by the
    number of experts that see a token, at least 1: the same share of the weights as in other layers
    (Schulman et al., LoRA Without Regret, Thinking Machines 2025)."""
    return p.lora_expert_rank or max(1, p.lora_rank // config.num_experts_per_tok)


def lora_arguments(model: PreTrainedModel, p: Params) -> dict:
    """The arguments of a LoraConfig that depend on a model's layers: target_modules, and for
    experts target_parameters, rank_pattern and alpha_pattern.

    Where a model has experts, gate_proj, up_proj and down_proj of p.lora_targets mean theirs, and
    are left out if p.lora_experts is false. gate_proj and up_proj are one tensor, which gets the
    ranks of both. The scale is lora_alpha / rank, with the rank of one projection of one expert.
    Raises ValueError for targets that such a model cannot have."""
    held = tensors(model)
    if not held:
        return {"target_modules": list(p.lora_targets)}
    wanted = [leaf for leaf in LEAVES if leaf in p.lora_targets]
    others = [t for t in p.lora_targets if t not in LEAVES]
    if not p.lora_experts:
        if not others:
            raise ValueError(
                f"lora_targets: {', '.join(wanted)} are in {p.student} those of its experts, and "
                "lora_experts is false; set it to true, or name targets in the attention."
            )
        return {"target_modules": others}
    if not wanted or len({"gate_proj", "up_proj"} & set(wanted)) == 1:
        raise ValueError(
            "lora_targets: the experts have gate_proj with up_proj, and down_proj; name one of the "
            "two or both, or set lora_experts to false."
        )
    if p.lora_dropout:
        raise ValueError(
            "lora_dropout: PEFT has no dropout before the experts' adapters; set it to 0, or "
            "lora_experts to false."
        )
    parts_of = {name: FUSED[name.rpartition(".")[2]] for name in held}
    chosen = {name: parts for name, parts in parts_of.items() if parts[0] in wanted}
    one = rank(p, model.config)
    return {
        "target_modules": others,
        "target_parameters": list(chosen),
        "rank_pattern": {name: one * len(parts) for name, parts in chosen.items()},
        "alpha_pattern": {name: p.lora_alpha * len(parts) for name, parts in chosen.items()},
    }


@contextlib.contextmanager
def without_false_alarm() -> Iterator[None]:
    """Without a wrong warning: PEFT 0.21 says that it ignores the rank patterns of tensors, as it
    looks among modules only, but it follows them."""
    said = "The following (rank|alpha)_pattern keys did not match"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=said)
        yield


def multiply_once(model: PeftModel) -> None:
    """Have a model of Transformers and PEFT compute W + BA of the experts once in a forward pass.

    PEFT registers it as a parametrisation of W before each pass, and torch then computes it once
    more, to see that it has W's shape and type, which it always has."""
    from peft.tuners.lora.layer import ParamWrapper

    for module in model.modules():
        if isinstance(module, ParamWrapper):
            module._activate_lora = functools.partial(_unchecked, module._activate_lora)


@contextlib.contextmanager
def _unchecked(activate: Callable, adapters: list[str]) -> Iterator[None]:
    """PEFT's `_activate_lora`, without torch's check."""
    from torch.nn.utils import parametrize

    register = parametrize.register_parametrization
    with contextlib.ExitStack() as stack:
        parametrize.register_parametrization = functools.partial(register, unsafe=True)
        try:
            stack.enter_context(activate(adapters))
        finally:
            parametrize.register_parametrization = register
        yield


def are_adapted(adapter: Path) -> bool:
    """Whether an adapter is on tensors of all experts, a layout that vLLM does not load."""
    from safetensors import safe_open

    weights = adapter / "adapter_model.safetensors"
    if not weights.exists():  # an older adapter_model.bin: from before experts were one tensor
        return False
    with safe_open(weights, "pt") as file:
        return any(KEY.fullmatch(key) for key in file.keys())  # noqa: SIM118  (no mapping)


def write_per_expert(adapter: Path, folder: Path) -> None:
    """Write PEFT's adapter to a folder, with gate_proj, up_proj and down_proj of each expert as
    vLLM loads them, and all else as it is.

    No weight's delta changes. gate_proj and up_proj, one tensor before, both keep its rank and its
    A; each has its half of B. A projection without an adapter gets one of zeros."""
    from safetensors.torch import load_file, save_file

    config = json.loads((adapter / "adapter_config.json").read_text())
    found = load_file(adapter / "adapter_model.safetensors")
    ranks, made = {}, {}
    for key, weight in found.items():
        match = KEY.fullmatch(key)
        if match is None:
            made[key] = weight
            continue
        tensor = _tensor_of(match, config)
        name = f"{match['experts']}.{tensor}"
        size = _pattern(config["rank_pattern"], name, config["r"])
        ranks[tensor] = (size, _pattern(config["alpha_pattern"], name, config["lora_alpha"]))
        count, parts = weight.shape[match["side"] == "B"] // size, FUSED[tensor]
        if match["side"] == "A":
            each = [[a] * len(parts) for a in weight.reshape(count, size, -1)]
        else:
            each = [b.chunk(len(parts)) for b in weight.reshape(-1, size, count).permute(2, 0, 1)]
        for expert, halves in enumerate(each):
            for part, half in zip(parts, halves, strict=True):
                new = f"{match['experts']}.{expert}.{part}.lora_{match['side']}.weight"
                made[new] = half.contiguous().clone()
    for tensor in FUSED.keys() - ranks.keys():
        _add_zeros(made, tensor)
        ranks[tensor] = next(iter(ranks.values()))
    folder.mkdir(parents=True, exist_ok=True)
    for file in adapter.iterdir():
        if file.is_file() and not file.name.startswith("adapter_"):
            shutil.copy(file, folder)
    save_file(made, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    patterns = {
        rf".*\.experts\.\d+\.{part}": values
        for tensor, values in ranks.items()
        for part in FUSED[tensor]
    }
    config |= {
        "target_parameters": None,
        "target_modules": sorted({key.partition(".lora_")[0].rpartition(".")[2] for key in made}),
        "rank_pattern": {name: size for name, (size, _) in patterns.items()},
        "alpha_pattern": {name: alpha for name, (_, alpha) in patterns.items()},
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _add_zeros(made: dict[str, Tensor], tensor: str) -> None:
    """Add adapters of zeros for the projections of `tensor`, beside those of the other tensor."""
    other = FUSED["down_proj" if tensor == "gate_up_proj" else "gate_up_proj"][0]
    for key in [key for key in made if key.endswith(f".{other}.lora_A.weight")]:
        # one's input width is the other's output width
        a, b = (made[key], made[key.replace("lora_A", "lora_B")])
        for part in FUSED[tensor]:
            name = key.replace(f".{other}.lora_A", f".{part}.lora_A")
            made[name] = a.new_zeros(len(a), len(b))
            made[name.replace("lora_A", "lora_B")] = a.new_zeros(a.shape[1], len(a))


def _tensor_of(match: re.Match, config: dict) -> str:
    """The tensor whose adapter a key of PEFT's is. PEFT nests wrappers: the inner one has the first
    tensor, the outer one the last (or the only one)."""
    targets = {name.rpartition(".")[2] for name in config["target_parameters"]}
    if len(targets) == 1:
        return targets.pop()
    return "gate_up_proj" if match["inner"] else "down_proj"


def _pattern(patterns: dict | None, name: str, default: int) -> int:
    """A tensor's rank or alpha, by PEFT's rule: that of the first key that ends its name."""
    values = (v for k, v in (patterns or {}).items() if re.fullmatch(rf"(.*\.)?({k})", name))
    return next(values, default)
