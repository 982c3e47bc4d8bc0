"""Judging rows of teachers' traces: our scan against a plain `datasets.map` pipeline of the same
steps.

    python bench/traces.py [--rows 10000 100000] [--processes 2] [--pairs 3] [--dataset r1_math]

Rows are generated in the hub's schema with realistic lengths (thinking of about 16,000 characters,
two generations a problem in math; thirty traces a problem in code) into Parquet files of 5,000
rows. Both sides judge each row, find the ids, near-duplicate sketches and evaluation problems of
its statement with the same functions, choose and write a set of traces; the peer as a user of the
library would: load_dataset, map and filter with `num_proc`, select, to_parquet. Each side runs in a
process of its own, in turn; the generated files are in the page cache for both. Prints rows/s, the
ratio of wall times (peer / ours: above 1 is faster) and the largest memory of all its processes
together (proportional set size), and writes bench/results/traces_<dataset>.json, with the machine's
load before it began: above 1 other work ran beside it."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE_ROWS = 5000
WANTED = 2000
PROSE = """we need the value of then let us consider first case where is so that must be
    equal to sum number wait check again since both sides give therefore now suppose
    integer prime divides total area angle list loop index string"""
WORDS = PROSE.split()


def generate(folder: Path, dataset: str, rows: int, seed: int) -> None:
    """`rows` generated rows in the hub's schema, in files of FILE_ROWS."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = random.Random(seed)
    paragraphs = [" ".join(rng.choices(WORDS, k=60)) for _ in range(500)]

    def thinking():
        long = max(4, int(rng.lognormvariate(3.75, 0.6)))
        return "<think>\n" + "\n\n".join(rng.choices(paragraphs, k=long)) + "\n</think>\n"

    def statement(i):
        return (
            f"Problem about {rng.choice(WORDS)} {i}: "
            + " ".join(rng.choices(WORDS, k=60))
            + f" $x^{i} + {i}y = {i * 7}$?"
        )

    def math(i):
        return {
            "problem": statement(i),
            "solution": paragraphs[0],
            "answer": str(i),
            "problem_type": "Algebra",
            "question_type": "math-word-problem",
            "source": "generated",
            "uuid": f"u{i}",
            "is_reasoning_complete": [True, i % 9 > 0],
            "correctness_math_verify": [i % 3 > 0, True],
            "generations": [thinking() + rf"\boxed{{{i}}}" for _ in range(2)],
            "correctness_llama": None,
            "finish_reasons": None,
            "correctness_count": 1,
            "messages": None,
        }

    problems = [statement(i) for i in range(max(1, rows // 30))] if dataset == "r1_code" else []
    program = "".join(
        f"def step_{k}(values):\n    return [v + {k} for v in values if v % {k + 2} == 0]\n\n"
        for k in range(8)
    )

    def code(i):
        good = f"```python\n{program}print(sum(step_1(list(map(int, input().split())))) + {i})\n```"
        return {
            "id": f"c{i}",
            "input": problems[i % len(problems)],
            "output": thinking() + (good if i % 11 else "No code."),
            "source": "generated",
            "license": "",
            "dataset": "taco",
            "split": "train",
            "difficulty": "",
            "solution": "",
        }

    folder.mkdir(parents=True)
    for start in range(0, rows, FILE_ROWS):
        made = [
            (math if dataset == "r1_math" else code)(i)
            for i in range(start, min(rows, start + FILE_ROWS))
        ]
        parquet.write_table(
            pa.Table.from_pylist(made), folder / f"train-{start:07d}.parquet", row_group_size=1000
        )


def evaluation() -> list[tuple[str, str, str]]:
    """1,500 generated evaluation problems: about as many as the study's five sets have."""
    rng = random.Random(1)
    return [
        ("generated", str(i), " ".join(rng.choices(WORDS, k=50)) + f" {i} {i + 3}")
        for i in range(1500)
    ]


def ours(folder: str, dataset: str, processes: int, out: str) -> dict:
    os.environ["DISTILL_NB_RUNS"] = out
    from distill_nb.traces import build, params

    build.evaluation_sets = lambda p: evaluation()
    p = params.pocket(
        dataset=dataset,
        config="default" if dataset == "r1_math" else "split_0",
        source=folder,
        n_examples=WANTED,
        processes=processes,
    )
    return build.build(p)


def peer(folder: str, dataset: str, processes: int, out: str) -> dict:
    """The same steps with datasets: one filter or map after another, as its guide has it."""
    import datasets

    from distill_nb.traces import selection
    from distill_nb.traces.decontamination import statements

    datasets.disable_progress_bars()
    rows = datasets.load_dataset(
        "parquet", data_files=f"{folder}/*.parquet", split="train", cache_dir=out
    )
    total, counts = len(rows), {}
    shared = {"num_proc": processes}
    rows = rows.map(
        _peer_judge, fn_kwargs={"dataset": dataset}, remove_columns=rows.column_names, **shared
    )
    for reason in ("not_verified", "no_code", "does_not_compile", "contaminated"):
        if reason == "contaminated":
            rows = rows.map(_peer_describe, **shared)
        before = len(rows)
        rows = rows.filter(
            _peer_keeps, input_columns=["reason"], fn_kwargs={"against": reason}, **shared
        )
        counts[reason] = before - len(rows)
    good, near = {}, statements.NearDuplicates(0.8)
    for i, row in enumerate(rows.select_columns(["problem_id", "numbers", "sketch"])):
        good.setdefault(row["problem_id"], (i, row["numbers"], row["sketch"]))
    chosen = [
        i
        for problem, (i, numbers, sketch) in sorted(
            good.items(), key=lambda item: selection.rank(0, item[0])
        )
        if near.first_like(problem, sketch, numbers) is None
    ][:WANTED]
    rows.select(chosen).select_columns(["problem", "trace", "problem_id"]).to_parquet(
        f"{out}/train.parquet"
    )
    return {"rows": total, "rejected": {k: v for k, v in counts.items() if v}, "kept": len(chosen)}


def _peer_keeps(reason: str, against: str) -> bool:
    return reason != against


def _peer_judge(row: dict, dataset: str) -> dict:
    """Which trace of a row is taken, or why none."""
    from distill_nb.grading import code_answer, extract
    from distill_nb.grading.extract import visible_text
    from distill_nb.traces import hub_rows

    reason, trace, problem = (
        "",
        "",
        hub_rows.plain(row["problem" if dataset == "r1_math" else "input"]),
    )
    if dataset == "r1_math":
        good = [
            hub_rows.plain(g)
            for g, a, b in zip(
                row["generations"],
                row["is_reasoning_complete"],
                row["correctness_math_verify"],
                strict=True,
            )
            if a and b
        ]
        good = [g for g in good if extract.closes_its_thinking(g) and visible_text(g).strip()]
        reason, trace = ("", good[0]) if good else ("not_verified", "")
    else:
        trace = hub_rows.plain(row["output"])
        code = code_answer.strict(visible_text(trace), "")
        reason = "no_code" if not code else "" if code_answer.parse(code) else "does_not_compile"
    return {"reason": reason, "problem": problem, "trace": trace}


_known = None


def _peer_describe(row: dict) -> dict:
    """What the statement is: its id, numbers, sketch, and whether an evaluation set has it."""
    global _known
    from distill_nb.runtime import provenance
    from distill_nb.traces.decontamination import match, statements

    if _known is None:
        _known = match.EvaluationProblems(evaluation())
    words = statements.words(row["problem"])
    sketch = statements.sketch(words)
    found = _known.match(row["problem"], words)
    return {
        "reason": "contaminated" if found and found.kind == "contaminated" else "",
        "sketch": sketch,
        "problem_id": statements.id_of(words),
        "numbers": provenance.sha256_of_json(statements.numbers(words))[:16],
    }


def memory_of(pid: int, peak: list) -> None:
    """Keep the largest proportional set size, in MiB, of a process and all below it in `peak`,
    until it ends."""
    import psutil

    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            total = 0
            for one in [process, *process.children(recursive=True)]:
                try:
                    total += one.memory_full_info().pss
                except (psutil.Error, OSError):
                    continue
            peak[0] = max(peak[0], total / 2**20)
            time.sleep(0.2)
    except psutil.Error:
        return


def side(name: str, folder: Path, dataset: str, processes: int) -> dict:
    """One side in a process of its own: seconds, peak_mib, funnel."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, __file__, "--side", name, str(folder), dataset, str(processes), out],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        peak = [0.0]
        watcher = threading.Thread(target=memory_of, args=(child.pid, peak))
        watcher.start()
        text, _ = child.communicate()
        seconds = time.perf_counter() - start
        watcher.join()
    if child.returncode:
        sys.exit(
            f"{name} failed: run `{sys.executable} {__file__} --side {name} {folder} {dataset} "
            f"{processes} OUT`"
        )
    return {
        "seconds": round(seconds, 2),
        "peak_mib": round(peak[0]),
        "funnel": json.loads(text.splitlines()[-1]),
    }


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        name, folder, dataset, processes, out = sys.argv[2:]
        print(
            "\n"
            + json.dumps({"ours": ours, "peer": peer}[name](folder, dataset, int(processes), out)),
            flush=True,
        )
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--dataset", choices=("r1_math", "r1_code"), default="r1_math")
    a = parser.parse_args()
    from distill_nb.runtime import provenance

    sizes, load = [], os.getloadavg()[0]
    for rows in a.rows:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "rows"
            generate(folder, a.dataset, rows, 0)
            megabytes = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
            pairs = [
                {name: side(name, folder, a.dataset, a.processes) for name in ("ours", "peer")}
                for _ in range(a.pairs)
            ]
        kept = {name: {p[name]["funnel"]["kept"] for p in pairs} for name in ("ours", "peer")}
        if kept["ours"] != kept["peer"]:
            sys.exit(f"The two sides kept different numbers of traces: {kept}")
        sizes.append(
            {
                "rows": rows,
                "parquet_megabytes": round(megabytes),
                "kept": pairs[0]["ours"]["funnel"]["kept"],
                "rows_per_second": {
                    n: round(rows / statistics.median(p[n]["seconds"] for p in pairs))
                    for n in ("ours", "peer")
                },
                "peak_mib": {n: max(p[n]["peak_mib"] for p in pairs) for n in ("ours", "peer")},
                "median_ratio": round(
                    statistics.median(p["peer"]["seconds"] / p["ours"]["seconds"] for p in pairs), 2
                ),
                "pairs": [
                    {n: {k: v for k, v in p[n].items() if k != "funnel"} for n in p} for p in pairs
                ],
            }
        )
        print(json.dumps(sizes[-1], indent=1), flush=True)
    report = {
        "dataset": a.dataset,
        "processes": a.processes,
        "load_before": round(load, 1),
        "beside_other_work": load > 1,
        "device": provenance.device(),
        "versions": provenance.versions(),
        "sizes": sizes,
    }
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    (ROOT / "bench" / "results" / f"traces_{a.dataset}.json").write_text(
        json.dumps(report, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
