"""Our training step against a plain Transformers Trainer with PEFT that pads, on the CPU.

    python bench/train.py [--rounds 3] [--steps 2] [--batch 10] [--max-length 512] [--dtype
    bfloat16]

All train the same LoRA on the same student (the pocket student, SmolLM2-135M) with the same
examples, whose lengths are spread as those of R1's traces, scaled from 4,096 to --max-length
tokens. The ways:

  ours            step.py: micro-batches without padding, in one process with all threads
  ours shared     the same in as many processes of one thread that share each batch
                  (train_processes)
  plain           Trainer; micro-batches padded to their longest, each batch of examples as ours, in
                  random order
  plain grouped   the same with Trainer's group_by_length, hence with batches of its own

Each way first finds its own fastest micro-batch. Then every round runs all ways in turn, each in a
fresh process. Counted are useful tokens: of prompt and trace, not of padding. The losses of every
step of the first three must agree. Seconds are of the wall clock and of the processor; the latter
depend little on what else runs on the machine, and choose the micro-batch, but count threads that
wait. The share of the matrix rate is FLOP/s for the useful tokens (training.step_flops) by what a
product of 2048 x 2048 matrices reaches at best in the same process, before or after; "share by CPU"
takes the processor's seconds, by the number of threads, for the wall clock's. Memory is the most
that the processes had resident. At the end one step of ours is profiled: which operations take what
share of the processor's time.

Writes bench/results/train_<cpu>.json. Exit status 1 where losses differ.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import training

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("ours", "ours shared", "plain", "plain grouped")
TOLERANCE = 2e-3  # nats; the sums are float32, in another order


def run(args, way: str, micro: int):
    """The parameters of one way."""
    from distill_nb import params

    shared = args.threads if way == "ours shared" else 1
    return params.pocket(
        batch_size=args.batch,
        micro_batch_size=micro,
        max_steps=args.steps,
        save_every=args.steps,
        dtype=args.dtype,
        max_length=args.max_length,
        train_processes=shared,
        student_size=args.student_size,
        scale="tiny" if args.student_size == "tiny" else "pocket",
    )


def one(args, way: str, micro: int) -> dict:
    """Train by one way in this process; what it took, {} if this is not the process that says
    so."""
    from distill_nb.plan import devices as plan_devices
    from distill_nb.students import chat, student
    from distill_nb.training import step
    from distill_nb.training.data import training_order

    p = run(args, way, micro)
    tokenizer = student.load_tokenizer(p)
    # A group_by_length sorts up to a quarter of its data at once, and a full run has many times our
    # examples.
    count = p.batch_size * p.max_steps * (4 if way == "plain grouped" else 1)
    template = chat.template_for(p.student, p.chat_template)
    rows = training.examples(tokenizer, template, training.r1_lengths(count, p.max_length))
    order = training_order(
        [len(r["input_ids"]) for r in rows], p.batch_size, len(rows) // p.batch_size, p.seed, micro
    )
    if way.startswith(
        "plain"
    ):  # the same batches, in the order in which a shuffle would leave them
        batches = [order[i : i + p.batch_size] for i in range(0, len(order), p.batch_size)]
        order = [i for batch in batches for i in random.Random(0).sample(batch, len(batch))]
    rows, model, clock = (
        [rows[i] for i in order],
        student.attach_lora(student.load(p), p),
        training.stopwatch(),
    )
    with tempfile.TemporaryDirectory() as folder:
        if way.startswith("ours"):
            step.patch(model)
            trainer = step.make_trainer(model, p, rows, Path(folder), [clock])
        else:
            trainer = training.plain_trainer(
                model,
                p,
                rows,
                Path(folder),
                tokenizer.pad_token_id,
                way == "plain grouped",
                [clock],
            )
        collate, seen = trainer.data_collator, []

        def noted(batch):
            seen.extend(batch)
            return collate(batch)

        warm = trainer._prepare_inputs(
            collate([{k: v[:16] for k, v in r.items()} for r in rows[:2]])
        )
        model(**warm).loss.backward()
        model.zero_grad()
        trainer.data_collator = noted
        rate = plan_devices.measured_flops("cpu", p.dtype, 2048)
        if args.profile:
            return profile(trainer)
        trainer.train()
        rate = max(rate, plan_devices.measured_flops("cpu", p.dtype, 2048))
        return summary(p, clock, seen[: p.batch_size * p.max_steps // p.train_processes], rate)


def profile(trainer) -> dict:
    """Where the processor's time goes, by kinds of operations: shares of their sum."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    kinds = {
        "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
        "attention": ("aten::_scaled_dot_product",),
        "adding and multiplying": (
            "aten::add",
            "aten::mul",
            "aten::div",
            "aten::sub",
            "aten::silu",
            "aten::pow",
        ),
        "copying": ("aten::copy", "aten::cat", "aten::fill", "aten::zero", "aten::index"),
    }
    with profiler(activities=[ProfilerActivity.CPU]) as seen:
        trainer.train()
    spent = dict.fromkeys([*kinds, "the rest"], 0.0)
    for event in seen.key_averages():
        kind = next((k for k, names in kinds.items() if event.key.startswith(names)), "the rest")
        spent[kind] += event.self_cpu_time_total
    return {kind: round(time / sum(spent.values()), 3) for kind, time in spent.items()}


def summary(p, clock, seen: list[dict], rate: float) -> dict:
    """What one way took; of several processes the first adds up what all did, and the others say
    nothing."""
    import torch.distributed as dist

    lengths, labelled = (
        [len(e["input_ids"]) for e in seen],
        sum(int((e["labels"][1:] != -100).sum()) for e in seen),
    )
    part = {
        "wall": sum(clock.wall),
        "cpu": sum(clock.cpu),
        "losses": clock.losses,
        "tokens": sum(lengths),
        "trained": labelled,
        "flops": training.step_flops(p, lengths, labelled, False),
        "rate": rate,
        "memory": training.peak_memory(),
    }
    if not dist.is_initialized():
        return part
    parts = [None] * dist.get_world_size()
    dist.all_gather_object(parts, part)
    first = dist.get_rank() == 0
    dist.destroy_process_group()
    added = {
        k: sum(other[k] for other in parts)
        for k in ("cpu", "tokens", "trained", "flops", "rate", "memory")
    }
    return part | added | {"wall": max(other["wall"] for other in parts)} if first else {}


def process(args, way: str, micro: int, steps: int, *more: str) -> dict:
    """One way in a fresh process, or several."""
    threads = 1 if way == "ours shared" else args.threads
    start = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--local-addr=127.0.0.1",
        f"--nproc-per-node={args.threads}",
    ]
    command = [
        sys.executable,
        *(start if way == "ours shared" else []),
        __file__,
        *sys.argv[1:],
        "--threads",
        str(args.threads),
        "--steps",
        str(steps),
        *more,
        "--one",
        way,
        str(micro),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    )
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if not found:
        raise RuntimeError(f"{way} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    made = json.loads(found[1])
    if "--profile" in command:
        return made
    made |= {
        "tokens_per_second": made["tokens"] / made["wall"],
        "tokens_per_cpu_second": made["tokens"] / made["cpu"],
        "share_of_matrix_rate": made["flops"] / made["wall"] / made["rate"],
        "share_by_cpu": made["flops"] / (made["cpu"] / args.threads) / made["rate"],
    }
    print(
        f"{way}, micro-batch {micro}: {made['tokens_per_second']:.1f} tokens/s, "
        f"{made['tokens_per_cpu_second']:.1f} a CPU second, "
        f"{100 * made['share_of_matrix_rate']:.0f}% of the matrix rate "
        f"({100 * made['share_by_cpu']:.0f}% by CPU seconds), {made['memory']:.2f} GiB",
        flush=True,
    )
    return made


def compare(args, ways: list[str]) -> dict:
    """Every way's fastest micro-batch, then the rounds."""
    tried, rounds = {}, []
    for way in ways:
        sizes = [
            m
            for m in args.micro
            if args.batch % (m * (args.threads if way == "ours shared" else 1)) == 0
        ]
        if not sizes:
            raise SystemExit(
                f"--micro: none of {args.micro} shares a batch of {args.batch} among "
                f"{args.threads} processes"
            )
        tried[way] = {
            m: process(args, way, m, 1)["tokens_per_cpu_second"] if len(sizes) > 1 else None
            for m in sizes
        }
    fastest = {way: max(found, key=found.get) for way, found in tried.items()}
    for _ in range(args.rounds):
        rounds.append({way: process(args, way, fastest[way], args.steps) for way in ways})
    profiled = process(args, "ours", fastest["ours"], 1, "--profile")
    keep = (
        "tokens_per_second",
        "tokens_per_cpu_second",
        "share_of_matrix_rate",
        "share_by_cpu",
        "memory",
        "tokens",
        "trained",
    )
    ratios = {
        unit: {
            way: [round(r["ours"][unit] / r[way][unit], 3) for r in rounds]
            for way in ways
            if way != "ours"
        }
        for unit in ("tokens_per_second", "tokens_per_cpu_second", "memory")
    }
    losses = {way: rounds[0][way]["losses"] for way in ways}
    return {
        "tokens_per_cpu_second_by_micro_batch": tried,
        "fastest_micro_batch": fastest,
        "medians": {
            way: {k: round(statistics.median(r[way][k] for r in rounds), 3) for k in keep}
            for way in ways
        },
        "ours_by_way": {
            unit: {way: statistics.median(made) for way, made in by.items()}
            for unit, by in ratios.items()
        },
        "profile_of_ours": profiled,
        "pairs": ratios,
        "losses": losses,
        "largest_loss_difference": max(
            abs(a - b)
            for way in ways
            if way != "plain grouped"
            for a, b in zip(losses["ours"], losses[way], strict=True)
        ),
        "rounds": [
            {way: {k: v for k, v in made.items() if k != "losses"} for way, made in r.items()}
            for r in rounds
        ],
    }


def main() -> int:
    from distill_nb.runtime import devices

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="optimiser steps in a round")
    parser.add_argument("--batch", type=int, default=10, help="examples in a step")
    parser.add_argument(
        "--micro",
        type=lambda text: [int(m) for m in text.split(",")],
        default=[1, 2, 5, 10],
        help="micro-batches to choose from, comma-separated",
    )
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--student-size", default="full", choices=("full", "tiny"))
    parser.add_argument(
        "--threads", type=int, default=devices.cores(), help="threads, or processes of one thread"
    )
    parser.add_argument("--ways", default=",".join(WAYS), help="comma-separated, ours among them")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON file"
    )
    parser.add_argument("--profile", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "MICRO"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        made = one(args, args.one[0], int(args.one[1]))
        if made:
            print("\nRESULT " + json.dumps(made), flush=True)
        return 0
    from distill_nb.runtime import provenance

    before = os.getloadavg()[0]
    ways = [way for way in args.ways.split(",") if way != "ours shared" or args.threads > 1]
    result = {
        "device": provenance.device(),
        "packages": provenance.versions(),
        "threads": args.threads,
        "dtype": args.dtype,
        "batch": args.batch,
        "steps": args.steps,
        "max_length": args.max_length,
        "student_size": args.student_size,
        **compare(args, ways),
        "load_average": [before, os.getloadavg()[0]],
    }
    args.out.mkdir(parents=True, exist_ok=True)
    name = re.sub(
        "[^a-z0-9]+", "-", f"{result['device']['name']} {args.student_size} {args.dtype}".lower()
    )
    (args.out / f"train_{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(
        json.dumps({k: v for k, v in result.items() if k not in ("packages", "rounds")}, indent=1)
    )
    return int(result["largest_loss_difference"] > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
