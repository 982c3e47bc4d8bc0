"""The estimate behind plan.py: a run's memory, tokens, disk and hours, from its student's config
alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from distill_nb import params
from distill_nb.evaluation.engines import types
from distill_nb.params import Params
from distill_nb.plan import architectures, devices, step_memory
from distill_nb.plan.devices import Device
from distill_nb.runtime import paths
from distill_nb.runtime.devices import GIB
from distill_nb.students import chat

USABLE = 0.94  # of a GPU's memory: the rest is CUDA's own, and gaps between tensors
LIBRARIES = GIB // 2  # of a process on a CPU: what it has imported
SHORT = 4  # without data, examples have between max_length / SHORT and max_length tokens


@dataclass(frozen=True)
class Plan:
    """Bytes, but for tokens, hours (of one process each) and gpu_hours (of all): (least, most)."""

    run_name: str
    device: Device
    micro_batch_size: int
    # weights, adapters, gradients, optimiser, activations, loss; their sum is the peak
    memory: dict[str, int]
    other_activations: int  # with recomputation where the run has none, or without it
    checkpointing: bool
    best_micro_batch_size: int  # the largest that fits; 0: none does
    tokens: tuple[int, int]
    disk: dict[str, int]  # checkpoints, states, merged
    hours: tuple[float, float]
    gpu_hours: tuple[float, float]
    notes: tuple[str, ...]

    @property
    def peak(self) -> int:
        return sum(self.memory.values())

    @property
    def available(self) -> int:
        return (
            int(self.device.memory * USABLE)
            if self.device.kind == "cuda"
            else self.device.memory - LIBRARIES
        )

    @property
    def fits(self) -> bool:
        return self.peak <= self.available


_tried: dict[str, dict] = {}  # what was tried already: the runs of a study share their students


def _activations(
    config, p: Params, lengths: list[int], trained: int, checkpointing: bool, autocast: bool
) -> dict[str, int]:
    keys = (
        "dtype",
        "lora_rank",
        "lora_targets",
        "lora_experts",
        "lora_expert_rank",
        "lora_dropout",
    )
    key = repr(
        (
            config.to_json_string(),
            [asdict(p)[k] for k in keys],
            lengths,
            trained,
            checkpointing,
            autocast,
        )
    )
    if key not in _tried:
        _tried[key] = step_memory.activations(
            config, p, lengths, trained, checkpointing=checkpointing, autocast=autocast
        )
    return _tried[key]


def estimate(p: Params, device: str | Device = "this", data=None) -> Plan:
    """The plan of a run on a device (see devices.py), of the traces that train.prepare made, or
    else of bounds.

    Raises ValueError for a baseline, an unknown device, and a student whose config the hub does not
    give."""
    if params.is_baseline(p):
        raise ValueError(
            f"teacher: {p.run_name} is a baseline, which trains nothing; there is nothing to plan."
        )
    examples = data and [
        (len(e["input_ids"]), sum(label != chat.IGNORE for label in e["labels"]))
        for e in data.train
    ]
    device = _device(p, device)
    if (
        "unsloth" in sys.modules
    ):  # it has put its own code, for GPUs, into the models that would be tried here
        return _in_a_child(p, device, examples)
    return _estimate(p, device, examples)


def _in_a_child(p: Params, device: Device, examples: list | None) -> Plan:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").write_bytes(pickle.dumps((p, device, examples)))
        code = (
            "import pickle, sys; from pathlib import Path; from distill_nb.plan import estimate as "
            "plan_run; folder = Path(sys.argv[1]); "
            "(folder / 'out').write_bytes(pickle.dumps(plan_run._estimate(*pickle.loads((folder / "
            "'in').read_bytes()))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, folder],
            capture_output=True,
            text=True,
            env=paths.child_environment() | {"CUDA_VISIBLE_DEVICES": ""},
        )
        if done.returncode:
            error = (done.stderr.strip().splitlines() or ["?"])[-1]
            raise ValueError(error.removeprefix("ValueError: "))
        return pickle.loads((Path(folder) / "out").read_bytes())


def _estimate(p: Params, device: Device, examples: list[tuple[int, int]] | None) -> Plan:
    """examples: (tokens, of these with a label) of every example, in the order of training."""
    config, source = architectures.config_of(p)
    counts = architectures.count(config, p)
    on_gpu, experts = device.kind == "cuda", bool(getattr(config, "num_experts", 0))
    autocast = on_gpu and p.dtype == "bfloat16"
    lengths, trained = _largest(p, examples)
    tried = _activations(config, p, lengths, trained, on_gpu, autocast)
    other = _activations(config, p, lengths, trained, not on_gpu, autocast)
    # Adam's two moments; the gradients of the adapters are as large as they are
    memory = {
        "weights": counts["bytes_of_weights"],
        "adapters": counts["bytes_of_adapters"],
        "gradients": counts["bytes_of_adapters"],
        "optimiser": 2 * counts["bytes_of_adapters"],
        "activations": tried["layers"],
        "loss": tried["loss"],
    }
    if on_gpu:  # AdamW takes all adapters at once, with two more tensors as large as each
        memory["activations"] = max(
            memory["activations"], 2 * counts["bytes_of_adapters"] - memory["loss"]
        )
    tokens, squares, lost = _tokens(p, examples)
    seconds = [
        flops(counts, config, *of, checkpointing=on_gpu) / (device.flops * share)
        for of, share in zip(
            zip(tokens, squares, strict=True),
            reversed(device.experts if experts else device.dense),
            strict=True,
        )
    ]
    hours = tuple(s / 3600 * (1 + lost) / p.train_processes for s in seconds)
    plan = Plan(
        p.run_name,
        device,
        p.micro_batch_size,
        memory,
        sum(other.values()),
        on_gpu,
        0,
        tokens,
        _disk(p, counts, on_gpu, experts),
        hours,
        tuple(h * p.train_processes for h in hours),
        _notes(
            p,
            examples,
            source,
            2 * sum(lengths) * config.hidden_size * (config.num_hidden_layers - 1) * on_gpu,
        ),
    )
    return replace(plan, best_micro_batch_size=_best(p, plan, config, lengths, autocast))


def _device(p: Params, device: str | Device) -> Device:
    if device == "this":
        here = devices.this(p.dtype)
        return (
            here
            if here.kind == "cuda" or p.train_processes == 1
            else devices.shared(here, p.train_processes)
        )
    return devices.device_named(device) if isinstance(device, str) else device


def _largest(p: Params, examples) -> tuple[list[int], int]:
    """(lengths, tokens with labels) of the micro-batch with the most tokens."""
    size = p.micro_batch_size
    if examples is None:
        return [p.max_length] * size, p.max_length * size
    parts = [examples[i : i + size] for i in range(0, len(examples), size)]
    largest = max(parts, key=lambda part: sum(length for length, _ in part))
    return [length for length, _ in largest], int(sum(trained for _, trained in largest))


def _tokens(p: Params, examples) -> tuple[tuple[int, int], tuple[int, int], float]:
    """Tokens that the run trains on and the sum of squared lengths, each (least, most); and what
    the held-out loss adds to the time: a forward pass, a quarter of a step, over n_heldout examples
    at each checkpoint."""
    n = p.max_steps * p.batch_size
    lost = p.n_heldout * (p.max_steps // p.save_every) / n / 4
    if examples is not None:
        return (sum(x for x, _ in examples),) * 2, (sum(x * x for x, _ in examples),) * 2, lost
    bounds = p.max_length // SHORT, p.max_length
    return tuple(n * x for x in bounds), tuple(n * x * x for x in bounds), lost


def flops(
    counts: dict[str, int], config, tokens: int, squares: int, *, checkpointing: bool
) -> float:
    """Operations of training on `tokens` with the sum of squared lengths `squares`.

    A frozen matrix takes 2 for each weight and token forwards and 2 backwards, an adapter's 2 and
    4, and recomputation the forward pass again; attention over the l tokens before and including
    each of l takes 2 l^2 a head's dimension forwards, and 2.5 times that backwards (Dao 2023, arXiv
    2307.08691, section 4.1)."""
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    attention = 2 * squares * width * config.num_hidden_layers
    frozen, adapters = (
        counts["active_parameters"] * tokens,
        counts["active_adapter_parameters"] * tokens,
    )
    forward = 2 * (frozen + adapters) + attention
    backward = 2 * frozen + 4 * adapters + 2.5 * attention
    return (
        forward
        + backward
        + (forward if checkpointing else 0)
        + 4 * counts["head_parameters"] * tokens
    )


def _disk(p: Params, counts: dict[str, int], on_gpu: bool, experts: bool) -> dict[str, int]:
    """checkpoints: all adapters. states: the last two that a run can resume from, adapter and
    optimiser. merged: what vLLM reads while a run is evaluated, where adapters are merged: one
    student, and the next while it is written."""
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


def _notes(p: Params, examples, source: str, moved: int) -> tuple[str, ...]:
    """moved: bytes of the inputs of all layers but one, which Unsloth's gradient checkpointing has
    in the host's memory."""
    notes = [f"{p.student}: {source}"]
    if moved and p.backend != "hf":
        notes.append(
            f"with Unsloth up to {moved / GIB:,.1f} GiB of the activations are in the host's "
            "memory instead"
        )
    if examples is None:
        notes.append(
            f"examples of {p.max_length // SHORT} to {p.max_length} tokens, as none are prepared"
        )
    return tuple(notes)


def _best(p: Params, plan: Plan, config, lengths: list[int], autocast: bool) -> int:
    """The largest micro_batch_size that divides the batch and fits; 0 where none does. Activations
    grow in a line with the examples, of which one and those of the plan are tried."""
    examples = p.batch_size // p.train_processes
    longest, size = max(lengths), p.micro_batch_size
    one = sum(_activations(config, p, [longest], longest, plan.checkpointing, autocast).values())
    here = plan.memory["activations"] + plan.memory["loss"]
    each = max(here - one, 0) / (size - 1) if size > 1 else one
    rest = plan.peak - here

    def fits(n: int) -> bool:
        return rest + (here if n == size else one + (n - 1) * each) <= plan.available

    return max((n for n in range(1, examples + 1) if examples % n == 0 and fits(n)), default=0)
