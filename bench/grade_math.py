"""Grading real generations on MATH-500: our warm pool against Math-Verify called on one after
another.

    python bench/grade_math.py GENERATIONS.jsonl [GENERATIONS.jsonl ...] [--pairs 3]

A line is {"gt": gold answer, "code": [generation]} (Qwen2.5-Math's format; bench/README.md names
public files). Both sides are given generations and gold answers, take the last boxed answer and
compare; both have imported what they need. The peer runs in the main thread, where Math-Verify's
own limits work. Prints the median ratio of wall times (Math-Verify / ours: above 1 is faster) and
the verdicts that differ, and writes bench/results/grade_math.json."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from distill_nb.grading import extract, math, math_pool, math_worker
from distill_nb.grading.extract import visible_text
from distill_nb.runtime import provenance

ROOT = Path(__file__).resolve().parents[1]


def ours(golds: list[str], texts: list[str]) -> tuple[float, list[str]]:
    """Seconds, and correct, wrong or timeout."""
    start = time.perf_counter()
    grades = math.grade_many(golds, texts, ["stop"] * len(texts))
    return time.perf_counter() - start, [
        g.outcome if g.outcome in ("correct", "timeout") else "wrong" for g in grades
    ]


def peer(golds: list[str], texts: list[str]) -> tuple[float, list[str]]:
    """The same by Math-Verify alone; It reads strictly only, ours also leniently."""
    start, found = time.perf_counter(), []
    for gold, text in zip(golds, texts, strict=True):
        answer = extract.last_boxed(visible_text(text))
        said = math_worker.verdict(gold, answer, math_pool.SECONDS) if answer else "different"
        found.append({"equal": "correct", "timeout": "timeout"}.get(said, "wrong"))
    return time.perf_counter() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--pairs", type=int, default=3)
    a = parser.parse_args()
    rows = [json.loads(line) for file in a.files for line in Path(file).read_text().splitlines()]
    golds, texts = [r["gt"] for r in rows], [r["code"][0] for r in rows]
    math_pool.verdicts([(str(i), "1") for i in range(4 * math_pool.cores())])  # start the pool
    math_worker.verdict("1", "2", 5)
    pairs, differing = [], set()
    for _ in range(a.pairs):
        (one, mine), (other, theirs) = ours(golds, texts), peer(golds, texts)
        pairs.append(
            {
                "ours_seconds": round(one, 2),
                "math_verify_seconds": round(other, 2),
                "ratio": round(other / one, 2),
            }
        )
        differing |= {
            (g, extract.last_boxed(t) or "", m, v)
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
        "differing_verdicts": sorted(differing),
    }
    file = ROOT / "bench" / "results" / "grade_math.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
