"""Grading real solutions to HumanEval+ or MBPP+: our sandbox against evalplus's own evaluation,
equally many workers.

    python bench/grade_code.py humaneval_plus HumanEvalPlus.jsonl.gz RECORDED.json [RECORDED.json
    ...] [--pairs 3]

RECORDED.json is an evalplus result file ({"eval": {task_id: [{"solution": …}]}}); bench/README.md
names public ones. Both sides grade the same solutions with base and plus tests in a process of
their own, in turn; imports, the data set and the canonical solutions' results (which both sides
cache) are there before the clock starts. Prints the median ratio of wall times (evalplus / ours:
above 1 is faster) and every verdict that differs, and writes
bench/results/grade_code_<benchmark>.json. HumanEval/32, which evalplus 0.3.1 fails whatever the
answer, is expected to."""

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


def ours(benchmark: str, problems: str, recorded: str) -> dict:
    """{"seconds", "verdicts": {task_id: [base, both]}} of our grader."""
    from distill_nb.benchmarks import loading
    from distill_nb.grading import code, suites

    rows = solutions(recorded)
    tasks = {t.task_id: t for t in loading.load(benchmark, problems)}
    chosen = [tasks[i] for i in rows]
    for task in chosen:
        suites.suite(task)
    code.pool()
    start = time.perf_counter()
    grades = code.grade_many(
        chosen, [f"```python\n{text}\n```" for text in rows.values()], ["stop"] * len(rows)
    )
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "level": code.level(),
        "errors": sum(g.outcome == "grader_error" for g in grades),
        "verdicts": {
            i: [g.second_outcome == "correct", g.outcome == "correct"]
            for i, g in zip(rows, grades, strict=True)
        },
    }


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
        start = time.perf_counter()
        evaluate.evaluate(
            dataset=NAMES[benchmark], samples=str(samples), parallel=len(os.sched_getaffinity(0))
        )
        seconds = time.perf_counter() - start
        results = json.loads((Path(folder) / "samples_eval_results.json").read_text())["eval"]
    return {
        "seconds": seconds,
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
        print(
            "\n" + json.dumps({"ours": ours, "peer": peer}[sys.argv[2]](*sys.argv[3:])), flush=True
        )
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
        pairs, differing = [], {}
        for _ in range(a.pairs):
            one, other = (
                side("ours", a.benchmark, a.problems, file),
                side("peer", a.benchmark, a.problems, file),
            )
            pairs.append(
                {
                    "ours_seconds": round(one["seconds"], 2),
                    "evalplus_seconds": round(other["seconds"], 2),
                    "ratio": round(other["seconds"] / one["seconds"], 2),
                }
            )
            differing |= {
                i: {"ours": one["verdicts"][i], "evalplus": v}
                for i, v in other["verdicts"].items()
                if one["verdicts"][i] != v
            }
        models.append(
            {
                "solutions": Path(file).name,
                "sha256": provenance.sha256_of_file(file),
                "level": one["level"],
                "solved": len(one["verdicts"]),
                "grader_errors": one["errors"],
                "pairs": pairs,
                "median_ratio": statistics.median(p["ratio"] for p in pairs),
                "differing_verdicts": differing,
            }
        )
        print(json.dumps(models[-1], indent=1))
    report = {
        "benchmark": a.benchmark,
        "problems_sha256": provenance.sha256_of_file(a.problems),
        "device": provenance.device(),
        "versions": provenance.versions(),
        "models": models,
    }
    file = ROOT / "bench" / "results" / f"grade_code_{a.benchmark}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
