"""Devices to plan for: their memory and speed, as their makers state them or as measured here."""

import os
import time
from dataclasses import dataclass, replace

from distill_nb.runtime.devices import GIB, cores, free_memory


@dataclass(frozen=True)
class Device:
    """kind: cuda | cpu. memory: bytes that one process may use. flops: operations a second in
    products of matrices; training reaches the share `dense` of it (least, most), and `experts` with
    a mixture of experts. Both are assumptions, not yet measured on a GPU."""

    name: str
    kind: str
    memory: int
    flops: float
    source: str
    dense: tuple[float, float]
    experts: tuple[float, float]


def _listed(name: str, gib: float, teraflops: float, source: str) -> Device:
    memory, flops = int(gib * GIB), teraflops * 1e12
    source = f"vendor's figure: {source}"
    return Device(name, "cuda", memory, flops, source, dense=(0.3, 0.6), experts=(0.08, 0.3))


# Memory as the driver reports it, rounded down; bfloat16 products with float32 sums, without
# sparsity.
_DEVICES = (
    _listed("a100-40gb", 39, 312, "NVIDIA A100 datasheet"),
    _listed("a100-80gb", 79, 312, "NVIDIA A100 datasheet"),
    _listed("h100-80gb", 79, 989, "NVIDIA H100 SXM datasheet"),
    _listed("h200-141gb", 139, 989, "NVIDIA H200 datasheet"),
    _listed("rtx4090-24gb", 23.5, 165, "NVIDIA Ada GPU architecture, GeForce RTX 4090"),
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

    if torch.cuda.is_available():
        # others may have the rest
        memory = torch.cuda.mem_get_info(0)[0] + torch.cuda.memory_reserved(0)
        name, kind, dense, experts = torch.cuda.get_device_name(0), "cuda", (0.4, 0.8), (0.1, 0.4)
    else:
        memory = free_memory()
        name, kind, dense, experts = "this CPU", "cpu", (0.3, 1.0), (0.1, 0.8)
    rate = measured_flops(kind, dtype)
    return Device(name, kind, memory, rate, "measured here", dense, experts)


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
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        a @ b
        if kind == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    del a, b
    if kind == "cuda":
        torch.cuda.empty_cache()  # what trains next on this GPU may be another process
    return 2 * size**3 / best
