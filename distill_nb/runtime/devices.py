"""The cores and the memory that this process may use, and errors of a GPU's memory."""

import math
import os
from pathlib import Path

from distill_nb.runtime import control_group

GIB = 2**30


def cores() -> int:
    """Processor cores that this process may use: those it is bound to, or its control group's
    quota, rounded up."""
    if hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count() or 1
    quota = control_group.quota()
    return bound if quota is None else max(1, min(bound, math.ceil(quota)))


def memory_limit() -> int | None:
    """Bytes that the control group may have, None where it has no limit."""
    found = control_group.memory()
    return found[0] if found else None


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
    group = control_group.memory()
    return min(free, group[1]) if group else free
