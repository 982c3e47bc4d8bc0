"""What vLLM's slots for adapters take of a GPU, and whether adapters are better merged.

vLLM 0.32 makes room for max_loras adapters of max_lora_rank in every linear layer, in every expert
(lora/layers/base_linear.py, column_parallel_linear.py, fused_moe.py) and in the embedding and the
head, whatever rank an adapter has there: one of rank 4 on experts takes the room of its rank 32 in
the attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime.devices import GIB
from distill_nb.students import experts, student

if TYPE_CHECKING:
    from transformers import PretrainedConfig

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has room for
# The slots may take this share of what the weights leave of a GPU: the rest is for the KV cache,
# and so for how many answers are made at once.
SHARE = 1 / 3


def sizes(config: PretrainedConfig) -> tuple[int, int]:
    """(weights, numbers that one slot has for each rank) of a student.

    A weight [out, in] has A [rank, in] and B [out, rank]. Of a layer's experts vLLM keeps gate, up
    and down apart: experts * 3 * (hidden + width) for each rank."""
    weights = list(student.on_meta(config).named_parameters())
    each = 0
    for name, weight in weights:
        parts = len(experts.FUSED.get(name.rpartition(".")[2], (name,)))
        if weight.dim() == 2:
            each += sum(weight.shape)
        elif weight.dim() == 3:  # [experts, out, in]
            count, out, width_in = weight.shape
            each += count * (parts * width_in + out)
    return sum(weight.numel() for _, weight in weights), each


def rank_of(p: Params, config: PretrainedConfig) -> int:
    """The widest rank of the adapters that a run trains; gate_up_proj has that of two."""
    if not p.lora_experts or not getattr(config, "num_experts_per_tok", 0):
        return p.lora_rank
    return max(p.lora_rank, 2 * experts.rank(p, config))


def choose(
    p: Params, config: PretrainedConfig, memory: int, adapters: int = 0, rank: int = 0
) -> tuple[str, str]:
    """(`multi` or `merged`, why) for `adapters: auto` with vLLM on GPUs of `memory` bytes each, by
    an estimate for one GPU of p.tensor_parallel, each taken to have all of the slots.

    adapters, rank: how many there are, and the widest; by default those that the run trains. The
    answer does not depend on which of them are evaluated now: records of a run are made one way."""
    numbers, each = sizes(config)
    count, widest, size = _slots(p, config, adapters, rank)
    taken = count * widest * each * size
    room = int(memory * p.gpu_memory - numbers * size / p.tensor_parallel)
    fits = widest <= RANKS[-1] and taken <= room * SHARE
    why = (
        f"{count} slots for adapters of rank {widest} take {taken / GIB:.1f} GiB, "
        f"{'at most' if fits else 'more than'} a third of the {room / GIB:.1f} GiB that the "
        f"weights leave of a GPU"
    )
    return ("multi" if fits else "merged"), why


def memory_of(p: Params, config: PretrainedConfig, adapters: int) -> int:
    """Bytes of the slots where so many adapters of a run are served side by side."""
    count, widest, size = _slots(p, config, adapters, 0)
    return count * widest * sizes(config)[1] * size


def _slots(p: Params, config: PretrainedConfig, adapters: int, rank: int) -> tuple[int, int, int]:
    """(slots, their rank, bytes of a number): one slot more than adapters, as VllmEngine says."""
    wanted = rank or rank_of(p, config)
    widest = next((r for r in RANKS if r >= wanted), wanted)
    count = (adapters or p.max_steps // p.save_every) + 1
    return count, widest, student.bytes_of_number(p)
