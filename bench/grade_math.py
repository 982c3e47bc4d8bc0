"""Grading real generations on MATH-500: our warm pool against Math-Verify called on one after
another.

    python bench/grade_math.py GENERATIONS.jsonl [GENERATIONS.jsonl ...] [--pairs 3]

A line is {"gt": gold answer, "code": [generation]} (Qwen2.5-Math's format; bench/README.md names
public files). Both sides are given generations and gold answers, take the last boxed answer and
compare; both have imported what they need. The peer runs in the main thread, where Math-Verify's
own limits work. Each comes first in every second pair. Prints the median ratios of wall time and of
processor time (Math-Verify / ours: above 1 is faster) and the verdicts that differ, and writes
bench/results/grade_math.json."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from math_verify import parse, verify
from math_verify.errors import TimeoutException

from distill_nb.grading import math, math_pool
from distill_nb.grading.extract import visible_text
from distill_nb.grading.math_answer import last_boxed
from distill_nb.runtime import provenance

ROOT = Path(__file__).resolve().parents[1]
Side = Callable[[list[str], list[str]], list[str]]


def ours(golds: list[str], texts: list[str]) -> list[str]:
    """correct, wrong or timeout."""
    grades = math.grade_many(golds, texts, ["stop"] * len(texts))
    return [g.outcome if g.outcome in ("correct", "timeout") else "wrong" for g in grades]


def peer(golds: list[str], texts: list[str]) -> list[str]:
    """The same by Math-Verify alone, which reads strictly only, ours also leniently."""
    found = []
    for gold, text in zip(golds, texts, strict=True):
        answer = last_boxed(visible_text(text))
        found.append(math_verify(gold, answer) if answer else "wrong")
    return found


def timed(side: Side, golds: list[str], texts: list[str]) -> tuple[float, float, list[str]]:
    """(seconds, seconds of processor time, outcomes) of a side."""
    before, start = processor_seconds(), time.perf_counter()
    found = side(golds, texts)
    return time.perf_counter() - start, processor_seconds() - before, found


def processor_seconds() -> float:
    """Of this process and of all below it."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def math_verify(gold: str, answer: str) -> str:
    """Math-Verify's own verdict."""
    try:
        sides = [parse(f"\\boxed{{{side}}}", parsing_timeout=5) for side in (gold, answer)]
        same = verify(*sides, timeout_seconds=5, raise_on_error=True)
    except TimeoutException:  # a BaseException
        return "timeout"
    except Exception:  # SymPy may fail in any way on an answer without a meaning
        return "wrong"
    return "correct" if same else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--pairs", type=int, default=3)
    a = parser.parse_args()
    rows = [json.loads(line) for file in a.files for line in Path(file).read_text().splitlines()]
    golds, texts = [r["gt"] for r in rows], [r["code"][0] for r in rows]
    math_pool.verdicts([(str(i), "1") for i in range(4 * math_pool.cores())])  # start the pool
    math_verify("1", "2")
    pairs, differing = [], set()
    for number in range(a.pairs):
        sides = (ours, peer) if number % 2 == 0 else (peer, ours)
        results = {side: timed(side, golds, texts) for side in sides}
        (one, one_cpu, mine), (other, other_cpu, theirs) = results[ours], results[peer]
        pairs.append(
            {
                "first": "ours" if sides[0] is ours else "math_verify",
                "ours_seconds": round(one, 2),
                "math_verify_seconds": round(other, 2),
                "ratio": round(other / one, 2),
                "ours_processor_seconds": round(one_cpu, 2),
                "math_verify_processor_seconds": round(other_cpu, 2),
                "processor_ratio": round(other_cpu / one_cpu, 2),
            }
        )
        differing |= {
            (g, last_boxed(t) or "", m, v)
            for g, t, m, v in zip(golds, texts, mine, theirs, strict=True)
            if m != v
        }
    report = {
        "files": {Path(f).name: provenance.sha256_of_file(f) for f in a.files},
        "generations": len(rows),
        "device": provenance.device(),
        "versions": provenance.versions(),
        "pairs": pairs,
        "median_ratio": statistics.median(p["ratio"] for p in pairs),
        "median_processor_ratio": statistics.median(p["processor_ratio"] for p in pairs),
        "differing_verdicts": sorted(differing),
    }
    file = ROOT / "bench" / "results" / "grade_math.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
