"""What a run will take, before it starts: memory, tokens, disk and hours, from its student's config
alone.

    python -m distill_nb.plan.plan papermill_params/run07.yaml --device h100-80gb
    python -m distill_nb.plan.plan papermill_params/run*.yaml papermill_params/traces_{r1,sonnet}_*.yaml --device h100-80gb   # all
    python -m distill_nb.plan.plan papermill_params/run09.yaml papermill_params/pocket.yaml                         # here

Memory is tried with tensors without data (step_memory.py) and compared with real training on a CPU
in tests/test_plan.py; for Unsloth it is that of Transformers and PEFT, which is more. Nothing of
this was compared with a GPU yet; bench/gpu_check.py does."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from distill_nb import params
from distill_nb.params import Params
from distill_nb.plan import devices
from distill_nb.plan.devices import Device
from distill_nb.plan.estimate import LIBRARIES, SHORT, Plan, estimate, flops
from distill_nb.report import tables
from distill_nb.runtime import paths, provenance
from distill_nb.runtime.devices import GIB
from distill_nb.traces.teacher import costs as teacher_costs

__all__ = ["LIBRARIES", "SHORT", "Plan", "estimate", "flops"]


def refuse(p: Params, plan: Plan) -> None:
    """Raises ValueError, one sentence, where the run does not fit the device: what it needs, and
    what to change."""
    if plan.fits:
        return
    needs = (
        f"{p.run_name} needs about {_gib(plan.peak)} of memory, and {plan.device.name} has "
        f"{_gib(plan.available)} to use"
    )
    if plan.best_micro_batch_size:
        raise ValueError(
            f"micro_batch_size: {needs}; set it to {plan.best_micro_batch_size}, which changes "
            "nothing else."
        )
    small = replace(p, micro_batch_size=1)
    ways = []
    if plan.device.kind == "cuda" and not p.load_in_4bit:
        ways.append(("load_in_4bit", "true", replace(small, load_in_4bit=True)))
    if p.lora_expert_rank > 1:
        ways.append(("lora_expert_rank", "0", replace(small, lora_expert_rank=0)))
    ways += [
        ("max_length", str(p.max_length // k), replace(small, max_length=p.max_length // k))
        for k in (2, 4)
        if p.max_length // k >= 256
    ]
    for key, value, changed in ways:
        if estimate(changed, plan.device).fits:
            raise ValueError(
                f"{key}: {needs}; set micro_batch_size to 1 and {key} to {value}, or take a larger "
                "device."
            )
    larger = sorted(
        (d for d in devices.KNOWN.values() if estimate(small, d).fits), key=lambda d: d.memory
    )
    which = (
        f"such as {larger[0].name}, with micro_batch_size 1"
        if larger
        else "larger than any that is listed"
    )
    raise ValueError(f"student: {needs}; take a larger device, {which}, or a smaller student.")


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:,.1f} MiB"


def _range(values, form: str = ",.0f") -> str:
    low, high = (format(v, form) for v in values)
    return low if low == high else f"{low} to {high}"


def table(plan: Plan):
    """A plan as a pandas DataFrame of texts."""
    import pandas as pd

    other = "without" if plan.checkpointing else "with"
    rows = [(f"memory: {name}", _gib(size)) for name, size in plan.memory.items()]
    rows += [
        (
            "memory: peak",
            f"{_gib(plan.peak)} of {_gib(plan.available)} that {plan.device.name} has to use",
        ),
        (f"activations {other} gradient checkpointing", _gib(plan.other_activations)),
        (
            "micro_batch_size",
            f"{plan.micro_batch_size}; the largest that fits: "
            f"{plan.best_micro_batch_size or 'none'}",
        ),
        ("tokens", _range(plan.tokens)),
    ]
    rows += [(f"disk: {name}", _gib(size)) for name, size in plan.disk.items()]
    share = f"{plan.device.flops / 1e12:,.4g} TFLOP/s {plan.device.source}"
    short = plan.hours[1] < 0.1
    rows += [
        (
            "seconds" if short else "hours",
            f"{_range([3600 * h if short else h for h in plan.hours], ',.2g')} ({share})",
        )
    ]
    return pd.DataFrame({plan.run_name: dict(rows)}).rename_axis("plan")


def show(p: Params, data=None, device: str | Device = "this") -> Plan | None:
    """Show the plan of a run that is not finished; raises ValueError where it does not fit."""
    from IPython.display import display

    before = provenance.read(
        paths.run_dir(p) / "provenance_train.json", "set overwrite: true to train it again"
    )
    if before.get("finished") and not p.overwrite:
        print("This run is finished already: there is nothing to plan.")
        return None
    plan = estimate(p, device, data)
    display(tables.show(table(plan), ""))
    print("; ".join(plan.notes) + ".")
    refuse(p, plan)
    if plan.best_micro_batch_size > p.micro_batch_size:
        print(f"micro_batch_size {plan.best_micro_batch_size} would fit too.")
    return plan


def cost_of_traces(values: dict) -> tuple[str, float]:
    """(a line, dollars at most) for a file of traces.ipynb: one attempt at each example, every
    answer at its full length."""
    if values.get("teacher_model", "none") == "none" or values.get("teacher_api", "none") == "none":
        return f"{values['dataset']}: from the hub, no API cost", 0.0
    price = teacher_costs.price_of(values["teacher_model"])
    tokens = values["n_examples"] * values["teacher_max_tokens"]
    dollars = teacher_costs.cost(price, values["teacher_mode"], 0, tokens)
    return (
        f"{values['dataset']}: at most ${dollars:,.0f} for the answers of one attempt at each of "
        f"{values['n_examples']:,} problems with {values['teacher_model']}; traces.ipynb says what "
        "is likely"
    ), dollars


def main(arguments: list[str] | None = None) -> int:
    """The plans of run files, each under the overlays among the files; 1 where one does not fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", nargs="+", help="runs, overlays for all of them, and files of traces.ipynb"
    )
    parser.add_argument("--device", default="this", help=f"this, {', '.join(devices.KNOWN)}")
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="as papermill's"
    )
    args = parser.parse_args(arguments)
    try:
        return _plan_files(args)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


def _plan_files(args) -> int:
    import yaml

    read = {
        file: params.read_files(
            file if "/" in file else f"./{file}" if file.startswith(".") else file
        )
        for file in args.files
    }
    changes = {key: yaml.safe_load(value) for key, value in args.p}
    runs = {f: v for f, v in read.items() if "run_name" in v}
    sets = {f: v for f, v in read.items() if {"dataset", "decontaminate"} <= set(v)}
    known = set(params.pocket_values())
    overlays = [v for f, v in read.items() if f not in runs and set(v) <= known]
    for file in read:
        if file not in runs and file not in sets and read[file] not in overlays:
            print(f"{file}: no run, no overlay for runs and no set of traces; left out.")
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
    costs = [cost_of_traces(values) for values in sets.values()]
    for line, _ in costs:
        print(line)
    if len(plans) > 1:
        hours = tuple(sum(plan.gpu_hours[i] for plan in plans) for i in (0, 1))
        kept = sum(plan.disk["checkpoints"] + plan.disk["states"] for plan in plans)
        merged = max(plan.disk["merged"] for plan in plans)
        print(
            f"{len(plans)} runs: training takes {_range(hours, ',.3g')} hours of "
            f"{plans[0].device.name}; "
            f"{_gib(kept)} of disk stay, and {_gib(merged)} are taken during an evaluation"
            + (f"; API: at most ${sum(dollars for _, dollars in costs):,.0f}" if costs else "")
            + "."
        )
    return int(failed > 0)


def plan_files(files, device="this", changes=None):
    raise NotImplementedError
