"""What a run will take, before it starts: memory, tokens, disk and hours, from its student's config alone.

    python -m distill_nb.plan papermill_params/run07.yaml --device h100-80gb
    python -m distill_nb.plan papermill_params/run*.yaml papermill_params/traces_*.yaml --device h100-80gb     # the study
    python -m distill_nb.plan papermill_params/run09.yaml papermill_params/pocket.yaml                         # here

Memory is tried with tensors without data (plan_step.py) and compared with real training on a CPU in tests/test_plan.py;
for Unsloth it is that of Transformers and PEFT. Nothing of this was compared with a GPU yet; bench/gpu_check.py does.
"""
from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, replace

from . import architectures, chat, devices, params, plan_step
from .devices import GIB, Device
from .params import Params

USABLE = 0.94  # of a GPU's memory: the rest is CUDA's own, and gaps between tensors
LIBRARIES = GIB // 2  # of a process on a CPU: what it has imported
SHORT = 4  # without data, examples have between max_length / SHORT and max_length tokens


@dataclass(frozen=True)
class Plan:
    """Bytes, but for tokens, hours (of one process each) and gpu_hours (of all): (least, most)."""

    run_name: str
    device: Device
    micro_batch_size: int
    memory: dict[str, int]        # weights, adapters, gradients, optimiser, activations, loss; their sum is the peak
    other_activations: int        # with recomputation where the run has none, or without it
    checkpointing: bool
    best_micro_batch_size: int    # the largest that fits; 0: none does
    tokens: tuple[int, int]
    disk: dict[str, int]          # checkpoints, states, merged
    hours: tuple[float, float]
    gpu_hours: tuple[float, float]
    notes: tuple[str, ...]

    @property
    def peak(self) -> int:
        return sum(self.memory.values())

    @property
    def available(self) -> int:
        return int(self.device.memory * USABLE) if self.device.kind == "cuda" else self.device.memory - LIBRARIES

    @property
    def fits(self) -> bool:
        return self.peak <= self.available


_tried: dict[str, dict] = {}  # what was tried already: the runs of a study share their students


def _activations(config, p: Params, lengths: list[int], trained: int, checkpointing: bool, autocast: bool) -> dict[str, int]:
    keys = ("dtype", "lora_rank", "lora_targets", "lora_experts", "lora_expert_rank", "lora_dropout")
    key = repr((config.to_json_string(), [asdict(p)[k] for k in keys], lengths, trained, checkpointing, autocast))
    if key not in _tried:
        _tried[key] = plan_step.activations(config, p, lengths, trained, checkpointing=checkpointing, autocast=autocast)
    return _tried[key]


def estimate(p: Params, device: str | Device = "this", data=None) -> Plan:
    """The plan of a run on a device (see devices.py), of the traces that train.prepare made, or else of bounds.

    Raises ValueError for a baseline, an unknown device, and a student whose config the hub does not give."""
    if params.is_baseline(p):
        raise ValueError(f"teacher: {p.run_name} is a baseline, which trains nothing; there is nothing to plan.")
    device = _device(p, device)
    config, source = architectures.config_of(p)
    counts = architectures.count(config, p)
    on_gpu, experts = device.kind == "cuda", bool(getattr(config, "num_experts", 0))
    autocast = on_gpu and p.dtype == "bfloat16"
    lengths, trained = _largest(p, data)
    tried = _activations(config, p, lengths, trained, on_gpu, autocast)
    other = _activations(config, p, lengths, trained, not on_gpu, autocast)
    # Adam's two moments; the gradients of the adapters are as large as they are
    memory = {"weights": counts["bytes_of_weights"], "adapters": counts["bytes_of_adapters"],
              "gradients": counts["bytes_of_adapters"], "optimiser": 2 * counts["bytes_of_adapters"],
              "activations": tried["layers"], "loss": tried["loss"]}
    if on_gpu:  # AdamW takes all adapters at once, with two more tensors as large as each
        memory["activations"] = max(memory["activations"], 2 * counts["bytes_of_adapters"] - memory["loss"])
    tokens, squares, lost = _tokens(p, data)
    seconds = [flops(counts, config, *of, checkpointing=on_gpu) / (device.flops * share) for of, share in zip(
        zip(tokens, squares, strict=True), reversed(device.experts if experts else device.dense), strict=True)]
    hours = tuple(s / 3600 * (1 + lost) / p.train_processes for s in seconds)
    plan = Plan(p.run_name, device, p.micro_batch_size, memory, sum(other.values()), on_gpu, 0, tokens,
                _disk(p, counts, on_gpu, experts), hours, tuple(h * p.train_processes for h in hours), _notes(p, data, source))
    return replace(plan, best_micro_batch_size=_best(p, plan, config, lengths, autocast))


def _device(p: Params, device: str | Device) -> Device:
    if device == "this":
        return devices.this(p.dtype)
    return devices.device_named(device) if isinstance(device, str) else device


def _largest(p: Params, data) -> tuple[list[int], int]:
    """(lengths, tokens with labels) of the micro-batch with the most tokens."""
    if data is None:
        return [p.max_length] * p.micro_batch_size, p.max_length * p.micro_batch_size
    size = p.micro_batch_size
    parts = [data.train[i:i + size] for i in range(0, len(data.train), size)]
    largest = max(parts, key=lambda part: sum(len(e["input_ids"]) for e in part))
    labels = sum(label != chat.IGNORE for e in largest for label in e["labels"])
    return [len(e["input_ids"]) for e in largest], int(labels)


def _tokens(p: Params, data) -> tuple[tuple[int, int], tuple[int, int], float]:
    """Tokens that the run trains on and the sum of squared lengths, each (least, most); and what the held-out loss adds to
    the time: a forward pass, a quarter of a step, over n_heldout examples at each checkpoint."""
    n = p.max_steps * p.batch_size
    lost = p.n_heldout * (p.max_steps // p.save_every) / n / 4
    if data is not None:
        lengths = [len(e["input_ids"]) for e in data.train]
        return (sum(lengths),) * 2, (sum(x * x for x in lengths),) * 2, lost
    bounds = p.max_length // SHORT, p.max_length
    return tuple(n * x for x in bounds), tuple(n * x * x for x in bounds), lost


def flops(counts: dict[str, int], config, tokens: int, squares: int, *, checkpointing: bool) -> float:
    """Operations of training on `tokens` with the sum of squared lengths `squares`.

    A frozen matrix takes 2 for each weight and token forwards and 2 backwards, an adapter's 2 and 4, and recomputation the
    forward pass again; attention over the l tokens before and including each of l takes 2 l^2 a head's dimension forwards, and
    2.5 times that backwards (Dao 2023, arXiv 2307.08691, section 4.1)."""
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    attention = 2 * squares * width * config.num_hidden_layers
    frozen, adapters = counts["active_parameters"] * tokens, counts["active_adapter_parameters"] * tokens
    forward = 2 * (frozen + adapters) + attention
    backward = 2 * frozen + 4 * adapters + 2.5 * attention
    return forward + backward + (forward if checkpointing else 0) + 4 * counts["head_parameters"] * tokens


def _disk(p: Params, counts: dict[str, int], on_gpu: bool, experts: bool) -> dict[str, int]:
    """checkpoints: all adapters. states: the last two that a run can resume from, adapter and optimiser. merged: what vLLM
    reads while a run is evaluated, where adapters are merged: one student, and the next while it is written."""
    from . import generate

    adapter = counts["bytes_of_adapters"]
    saves = p.max_steps // p.save_every
    vllm = p.engine == "vllm" or (p.engine == "auto" and (on_gpu or generate.installed_vllm()))
    merges = vllm and (p.adapters == "merged" or (p.adapters == "auto" and (experts or not on_gpu)))
    whole = counts["parameters"] * (2 if p.dtype == "bfloat16" else 4)
    return {"checkpoints": saves * adapter, "states": min(2, saves) * 3 * adapter, "merged": 2 * whole if merges else 0}


def _notes(p: Params, data, source: str) -> tuple[str, ...]:
    notes = [f"{p.student}: {source}"]
    if data is None:
        notes.append(f"examples of {p.max_length // SHORT} to {p.max_length} tokens, as none are prepared")
    return tuple(notes)


def _best(p: Params, plan: Plan, config, lengths: list[int], autocast: bool) -> int:
    """The largest micro_batch_size that divides the batch and fits; 0 where none does. Activations grow in a line with the
    examples, of which one and those of the plan are tried."""
    examples = p.batch_size // p.train_processes
    longest, size = max(lengths), p.micro_batch_size
    one = sum(_activations(config, p, [longest], longest, plan.checkpointing, autocast).values())
    here = plan.memory["activations"] + plan.memory["loss"]
    each = max(here - one, 0) / (size - 1) if size > 1 else one
    rest = plan.peak - here

    def fits(n: int) -> bool:
        return rest + (here if n == size else one + (n - 1) * each) <= plan.available

    return max((n for n in range(1, examples + 1) if examples % n == 0 and fits(n)), default=0)


def refuse(p: Params, plan: Plan) -> None:
    """Raises ValueError, one sentence, where the run does not fit the device: what it needs, and what to change."""
    if plan.fits:
        return
    needs = (f"{p.run_name} needs about {_gib(plan.peak)} of memory, and {plan.device.name} has {_gib(plan.available)} to use")
    if plan.best_micro_batch_size:
        raise ValueError(f"micro_batch_size: {needs}; set it to {plan.best_micro_batch_size}, which changes nothing else.")
    small = replace(p, micro_batch_size=1)
    ways = []
    if plan.device.kind == "cuda" and not p.load_in_4bit:
        ways.append(("load_in_4bit", "true", replace(small, load_in_4bit=True)))
    if p.lora_expert_rank > 1:
        ways.append(("lora_expert_rank", "0", replace(small, lora_expert_rank=0)))
    ways += [("max_length", str(p.max_length // k), replace(small, max_length=p.max_length // k))
             for k in (2, 4) if p.max_length // k >= 256]
    for key, value, changed in ways:
        if estimate(changed, plan.device).fits:
            raise ValueError(f"{key}: {needs}; set micro_batch_size to 1 and {key} to {value}, or take a larger device.")
    larger = sorted((d for d in devices.KNOWN.values() if estimate(small, d).fits), key=lambda d: d.memory)
    which = f"such as {larger[0].name}, with micro_batch_size 1" if larger else "larger than any that is listed"
    raise ValueError(f"student: {needs}; take a larger device, {which}, or a smaller student.")


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:,.0f} MiB"


def _range(values: tuple, form: str = ",.0f") -> str:
    low, high = (format(v, form) for v in values)
    return low if low == high else f"{low} to {high}"


def table(plan: Plan):
    """A plan as a pandas DataFrame of texts."""
    import pandas as pd

    other = "without" if plan.checkpointing else "with"
    rows = [(f"memory: {name}", _gib(size)) for name, size in plan.memory.items()]
    rows += [("memory: peak", f"{_gib(plan.peak)} of {_gib(plan.available)} that {plan.device.name} has to use"),
             (f"activations {other} gradient checkpointing", _gib(plan.other_activations)),
             ("micro_batch_size", f"{plan.micro_batch_size}; the largest that fits: {plan.best_micro_batch_size or 'none'}"),
             ("tokens", _range(plan.tokens))]
    rows += [(f"disk: {name}", _gib(size)) for name, size in plan.disk.items()]
    share = f"{plan.device.flops / 1e12:,.4g} TFLOP/s {plan.device.source}"
    rows += [("hours", f"{_range(plan.hours, ',.2g')} ({share})")]
    return pd.DataFrame({plan.run_name: dict(rows)}).rename_axis("plan")


def show(p: Params, data=None, device: str | Device = "this") -> Plan:
    """Print a run's plan; raises ValueError where it does not fit."""
    from . import tables

    plan = estimate(p, device, data)
    tables.show(table(plan), "")
    print("; ".join(plan.notes) + ".")
    refuse(p, plan)
    if plan.best_micro_batch_size > p.micro_batch_size:
        print(f"micro_batch_size {plan.best_micro_batch_size} would fit too.")
    return plan


def cost_of_traces(values: dict) -> tuple[str, float]:
    """(a line, dollars at most) for a file of traces.ipynb: one attempt at each example, every answer at its full length."""
    from . import teacher_costs

    if values.get("teacher_model", "none") == "none" or values.get("teacher_api", "none") == "none":
        return f"{values['dataset']}: from the hub, no API cost", 0.0
    price = teacher_costs.price_of(values["teacher_model"])
    tokens = values["n_examples"] * values["teacher_max_tokens"]
    dollars = teacher_costs.cost(price, values["teacher_mode"], values["n_examples"] * teacher_costs.OVERHEAD_TOKENS, tokens)
    return (f"{values['dataset']}: at most ${dollars:,.0f} for one attempt at each of {values['n_examples']:,} problems with "
            f"{values['teacher_model']}; traces.ipynb says what is likely"), dollars


def main(arguments: list[str] | None = None) -> int:
    """The plans of run files, each under the overlays among the files; 1 where one does not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="runs, overlays for all of them, and files of traces.ipynb")
    parser.add_argument("--device", default="this", help=f"this, {', '.join(devices.KNOWN)}")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="as papermill's")
    args = parser.parse_args(arguments)
    try:
        return _plan_files(args)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


def _plan_files(args) -> int:
    import yaml

    read = {file: params.read_files(file if "/" in file else f"./{file}" if file.startswith(".") else file)
            for file in args.files}
    changes = {key: yaml.safe_load(value) for key, value in args.p}
    runs = {f: v for f, v in read.items() if "run_name" in v}
    traces = {f: v for f, v in read.items() if "run_name" not in v and "decontaminate" in v}
    overlays = [v for f, v in read.items() if f not in runs and f not in traces]
    plans, failed = [], 0
    for file, values in runs.items():
        for overlay in (*overlays, changes):
            values = values | overlay
        p = params.validate(values, source=file)
        if params.is_baseline(p):
            print(f"{p.run_name}: a baseline, nothing is trained\n")
            continue
        plan = estimate(p, args.device)
        plans.append(plan)
        print(table(plan).to_string() + "\n" + "; ".join(plan.notes) + ".")
        try:
            refuse(p, plan)
        except ValueError as error:
            failed += 1
            print(f"Does not fit: {error}")
        print()
    costs = [cost_of_traces(values) for values in traces.values()]
    for line, _ in costs:
        print(line)
    if len(plans) > 1:
        hours = tuple(sum(plan.gpu_hours[i] for plan in plans) for i in (0, 1))
        kept = sum(plan.disk["checkpoints"] + plan.disk["states"] for plan in plans)
        merged = max(plan.disk["merged"] for plan in plans)
        print(f"{len(plans)} runs: training takes {_range(hours, ',.3g')} hours of {plans[0].device.name}; "
              f"{_gib(kept)} of disk stay, and {_gib(merged)} are taken during an evaluation"
              + (f"; API: at most ${sum(dollars for _, dollars in costs):,.0f}" if costs else "") + ".")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
