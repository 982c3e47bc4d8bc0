"""The estimate of a run's memory, tokens, disk and hours, from its student's config alone.

Memory is tried with tensors without data (step_memory.py) and compared with real training on a CPU
in tests/plan/test_plan.py; Unsloth needs less than the Transformers and PEFT that are tried here.
bench/gpu_check.py compares the plan with a GPU; nobody has run that yet."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb import params
from distill_nb.evaluation.engines import types
from distill_nb.params import Params
from distill_nb.plan import architectures, devices, step_memory
from distill_nb.plan.devices import Device
from distill_nb.runtime import paths
from distill_nb.runtime.devices import GIB
from distill_nb.students import chat

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from distill_nb.training.train import Data

Example = tuple[int, int]  # its tokens, and how many of them have a label

USABLE = 0.94  # of a GPU's memory: the rest is CUDA's own, and gaps between tensors
LIBRARIES = GIB // 2  # of a process on a CPU: what it has imported
SHORT = 4  # without data, examples have between max_length / SHORT and max_length tokens


@dataclass(frozen=True)
class Plan:
    """What a run takes. Sizes are bytes, ranges (least, most)."""

    run_name: str
    device: Device
    micro_batch_size: int
    # weights, adapters, gradients, optimiser, activations, loss; their sum is the peak
    memory: dict[str, int]
    other_activations: int  # with gradient checkpointing where the run has none, or without it
    checkpointing: bool
    tokens: tuple[int, int]
    disk: dict[str, int]  # checkpoints, states, merged
    hours: tuple[float, float]  # of each process
    gpu_hours: tuple[float, float]  # of all processes together
    notes: tuple[str, ...]
    best_micro_batch_size: int = 0  # the largest that fits; 0: none does

    @property
    def peak(self) -> int:
        return sum(self.memory.values())

    @property
    def available(self) -> int:
        if self.device.kind == "cuda":
            return int(self.device.memory * USABLE)
        return self.device.memory - LIBRARIES

    @property
    def fits(self) -> bool:
        return self.peak <= self.available


_tried: dict[str, dict[str, int]] = {}  # the runs of a study share their students


def _activations(
    config: PretrainedConfig,
    p: Params,
    lengths: list[int],
    trained: int,
    checkpointing: bool,
    autocast: bool,
) -> dict[str, int]:
    """step_memory.activations, each tried once."""
    lora = [value for name, value in asdict(p).items() if name.startswith("lora_")]
    key = repr((config.to_json_string(), p.dtype, lora, lengths, trained, checkpointing, autocast))
    if key not in _tried:
        _tried[key] = step_memory.activations(
            config, p, lengths, trained, checkpointing=checkpointing, autocast=autocast
        )
    return _tried[key]


def estimate(p: Params, device: str | Device = "this", data: Data | None = None) -> Plan:
    """The plan of a run on a device (devices.py) with the data of train.prepare; without data, from
    bounds.

    Raises ValueError for a baseline, an unknown device, and a student whose config the hub does not
    give."""
    if params.is_baseline(p):
        raise ValueError(
            f"teacher: {p.run_name} is a baseline, which trains nothing; there is nothing to plan."
        )
    examples = None
    if data is not None:
        examples = [
            (len(e["input_ids"]), sum(label != chat.IGNORE for label in e["labels"]))
            for e in data.train
        ]
    device = _device(p, device)
    # Unsloth has put its own code, for GPUs, into the models that would be tried here.
    make = _in_a_child if "unsloth" in sys.modules else _estimate
    return make(p, device, examples)


def _in_a_child(p: Params, device: Device, examples: list[Example] | None) -> Plan:
    """`_estimate`, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").write_bytes(pickle.dumps((p, device, examples)))
        code = (
            "import pickle, sys; from pathlib import Path; from distill_nb.plan import estimate; "
            "folder = Path(sys.argv[1]); given = pickle.loads((folder / 'in').read_bytes()); "
            "(folder / 'out').write_bytes(pickle.dumps(estimate._estimate(*given)))"
        )
        command = [sys.executable, "-c", code, folder]
        environment = paths.child_environment() | {"CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            error = (done.stderr.strip().splitlines() or ["?"])[-1]
            raise ValueError(error.removeprefix("ValueError: "))
        return pickle.loads((Path(folder) / "out").read_bytes())


def _estimate(p: Params, device: Device, examples: list[Example] | None) -> Plan:
    """examples: in the order of training."""
    config, source = architectures.config_of(p)
    counts = architectures.count(config, p)
    on_gpu, experts = device.kind == "cuda", bool(getattr(config, "num_experts", 0))
    autocast = on_gpu and p.dtype == "bfloat16"
    lengths, trained = _largest(p, examples)
    tried = _activations(config, p, lengths, trained, on_gpu, autocast)
    other = _activations(config, p, lengths, trained, not on_gpu, autocast)
    adapters = counts["bytes_of_adapters"]
    memory = {
        "weights": counts["bytes_of_weights"],
        "adapters": adapters,
        "gradients": adapters,
        "optimiser": 2 * adapters,  # Adam's two moments
        "activations": tried["layers"],
        "loss": tried["loss"],
    }
    if on_gpu:  # AdamW takes all adapters at once, with two more tensors as large as each
        memory["activations"] = max(memory["activations"], 2 * adapters - memory["loss"])
    tokens, squares, heldout = _tokens(p, examples)
    slow, fast = device.experts if experts else device.dense

    def hours(i: int, share: float) -> float:
        operations = flops(counts, config, tokens[i], squares[i], checkpointing=on_gpu)
        seconds = operations / (device.flops * share)
        return seconds / 3600 * (1 + heldout) / p.train_processes

    least, most = hours(0, fast), hours(1, slow)
    # inputs of all layers but one: Unsloth's gradient checkpointing has them in the host's memory
    moved = 2 * sum(lengths) * config.hidden_size * (config.num_hidden_layers - 1) * on_gpu
    plan = Plan(
        run_name=p.run_name,
        device=device,
        micro_batch_size=p.micro_batch_size,
        memory=memory,
        other_activations=sum(other.values()),
        checkpointing=on_gpu,
        tokens=tokens,
        disk=_disk(p, counts, on_gpu, experts),
        hours=(least, most),
        gpu_hours=(least * p.train_processes, most * p.train_processes),
        notes=_notes(p, examples, source, moved),
    )
    return replace(plan, best_micro_batch_size=_best(p, plan, config, lengths, autocast))


def _device(p: Params, device: str | Device) -> Device:
    if device == "this":
        here = devices.this(p.dtype)
        alone = here.kind == "cuda" or p.train_processes == 1
        return here if alone else devices.shared(here, p.train_processes)
    return devices.device_named(device) if isinstance(device, str) else device


def _largest(p: Params, examples: list[Example] | None) -> tuple[list[int], int]:
    """(lengths, tokens with labels) of the micro-batch with the most tokens."""
    size = p.micro_batch_size
    if examples is None:
        return [p.max_length] * size, p.max_length * size
    parts = [examples[i : i + size] for i in range(0, len(examples), size)]
    largest = max(parts, key=lambda part: sum(length for length, _ in part))
    return [length for length, _ in largest], int(sum(trained for _, trained in largest))


def _tokens(
    p: Params, examples: list[Example] | None
) -> tuple[tuple[int, int], tuple[int, int], float]:
    """Tokens that the run trains on, and the sum of their examples' squared lengths, each (least,
    most); and the share of time that the held-out loss adds: a forward pass, a quarter of a step,
    over n_heldout examples at each checkpoint."""
    n = p.max_steps * p.batch_size
    heldout = p.n_heldout * (p.max_steps // p.save_every) / n / 4
    if examples is not None:
        tokens = sum(length for length, _ in examples)
        squares = sum(length * length for length, _ in examples)
        return (tokens, tokens), (squares, squares), heldout
    short, long = p.max_length // SHORT, p.max_length
    return (n * short, n * long), (n * short * short, n * long * long), heldout


def flops(
    counts: dict[str, int],
    config: PretrainedConfig,
    tokens: int,
    squares: int,
    *,
    checkpointing: bool,
) -> float:
    """Operations of training on `tokens` with the sum of squared lengths `squares`.

    A weight of a frozen matrix takes 2 for each token forwards and 2 backwards, one of an adapter 2
    and 4; gradient checkpointing adds a forward pass. Attention over an example of l tokens takes
    2 l^2 for each dimension of a head forwards, and 2.5 times that backwards (Dao 2023, arXiv
    2307.08691, section 4.1)."""
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    attention = 2 * squares * width * config.num_hidden_layers
    frozen = counts["active_parameters"] * tokens
    adapters = counts["active_adapter_parameters"] * tokens
    forward = 2 * (frozen + adapters) + attention
    backward = 2 * frozen + 4 * adapters + 2.5 * attention
    again = forward if checkpointing else 0
    return forward + backward + again + 4 * counts["head_parameters"] * tokens


def _disk(p: Params, counts: dict[str, int], on_gpu: bool, experts: bool) -> dict[str, int]:
    """checkpoints: all adapters. states: the last two to resume from, each an adapter and its
    optimiser. merged: the students that vLLM reads during an evaluation where adapters are merged,
    one and the next while that is written."""
    adapter = counts["bytes_of_adapters"]
    saves = p.max_steps // p.save_every
    vllm = p.engine == "vllm" or (p.engine == "auto" and (on_gpu or types.installed_vllm()))
    merges = vllm and (p.adapters == "merged" or (p.adapters == "auto" and (experts or not on_gpu)))
    whole = counts["parameters"] * (2 if p.dtype == "bfloat16" else 4)
    return {
        "checkpoints": saves * adapter,
        "states": min(2, saves) * 3 * adapter,
        "merged": 2 * whole if merges else 0,
    }


def _notes(p: Params, examples: list[Example] | None, source: str, moved: int) -> tuple[str, ...]:
    """moved: bytes that are in the host's memory with Unsloth."""
    notes = [f"{p.student}: {source}"]
    if moved and p.backend != "hf":
        size = f"{moved / GIB:,.1f} GiB of the activations"
        notes.append(f"with Unsloth up to {size} are in the host's memory instead")
    if examples is None:
        lengths = f"{p.max_length // SHORT} to {p.max_length} tokens"
        notes.append(f"examples of {lengths}, as none are prepared")
    return tuple(notes)


def _best(
    p: Params, plan: Plan, config: PretrainedConfig, lengths: list[int], autocast: bool
) -> int:
    """The largest micro_batch_size that divides the batch and fits; 0 where none does. Activations
    grow linearly with the examples; one example and those of the plan are tried."""
    examples = p.batch_size // p.train_processes
    longest, size = max(lengths), p.micro_batch_size
    one = sum(_activations(config, p, [longest], longest, plan.checkpointing, autocast).values())
    here = plan.memory["activations"] + plan.memory["loss"]
    each = max(here - one, 0) / (size - 1) if size > 1 else one
    rest = plan.peak - here

    def fits(n: int) -> bool:
        return rest + (here if n == size else one + (n - 1) * each) <= plan.available

    return max((n for n in range(1, examples + 1) if examples % n == 0 and fits(n)), default=0)
