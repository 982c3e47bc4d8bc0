"""What only a GPU can show, with no network and no weights: models come from configs with random weights.

    python bench/gpu_check.py                                # all sections, on a GPU
    python bench/gpu_check.py --only parity "steps dense"    # some; their rows replace those of an earlier run
    python bench/gpu_check.py --size tiny                    # the same code at tiny size; runs on a CPU, used by the tests

Sections, each of processes of their own, because Unsloth patches Transformers for good, which are ended after 10 minutes:

  parity        20 steps of the tiny Llama and the tiny mixture of experts, in float32 and bfloat16, on the same batches: our
                step with Unsloth, our step with Transformers + PEFT (hf), and plain Transformers + PEFT with padding. Losses
                of each step; adapters at the end
  steps dense   training steps of Llama-3.1-8B (bf16, LoRA as in run 9), all examples of 4,096 tokens and with the spread of
                R1's traces: useful tokens/s, peak memory, FLOP/s (training.step_flops; recomputation counts as work) by the
                rate of a bf16 product of 8192 x 8192 matrices. Ways: unsloth, hf, plain, each at its own fastest micro-batch,
                hf and plain also without recomputation where that fits. Ten examples are measured and scaled to a batch of 50
  steps moe     the same for the layers of Qwen3-30B-A3B, 12 of its 48, so that disk and memory suffice
  plan          what distill_nb.plan expects of those steps, against what was measured
  sweep dense, sweep moe
                bench/sweep.py: one vLLM engine with LoRA adapters side by side against a fresh one for each, or merged ones,
                with the proof that each adapter is applied

Prints a table and writes bench/results/gpu_check_<device>_<size>.json after each section. A back end that is not installed, or
a section that fails, is recorded as such, with its reason. Goals for Llama-3.1-8B: 1.8 times the useful tokens/s of plain, and
half of the measured matrix rate.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# meta-llama/Llama-3.1-8B's config.json
LLAMA_8B = dict(vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
                num_attention_heads=32, num_key_value_heads=8, head_dim=128, max_position_embeddings=131072,
                rms_norm_eps=1e-5, rope_parameters={
                    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})
# Qwen/Qwen3-30B-A3B-Base's config.json, but for the number of layers
QWEN_MOE = dict(vocab_size=151936, hidden_size=2048, intermediate_size=6144, num_hidden_layers=12, num_attention_heads=32,
                num_key_value_heads=4, head_dim=128, max_position_embeddings=40960, rms_norm_eps=1e-6, num_experts=128,
                num_experts_per_tok=8, moe_intermediate_size=768, norm_topk_prob=True,
                rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})
STUDENTS = {"dense": ("meta-llama/Llama-3.1-8B-Instruct", "llama3"), "moe": ("Qwen/Qwen3-30B-A3B-Base", "qwen3")}
WAYS = ("unsloth", "hf", "plain")
SECTIONS = ("parity", "steps dense", "steps moe", "plan", "sweep dense", "sweep moe")
LIMIT = 600  # seconds for one process
LOSS_TOLERANCE = {"float32": 0.01, "bfloat16": 0.05}  # nats; a GPU may round float32 products to 10 bits on the way
GOALS = {"times_plain": 1.8, "share_of_matrix_rate": 0.5}


def tiny_params(kind: str, **changes):
    """The tiny run of one kind of student."""
    from distill_nb import params

    run = "run09.yaml" if kind == "dense" else "run01.yaml"
    return params.validate(params.read_files(run, "tiny.yaml") | {"student": STUDENTS[kind][0]} | changes)


def real_config(kind: str):
    """The config of a student at real size."""
    from transformers import LlamaConfig, Qwen3MoeConfig

    return LlamaConfig(**LLAMA_8B) if kind == "dense" else Qwen3MoeConfig(**QWEN_MOE)


def write_model(kind: str, folder: Path, tokenizer_from: str) -> None:
    """A real architecture with random bf16 weights (16 GB) and a byte-level tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(real_config(kind), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_from).save_pretrained(folder)


def parity(size: str, way: str, folder: Path) -> list[dict]:
    """Train both tiny students by one way; losses, and the adapter's weights at the end below `folder`."""
    rows = []
    for kind, dtype in [(k, d) for k in STUDENTS for d in (("float32", "bfloat16") if size == "full" else ("float32",))]:
        row = {"section": "parity", "kind": kind, "way": way, "dtype": dtype}
        try:
            rows.append(row | {"losses": parity_losses(20 if size == "full" else 4, kind, way, dtype, folder)})
        except Exception as error:  # the others are tried none the less
            rows.append(row | {"failed": f"{type(error).__name__}: {error}"[:500]})
    return rows


def parity_losses(steps: int, kind: str, way: str, dtype: str, folder: Path) -> list[float]:
    """Train a tiny student; its losses. Leaves the adapter's weights in `folder`."""
    import training
    from safetensors.torch import save_file

    from distill_nb import student, train, train_step

    p = tiny_params(kind, backend="unsloth" if way == "unsloth" else "hf", dtype=dtype, max_steps=steps, save_every=steps,
                    n_examples=4 * steps)
    backend = student.choose_backend(p)
    data = train.prepare(p)
    model = student.attach_lora(student.load(p, backend), p, backend)
    clock, state = training.stopwatch(), folder / f"state_{kind}_{dtype}_{way}"
    if way == "plain":
        pad_id = student.load_tokenizer(p).pad_token_id
        trainer = training.plain_trainer(model, p, data.train, state, pad_id, False, [clock])
    else:
        if backend == "hf":
            train_step.patch(model)
        trainer = train_step.make_trainer(model, p, data.train, state, [clock])
    trainer.train()
    weights = {n: w.detach().float().cpu().contiguous() for n, w in model.named_parameters() if "lora_" in n}
    save_file(weights, folder / f"{kind}_{dtype}_{way}.safetensors")
    return clock.losses


def compare_parity(rows: list[dict], folder: Path) -> None:
    """Add to the rows of parity how far each way is from hf: in losses, and in weights B by how far those moved at most."""
    from safetensors.torch import load_file

    losses = {(r["kind"], r["dtype"], r["way"]): r["losses"] for r in rows if "losses" in r}
    for row in rows:
        key = (row["kind"], row.get("dtype"))
        if row["way"] == "hf" or "losses" not in row or (*key, "hf") not in losses:
            continue
        apart = max(abs(a - b) for a, b in zip(row["losses"], losses[(*key, "hf")], strict=True))
        found, expected = (load_file(folder / f"{'_'.join(key)}_{way}.safetensors") for way in (row["way"], "hf"))
        row |= {"largest_loss_difference": apart, "same_names": found.keys() == expected.keys()}
        if not row["same_names"]:
            row["failed"] = "its adapter has other weights than hf's"
            continue
        moved = {n: w for n, w in expected.items() if "lora_B" in n}
        row["largest_weight_difference"] = max((found[n] - w).abs().max().item() for n, w in moved.items()) / max(
            w.abs().max().item() for w in moved.values())
        if not apart <= LOSS_TOLERANCE[row["dtype"]]:
            row["failed"] = f"its losses are up to {apart:.3g} nats from hf's"


def steps_params(size: str, kind: str, way: str, model: str):
    """The run whose steps are measured: run 9 or run 1 at full size, or the tiny one."""
    from distill_nb import params

    backend = "unsloth" if way == "unsloth" else "hf"
    if size == "tiny":
        return tiny_params(kind, backend=backend, max_length=256, batch_size=4, max_steps=2, save_every=2, micro_batch_size=1)
    run = "run09.yaml" if kind == "dense" else "run01.yaml"
    return params.validate(params.read_files(run) | dict(
        student=model, chat_template=STUDENTS[kind][1], backend=backend, batch_size=10, max_steps=2, save_every=2,
        micro_batch_size=1))


def steps(size: str, kind: str, way: str, model: str) -> list[dict]:
    """One way's speed on both spreads of lengths, each at its own fastest micro-batch, with one loaded model."""
    import training

    from distill_nb import chat, devices, student, train_step

    p = steps_params(size, kind, way, model)
    backend = student.choose_backend(p)
    tokenizer = student.load_tokenizer(p)
    template = chat.template_for(p.student, p.chat_template)
    on_gpu = student.device() == "cuda"
    rate = devices.measured_flops("cuda" if on_gpu else "cpu", p.dtype)
    network = student.attach_lora(student.load(p, backend), p, backend)
    if way == "hf":
        train_step.patch(network)
    rows = []
    for spread in ("whole", "r1"):
        count = p.batch_size
        lengths = [p.max_length] * count if spread == "whole" else training.r1_lengths(count, p.max_length)
        examples = training.examples(tokenizer, template, lengths)
        row = {"section": "steps", "kind": kind, "way": way, "spread": spread, "device_rate": rate, **fastest(
            network, p, way, tokenizer.pad_token_id, examples, on_gpu)}
        if "seconds" in row:
            labelled = sum(int((e["labels"][1:] != chat.IGNORE).sum()) for e in examples)
            work = training.step_flops(p, lengths, labelled, row["recomputed"])
            row |= {"tokens": sum(lengths), "lengths": lengths, "labelled": labelled,
                    "tokens_per_second": sum(lengths) / row["seconds"], "seconds_per_batch_of_50": row["seconds"] * 50 / count,
                    "flops_per_second": work / row["seconds"], "share_of_matrix_rate": work / row["seconds"] / rate}
        rows.append(row)
    return rows


def compare_steps(rows: list[dict]) -> None:
    """Add to the rows of steps how far the loss of the measured step is from hf's: all ways train on the same examples."""
    expected = {r["spread"]: r["loss"] for r in rows if r["way"] == "hf" and "loss" in r}
    for row in rows:
        if row["way"] != "hf" and "loss" in row and row["spread"] in expected:
            row["loss_difference"] = abs(row["loss"] - expected[row["spread"]])
            if not row["loss_difference"] <= LOSS_TOLERANCE["bfloat16"]:
                row["failed"] = f"its loss is {row['loss_difference']:.3g} nats from hf's"


def fastest(network, p, way: str, pad_id: int, examples: list[dict], on_gpu: bool) -> dict:
    """The best of all micro-batches that fit, growing until that is slower: seconds of a step, peak memory, what was tried."""
    import gc

    import torch

    tried, start = [], {n: w.detach().clone() for n, w in network.named_parameters() if w.requires_grad}
    for recomputed in ([True, False] if on_gpu and way != "unsloth" else [on_gpu]):
        if on_gpu and way != "unsloth":
            if recomputed:
                network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
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
            if "seconds" not in made or made["seconds"] > 1.03 * best:
                break
            best = min(best, made["seconds"])
    fitting = [t for t in tried if "seconds" in t]
    if not fitting:
        return {"failed": tried[0]["failed"], "tried": tried}
    return min(fitting, key=lambda t: t["seconds"]) | {"tried": tried}


def timed(network, p, way: str, pad_id: int, examples: list[dict], micro: int) -> dict:
    """One step over the examples after one to warm up: seconds, peak_memory_gib, its loss; or why it failed."""
    from dataclasses import replace

    import torch
    import training

    from distill_nb import train, train_step

    p = replace(p, micro_batch_size=micro)
    clock = training.stopwatch()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        try:
            if way == "plain":
                trainer = training.plain_trainer(network, p, examples * p.max_steps, Path(folder), pad_id, False, [clock])
            else:
                order = train.training_order([len(e["input_ids"]) for e in examples], p.batch_size, 1, p.seed, micro)
                data = [examples[i] for i in order] * p.max_steps
                trainer = train_step.make_trainer(network, p, data, Path(folder), [clock])
            trainer.train()
        except RuntimeError as error:  # torch's OutOfMemoryError is one
            network.zero_grad(set_to_none=True)
            return {"failed": "out of memory" if "out of memory" in str(error) else f"{type(error).__name__}: {error}"[:300]}
    network.zero_grad(set_to_none=True)
    return {"seconds": clock.wall[-1], "peak_memory_gib": round(training.peak_memory(), 2), "loss": clock.losses[-1]}


def plan_rows(size: str, model: str, measured: list[dict]) -> list[dict]:
    """What plan expects of the steps that were measured, without loading the model."""
    from dataclasses import replace

    import numpy as np

    from distill_nb import devices, plan, train

    if size == "full" and not Path(model).exists():  # its config is enough
        real_config(measured[0]["kind"]).save_pretrained(model)
    device, rows = None, []
    for row in measured:
        if row["way"] == "plain" or "seconds" not in row:
            continue
        p = replace(steps_params(size, row["kind"], "hf", model), micro_batch_size=row["micro_batch_size"])
        device = device or devices.this(p.dtype)
        order = train.training_order(row["lengths"], p.batch_size, 1, p.seed, p.micro_batch_size)
        unlabelled = (row["tokens"] - row["labelled"]) // len(order)
        data = train.Data([{"input_ids": np.zeros(n, np.int32), "labels": np.r_[np.full(min(unlabelled, n), -100), np.ones(
            max(0, n - unlabelled))]} for n in (row["lengths"][i] for i in order)] * p.max_steps, [])
        expected = plan.estimate(replace(p, n_heldout=0), device, data)
        hours = row["seconds"] * p.max_steps / 3600
        rows.append({"section": "plan", "kind": row["kind"], "way": row["way"], "spread": row["spread"],
                     "memory_gib": round(expected.peak / 2**30, 2), "measured_memory_gib": row["peak_memory_gib"],
                     "hours": [round(h, 6) for h in expected.hours], "measured_hours": round(hours, 6),
                     "hours_in_range": expected.hours[0] <= hours <= expected.hours[1]})
    return rows


def sweep(size: str, kind: str, folder: Path) -> list[dict]:
    """bench/sweep.py on a random student of one kind."""
    from distill_nb import student

    model, template = student.source(tiny_params(kind)), STUDENTS[kind][1]
    options = ["--checkpoints", "1", "--prompts", "2", "--new-tokens", "4", "--ways",
               "hf,merged,multi" if kind == "dense" else "hf,merged"]
    if size == "full":
        model = model_folder(kind, folder)
        options = ["--checkpoints", "2", "--dtype", "bfloat16", "--ways",
                   "fresh served,multi" if kind == "dense" else "multi,merged"]
    command = [sys.executable, str(ROOT / "bench" / "sweep.py"), "--student", model, "--chat-template", template, *options,
               "--out", str(folder / f"sweep_{kind}")]
    done = subprocess.run(command, capture_output=True, text=True)
    found = list((folder / f"sweep_{kind}").glob("sweep_*.json"))
    if not found:
        raise RuntimeError((done.stderr.strip().splitlines() or ["?"])[-1])
    result = json.loads(found[0].read_text())
    keep = ("medians", "faster_peer", "ratios", "answers", "tokens", "proofs")
    unproven = [made for made in result["proofs"] if not made["passed"]]
    row = {"section": "sweep", "kind": kind, "way": "vllm"}
    row |= {k: v for k, v in result.items() if k in keep or k.startswith("answers_as")}
    return [row | ({"failed": f"{len(unproven)} adapters are not proved to be applied"} if unproven else {})]


def model_folder(kind: str, folder: Path) -> str:
    """Where the real-size random student of one kind is, or will be."""
    return str(folder / f"{kind}-random")


def make_models(size: str, folder: Path, kind: str) -> list[dict]:
    """The tiny students, and for a section of one kind at full size its student, in the place of the other kind's: the disk
    has room for one. In a process of its own, before any that imports Unsloth."""
    from distill_nb import student

    tokenizers = {k: student.source(tiny_params(k)) for k in STUDENTS}
    made = Path(model_folder(kind, folder))
    if size == "full" and kind in STUDENTS and not made.exists():
        for other in STUDENTS:
            shutil.rmtree(model_folder(other, folder), ignore_errors=True)
        write_model(kind, made.with_suffix(".partial"), tokenizers[kind])
        made.with_suffix(".partial").rename(made)
    return []


def process(size: str, folder: Path, *job: str) -> list[dict]:
    """A job in a process of its own: the rows that it prints, or one row that says why there are none."""
    blank = dict(zip(("section", "kind", "way"), job, strict=False))
    command = [sys.executable, __file__, "--size", size, "--folder", str(folder), "--one", *job]
    environment = os.environ | {"DISTILL_NB_RUNS": str(folder / "runs")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment)
    except subprocess.TimeoutExpired:
        return [blank | {"failed": f"it took more than {LIMIT} seconds"}]
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    return json.loads(found[1]) if found else [
        blank | {"failed": (done.stderr.strip().splitlines() or ["?"])[-1][:500]}]


def one(size: str, folder: Path, section: str, *rest: str) -> list[dict]:
    """What `process` asks for, in this process."""
    if section == "parity":
        return parity(size, rest[-1], folder)
    if section == "steps":
        return steps(size, *rest, model_folder(rest[0], folder))
    if section == "plan":
        return plan_rows(size, model_folder(rest[0], folder) + "-config", json.loads((folder / "steps.json").read_text()))
    return make_models(size, folder, rest[0]) if section == "models" else sweep(size, rest[0], folder)


def section_rows(section: str, size: str, folder: Path, before: list[dict]) -> list[dict]:
    """All rows of a section."""
    name, _, kind = section.partition(" ")
    if name == "sweep" and importlib.util.find_spec("vllm") is None:
        return [{"section": name, "kind": kind, "way": "vllm", "skipped": "vllm is not installed"}]
    if name != "plan":
        rows = process(size, folder, "models", kind or "both")
        if rows:
            return [row | {"section": name, "kind": kind or "both"} for row in rows]
    rows = []
    if name in ("parity", "steps"):
        for way in WAYS:
            if way == "unsloth" and importlib.util.find_spec("unsloth") is None:
                rows.append({"section": name, "kind": kind or "both", "way": way, "skipped": "unsloth is not installed"})
            else:
                rows += process(size, folder, name, kind or "both", way)
        if name == "parity":
            compare_parity(rows, folder)
        else:
            compare_steps(rows)
    elif name == "sweep":
        rows = process(size, folder, name, kind)
    else:
        for kind in STUDENTS:
            measured = [r for r in before if r["section"] == "steps" and r["kind"] == kind and "seconds" in r]
            (folder / "steps.json").write_text(json.dumps(measured))
            rows += process(size, folder, name, kind) if measured else [
                {"section": name, "kind": kind, "way": "", "skipped": f"steps {kind} has no result"}]
    return rows


def goals(rows: list[dict]) -> dict:
    """Of our faster way, for each student and spread: how many times plain's tokens/s, and the share of the matrix rate."""
    found = {(r["kind"], r["spread"], r["way"]): r for r in rows if r["section"] == "steps" and "seconds" in r}
    made = {}
    for kind, spread, way in found:
        ours = [r for (k, s, w), r in found.items() if (k, s) == (kind, spread) and w != "plain"]
        if way != "plain" or not ours:
            continue
        best = max(ours, key=lambda r: r["tokens_per_second"])
        made[f"{kind} {spread}"] = {
            "way": best["way"], "times_plain": best["tokens_per_second"] / found[kind, spread, "plain"]["tokens_per_second"],
            "share_of_matrix_rate": best["share_of_matrix_rate"]}
    return made


def device_name() -> str:
    """The GPU's name, or the CPU's architecture."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU {platform.machine()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION", help="; ".join(SECTIONS))
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON file")
    parser.add_argument("--folder", type=Path, default=None, help="for models and adapters, 20 GB; default: a temporary one")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print("\nRESULT " + json.dumps(one(args.size, args.folder, *args.one)), flush=True)
        return 0
    import torch

    if args.size == "full" and not torch.cuda.is_available():
        sys.exit("gpu_check.py needs a CUDA device at full size; add --size tiny to try it on a CPU.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return check(args, folder)


def check(args, folder: Path) -> int:
    """Run the sections; write and print what they gave."""
    import torch

    args.out.mkdir(parents=True, exist_ok=True)
    name = device_name()
    file = args.out / f"gpu_check_{re.sub('[^a-z0-9]+', '-', name.lower())}_{args.size}.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    for section in args.only:
        kept = [r for r in rows if section not in (r["section"], f"{r['section']} {r['kind']}")]
        made = section_rows(section, args.size, folder, rows)
        rows = kept + made
        result = {"device": name, "size": args.size, "torch": torch.__version__, "goals": GOALS, "ours": goals(rows),
                  "rows": rows}
        file.write_text(json.dumps(result, indent=1) + "\n")
        for r in made:
            print("  ".join(f"{k}: {v}" for k, v in r.items() if k not in ("tried", "lengths", "proofs")), flush=True)
    print(json.dumps(goals(rows), indent=1))
    return any("failed" in r for r in rows)


if __name__ == "__main__":
    sys.exit(main())
