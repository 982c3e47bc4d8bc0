"""A student whose weights are divided among the processes that train it (`sharding: full`), for one
that a single GPU cannot hold: PyTorch's FSDP2 (Zhao et al. 2023, arXiv 2304.11277) by Transformers'
Trainer. A layer's weights are gathered for its pass and freed after it, so every process must take
part in every pass. This was run with two processes on a CPU, and not on GPUs yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_nb.params import Params
from distill_nb.students import student
from distill_nb.training import parallel

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel, Trainer

MODEL = "pytorch_model_fsdp_0"  # the folder of the adapters in a state to resume from


def load(p: Params) -> PreTrainedModel:
    """The student in the host's memory: the first process reads its weights, and hands each process
    its part when training begins. The others only make room, which takes none until then."""
    return student.load(p, where="cpu") if parallel.is_first() else student.without_weights(p)


def arguments(model: PeftModel) -> dict[str, Any]:
    """The TrainingArguments that divide a model, a layer at a time."""
    layers = model.get_base_model().get_decoder().layers
    return {
        "fsdp": True,
        "ddp_timeout": 7200,  # seconds: the others wait while the first process reads all weights
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "transformer_layer_cls_to_wrap": sorted({type(layer).__name__ for layer in layers}),
            "cpu_ram_efficient_loading": True,  # what `load` needs
            # else each state gathers the whole student in the first process
            "state_dict_type": "SHARDED_STATE_DICT",
        },
    }


def allow_cpu() -> None:
    """Have Accelerate divide a model on a CPU too, as tests do: there it would quietly leave the
    whole model to each process. Call this after the TrainingArguments, before the Trainer."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def keep_float32(trainer: Trainer) -> None:
    """Compute in bfloat16 as autocast does, with losses and sums of gradients in float32:
    Accelerate would round both to bfloat16."""
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    plugin = trainer.accelerator.state.fsdp_plugin
    if plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32
        )


def whole_adapter(model: PeftModel) -> dict[str, Tensor]:
    """The adapter of a divided model, by name, on the CPU of the first process; all call this."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    return get_model_state_dict(model, options=options)


def refuse_other_states(p: Params, state: Path | None) -> None:
    """Raises ValueError if a state to resume from was written with another value of sharding."""
    if state is None:
        return
    written = "full" if (state / MODEL).is_dir() else "none"
    if written != p.sharding:
        raise ValueError(
            f"sharding: {state.parents[1].name} stopped with {written}, and its state cannot be "
            f"resumed with {p.sharding}; set sharding to {written}, or set overwrite: true to "
            "train it again."
        )
