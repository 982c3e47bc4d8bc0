"""Graders side by side in one control group: is a verdict false because of a neighbour?

    python bench/grade_neighbours.py [--runs 10] [--graders 2] [--cores 1] [--memory 1500]
    [--level bubblewrap]

Each run starts that many processes at once. Each grades the honest programs of the tests (they must
be correct), honest ones that take most of their time or much memory, and greedy ones, which never
return (they must not be correct), in an order of its own. A quota of processor time and a limit of
memory in MB hold for all of them together. Needs root and control groups that can be written to.
Prints and writes every verdict that is false, and what became of the greedy ones, to
bench/results/grade_neighbours.json."""

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

SEALED = "/sys/fs/cgroup/memory"
# Honest programs that starve or are killed where neighbours are not kept away from them.
TIGHT = {
    "most_of_its_time": """
import time
def f(x):
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    return x + 1
""",
    "much_memory": """
def f(x):
    return x + len(b'x' * (300 * 2 ** 20)) // (300 * 2 ** 20)
""",
}


def jobs(seed: int, few: bool) -> list[tuple[str, bool, object]]:
    """(name, honest, job) in an order that the seed gives."""
    from attacks import HONEST_FUNCTIONS, HONEST_PROGRAMS, read

    from distill_nb.grading.sandbox import Job, function_tests, program_tests

    add = function_tests("f", [[1], [2], [-1]], [2, 3, 0], seconds=5.0)
    tight = function_tests("f", [[1], [2]], [2, 3], seconds=0.4)
    greedy = function_tests("f", [[1]], [2], seconds=1.0)
    programs = program_tests(["21\n1 2 3\n", "4\n5 -5"], ["42\n6\n", "8\n0"], seconds=5.0)
    found: list[tuple[str, bool, object]] = []
    step = 12 if few else 1
    found += [(n, True, Job(c, add)) for n, c in list(HONEST_FUNCTIONS.items())[::step]]
    found += [(n, True, Job(c, programs)) for n, c in list(HONEST_PROGRAMS.items())[::step]]
    found += [(n, True, Job(c, tight)) for n, c in TIGHT.items()] * (1 if few else 5)
    found += [(n, False, Job(c, greedy)) for n, c in read("greedy").items()]
    random.Random(seed).shuffle(found)
    return found


def grade(seed: int, level: str, few: bool) -> None:
    """One grader: its verdicts, as JSON on standard output."""
    from distill_nb.grading.sandbox import Pool

    chosen = jobs(seed, few)
    with Pool(level=level) as pool:
        results = pool.run([job for _, _, job in chosen])  # type: ignore[misc]
        workers = len(pool._seats)
    rows = [
        {"name": name, "honest": honest, "outcome": r.outcome, "detail": r.detail}
        for (name, honest, _), r in zip(chosen, results, strict=True)
    ]
    print(json.dumps({"workers": workers, "rows": rows}))


@contextlib.contextmanager
def group(cores: float, memory: int) -> Iterator[list[Path]]:
    """The folders of new control groups with these limits (bytes), below this process's own."""
    from distill_nb.runtime import control_group as c

    made = []
    for controller, limits in (
        ("cpu", {"cpu.cfs_quota_us": int(cores * 100_000)}),
        ("memory", {"memory.limit_in_bytes": memory}),
    ):
        folder = c.groups(controller)[0] / f"neighbours_{os.getpid()}"
        folder.mkdir()
        made.append(folder)
        for name, value in limits.items():
            (folder / name).write_text(str(value))
    try:
        yield made
    finally:
        for folder in made:
            for _ in range(100):
                try:
                    folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)


def kills() -> int:
    """Processes of this machine that the kernel has killed for want of memory."""
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def side_by_side(args: argparse.Namespace, seed: int) -> dict:
    """A run: {"seconds", "kills", "graders": what each said}."""
    with group(args.cores, args.memory * 10**6) as folders:
        enter = "; ".join(f"echo 0 > {folder}/cgroup.procs" for folder in folders)
        before, started = kills(), time.monotonic()
        processes = []
        for i in range(args.graders):
            line = [sys.executable, __file__, "--grade", str(seed * 1000 + i)]
            line += ["--level", args.level, *(["--few"] if args.few else [])]
            shell = ["/bin/sh", "-c", f'{enter}; exec "$@"', "sh", *line]
            if args.sealed:
                seal = f'mount -o remount,bind,ro {SEALED}; exec "$@"'
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
    """Honest programs that are not correct, greedy ones that are, graders that failed."""
    found = [g for g in run["graders"] if "failed" in g]
    for grader in run["graders"]:
        for row in grader.get("rows", ()):
            if (row["outcome"] == "correct") != row["honest"]:
                found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--graders", type=int, default=2)
    parser.add_argument("--cores", type=float, default=1.0)
    parser.add_argument("--memory", type=int, default=1500, help="MB")
    parser.add_argument("--level", default="bubblewrap")
    parser.add_argument("--sealed", action="store_true", help="graders can make no groups")
    parser.add_argument("--few", action="store_true", help="a few of the honest programs")
    parser.add_argument("--grade", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/grade_neighbours.json")
    args = parser.parse_args()
    if args.grade is not None:
        return grade(args.grade, args.level, args.few)
    runs, greedy = [], collections.Counter()
    for seed in range(args.runs):
        run = side_by_side(args, seed)
        wrong = false_verdicts(run)
        rows = [row for g in run["graders"] for row in g.get("rows", ())]
        greedy.update(f"{r['name']}: {r['outcome']}" for r in rows if not r["honest"])
        run.pop("graders")
        runs.append({**run, "verdicts": len(rows), "false": wrong})
        print(json.dumps(runs[-1]), flush=True)
    false = sum(len(r["false"]) for r in runs)
    print(f"{len(runs)} runs, {sum(r['verdicts'] for r in runs)} verdicts, {false} false")
    for line, count in sorted(greedy.items()):
        print(count, line)


if __name__ == "__main__":
    main()
