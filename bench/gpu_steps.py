"""The training that gpu_check.py runs: parity on tiny students, steps at real size, and what the
plan expects of them."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

# meta-llama/Llama-3.1-8B's config.json
LLAMA_8B = dict(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=128,
    max_position_embeddings=131072,
    rms_norm_eps=1e-5,
    rope_parameters={
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
)
# Qwen/Qwen3-30B-A3B-Base's config.json, but for the number of layers
QWEN_MOE = dict(
    vocab_size=151936,
    hidden_size=2048,
    intermediate_size=6144,
    num_hidden_layers=12,
    num_attention_heads=32,
    num_key_value_heads=4,
    head_dim=128,
    max_position_embeddings=40960,
    rms_norm_eps=1e-6,
    num_experts=128,
    num_experts_per_tok=8,
    moe_intermediate_size=768,
    norm_topk_prob=True,
    rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
)
STUDENTS = {
    "dense": ("meta-llama/Llama-3.1-8B-Instruct", "llama3"),
    "moe": ("Qwen/Qwen3-30B-A3B-Base", "qwen3"),
}
MEMORY_TOLERANCE = 0.2  # of the plan
RUNS = {"dense": "run09.yaml", "moe": "run01.yaml"}
# nats; a GPU may round float32 products to 10 bits on the way
LOSS_TOLERANCE = {"float32": 0.01, "bfloat16": 0.05}


def tiny_params(kind: str, **changes):
    """The tiny run of one kind of student."""
    from distill_nb import params

    return params.validate(
        params.read_files(RUNS[kind], "tiny.yaml") | {"student": STUDENTS[kind][0]} | changes
    )


def real_config(kind: str):
    """The config of a student at real size."""
    from transformers import LlamaConfig, Qwen3MoeConfig

    return LlamaConfig(**LLAMA_8B) if kind == "dense" else Qwen3MoeConfig(**QWEN_MOE)


def parity(size: str, way: str, folder: Path) -> Iterator[dict]:
    """Train both tiny students by one way; losses, and the adapter's weights at the end below
    `folder`."""
    for kind, dtype in [
        (k, d)
        for k in STUDENTS
        for d in (("float32", "bfloat16") if size == "full" else ("float32",))
    ]:
        yield parity_row("parity", 20 if size == "full" else 4, kind, way, dtype, folder)


def parity_row(
    section: str, steps: int, kind: str, way: str, dtype: str, folder: Path, **changes
) -> dict:
    """The row of a tiny student's training: its losses, or why there are none; the others are tried
    none the less."""
    row = {"section": section, "kind": kind, "way": way, "dtype": dtype}
    try:
        return row | {"losses": parity_losses(steps, kind, way, dtype, folder, **changes)}
    except Exception as error:
        return row | failure(error)


def failure(error: Exception) -> dict:
    """What a row says of an exception."""
    return {
        "failed": f"{type(error).__name__}: {error}"[:500],
        "said": traceback.format_exc().splitlines()[-30:],
    }


def four_bits(way: str, folder: Path) -> Iterator[dict]:
    """Train both tiny students with load_in_4bit by one way; they must learn. On CUDA only."""
    import math

    for kind in STUDENTS:
        row = parity_row("4bit", 10, kind, way, "bfloat16", folder, load_in_4bit=True)
        losses = row.get("losses", [])
        if losses and (not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]):
            row["failed"] = "its loss does not fall"
        yield row


def processes() -> Iterator[dict]:
    """Both tiny students in two processes, with a GPU each where there are two, against the same in
    one; losses of every step."""
    from dataclasses import replace

    from distill_nb.training import train

    for kind in STUDENTS:
        p = tiny_params(kind, run_name=f"{kind}_one", backend="auto")
        runs, row = (
            [p, replace(p, run_name=f"{kind}_two", train_processes=2)],
            {"section": "processes", "kind": kind, "way": ""},
        )
        try:
            for run in runs:
                train.train(run)
            one, two = (train.load_metrics(run)["loss"].tolist() for run in runs)
            row |= {
                "losses": two,
                "largest_loss_difference": max(abs(a - b) for a, b in zip(one, two, strict=True)),
            }
            yield row | (
                {}
                if row["largest_loss_difference"] <= LOSS_TOLERANCE["float32"]
                else {"failed": "the losses differ"}
            )
        except Exception as error:
            yield row | failure(error)


def parity_losses(
    steps: int, kind: str, way: str, dtype: str, folder: Path, **changes
) -> list[float]:
    """Train a tiny student; its losses. Leaves the adapter's weights in `folder`."""
    import training
    from safetensors.torch import save_file

    from distill_nb.students import student
    from distill_nb.training import step, train

    p = tiny_params(
        kind,
        backend="unsloth" if way == "unsloth" else "hf",
        dtype=dtype,
        max_steps=steps,
        save_every=steps,
        n_examples=4 * steps,
        **changes,
    )
    backend = student.choose_backend(p)
    data = train.prepare(p)
    model = student.attach_lora(student.load(p, backend), p, backend)
    clock, state = training.stopwatch(), folder / f"state_{kind}_{dtype}_{way}"
    if way == "plain":
        pad_id = student.load_tokenizer(p).pad_token_id
        trainer = training.plain_trainer(model, p, data.train, state, pad_id, False, [clock])
    else:
        step.patch(model, backend)
        trainer = step.make_trainer(model, p, data.train, state, [clock])
    trainer.train()
    weights = {
        n: w.detach().float().cpu().contiguous()
        for n, w in model.named_parameters()
        if "lora_" in n
    }
    save_file(weights, folder / f"{kind}_{dtype}_{way}.safetensors")
    return clock.losses


def compare_parity(rows: list[dict], folder: Path) -> None:
    """Add to the rows of parity how far each way is from hf: in losses, and in weights B by how far
    those moved at most."""
    from safetensors.torch import load_file

    losses = {(r["kind"], r["dtype"], r["way"]): r["losses"] for r in rows if "losses" in r}
    for row in rows:
        key = (row["kind"], row.get("dtype"))
        if row["way"] == "hf" or "losses" not in row or (*key, "hf") not in losses:
            continue
        apart = max(abs(a - b) for a, b in zip(row["losses"], losses[(*key, "hf")], strict=True))
        found, expected = (
            load_file(folder / f"{'_'.join(key)}_{way}.safetensors") for way in (row["way"], "hf")
        )
        row |= {"largest_loss_difference": apart, "same_names": found.keys() == expected.keys()}
        if not row["same_names"]:
            row["failed"] = "its adapter has other weights than hf's"
            continue
        moved = {n: w for n, w in expected.items() if "lora_B" in n}
        row["largest_weight_difference"] = max(
            (found[n] - w).abs().max().item() for n, w in moved.items()
        ) / max(w.abs().max().item() for w in moved.values())
        if not apart <= LOSS_TOLERANCE[row["dtype"]]:
            row["failed"] = f"its losses are up to {apart:.3g} nats from hf's"


def steps_params(size: str, kind: str, way: str, model: str):
    """The run whose steps are measured: run 9 or run 1 at full size, or the tiny one."""
    from distill_nb import params

    backend = "unsloth" if way == "unsloth" else "hf"
    if size == "tiny":
        return tiny_params(
            kind,
            backend=backend,
            max_length=256,
            batch_size=4,
            max_steps=2,
            save_every=2,
            micro_batch_size=1,
        )
    return params.validate(
        params.read_files(RUNS[kind])
        | dict(
            student=model,
            chat_template=STUDENTS[kind][1],
            backend=backend,
            batch_size=10,
            max_steps=2,
            save_every=2,
            micro_batch_size=1,
        )
    )


def steps(size: str, kind: str, way: str, model: str) -> Iterator[dict]:
    """One way's speed on both spreads of lengths, each at its own fastest micro-batch, with one
    loaded model."""
    import training

    from distill_nb import params
    from distill_nb.plan import devices as plan_devices
    from distill_nb.students import chat, student
    from distill_nb.training import step

    p = steps_params(size, kind, way, model)
    own = params.read_files(RUNS[kind], *(["tiny.yaml"] if size == "tiny" else []))[
        "micro_batch_size"
    ]
    backend = student.choose_backend(p)
    tokenizer = student.load_tokenizer(p)
    template = chat.template_for(p.student, p.chat_template)
    on_gpu = student.device() == "cuda"
    rate = plan_devices.measured_flops("cuda" if on_gpu else "cpu", p.dtype)
    network = student.attach_lora(student.load(p, backend), p, backend)
    if way != "plain":
        step.patch(network, backend)
    for spread in ("whole", "r1"):
        count = p.batch_size
        lengths = (
            [p.max_length] * count
            if spread == "whole"
            else training.r1_lengths(count, p.max_length)
        )
        examples = training.examples(tokenizer, template, lengths)
        row = {
            "section": "steps",
            "kind": kind,
            "way": way,
            "spread": spread,
            "device_rate": rate,
            **fastest(network, p, way, tokenizer.pad_token_id, examples, on_gpu, own),
        }
        if backend == "unsloth":
            row["packed_attention"] = seen = packed_attention()
            several = any(t["micro_batch_size"] > 1 and "seconds" in t for t in row["tried"])
            if (
                on_gpu
                and kind == "moe"
                and size == "full"
                and several
                and not (seen["fast"] or seen.get("compiled"))
            ):
                row["masked"] = (
                    "its rows of several examples never got to the attention that passes over the "
                    "other examples"
                )
        if "seconds" in row:
            labelled = sum(int((e["labels"][1:] != chat.IGNORE).sum()) for e in examples)
            work = training.step_flops(p, lengths, labelled, row["recomputed"])
            row |= {
                "tokens": sum(lengths),
                "lengths": lengths,
                "labelled": labelled,
                "tokens_per_second": sum(lengths) / row["seconds"],
                "seconds_per_batch_of_50": row["seconds"] * 50 / count,
                "flops_per_second": work / row["seconds"],
                "share_of_matrix_rate": work / row["seconds"] / rate,
            }
        yield row


def packed_attention() -> dict:
    """How often Unsloth's attention for packed rows has run with the kernel that skips the other
    examples (fast, compiled), and how often with a mask (fallback), up to now, in students that run
    by Transformers' code: the mixture of experts. {} on a CPU, where there is none."""
    module = sys.modules.get("unsloth.utils.hf_packed_attention")
    return dict(module.HF_PACKED_ATTENTION_STATS) if module else {}


def compare_steps(rows: list[dict]) -> None:
    """Add to the rows of steps how far the loss of the measured step is from hf's: all ways train
    on the same examples."""
    rows = [row for row in rows if row["section"] == "steps" and "loss" in row]
    expected = {(r["kind"], r["spread"]): r["loss"] for r in rows if r["way"] == "hf"}
    for row in rows:
        row.pop("failed", None)
        if "masked" in row:
            row["failed"] = row["masked"]
        if row["way"] != "hf" and (row["kind"], row["spread"]) in expected:
            row["loss_difference"] = abs(row["loss"] - expected[row["kind"], row["spread"]])
            if not row["loss_difference"] <= LOSS_TOLERANCE["bfloat16"]:
                row["failed"] = f"its loss is {row['loss_difference']:.3g} nats from hf's"


def fastest(
    network, p, way: str, pad_id: int, examples: list[dict], on_gpu: bool, own: int
) -> dict:
    """The best of all micro-batches that fit, growing until that is slower: seconds of a step, peak
    memory, what was tried. own: the micro-batch of the run's file, which ours is measured at in any
    case."""
    import gc

    import torch

    tried, start = (
        [],
        {n: w.detach().clone() for n, w in network.named_parameters() if w.requires_grad},
    )
    for recomputed in [True, False] if on_gpu and way != "unsloth" else [on_gpu]:
        if on_gpu and way != "unsloth":
            if recomputed:
                network.gradient_checkpointing_enable(
                    gradient_checkpointing_kwargs={"use_reentrant": False}
                )
            else:
                network.gradient_checkpointing_disable()
        best = float("inf")
        for micro in [m for m in (1, 2, 5, 10) if p.batch_size % m == 0]:
            with torch.no_grad():
                for name, weight in network.named_parameters():
                    if name in start:
                        weight.copy_(start[name])
            made = timed(network, p, way, pad_id, examples, micro)
            gc.collect()
            torch.cuda.empty_cache()
            tried.append({"micro_batch_size": micro, "recomputed": recomputed, **made})
            print("\nTRIED " + json.dumps(tried[-1]), flush=True)
            if "seconds" not in made or (
                made["seconds"] > 1.03 * best and (micro >= own or way == "plain")
            ):
                break
            best = min(best, made["seconds"])
    fitting = [t for t in tried if "seconds" in t]
    if not fitting:
        return {"failed": tried[0]["failed"], "tried": tried}
    return min(fitting, key=lambda t: t["seconds"]) | {"tried": tried}


def timed(network, p, way: str, pad_id: int, examples: list[dict], micro: int) -> dict:
    """One step over the examples after one to warm up: seconds, peak_memory_gib, its loss; or why
    it failed."""
    from dataclasses import replace

    import torch
    import training

    from distill_nb.runtime import devices
    from distill_nb.training import step
    from distill_nb.training.data import training_order

    p = replace(p, micro_batch_size=micro)
    clock = training.stopwatch()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        try:
            if way == "plain":
                trainer = training.plain_trainer(
                    network, p, examples * p.max_steps, Path(folder), pad_id, False, [clock]
                )
            else:
                order = training_order(
                    [len(e["input_ids"]) for e in examples], p.batch_size, 1, p.seed, micro
                )
                data = [examples[i] for i in order] * p.max_steps
                trainer = step.make_trainer(network, p, data, Path(folder), [clock])
            trainer.train()
        except Exception as error:
            network.zero_grad(set_to_none=True)
            return {"failed": "out of memory"} if devices.out_of_memory(error) else failure(error)
    network.zero_grad(set_to_none=True)
    return {
        "seconds": clock.wall[-1],
        "peak_memory_gib": round(training.peak_memory(), 2),
        "loss": clock.losses[-1],
    }


def plan_rows(size: str, folder: Path, measured: list[dict]) -> list[dict]:
    """What plan expects of the steps that were measured, without loading a model: configs are
    enough."""
    from dataclasses import replace

    import numpy as np

    from distill_nb.plan import devices as plan_devices
    from distill_nb.plan import plan
    from distill_nb.training.data import Data, training_order

    device, rows = None, []
    for row in measured:
        model = folder / f"{row['kind']}-config"
        if size == "full" and not model.exists():
            real_config(row["kind"]).save_pretrained(model)
        p = replace(
            steps_params(size, row["kind"], row["way"], str(model)),
            micro_batch_size=row["micro_batch_size"],
            recompute="on" if row["recomputed"] else "off",
        )
        device = device or plan_devices.this(p.dtype)
        order = training_order(row["lengths"], p.batch_size, 1, p.seed, p.micro_batch_size)
        unlabelled = (row["tokens"] - row["labelled"]) // len(order)
        data = Data(
            [
                {
                    "input_ids": np.zeros(n, np.int32),
                    "labels": np.r_[
                        np.full(min(unlabelled, n), -100), np.ones(max(0, n - unlabelled))
                    ],
                }
                for n in (row["lengths"][i] for i in order)
            ]
            * p.max_steps,
            [],
        )
        expected = plan.estimate(replace(p, n_heldout=0), device, data)
        hours = row["seconds"] * p.max_steps / 3600
        memory = expected.peak - expected.memory.get("CUDA", 0)  # torch does not allocate that
        rows.append(
            {
                "section": "plan",
                "kind": row["kind"],
                "way": row["way"],
                "spread": row["spread"],
                "memory_gib": round(memory / 2**30, 4),
                "measured_memory_gib": row["peak_memory_gib"],
                "hours": [round(h, 6) for h in expected.hours],
                "measured_hours": round(hours, 6),
                "hours_in_range": expected.hours[0] <= hours <= expected.hours[1],
            }
        )
        off = memory / 2**30 / row["peak_memory_gib"] - 1
        if size == "full" and (
            off < -MEMORY_TOLERANCE or (off > MEMORY_TOLERANCE and row["way"] != "unsloth")
        ):
            rows[-1]["failed"] = f"the plan's memory is {off:+.0%} off"
    return rows
