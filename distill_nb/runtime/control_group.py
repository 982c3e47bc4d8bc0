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
    for group in groups("cpu", top, membership):
        numbers = _numbers(group / "cpu.max")
        if not numbers:
            numbers = _numbers(group / "cpu.cfs_quota_us") + _numbers(group / "cpu.cfs_period_us")
        if len(numbers) == 2 and min(numbers) > 0:  # a quota of -1 is none
            found.append(numbers[0] / numbers[1])
    return min(found, default=None)


def memory(top: Path = TOP, membership: Path = MEMBERSHIP) -> tuple[int, int] | None:
    """(bytes that the group may have, bytes of these that are free), None without a limit. Pages of
    files that were not used of late count as free: the kernel takes them back first."""
    limits, free = [], []
    for group in groups("memory", top, membership):
        limit = _numbers(group / "memory.max") + _numbers(group / "memory.limit_in_bytes")
        used = _numbers(group / "memory.current") + _numbers(group / "memory.usage_in_bytes")
        if limit and limit[0] < ENDLESS:
            limits.append(limit[0])
            free.append(min(limit[0], max(0, limit[0] - sum(used) + _unused_files(group))))
    return (min(limits), min(free)) if limits else None


def limiting(top: Path = TOP, membership: Path = MEMBERSHIP) -> list[Path]:
    """The folders of the groups that limit processor time or memory, innermost first. Processes
    with the same of them share what they may have."""
    found = []
    for group in groups("cpu", top, membership):
        limits = _numbers(group / "cpu.max") + _numbers(group / "cpu.cfs_quota_us")
        found += [group] if limits and limits[0] > 0 else []
    for group in groups("memory", top, membership):
        limits = _numbers(group / "memory.max") + _numbers(group / "memory.limit_in_bytes")
        found += [group] if limits and limits[0] < ENDLESS else []
    return list(dict.fromkeys(found))


def groups(controller: str, top: Path = TOP, membership: Path = MEMBERSHIP) -> list[Path]:
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


def _unused_files(group: Path) -> int:
    """Bytes of the group's pages of files that were not used of late."""
    try:
        lines = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
        found = {line[0]: int(line[1]) for line in lines}
    except (OSError, ValueError, IndexError):
        return 0
    return found.get("total_inactive_file", found.get("inactive_file", 0))


def _numbers(file: Path) -> list[int]:
    """The numbers in a file; none where one of its words is no number, as in `max 100000`."""
    try:
        return [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []
