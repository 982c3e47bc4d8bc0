"""Do the engines agree? The pocket run's base and last checkpoint on 20 problems, by Transformers
and by vLLM both ways.

    make demo && python bench/engines.py [--dtype float32 bfloat16] [--problems 20]
    [--max-new-tokens 96]

Greedy. In float32 all three should give the same tokens; in bfloat16 rounding picks other tokens
now and then, and the outcomes that differ are shown, problem by problem. Many processors are slow
in bfloat16: give that fewer problems or tokens in a call of its own, which leaves the other's
result where it is, in bench/results/engines.json. Exit status 1 where an adapter's proof fails or
float32 differs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from distill_nb import params
from distill_nb.benchmarks import loading
from distill_nb.evaluation.engines import start
from distill_nb.evaluation.engines.types import Request
from distill_nb.evaluation.proofs import proved
from distill_nb.grading import graders
from distill_nb.runtime import paths, provenance
from distill_nb.students import chat, proof, student

FILE = Path(__file__).resolve().parent / "results" / "engines.json"
WAYS = {
    "hf": {"engine": "hf"},
    "merged": {"engine": "vllm", "adapters": "merged"},
    "multi": {"engine": "vllm", "adapters": "multi"},
}


def answers(p, step: int, tasks: list) -> dict:
    """(step, task_id) → (tokens, outcome) of one engine."""
    tokenizer, template = student.load_tokenizer(p), chat.template_for(p.student, p.chat_template)
    asked = [
        Request(
            1000 * s + i,
            s,
            chat.prompt_ids(tokenizer, template, [{"role": "user", "content": task.prompt}]),
            i,
        )
        for s in (0, step)
        for i, task in enumerate(tasks)
    ]
    adapters = {step: paths.checkpoint_dir(p, step)}
    references, found = {step: proof.read(adapters[step])}, {}
    prompts, texts = [r.prompt for r in asked], [r["tokens"] for r in references.values()]
    with start.start(p, adapters, prompts, texts) as engine:
        for served, proofs in proved(p, engine, [step], references):
            failed = [made for made in proofs if not made.passed]
            if failed:
                sys.exit(f"{p.engine} {p.adapters} {p.dtype}: {failed[0].why}.")
            for batch in engine.answers([r for r in asked if r.step in served]):
                found |= {a.number: a for a in batch}
    order = sorted(found)
    grades = graders.grade_all(
        [tasks[n % 1000] for n in order],
        [found[n].text for n in order],
        [found[n].finish_reason for n in order],
        p.allow_unsafe,
        tuple(p.sandbox_packages),
    )
    return {
        (n // 1000, tasks[n % 1000].task_id): (found[n].tokens, grade.outcome)
        for n, grade in zip(order, grades, strict=True)
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dtype", nargs="+", default=["float32", "bfloat16"], choices=("float32", "bfloat16")
    )
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--max-new-tokens", type=int, default=96)
    args = parser.parse_args()
    p = params.pocket(max_new_tokens=args.max_new_tokens)
    if not paths.checkpoint_dir(p, p.max_steps).exists():
        sys.exit("there is no pocket run yet: run `make demo` first.")
    half = args.problems // 2
    tasks = [task for name in p.benchmarks for task in loading.load(name, limit=half)]
    result, wrong = json.loads(FILE.read_text()) if FILE.exists() else {}, False
    for dtype in args.dtype:
        by_way, seconds = {}, {}
        for way, changes in WAYS.items():
            started = time.perf_counter()
            by_way[way] = answers(replace(p, dtype=dtype, **changes), p.max_steps, tasks)
            seconds[way] = round(time.perf_counter() - started, 1)
        reference = by_way["hf"]
        same = {
            way: sum(found[key][0] == reference[key][0] for key in reference)
            for way, found in by_way.items()
        }
        correct = {
            way: sum(outcome == "correct" for _, outcome in found.values())
            for way, found in by_way.items()
        }
        differing = [
            {"step": key[0], "task_id": key[1]}
            | {way: found[key][1] for way, found in by_way.items()}
            for key in reference
            if len({found[key][1] for found in by_way.values()}) > 1
        ]
        result[dtype] = {
            "device": provenance.device(),
            "packages": provenance.versions(),
            "problems": len(tasks),
            "max_new_tokens": p.max_new_tokens,
            "answers": len(reference),
            "same_tokens_as_hf": same,
            "correct": correct,
            "seconds": seconds,
            "differing_outcomes": differing,
        }
        wrong = wrong or (dtype == "float32" and set(same.values()) != {len(reference)})
        print(
            f"{dtype}: of {len(reference)} answers the same tokens as hf: {same}; correct: "
            f"{correct}; seconds: {seconds}"
        )
        for row in differing:
            print("  " + "  ".join(f"{k}: {v}" for k, v in row.items()))
        FILE.write_text(json.dumps(result, indent=1) + "\n")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
