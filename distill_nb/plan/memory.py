"""The memory of a run at its peak, part by part, and the micro-batches that fit.

Transformers + PEFT (`hf`) is tried without data (step_memory.py), and that was compared with real
training on a CPU. Unsloth cannot be tried without a GPU: its figures follow from its source.
CUDA's and NCCL's shares are assumptions. Nothing of this has run on a GPU; bench/gpu_check.py
compares."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.plan import architectures, step_memory
from distill_nb.plan.devices import Device
from distill_nb.runtime.devices import GIB
from distill_nb.students import student

if TYPE_CHECKING:
    from transformers import PretrainedConfig

USABLE = 0.95  # of a GPU's memory: the rest is lost in gaps between tensors
LIBRARIES = GIB // 2  # of a process on a CPU: what it has imported
CUDA = GIB // 2  # of each process on its GPU: CUDA's context and the libraries' kernels
NCCL = GIB // 2  # and its buffers, 4 MiB (NCCL_BUFFSIZE) for each channel, peer and protocol
RESERVE = 0.2  # of the activations: the plan's error that `recompute: auto` leaves room for
LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

_tried: dict[str, dict[str, int]] = {}  # the runs of a study share their students


def available(device: Device) -> int:
    """Bytes that a run may take."""
    return int(device.memory * USABLE) if device.kind == "cuda" else device.memory - LIBRARIES


def fixed(p: Params, counts: dict[str, int], on_gpu: bool, layers: int) -> dict[str, int]:
    """Bytes, in each process, of what does not depend on the micro-batch. AdamW changes weights in
    place: fused on CUDA, and one after another on a CPU. Several processes average gradients in
    buckets that are as large as these (gradient_as_bucket_view is False in Trainer, as in torch).

    Divided among the processes (`sharding: full`), one layer is there whole while the next is
    gathered, and the head from the loss on; gradients are summed whole over the micro-batches of a
    step, and then divided. layers: of the student."""
    adapters, several = counts["bytes_of_adapters"], p.train_processes > 1
    divided = p.train_processes if p.sharding == "full" else 1
    parts = {
        "weights": counts["bytes_of_weights"] // divided,
        "adapters": adapters // divided,
        "gradients": adapters // divided,
        "optimiser": 2 * adapters // divided,  # Adam's two moments
    }
    if divided > 1:
        head = counts["head_parameters"] * student.bytes_of_number(p)
        parts["weights"] += 2 * (counts["bytes_of_weights"] - 2 * head) // layers + head
        if p.batch_size > p.micro_batch_size * p.train_processes:
            parts["gradients"] += adapters
    elif several:
        parts["buckets"] = adapters
    if on_gpu:
        parts["CUDA"] = CUDA + (NCCL if several else 0)
    return parts


class Step:
    """What a micro-batch adds: activations, and what the loss adds to these.

    lengths: tokens of the examples of one micro-batch; trained: of all these, with a label."""

    def __init__(
        self, config: PretrainedConfig, p: Params, lengths: list[int], trained: int, on_gpu: bool
    ) -> None:
        self.config, self.p, self.lengths, self.trained = config, p, lengths, trained
        self.on_gpu, self.unsloth = on_gpu, on_gpu and p.backend != "hf"
        self.bytes = student.bytes_of_number(p)

    def adds(self, recompute: bool) -> dict[str, int]:
        """{activations, loss}: bytes."""
        return self._of(self.lengths, self.trained, recompute)

    def moved(self) -> int:
        """Bytes of layers' inputs that Unsloth, where it recomputes, has in the host's memory."""
        if not self.unsloth:
            return 0
        return (self.config.num_hidden_layers - 1) * self._input(self.lengths)

    def largest(self, rest: int, room: int, recompute: bool, reserve: float = 0) -> int:
        """The largest micro_batch_size that divides the batch and fits beside `rest`; 0: none does.
        Activations grow linearly with the examples; one example and those of the run are tried."""
        examples, size = self.p.batch_size // self.p.train_processes, len(self.lengths)
        longest = max(self.lengths)
        one = sum(self._of([longest], longest, recompute).values())
        here = sum(self.adds(recompute).values())
        each = max(here - one, 0) / (size - 1) if size > 1 else one

        def fits(n: int) -> bool:
            added = here if n == size else one + (n - 1) * each
            return rest + added * (1 + reserve) <= room

        return max((n for n in range(1, examples + 1) if examples % n == 0 and fits(n)), default=0)

    def _input(self, lengths: list[int]) -> int:
        """Bytes of a layer's input."""
        return self.bytes * sum(lengths) * self.config.hidden_size

    def _of(self, lengths: list[int], trained: int, recompute: bool) -> dict[str, int]:
        if self.unsloth and _has_kernels(self.config, self.p):
            return {"activations": self._by_unsloth(lengths, recompute), "loss": 0}
        found = self._by_hf(lengths, trained, recompute)
        layers = found["layers"]
        if self.unsloth and recompute:
            # It keeps the last layer's input, and two buffers through which the others come back.
            layers -= max(0, self.config.num_hidden_layers - 3) * self._input(lengths)
        return {"activations": max(layers, 0), "loss": found["loss"]}

    def _by_unsloth(self, lengths: list[int], recompute: bool) -> int:
        """What its layers keep for the backward pass (unsloth/kernels/fast_lora.py and
        models/llama.py): inputs and outputs of both norms; queries, keys and values; what attention
        gives, before and after it is laid out anew; gate and up. Two layers more stand for the
        backward pass of one and for the loss. tests/plan compares it with what its code allocated.
        """
        config = self.config
        heads, head = config.num_attention_heads, architectures.head_dim(config)
        attention = 3 * heads * head + 2 * config.num_key_value_heads * head
        wide = 4 * config.hidden_size + attention + 2 * config.intermediate_size
        layer = self.bytes * sum(lengths) * wide
        if recompute:
            return 2 * layer + 3 * self._input(lengths)
        return (config.num_hidden_layers + 2) * layer

    def _by_hf(self, lengths: list[int], trained: int, recompute: bool) -> dict[str, int]:
        """step_memory.activations, each tried once."""
        config, p = self.config, self.p
        autocast = self.on_gpu and p.dtype == "bfloat16"
        lora = [value for name, value in asdict(p).items() if name.startswith("lora_")]
        key = repr((config.to_json_string(), p.dtype, lora, lengths, trained, recompute, autocast))
        if key not in _tried:
            _tried[key] = step_memory.activations(
                config, p, lengths, trained, checkpointing=recompute, autocast=autocast
            )
        return _tried[key]


def _has_kernels(config: PretrainedConfig, p: Params) -> bool:
    """Whether Unsloth has kernels for the student's layers; others run by Transformers' code."""
    known = config.model_type in ("llama", "mistral", "qwen2", "qwen3")
    return known and set(p.lora_targets) >= LINEAR and not p.lora_dropout
