"""What only a GPU can show, with no network and no weights, in its first 12 minutes: models come
from configs with random weights.

    # all sections, the dearest questions first
    python bench/gpu_check.py
    # some; an earlier run's others stay
    python bench/gpu_check.py --only "steps dense" "serve dense" --folder /tmp/models
    # the same code at tiny size; runs on a CPU, used by the tests
    python bench/gpu_check.py --size tiny

Sections, with the seconds that each may take at full size:

  environment 30        C compiler, versions, memory, rate of products of matrices, back ends,
                        whether Triton builds a kernel
  steps moe unsloth 150 Qwen3-30B-A3B, all 48 layers, at its run's micro-batch: useful tokens/s,
                        peak memory against the plan's, whether 80 GB are enough (on a larger GPU
                        torch is held to 79 GiB first), whether attention passes over the other
                        examples of a row. A step has 10 examples of 4,096 tokens; a real one 50
  parity real width 90  losses and adapters' gradients by Unsloth and by hf, of the same weights
                        and batch, with real width and few layers
  serve moe 120         vLLM, four layers: adapters side by side and merged, each with its proof
  steps dense 100       Llama-3.1-8B, keeping activations at a micro-batch of 2, and computing them
                        again at 10; by Unsloth, then by hf
  serve dense 120       vLLM, the whole Llama-3.1-8B with 6 adapters in 7 slots, in the memory of 80
                        GB: proofs, tokens/s
  hf attention 60       hf over lengths as of R1's traces: step.patch's attention against SDPA for
                        one example after another
  plan 60               what distill_nb.plan expects of the steps: it runs beside the others, as it
                        needs no GPU, and is compared with what they measured
  parity 120            20 steps of the tiny students in float32 and bfloat16, by Unsloth, hf, and
                        plain Transformers + PEFT with padding: losses, adapters at the end
  4bit 60               10 steps of the tiny students with load_in_4bit: their loss must fall
  processes 120         tiny runs in two processes against the same in one; two GPUs only
  steps moe hf 150      the mixture of experts by hf

The last is for --only; the others run as far as --minutes allows. A section's processes are its
own, because Unsloth patches Transformers for good. They are ended after its seconds, and the next
section begins. bench/results/gpu_check_<device>_<size>.json is written with every row as it comes;
a section that fails, is late or is skipped is recorded with its reason and what it said last."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import re
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import gpu_attention
import gpu_facts
import gpu_parity
import gpu_plan
import gpu_serve
import gpu_steps
from gpu_jobs import Report, run_job
from gpu_models import failure

ROOT = Path(__file__).resolve().parents[1]
# section → its seconds, and its jobs: each is a process; one named unsloth needs that installed
SECTIONS: dict[str, tuple[int, list[tuple[str, ...]]]] = {
    "environment": (30, [("environment",)]),
    "steps moe unsloth": (150, [("steps", "moe", "unsloth")]),
    "parity real width": (90, [("gradients", "unsloth"), ("gradients", "hf")]),
    "serve moe": (120, [("serve", "moe")]),
    "steps dense": (100, [("steps", "dense", "unsloth"), ("steps", "dense", "hf")]),
    "serve dense": (120, [("serve", "dense")]),
    "hf attention": (60, [("attention",)]),
    "plan": (60, [("plan",)]),
    "parity": (120, [("parity", "unsloth"), ("parity", "hf,plain")]),
    "4bit": (60, [("4bit", "unsloth"), ("4bit", "hf")]),
    "processes": (120, [("processes",)]),
    "steps moe hf": (150, [("steps", "moe", "hf")]),
}
DEFAULT = [name for name in SECTIONS if name != "steps moe hf"]
MINUTES = 12
ROOM = 30  # GiB of disk: the students that vLLM reads, and a merged one
GOALS = {
    "what": "useful tokens/s of training on one H100; goals, not measurements",
    "Llama-3.1-8B": 12_500,
    "Qwen3-30B-A3B": 11_000,
    "best published": {
        "tokens_per_second": 12_473,
        "tflops": 402,
        "what": "Llama 3 8B LoRA of rank 16 by NVIDIA NeMo AutoModel on one H100, no padding",
    },
}


def one(args) -> None:
    """What `run_job` asks for, in this process."""
    what, *rest = args.one
    size, layers, length, folder = args.size, args.layers, args.length, args.folder
    if what == "environment":
        gpu_facts.environment(size)
    elif what == "steps":
        gpu_steps.steps(size, *rest, layers, length, folder)
    elif what == "gradients":
        gpu_parity.gradients(size, *rest, layers, length, folder)
    elif what == "serve":
        gpu_serve.serve(size, *rest, layers, folder)
    elif what == "attention":
        gpu_attention.attention(size, layers, length, folder)
    elif what == "plan":
        gpu_plan.plan_rows(size, ["moe", "dense"], layers, length, folder)
    elif what == "parity":
        gpu_parity.parity(size, *rest, folder)
    elif what == "4bit":
        gpu_parity.four_bits(*rest, folder)
    elif what == "processes":
        gpu_parity.processes(size)


def skipped(name: str, size: str) -> str:
    """Why a section cannot run here; "" if it can."""
    needs = {"serve moe": "vllm", "serve dense": "vllm", "steps moe unsloth": "unsloth"}.get(name)
    if needs and importlib.util.find_spec(needs) is None:
        return f"{needs} is not installed"
    if name == "4bit" and (not gpu_count() or importlib.util.find_spec("bitsandbytes") is None):
        return "it needs CUDA and bitsandbytes"
    if name == "processes" and gpu_count() < 2 and size == "full":
        return "it needs two GPUs"
    return ""


def run_section(report: Report, name: str, args, folder: Path, seconds: float) -> None:
    """All jobs of a section, one after another, within its seconds; then its line."""
    section, begin = report.start(name, seconds), time.monotonic()
    done = []
    for job in SECTIONS[name][1]:
        if "unsloth" in job and importlib.util.find_spec("unsloth") is None:
            report.add(section, {"row": " ".join(job), "skipped": "unsloth is not installed"})
            continue
        rest = seconds - (time.monotonic() - begin)
        if rest < 1:
            row = {"row": " ".join(job), "skipped": "the section has no time left for it"}
            report.add(section, row | {"late": True})
            continue
        done.append(run_job(report, section, args, folder, job, rest))
    with report.lock:
        try:
            finish(name, section, folder)
        except Exception as error:  # of this section alone
            report.add(section, {"row": "comparison"} | failure(error))
        section["seconds"] = round(time.monotonic() - begin, 1)
        late = any(row.get("late") for row in section["rows"])
        failed = not all(done) or any("failed" in row for row in section["rows"])
        section["state"] = "late" if late else "failed" if failed else "done"
        report.write()


def finish(name: str, section: dict, folder: Path) -> None:
    """Compare a section's rows among each other."""
    rows = section["rows"]
    if name.startswith("steps"):
        gpu_steps.compare_steps(rows)
    elif name == "parity real width":
        gpu_parity.compare_losses(rows)
    elif name == "parity":
        gpu_parity.compare_parity(rows, folder)


def compare_with_plan(report: Report, full: bool) -> None:
    """Add to all measured steps what the plan expected of them."""
    with report.lock:
        sections = report.value["sections"]
        rows = sections.get("environment", {}).get("rows", [])
        rate = next((row["matrix_rate"] for row in rows if "matrix_rate" in row), None)
        planned = [row for row in sections.get("plan", {}).get("rows", []) if "plan_gib" in row]
        for name, section in sections.items():
            if name.startswith("steps"):
                gpu_plan.compare_plan(planned, section["rows"], rate, full)
                if section["state"] == "done" and any("failed" in r for r in section["rows"]):
                    section["state"] = "failed"
        report.write()


def line_of(name: str, section: dict) -> str:
    """A section in one line."""
    said = [section["why"]] if "why" in section else []
    for row in section["rows"]:
        words = row.get("says", "") if "failed" not in row else f"{row['row']}: {row['failed']}"
        said.append(words or row.get("skipped", ""))
        if "of_plan" in row:
            said.append(f"{row['of_plan']:.2f} of the plan's {row['plan_gib']:.1f} GiB")
    return (
        f"{name} ({section['state']}, {section['seconds']:.0f} s): {'; '.join(filter(None, said))}"
    )


def gpu_count() -> int:
    """How many GPUs there are."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def device_name() -> str:
    """The GPU's name, or the CPU's architecture."""
    import torch

    return (
        torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU {platform.machine()}"
    )


def check(args, folder: Path) -> int:
    """Run the sections; write and print what they gave."""
    end = time.monotonic() + 60 * args.minutes
    device, full = device_name(), args.size == "full"
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / f"gpu_check_{re.sub('[^a-z0-9]+', '-', device.lower())}_{args.size}.json"
    head = {"device": device, "size": args.size, "versions": gpu_facts.versions(), "goals": GOALS}
    report, beside = Report(file, head), None
    if "plan" in args.only:
        job = (report, "plan", args, folder, 60 * args.minutes)
        beside = threading.Thread(target=run_section, args=job, daemon=True)
        beside.start()
    for name in args.only:
        limit, rest = SECTIONS[name][0], max(0.0, end - time.monotonic())
        why = skipped(name, args.size)
        if not why and rest < limit / 2:
            why = f"{rest:.0f} seconds are left of --minutes, and it may take {limit}"
        if name == "plan":
            beside.join(min(limit, rest) if full else rest)
        elif why:
            report.start(name, 0).update(state="skipped", why=why)
            report.write()
        else:
            run_section(report, name, args, folder, min(limit, rest) if full else rest)
        compare_with_plan(report, full)
        print(line_of(name, report.value["sections"][name]), flush=True)
    ours = [report.value["sections"][name] for name in args.only]
    return any(section["state"] not in ("done", "skipped") for section in ours)


def refuse_small_disks(folder: Path) -> None:
    """Ends the process where the disk has no room for the students that vLLM reads."""
    free = shutil.disk_usage(folder).free / 2**30
    if free < ROOM:
        sys.exit(
            f"{folder}: {free:.1f} GiB are free, and the students that vLLM reads take up to "
            f"{ROOM}; name a folder on a larger disk by --folder, or other sections by --only."
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(SECTIONS),
        default=DEFAULT,
        metavar="SECTION",
        help="; ".join(SECTIONS),
    )
    parser.add_argument(
        "--minutes", type=float, help=f"of all sections; {MINUTES} at full size, no limit at tiny"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON file"
    )
    parser.add_argument(
        "--folder", type=Path, help=f"for models, {ROOM} GB; default: a temporary one"
    )
    parser.add_argument("--layers", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--length", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args)
        return 0
    full = args.size == "full"
    if full and not gpu_count():
        sys.exit(
            "gpu_check.py needs a CUDA device at full size; add --size tiny to try it on a CPU."
        )
    args.minutes = args.minutes or (MINUTES if full else 24 * 60)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if full and any(name.startswith("serve") for name in args.only):
            refuse_small_disks(folder)
        return check(args, folder)


if __name__ == "__main__":
    sys.exit(main())
