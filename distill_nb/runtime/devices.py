"""The cores and the memory that this process may use, and errors of a GPU's memory."""

import os
from pathlib import Path

GIB = 2**30


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a GPU has too little memory, in torch's words or a library's."""
    import torch

    words = ("out of memory", "GPU memory available", "ALLOC_FAILED")
    said = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return said or isinstance(error, torch.OutOfMemoryError)


def free_memory() -> int:
    """Bytes that a process can still have (Linux: MemAvailable, and its control group's limit)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable"))
        free = int(available.split()[1]) * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        return min(free, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no such limit
        return free
