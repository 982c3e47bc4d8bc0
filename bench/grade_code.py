"""Grading real solutions to HumanEval+ or MBPP+: our sandbox against evalplus's own evaluation,
equally many workers.

    python bench/grade_code.py humaneval_plus HumanEvalPlus.jsonl.gz RECORDED.json [RECORDED.json
    ...] [--pairs 3]

RECORDED.json is an evalplus result file ({"eval": {task_id: [{"solution": …}]}}); bench/README.md
names public ones. Both sides grade the same solutions with base and plus tests in a process of
their own, in turn, and each comes first in every second pair. Imports, the data set and the
canonical solutions' results (which both sides cache) are there before the clock starts; so are our
trial job and the pool (start_seconds). Prints the median ratios of wall time and of processor time
(evalplus / ours: above 1 is faster), where ours went, and every verdict that differs; measures what
the first grading takes beyond that; writes bench/results/grade_code_<benchmark>.json.

HumanEval/32, which evalplus 0.3.1 fails whatever the answer, is expected to differ. evalplus's
limits are of wall time: beside other work its verdicts may change, and its processor time is what
it had until then."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OVERRIDE = {"humaneval_plus": "HUMANEVAL_OVERRIDE_PATH", "mbpp_plus": "MBPP_OVERRIDE_PATH"}
NAMES = {"humaneval_plus": "humaneval", "mbpp_plus": "mbpp"}
EMPTY = 200  # jobs that do nothing, whose cost is that of a fork


def ours(benchmark: str, problems: str, recorded: str) -> dict:
    """{"seconds", "verdicts": {task_id: [base, both]}, …} of our grader."""
    from distill_nb.benchmarks import loading
    from distill_nb.grading import code, sandbox, suites

    rows = solutions(recorded)
    tasks = {t.task_id: t for t in loading.load(benchmark, problems)}
    chosen = [tasks[i] for i in rows]
    suites.prepare(chosen)
    groups = {task.task_id: len(suites.suite(task).groups) for task in chosen}
    start = time.perf_counter()
    code.pool()
    started = time.perf_counter() - start
    before, start = processor_time(), time.perf_counter()
    grades = code.grade_many(
        chosen, [f"```python\n{text}\n```" for text in rows.values()], ["stop"] * len(rows)
    )
    seconds, spent = time.perf_counter() - start, minus(processor_time(), before)
    verdicts = {
        i: [g.second_outcome == "correct", g.outcome == "correct"]
        for i, g in zip(rows, grades, strict=True)
    }
    before = processor_time()
    code.run(
        [
            sandbox.Job(f"def f(): return {i}", sandbox.function_tests("f", [[]], [i]))
            for i in range(EMPTY)
        ]
    )
    fork = {part: s / EMPTY for part, s in minus(processor_time(), before).items()}
    forks = sum(groups[i] if base else 1 for i, (base, _) in verdicts.items())
    return {
        "seconds": seconds,
        "start_seconds": started,
        "processor_seconds": sum(spent.values()),
        "where": {
            "candidates": spent["candidates"] - forks * fork["candidates"],
            "forks": forks * sum(fork.values()),
            "comparing": spent["comparing"],
            "grader and workers": spent["grader"]
            + spent["workers"]
            - forks * fork["grader"]
            - forks * fork["workers"],
            "waiting": len(os.sched_getaffinity(0)) * seconds - sum(spent.values()),
        },
        "level": code.level(),
        "errors": sum(g.outcome == "grader_error" for g in grades),
        "verdicts": verdicts,
    }


def first(benchmark: str, problems: str, recorded: str) -> dict:
    """What the first grading takes beyond later ones: running the canonical solutions."""
    from distill_nb.benchmarks import loading
    from distill_nb.grading import suites

    tasks = loading.load(benchmark, problems)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DISTILL_NB_CACHE"] = folder
        before, start = os.times(), time.perf_counter()
        suites.prepare(tasks)
        for task in tasks:
            suites.suite(task)
        seconds, after = time.perf_counter() - start, os.times()
    return {"seconds": seconds, "processor_seconds": sum(after[:4]) - sum(before[:4])}


def processor_time() -> dict[str, float]:
    """Seconds of processor time of this process and of all below it, by what they do."""
    import psutil

    def own(process: psutil.Process) -> float:
        times = process.cpu_times()
        return times.user + times.system

    found = {"grader": own(psutil.Process()), "comparing": 0.0, "workers": 0.0, "candidates": 0.0}
    for process in psutil.Process().children(recursive=True):
        if any(word.endswith("compare.py") for word in process.cmdline()):
            found["comparing"] += own(process)
        else:  # a worker, or bubblewrap around it; its children that have ended are candidates
            times = process.cpu_times()
            found["workers"] += own(process)
            found["candidates"] += times.children_user + times.children_system
    return found


def minus(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {part: after[part] - before[part] for part in after}


def peer(benchmark: str, problems: str, recorded: str) -> dict:
    """The same of evalplus. Its evaluation returns well before its process ends: a thread of it
    sleeps in between."""
    os.environ[OVERRIDE[benchmark]] = problems
    from evalplus import evaluate

    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.jsonl"
        rows = solutions(recorded)
        samples.write_text(
            "".join(json.dumps({"task_id": i, "solution": text}) + "\n" for i, text in rows.items())
        )
        load = (
            evaluate.get_human_eval_plus
            if benchmark == "humaneval_plus"
            else evaluate.get_mbpp_plus
        )
        key = (
            evaluate.get_human_eval_plus_hash
            if benchmark == "humaneval_plus"
            else evaluate.get_mbpp_plus_hash
        )()
        none = [] if benchmark == "humaneval_plus" else evaluate.MBPP_OUTPUT_NOT_NONE_TASKS
        data = load()
        known = evaluate.get_groundtruth(data, key, none)
        for name, value in (
            ("get_human_eval_plus", data),
            ("get_mbpp_plus", data),
            ("get_groundtruth", known),
        ):
            setattr(evaluate, name, lambda *_, _value=value, **__: _value)
        before, start = os.times(), time.perf_counter()
        evaluate.evaluate(
            dataset=NAMES[benchmark], samples=str(samples), parallel=len(os.sched_getaffinity(0))
        )
        seconds, after = time.perf_counter() - start, os.times()
        results = json.loads((Path(folder) / "samples_eval_results.json").read_text())["eval"]
    return {
        "seconds": seconds,
        "processor_seconds": sum(after[:4]) - sum(before[:4]),
        "verdicts": {
            i: [r[0]["base_status"] == "pass", r[0]["base_status"] == r[0]["plus_status"] == "pass"]
            for i, r in results.items()
        },
    }


def solutions(recorded: str) -> dict[str, str]:
    """task_id → solution of an evalplus result file."""
    return {
        i: rows[0]["solution"] for i, rows in json.loads(Path(recorded).read_text())["eval"].items()
    }


def side(name: str, *arguments: str) -> dict:
    """One side in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", name, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    )
    if done.returncode:
        sys.exit(
            f"{name} failed on {arguments}: run `{sys.executable} {__file__} --side {name} "
            f"{' '.join(arguments)}`"
        )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        chosen = {"ours": ours, "peer": peer, "first": first}[sys.argv[2]]
        print("\n" + json.dumps(chosen(*sys.argv[3:])), flush=True)
        os._exit(0)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", choices=OVERRIDE)
    parser.add_argument("problems")
    parser.add_argument("recorded", nargs="+")
    parser.add_argument("--pairs", type=int, default=3)
    a = parser.parse_args()
    from distill_nb.runtime import provenance

    models = []
    for file in a.recorded:
        pairs, differing, where = [], {}, {}
        for number in range(a.pairs):
            names = ("ours", "peer") if number % 2 == 0 else ("peer", "ours")
            sides = {name: side(name, a.benchmark, a.problems, file) for name in names}
            mine, other = sides["ours"], sides["peer"]
            pairs.append(
                {
                    "first": names[0],
                    "ours_seconds": round(mine["seconds"], 2),
                    "evalplus_seconds": round(other["seconds"], 2),
                    "ratio": round(other["seconds"] / mine["seconds"], 2),
                    "ours_processor_seconds": round(mine["processor_seconds"], 2),
                    "evalplus_processor_seconds": round(other["processor_seconds"], 2),
                    "processor_ratio": round(
                        other["processor_seconds"] / mine["processor_seconds"], 2
                    ),
                }
            )
            where |= {
                part: [*where.get(part, []), seconds] for part, seconds in mine["where"].items()
            }
            differing |= {
                i: {"ours": mine["verdicts"][i], "evalplus": v}
                for i, v in other["verdicts"].items()
                if mine["verdicts"][i] != v
            }
        models.append(
            {
                "solutions": Path(file).name,
                "sha256": provenance.sha256_of_file(file),
                "level": mine["level"],
                "solved": len(mine["verdicts"]),
                "grader_errors": mine["errors"],
                "start_seconds": round(mine["start_seconds"], 2),
                "pairs": pairs,
                "median_ratio": statistics.median(p["ratio"] for p in pairs),
                "median_processor_ratio": statistics.median(p["processor_ratio"] for p in pairs),
                "ours_median_seconds_in": {
                    part: round(statistics.median(s), 2) for part, s in where.items()
                },
                "differing_verdicts": differing,
            }
        )
        print(json.dumps(models[-1], indent=1))
    report = {
        "benchmark": a.benchmark,
        "problems_sha256": provenance.sha256_of_file(a.problems),
        "first_grading": {
            part: round(s, 1)
            for part, s in side("first", a.benchmark, a.problems, a.recorded[0]).items()
        },
        "device": provenance.device(),
        "versions": provenance.versions(),
        "models": models,
    }
    file = ROOT / "bench" / "results" / f"grade_code_{a.benchmark}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
