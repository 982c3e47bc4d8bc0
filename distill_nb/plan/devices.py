"""Devices to plan for: their memory and speed, as their makers state them or as measured here."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from distill_nb.runtime.devices import GIB, cores, free_memory


@dataclass(frozen=True)
class Device:
    """kind: cuda | cpu. memory: bytes that one process may use. flops: operations a second in
    products of matrices; training reaches the share `dense` of it (least, most), and `experts` with
    a mixture of experts. bandwidth: bytes of memory a second; 0 = not known."""

    name: str
    kind: str
    memory: int
    flops: float
    source: str
    dense: tuple[float, float]
    experts: tuple[float, float]
    bandwidth: float = 0.0
    total: int = 0  # bytes that it has, others' included; 0: as `memory`


# Shares of an H100's 989 TFLOP/s, as estimate.flops counts operations. None is of our own code, of
# which nothing has run on a GPU. Source: NVIDIA's NeMo AutoModel Performance Summary
# (docs/performance-summary.md, 2025-10-02), bfloat16, full examples of 4,096 tokens.
# - dense: 12,473 tokens/s with LoRA on Llama-3 8B, one H100, which are 0.43 without recomputing
#   (34.3 GFLOP a token). The least is assumed: 3/5 of that.
# - experts: 277 TFLOP/s (12,040 tokens/s) in full training of Qwen3-30B-A3B, eight H100: 0.28. Of
#   LoRA on it nobody has published a rate on one H100. The least is assumed: half of that.
DENSE, EXPERTS = (0.26, 0.43), (0.14, 0.28)
# Of its peak an H100 reaches this in large products, which `this` measures: an assumption.
PRODUCTS = 0.7


def _listed(name: str, gib: float, teraflops: float, terabytes: float, source: str) -> Device:
    source = f"vendor's figure: {source}"
    memory, flops, bandwidth = int(gib * GIB), teraflops * 1e12, terabytes * 1e12
    return Device(name, "cuda", memory, flops, source, DENSE, EXPERTS, bandwidth)


# Memory as the driver reports it, rounded down; bfloat16 products with float32 sums, without
# sparsity; bytes of memory a second.
_DEVICES = (
    _listed("a100-40gb", 39, 312, 1.555, "NVIDIA A100 datasheet"),
    _listed("a100-80gb", 79, 312, 2.039, "NVIDIA A100 datasheet"),
    _listed("h100-80gb", 79, 989, 3.35, "NVIDIA H100 SXM datasheet"),
    _listed("h200-141gb", 139, 989, 4.8, "NVIDIA H200 datasheet"),
    _listed("rtx4090-24gb", 23.5, 165, 1.008, "NVIDIA Ada GPU architecture, GeForce RTX 4090"),
)
KNOWN = {device.name: device for device in _DEVICES}


def device_named(name: str) -> Device:
    """A device of KNOWN, or `this`: the one here, measured. Raises ValueError for another name."""
    if name == "this":
        return this()
    if name not in KNOWN:
        raise ValueError(f"device: {name} is not known; choose from this, {', '.join(KNOWN)}.")
    return KNOWN[name]


def this(dtype: str = "bfloat16") -> Device:
    """This machine's first GPU, or its CPU; its rate is measured in p.dtype, for a second."""
    import torch

    rate = measured_flops("cuda" if torch.cuda.is_available() else "cpu", dtype)
    if not torch.cuda.is_available():
        memory = free_memory()
        return Device("this CPU", "cpu", memory, rate, "measured here", (0.3, 1.0), (0.2, 0.8))
    name, bandwidth = torch.cuda.get_device_name(0), measured_bandwidth("cuda")
    torch.cuda.empty_cache()  # what trains next on this GPU may be another process
    # others may have the rest
    memory = torch.cuda.mem_get_info(0)[0] + torch.cuda.memory_reserved(0)
    dense, experts = ((low / PRODUCTS, high / PRODUCTS) for low, high in (DENSE, EXPERTS))
    total = torch.cuda.get_device_properties(0).total_memory
    return Device(name, "cuda", memory, rate, "measured here", dense, experts, bandwidth, total)


def shared(cpu: Device, processes: int) -> Device:
    """What each of several processes has of a CPU that was measured with this process's threads:
    training.parallel.launch gives each one thread, or OMP_NUM_THREADS of them."""
    import torch

    threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    rate = cpu.flops / torch.get_num_threads() * threads * min(1, cores() / (threads * processes))
    return replace(cpu, memory=cpu.memory // processes, flops=rate)


def measured_flops(kind: str, dtype: str, size: int = 0, seconds: float = 1.0) -> float:
    """Operations a second in products of two square matrices, the best of those tried in
    `seconds`."""
    import torch

    size = size or (8192 if kind == "cuda" else 1024)
    a, b = (torch.randn(size, size, device=kind, dtype=getattr(torch, dtype)) for _ in range(2))
    return 2 * size**3 / _fastest(lambda: a @ b, kind, seconds)


def measured_bandwidth(kind: str, size: int = GIB, seconds: float = 0.2) -> float:
    """Bytes of memory a second, read and written, in copies of `size` bytes."""
    import torch

    a, b = (torch.zeros(size, device=kind, dtype=torch.uint8) for _ in range(2))
    return 2 * size / _fastest(lambda: b.copy_(a), kind, seconds)


def _fastest(work: Callable[[], Any], kind: str, seconds: float) -> float:
    """Seconds of the fastest of the calls that begin within `seconds`."""
    import torch

    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        if kind == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best
