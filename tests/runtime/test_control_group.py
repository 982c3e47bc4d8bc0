"""Limits of control groups, from trees of files as Linux shows them."""

import pytest

from distill_nb.runtime import control_group, devices

GIB = 2**30


def tree(top, membership, files):
    """Make the files; returns the arguments that name them."""
    for name, text in files.items():
        (top / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (top / "cgroup" / name).write_text(f"{text}\n")
    (top / "membership").write_text(membership)
    return top / "cgroup", top / "membership"


@pytest.mark.parametrize(
    ("membership", "files", "quota", "memory"),
    [
        ("0::/\n", {"cpu.stat": ""}, None, None),
        (
            "0::/job/step\n",
            {
                "job/cpu.max": "150000 100000",
                "job/step/cpu.max": "max 100000",
                "job/memory.max": 3 * GIB,
                "job/memory.current": GIB,
                "job/step/memory.max": "max",
            },
            1.5,
            (3 * GIB, 2 * GIB),
        ),
        (  # files that were not used of late are free
            "0::/job\n",
            {
                "job/memory.max": 3 * GIB,
                "job/memory.current": 2 * GIB,
                "job/memory.stat": f"anon {GIB // 2}\ninactive_file {GIB}\nactive_file {GIB // 2}",
            },
            None,
            (3 * GIB, 2 * GIB),
        ),
        (  # the first version counts those of groups below as total
            "4:memory:/job\n",
            {
                "memory/job/memory.limit_in_bytes": 3 * GIB,
                "memory/job/memory.usage_in_bytes": 2 * GIB,
                "memory/job/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB // 2}",
            },
            None,
            (3 * GIB, 3 * GIB // 2),
        ),
        (  # the tightest counts, wherever it is set
            "0::/job/step\n",
            {
                "cpu.max": "max 100000",
                "job/cpu.max": "400000 100000",
                "job/step/cpu.max": "20000 100000",
                "job/memory.max": 8 * GIB,
                "job/memory.current": 7 * GIB,
                "job/step/memory.max": 4 * GIB,
                "job/step/memory.current": GIB,
            },
            0.2,
            (4 * GIB, GIB),
        ),
        (  # a container: its own group is the top
            "0::/\n",
            {"cpu.max": "50000 100000", "memory.max": GIB, "memory.current": 2 * GIB},
            0.5,
            (GIB, 0),
        ),
        (  # the first version, whose path may be of the host
            "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": 250000,
                "cpu,cpuacct/cpu.cfs_period_us": 100000,
                "memory/memory.limit_in_bytes": 2 * GIB,
                "memory/memory.usage_in_bytes": GIB,
            },
            2.5,
            (2 * GIB, GIB),
        ),
        (  # the first version without limits
            "4:memory:/a\n3:cpu:/a\n",
            {
                "cpu/a/cpu.cfs_quota_us": -1,
                "cpu/a/cpu.cfs_period_us": 100000,
                "memory/a/memory.limit_in_bytes": 9223372036854771712,
                "memory/a/memory.usage_in_bytes": GIB,
            },
            None,
            None,
        ),
    ],
)
def test_limits(tmp_path, membership, files, quota, memory):
    where = tree(tmp_path, membership, files)
    assert control_group.quota(*where) == quota
    assert control_group.memory(*where) == memory


def test_processes_share_the_limits_of_the_same_groups(tmp_path):
    files = {
        "cpu/a/cpu.cfs_quota_us": 250000,
        "cpu/a/b/cpu.cfs_quota_us": -1,
        "memory/memory.limit_in_bytes": 9223372036854771712,
        "memory/a/memory.limit_in_bytes": GIB,
    }
    where = tree(tmp_path, "4:memory:/a\n3:cpu:/a/b\n", files)
    assert control_group.limiting(*where) == [where[0] / "cpu/a", where[0] / "memory/a"]
    files = {"cpu.max": "max 100000", "a/cpu.max": "50000 100000", "a/b/memory.max": GIB}
    (tmp_path / "two").mkdir()
    where = tree(tmp_path / "two", "0::/a/b\n", files)
    assert control_group.limiting(*where) == [where[0] / "a", where[0] / "a/b"]


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert control_group.quota(tmp_path, tmp_path / "none") is None
    assert control_group.memory(tmp_path, tmp_path / "none") is None


def test_cores_and_memory_follow_the_limits(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    for quota, cores in ((None, 8), (0.2, 1), (1.0, 1), (2.5, 3), (64.0, 8)):
        monkeypatch.setattr(control_group, "quota", lambda quota=quota: quota)
        assert devices.cores() == cores
    monkeypatch.setattr(control_group, "memory", lambda: (4 * GIB, 1000))
    assert (devices.memory_limit(), devices.free_memory()) == (4 * GIB, 1000)
    monkeypatch.setattr(control_group, "memory", lambda: None)
    assert devices.memory_limit() is None and devices.free_memory() > 1000
