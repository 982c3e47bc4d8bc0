"""Recorded answers graded again: where our verdicts differ from those recorded with them, and why.

    python bench/regrade.py [--math500 GENERATIONS.jsonl …]
        [--humaneval_plus PROBLEMS RECORDED.json …] [--mbpp_plus PROBLEMS RECORDED.json …]

GENERATIONS.jsonl is Qwen2.5-Math's format: {"idx", "answer": MATH-500's own, "code": [generation],
"score": [verdict]}. RECORDED.json is an evalplus result file. bench/README.md names public ones.
An answer that is not empty, of which we say no_answer and they say fail, is listed, too. Why two
verdicts on a math answer differ was found by reading them, and stands in regrade_classes.json; of
code it follows from the answer. Writes bench/results/regrade.json (ids and classes, no texts). Ends
with 1 where a verdict differs and nobody has said why."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path

from distill_nb.benchmarks import loading
from distill_nb.benchmarks.evalplus_data import problems
from distill_nb.grading import GRADER_VERSION, code, code_answer, math
from distill_nb.runtime import provenance

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ROOT / "bench" / "regrade_classes.json"


def math500(file: Path, known: dict[str, str]) -> tuple[int, dict[str, dict]]:
    """(answers, id → {"ours", "theirs", "class"} where they differ)."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    golds, texts = [row["answer"] for row in rows], [row["code"][0] for row in rows]
    differ = {}
    for row, grade in zip(rows, math.grade_many(golds, texts, ["stop"] * len(rows)), strict=True):
        theirs, name = "correct" if row["score"][0] else "wrong", str(row["idx"])
        if (grade.outcome == "correct") != (theirs == "correct"):
            why = known.get(name, "unexplained")
            differ[name] = {"ours": grade.outcome, "theirs": theirs, "class": why}
    return len(rows), differ


def evalplus(benchmark: str, source: str, file: Path) -> tuple[int, dict[str, dict]]:
    """The same of code. ours: [of the base tests, of all]; theirs: [of base, of plus]."""
    rows = {i: found[0] for i, found in json.loads(file.read_text())["eval"].items()}
    tasks = {task.task_id: task for task in loading.load(benchmark, source)}
    prompts = {i: problem["prompt"] for i, problem in problems(benchmark, source).items()}
    texts = [f"```python\n{row['solution']}\n```" for row in rows.values()]
    grades = code.grade_many([tasks[i] for i in rows], texts, ["stop"] * len(rows))
    differ = {}
    for (name, row), grade in zip(rows.items(), grades, strict=True):
        theirs = [row["base_status"] == "pass", row["base_status"] == row["plus_status"] == "pass"]
        ours = [grade.second_outcome == "correct", grade.outcome == "correct"]
        if ours != theirs or (grade.outcome == "no_answer" and row["solution"].strip()):
            why = reason(name, row["solution"], prompts[name], tasks[name].entry_point, grade)
            differ[name] = {
                "ours": [grade.second_outcome, grade.outcome],
                "theirs": [row["base_status"], row["plus_status"]],
                "class": why,
            }
    return len(rows), differ


def reason(name: str, solution: str, prompt: str, entry_point: str, grade: code.Grade) -> str:
    """The class of a difference."""
    if name == "HumanEval/32" and grade.outcome == "correct":
        return "never_passes"
    if grade.outcome == "no_answer":
        tree = code_answer.parse(solution)
        if tree is None:
            return "no_python"
        names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        return "no_body" if entry_point in names else "no_definition"
    imports = [line for line in prompt.splitlines() if line.startswith(("import ", "from "))]
    if grade.second_outcome == "correct" and any(line not in solution for line in imports):
        return "imports"
    return "unexplained"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--math500", nargs="+", default=[], metavar="GENERATIONS")
    for benchmark in ("humaneval_plus", "mbpp_plus"):
        parser.add_argument(f"--{benchmark}", nargs="+", metavar=("PROBLEMS", "RECORDED"))
    a = parser.parse_args()
    known = json.loads(CLASSES.read_text())
    found = {Path(f): math500(Path(f), known.get(Path(f).name, {})) for f in a.math500}
    for benchmark in ("humaneval_plus", "mbpp_plus"):
        source, *recorded = getattr(a, benchmark) or [""]
        found |= {Path(f): evalplus(benchmark, source, Path(f)) for f in recorded}
    listed = [d["class"] for _, differ in found.values() for d in differ.values()]
    report = {
        "grader": GRADER_VERSION,
        "versions": provenance.versions(),
        "classes": {c: text for c, text in known["classes"].items() if c in listed},
        "files": {
            file.name: {
                "sha256": provenance.sha256_of_file(file),
                "answers": answers,
                "listed": len(differ),
                "differ": differ,
            }
            for file, (answers, differ) in found.items()
        },
    }
    target = ROOT / "bench" / "results" / "regrade.json"
    target.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, indent=1, ensure_ascii=False))
    if "unexplained" in listed:
        sys.exit(f"{listed.count('unexplained')} verdicts differ for reasons that nobody gave.")


if __name__ == "__main__":
    main()
