"""Graders side by side in one control group: is a verdict false because of a neighbour?

    python bench/grade_neighbours.py [--runs 10] [--graders 2] [--cores 1] [--memory 1500]
    [--level bubblewrap] [--sealed]

Each run starts that many processes at once. Each grades the honest programs of the tests (they must
be correct), honest ones that take most of their time or much memory, and greedy ones, which never
return (they must not be correct), in an order of its own. A quota of processor time and a limit of
memory in MB hold for all of them together. Needs root and control groups that can be written to.
Prints each run, and writes every verdict that is false and what became of the greedy ones to
bench/results/grade_neighbours.json, one entry for each setting."""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SEALED = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup")
# Honest programs that starve or are killed where neighbours are not kept away from them.
TIGHT = {
    "most_of_its_time": """
import time
def f(x):
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    return x + 1
"""
}
FEW = ("memory_without_end", "threads_that_spin")  # of the greedy ones
LARGE = {
    "much_memory": """
def f(x):
    return x + len(b'x' * (300 * 2 ** 20)) // (300 * 2 ** 20)
"""
}


def jobs(seed: int, few: bool) -> list[tuple[str, bool, object]]:
    """(name, honest, job) in an order that the seed gives."""
    from attacks import HONEST_FUNCTIONS, HONEST_PROGRAMS, read

    from distill_nb.grading.sandbox import Job, function_tests, program_tests

    add = function_tests("f", [[1], [2], [-1]], [2, 3, 0], seconds=5.0)
    large = function_tests("f", [[1], [2]], [2, 3], seconds=60.0)
    tight = function_tests("f", [[1], [2]], [2, 3], seconds=0.4)
    greedy = function_tests("f", [[1]], [2], seconds=0.5 if few else 1.0)
    programs = program_tests(["21\n1 2 3\n", "4\n5 -5"], ["42\n6\n", "8\n0"], seconds=5.0)
    found: list[tuple[str, bool, object]] = []
    step = 15 if few else 1
    found += [(n, True, Job(c, add)) for n, c in list(HONEST_FUNCTIONS.items())[::step]]
    found += [(n, True, Job(c, programs)) for n, c in list(HONEST_PROGRAMS.items())[::step]]
    found += [(n, True, Job(c, tight)) for n, c in TIGHT.items()] * (1 if few else 5)
    found += [(n, True, Job(c, large)) for n, c in LARGE.items()] * (1 if few else 5)
    found += [(n, False, Job(c, greedy)) for n, c in read("greedy").items() if not few or n in FEW]
    random.Random(seed).shuffle(found)
    return found


def grade(seed: int, level: str, few: bool) -> None:
    """One grader: its verdicts, as JSON on standard output."""
    from distill_nb.grading.sandbox import Pool

    chosen = jobs(seed, few)
    with Pool(level=level) as pool:
        results = pool.run([job for _, _, job in chosen])  # type: ignore[misc]
        workers = len(pool._seats)
        own_groups = pool._seats[0]._workers and all(
            w._group is not None for w in pool._seats[0]._workers.values()
        )
    rows = [
        {"name": name, "honest": honest, "outcome": r.outcome, "detail": r.detail}
        for (name, honest, _), r in zip(chosen, results, strict=True)
    ]
    print(json.dumps({"workers": workers, "own_groups": bool(own_groups), "rows": rows}))


@contextlib.contextmanager
def groups(graders: int, cores: float, memory: int) -> Iterator[list[list[Path]]]:
    """For each grader the folders of the control groups that it enters. Below this process's own,
    new ones hold all of them together to so many cores and bytes. Of version 2 each grader has a
    group below, delegated to it, as systemd does."""
    from distill_nb.runtime import control_group

    name, made = f"neighbours_{os.getpid()}", []
    homes = {kind: control_group.groups(kind) for kind in ("cpu", "memory")}
    first = [f for f in homes["memory"] if (f / "memory.limit_in_bytes").exists()]
    try:
        if first:
            processor = next(f for f in homes["cpu"] if (f / "cpu.cfs_quota_us").exists())
            made += [new(processor / name, {"cpu.cfs_quota_us": int(cores * 100_000)})]
            made += [new(first[0] / name, {"memory.limit_in_bytes": memory})]
            yield [made] * graders
        else:
            home, below = homes["memory"][0], {"cgroup.subtree_control": "+memory"}
            (home / "cgroup.subtree_control").write_text("+cpu +memory")
            limits = {"memory.max": memory, "cpu.max": f"{int(cores * 100_000)} 100000"}
            made += [new(home / name, limits | below)]
            for i in range(graders):
                made.append(new(made[0] / f"grader_{i}", {}))
                os.setxattr(made[-1], "user.delegate", b"1")
            yield [[folder] for folder in made[1:]]
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                for below in folder.glob("distill_nb_*"):
                    below.rmdir()
            for _ in range(100):  # what was in it takes a moment to end
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.1)


def new(folder: Path, settings: dict[str, object]) -> Path:
    """Make a control group."""
    folder.mkdir()
    for file, value in settings.items():
        (folder / file).write_text(str(value))
    return folder


def kills() -> int:
    """Processes of this machine that the kernel has killed for want of memory."""
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def side_by_side(args: argparse.Namespace, seed: int) -> dict:
    """A run: {"seconds", "kills", "graders": what each said}."""
    with groups(args.graders, args.cores, args.memory * 10**6) as entered:
        before, started = kills(), time.monotonic()
        processes = []
        for i, folders in enumerate(entered):
            enter = "; ".join(f"echo 0 > {folder}/cgroup.procs" for folder in folders)
            line = [sys.executable, __file__, "--grade", str(seed * 1000 + i)]
            line += ["--level", args.level, *(["--few"] if args.few else [])]
            shell = ["/bin/sh", "-c", f'{enter}; exec "$@"', "sh", *line]
            if args.sealed:
                top = SEALED[0] if os.path.ismount(SEALED[0]) else SEALED[1]
                seal = f'mount -o remount,bind,ro {top}; exec "$@"'
                shell[4:4] = ["unshare", "--mount", "/bin/sh", "-c", seal, "sh"]
            pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            processes.append(subprocess.Popen(shell, text=True, **pipes))
        found = []
        for process, (out, err) in [(p, p.communicate()) for p in processes]:
            failed = {"failed": f"exit status {process.returncode}: {err[-500:]}"}
            found.append(failed if process.returncode else json.loads(out.splitlines()[-1]))
        seconds = round(time.monotonic() - started, 1)
        return {"seconds": seconds, "kills": kills() - before, "graders": found}


def false_verdicts(run: dict) -> list[dict]:
    """Honest programs that are not correct; greedy ones that are, or that a kill made wrong;
    graders that failed."""
    found = [g for g in run["graders"] if "failed" in g]
    for row in (row for g in run["graders"] for row in g.get("rows", ())):
        killed = row["outcome"] == "wrong" and "exit status -9" in row["detail"]
        if killed or (row["outcome"] == "correct") != row["honest"]:
            found.append(row)
    return found


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The options, from the command line unless given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--graders", type=int, default=2)
    parser.add_argument("--cores", type=float, default=1.0)
    parser.add_argument("--memory", type=int, default=1500, help="MB")
    parser.add_argument("--level", default="bubblewrap")
    parser.add_argument(
        "--sealed",
        action="store_true",
        help="control groups cannot be written to, as in most containers",
    )
    parser.add_argument("--few", action="store_true", help="a few of the programs")
    parser.add_argument("--grade", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/grade_neighbours.json")
    return parser.parse_args(words)


def main() -> None:
    args = arguments()
    if args.grade is not None:
        return grade(args.grade, args.level, args.few)
    runs, greedy, workers = [], collections.Counter(), set()
    for seed in range(args.runs):
        run = side_by_side(args, seed)
        false = false_verdicts(run)
        graders = run.pop("graders")
        rows = [row for g in graders for row in g.get("rows", ())]
        greedy.update(f"{r['name']}: {r['outcome']}" for r in rows if not r["honest"])
        workers |= {(g.get("workers"), g.get("own_groups")) for g in graders}
        honest = sum(r["honest"] for r in rows)
        runs.append({**run, "honest": honest, "greedy": len(rows) - honest, "false": false})
        print(json.dumps(runs[-1]), flush=True)
    setting = {k: getattr(args, k) for k in ("graders", "cores", "memory", "level", "sealed")}
    result = {
        **setting,
        "workers_of_a_grader": sorted(w for w, _ in workers),
        "groups_of_their_own": all(own for _, own in workers),
        "runs": len(runs),
        "honest": sum(r["honest"] for r in runs),
        "greedy": sum(r["greedy"] for r in runs),
        "false": [f for r in runs for f in r["false"]],
        "kills": sum(r["kills"] for r in runs),
        "seconds": [r["seconds"] for r in runs],
        "greedy_outcomes": dict(sorted(greedy.items())),
    }
    before = json.loads(args.out.read_text()) if args.out.exists() else []
    kept = [r for r in before if {k: r[k] for k in setting} != setting]
    args.out.write_text(json.dumps([*kept, result], indent=1) + "\n")
    print(
        f"{result['runs']} runs, {result['honest']} verdicts on honest programs and "
        f"{result['greedy']} on greedy ones, {len(result['false'])} false; {args.out}"
    )


if __name__ == "__main__":
    main()
