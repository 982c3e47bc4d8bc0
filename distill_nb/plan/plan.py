"""The plans of runs in words: one as a table, what to change where it does not fit, and those of a
whole study together (`distill-nb plan`)."""

from dataclasses import asdict, replace

import pandas as pd
from pandas import DataFrame

from distill_nb import params
from distill_nb.params import Params
from distill_nb.plan import devices, evaluation_estimate
from distill_nb.plan.estimate import Plan, device_of, estimate
from distill_nb.plan.evaluation_estimate import Evaluation
from distill_nb.runtime import durations
from distill_nb.runtime.devices import GIB
from distill_nb.traces import params as trace_params
from distill_nb.traces.teacher import costs, retired


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
            f"micro_batch_size: {needs}; set it to {plan.best_micro_batch_size}, which "
            "changes memory, speed and rounding only."
        )
    small = replace(p, micro_batch_size=1, backend=plan.backend)
    ways = []
    if not plan.recompute:
        small = replace(small, recompute="on")
        ways.append(("recompute", "on", small))
    if p.train_processes > 1 and p.sharding == "none" and p.backend != "unsloth":
        whole = replace(small, sharding="full", backend="hf", load_in_4bit=False)
        ways.append(("sharding", "full", whole))
    if plan.device.kind == "cuda" and not p.load_in_4bit and p.sharding == "none":
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
    larger = [d for d in devices.KNOWN.values() if estimate(small, d).fits]
    which = "larger than any that is listed"
    if larger:
        smallest = min(larger, key=lambda d: d.memory)
        which = f"such as {smallest.name}, with micro_batch_size 1"
    raise ValueError(f"student: {needs}; take a larger device, {which}, or a smaller student.")


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:,.1f} MiB"


def _range(values: tuple[float, float]) -> str:
    low, high = (f"{v:,.0f}" for v in values)
    return low if low == high else f"{low} to {high}"


def table(plan: Plan) -> DataFrame:
    """A plan as a table of texts, one column."""
    rows = {f"memory: {name}": _gib(size) for name, size in plan.memory.items()}
    room = f"{_gib(plan.available)} that {plan.device.name} has to use"
    rows["memory: peak"] = f"{_gib(plan.peak)} of {room}"
    ways = ("kept", "recomputed")  # in the backward pass
    rows["recompute"] = (
        f"{'on' if plan.recompute else 'off'}: activations are {ways[plan.recompute]}"
    )
    rows[f"activations if {ways[not plan.recompute]}"] = _gib(plan.other_activations)
    best = plan.best_micro_batch_size or "none"
    rows["micro_batch_size"] = f"{plan.micro_batch_size}; the largest that fits: {best}"
    rows["tokens"] = _range(plan.tokens)
    rows |= {f"disk: {name}": _gib(size) for name, size in plan.disk.items()}
    rows |= _disk(plan.evaluation)
    rate = f"{plan.device.flops / 1e12:,.4g} TFLOP/s {plan.device.source}"
    rows["training"] = f"{_time(plan.hours)} ({rate})"
    return _as_table(plan.run_name, rows | _hours(plan.evaluation))


def evaluation_table(run_name: str, evaluation: Evaluation) -> DataFrame:
    """The plan of a baseline, which is only evaluated, as `table` shows it."""
    return _as_table(run_name, _disk(evaluation) | _hours(evaluation))


def _as_table(run_name: str, rows: dict[str, str]) -> DataFrame:
    return pd.DataFrame({run_name: rows}).rename_axis("plan")


def _disk(evaluation: Evaluation) -> dict[str, str]:
    return {f"disk: {name}": f"at most {_gib(n)}" for name, n in evaluation.disk.items() if n}


def _hours(evaluation: Evaluation) -> dict[str, str]:
    if not evaluation.hours:
        return {}
    rows = {}
    for name, hours in evaluation.hours.items():
        answers = f", {evaluation.answers[name]:,} answers" if name in evaluation.answers else ""
        rows[f"evaluation: {name}"] = f"{_time(hours)}{answers}"
    gpus = f" of {evaluation.gpus} GPUs" if evaluation.gpus > 1 else ""
    at_once = f"{evaluation.at_once} answers or more at once"
    rows["evaluation"] = f"{_time(evaluation.total)}{gpus}, {at_once}"
    return rows


def _time(hours: tuple[float, float]) -> str:
    least, most = hours
    return durations.range_in_words(3600 * least, 3600 * most)


def cost_of_traces(values: dict) -> tuple[str, float]:
    """(a line, dollars at most) for a file of traces.ipynb: one attempt at each example, every
    answer at its full length."""
    if values.get("teacher_model", "none") == "none" or values.get("teacher_api", "none") == "none":
        return f"{values['dataset']}: from the hub, no API cost", 0.0
    why = retired.sentence(values["teacher_model"], values["teacher_url"], values["dataset"])
    if why:
        return f"{values['dataset']}: {why}", 0.0
    price = costs.price_of(values["teacher_model"])
    tokens = values["n_examples"] * values["teacher_max_tokens"]
    dollars = costs.cost(price, values["teacher_mode"], 0, tokens)
    line = (
        f"{values['dataset']}: at most ${dollars:,.0f} for the answers of one attempt at each of "
        f"{values['n_examples']:,} problems with {values['teacher_model']}; traces.ipynb says what "
        "is likely"
    )
    return line, dollars


def plan_files(
    files: list[str], device: str = "this", changes: dict | None = None
) -> tuple[str, bool]:
    """(the plans in words, whether every run fits) of parameter files: runs, overlays for all of
    them, and sets of traces. changes: parameters of every run, over those of the files.

    Raises ValueError for a file that is not there, and for what `estimate` does."""
    return plan_all({file: params.read_files(_path(file)) for file in files}, device, changes)


def plan_all(
    read: dict[str, dict], device: str = "this", changes: dict | None = None
) -> tuple[str, bool]:
    """`plan_files` of what the files have: name → values."""
    runs = {file: values for file, values in read.items() if "run_name" in values}
    sets = {f: values for f, values in read.items() if {"dataset", "decontaminate"} <= set(values)}
    overlays, lines = [], []
    for file, values in read.items():
        if file in runs or file in sets:
            continue
        if set(values) <= set(params.pocket_values()):
            overlays.append(values)
        else:
            lines.append(f"{file}: no run, no overlay for runs and no set of traces; left out.")
    plans, evaluations, every_run_fits = [], [], True
    over = {k: v for values in (*overlays, changes or {}) for k, v in values.items()}
    # all are checked before the first is planned, which takes a while
    costs_of_sets = [
        cost_of_traces(asdict(trace_params.validate(values, file))) for file, values in sets.items()
    ]
    for p in [params.validate(values | over, file) for file, values in runs.items()]:
        if params.is_baseline(p):
            lines.append(f"{p.run_name}: a baseline, nothing is trained")
            made = evaluation_estimate.estimate(p, device_of(p, device))
            evaluations.append(made)
            lines += [evaluation_table(p.run_name, made).to_string(), "; ".join(made.notes) + ".\n"]
            continue
        plan = estimate(p, device)
        plans.append(plan)
        evaluations.append(plan.evaluation)
        lines += [table(plan).to_string(), "; ".join(plan.notes) + "."]
        try:
            refuse(p, plan)
        except ValueError as error:
            every_run_fits = False
            lines.append(f"Does not fit: {error}")
        lines.append("")
    lines += [line for line, _ in costs_of_sets]
    if len(plans) > 1:
        dollars = sum(dollars for _, dollars in costs_of_sets) if costs_of_sets else None
        lines.append(_sum(plans, evaluations, dollars))
    return "\n".join(lines), every_run_fits


def _path(file: str) -> str:
    """As read_files takes it: a file of one's own by a path, another by its name alone."""
    return f"./{file}" if file.startswith(".") and "/" not in file else file


def disk(trained: list[dict[str, int]], evaluations: list[Evaluation]) -> tuple[int, int]:
    """(bytes that stay, bytes that are taken during an evaluation) of runs together; trained: what
    estimate.disk_of says of each."""
    kept = sum(sum(sizes.values()) for sizes in trained)
    kept += sum(made.disk["records"] for made in evaluations)
    return kept, max((made.disk["merged"] for made in evaluations), default=0)


def _sum(plans: list[Plan], evaluations: list[Evaluation], dollars: float | None) -> str:
    """All runs together, and what their teachers' answers cost where there are sets of traces."""
    hours = sum(plan.gpu_hours[0] for plan in plans), sum(plan.gpu_hours[1] for plan in plans)
    kept, merged = disk([plan.disk for plan in plans], evaluations)
    evaluating = ""
    if all(made.hours for made in evaluations):
        totals = [[made.gpus * hours for hours in made.total] for made in evaluations]
        least, most = (sum(column) for column in zip(*totals, strict=True))
        evaluating = f", evaluation {_time((least, most))}"
    api = "" if dollars is None else f"; API: at most ${dollars:,.0f}"
    return (
        f"{len(plans)} runs: training takes {_time(hours)} of "
        f"{plans[0].device.name}{evaluating}; at most {_gib(kept)} of disk stay, and "
        f"{_gib(merged)} are taken during an evaluation{api}."
    )
