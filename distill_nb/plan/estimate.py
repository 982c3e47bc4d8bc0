"""The estimate of a run: memory (memory.py), tokens, hours, disk, and its evaluation
(evaluation_estimate.py), from its student's config alone.

Memory, tokens and disk of Transformers + PEFT are compared with real training on a CPU in
tests/plan/test_plan.py. bench/gpu_check.py compares the plan with a GPU, which nobody has done yet.
"""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb import params
from distill_nb.params import Params
from distill_nb.plan import architectures, devices, evaluation_estimate, memory, trace_lengths
from distill_nb.plan.devices import Device
from distill_nb.plan.evaluation_estimate import Evaluation
from distill_nb.runtime import paths
from distill_nb.runtime.devices import GIB
from distill_nb.students import chat

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from distill_nb.training.train import Data

Example = tuple[int, int]  # its tokens, and how many of them have a label


@dataclass(frozen=True)
class Plan:
    """What a run takes. Sizes are bytes, ranges (least, most)."""

    run_name: str
    device: Device
    micro_batch_size: int
    # weights, adapters, gradients, optimiser, activations, loss, …; their sum is the peak
    memory: dict[str, int]
    recompute: bool  # activations: as p.recompute says, or as decided where that is auto
    other_activations: int  # the other way
    best_micro_batch_size: int  # the largest that fits; 0: none does
    tokens: tuple[int, int]
    disk: dict[str, int]  # checkpoints, states
    hours: tuple[float, float]  # of each process
    gpu_hours: tuple[float, float]  # of all processes together
    evaluation: Evaluation
    notes: tuple[str, ...]
    backend: str = "auto"  # that was planned for: hf, or what may be Unsloth

    @property
    def peak(self) -> int:
        return sum(self.memory.values())

    @property
    def available(self) -> int:
        return memory.available(self.device)

    @property
    def fits(self) -> bool:
        return self.peak <= self.available


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
    here = device == "this" and importlib.util.find_spec("unsloth") is None
    if p.backend == "auto" and (here or p.sharding == "full"):
        p = replace(p, backend="hf")
    device = device_of(p, device)
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
    fixed = memory.fixed(p, counts, on_gpu, config.num_hidden_layers)
    room = memory.available(device)
    rest = sum(fixed.values())
    step = memory.Step(config, p, *_largest(p, examples), on_gpu)
    # the largest micro-batch that would leave room for all activations, and for the plan's error
    reserve = memory.RESERVE if on_gpu else 0
    without = step.largest(rest, room, False, reserve)
    recompute = p.recompute == "on"
    if p.recompute == "auto":
        recompute = on_gpu and without < p.micro_batch_size
    tokens, squares, heldout = _tokens(p, examples)
    slow, fast = device.experts if experts else device.dense

    def hours(i: int, share: float) -> float:
        operations = flops(counts, config, tokens[i], squares[i], checkpointing=recompute)
        seconds = operations / (device.flops * share)
        return seconds / 3600 * (1 + heldout) / p.train_processes

    def saved() -> float:
        """The share of operations that are not made where activations are not recomputed."""
        fewer, all_of_them = (
            flops(counts, config, tokens[1], squares[1], checkpointing=again)
            for again in (False, True)
        )
        return 1 - fewer / all_of_them

    notes = [f"{p.student}: {source}"]
    if recompute and (moved := step.moved()):
        size = f"{moved / GIB:,.1f} GiB of the activations"
        notes.append(f"with Unsloth {size} are in the host's memory")
    if recompute and without and on_gpu:
        notes.append(
            f"with micro_batch_size {without} all activations fit: recompute: off saves "
            f"{saved():.0%} of the operations"
        )
    if examples is None:
        notes.append(f"examples of {trace_lengths.of_examples(p)[1]}, as none are prepared")
    evaluation = evaluation_estimate.of_config(p, device, config, counts)
    least, most = hours(0, fast), hours(1, slow)
    return Plan(
        run_name=p.run_name,
        device=device,
        micro_batch_size=p.micro_batch_size,
        memory=fixed | step.adds(recompute),
        recompute=recompute,
        other_activations=sum(step.adds(not recompute).values()),
        best_micro_batch_size=step.largest(rest, room, recompute, reserve)
        or step.largest(rest, room, recompute),
        tokens=tokens,
        disk=disk_of(p, counts),
        hours=(least, most),
        gpu_hours=(least * p.train_processes, most * p.train_processes),
        evaluation=evaluation,
        notes=(*notes, *evaluation.notes),
        backend=p.backend,
    )


def device_of(p: Params, device: str | Device) -> Device:
    """A device by its name (devices.py); of a CPU, what one of several processes has."""
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
    mean, square = trace_lengths.mean_and_square(trace_lengths.of_examples(p)[0])
    long = p.max_length
    return (round(n * mean), n * long), (round(n * square), n * long * long), heldout


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
    width = config.num_attention_heads * architectures.head_dim(config)
    attention = 2 * squares * width * config.num_hidden_layers
    frozen = counts["active_parameters"] * tokens
    adapters = counts["active_adapter_parameters"] * tokens
    forward = 2 * (frozen + adapters) + attention
    backward = 2 * frozen + 4 * adapters + 2.5 * attention
    again = forward if checkpointing else 0
    return forward + backward + again + 4 * counts["head_parameters"] * tokens


def disk_of(p: Params, counts: dict[str, int]) -> dict[str, int]:
    """Bytes. checkpoints: all adapters. states: the last two to resume from, each an adapter and
    its optimiser."""
    adapter, saves = counts["bytes_of_adapters"], p.max_steps // p.save_every
    return {"checkpoints": saves * adapter, "states": min(2, saves) * 3 * adapter}
