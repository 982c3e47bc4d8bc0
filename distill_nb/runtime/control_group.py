"""The limits that a control group sets to this process, as Slurm and containers do.

Of both versions (https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/). The tightest
limit from the process's own group up to the top counts."""

from pathlib import Path

TOP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
ENDLESS = 2**60  # bytes: the first version writes no limit as a number near 2^63


def quota(top: Path = TOP, membership: Path = MEMBERSHIP) -> float | None:
    """Processor cores' worth of time that the group may use, None where it has no quota."""
    found = []
    for group in _groups("cpu", top, membership):
        numbers = _numbers(group / "cpu.max")
        if not numbers:
            numbers = _numbers(group / "cpu.cfs_quota_us") + _numbers(group / "cpu.cfs_period_us")
        if len(numbers) == 2 and min(numbers) > 0:  # a quota of -1 is none
            found.append(numbers[0] / numbers[1])
    return min(found, default=None)


def memory(top: Path = TOP, membership: Path = MEMBERSHIP) -> tuple[int, int] | None:
    """(bytes that the group may have, bytes of these that are free), None without a limit."""
    limits, free = [], []
    for group in _groups("memory", top, membership):
        limit = _numbers(group / "memory.max") + _numbers(group / "memory.limit_in_bytes")
        used = _numbers(group / "memory.current") + _numbers(group / "memory.usage_in_bytes")
        if limit and limit[0] < ENDLESS:
            limits.append(limit[0])
            free.append(max(0, limit[0] - sum(used)))
    return (min(limits), min(free)) if limits else None


def _groups(controller: str, top: Path, membership: Path) -> list[Path]:
    """The folders of this process's groups, innermost first, of both versions. A container often
    shows its own group as the top."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            roots = [top, top / "unified"]
        elif controller in controllers.split(","):
            roots = [top / controllers, top / controller]
        else:
            continue
        inner = Path(path.lstrip("/"))
        found += [root / part for root in roots for part in (inner, *inner.parents)]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def _numbers(file: Path) -> list[int]:
    """The numbers in a file; none where one of its words is no number, as in `max 100000`."""
    try:
        return [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []
