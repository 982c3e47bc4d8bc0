"""How much memory a worker has beside others and alone, and how many workers there is room for.

Where this process may make control groups (runtime/memory_group.py), each worker is in one of its
own. A candidate that takes more than its part then meets its own limit, not a neighbour. All that
it holds counts, shared memory and files in a tmpfs too. Elsewhere the kernel chooses whom it kills
where memory runs out, so there are only as many workers as may take all that a candidate may."""

from distill_nb.grading.sandbox.launch import FULL, MEMORY
from distill_nb.runtime import control_group, memory_group
from distill_nb.runtime.devices import GIB, cores, memory_limit

MIB = 2**20
LEAST = GIB  # bytes for which a worker in a group of its own is worth having, beside others
FEWEST = 256 * MIB  # bytes without which most candidates fail
# of the control group's memory, what workers share; the graders themselves need the rest
SHARED = 0.75
SPARE = 64 * MIB  # that a candidate which runs alone leaves to the others


def workers_here() -> int:
    """One worker for each core, fewer where the control group's memory has no room for them."""
    limit = memory_limit()
    if limit is None:
        return cores()
    room = int(limit * SHARED) // LEAST if memory_group.allowed() else limit // MEMORY
    return max(1, min(cores(), room))


def beside(workers: int) -> int:
    """Bytes for one of so many workers with its candidate."""
    limit = memory_limit()
    return FULL if limit is None else min(FULL, max(FEWEST, int(limit * SHARED) // workers))


def alone(used: int) -> int:
    """Bytes for a worker that uses so many now, where no other has a candidate."""
    found = control_group.memory()
    return FULL if found is None else min(FULL, max(FEWEST, used + found[1] - SPARE))


def short() -> str:
    """The reason and the remedy for a job that was killed each time, at last when it ran alone."""
    limit = memory_limit()
    there = "what is free here" if limit is None else f"{limit // MIB:,} MiB for all in this group"
    return (
        "killed for want of memory or from outside, also when it ran alone; a candidate may take "
        f"{MEMORY // MIB:,} MiB, and there is {there}: give it more"
    )
