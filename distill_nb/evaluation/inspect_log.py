"""A run's records as logs of Inspect (https://inspect.aisi.org.uk), for its viewer, its bundles and
its dataframes: one log a step and benchmark, in the JSON format of version 2.

Inspect's epochs are our samples. Each answer has three scores: `outcome` is the strict reading,
`lenient` and `second` are the other two; the outcome itself is in the metadata of a score."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from distill_nb.benchmarks import Task
from distill_nb.evaluation import records
from distill_nb.runtime import jsonl, provenance
from distill_nb.runtime.files import write_json

FOLDER = "inspect"
SCORES = {
    "outcome": "outcome", "lenient": "lenient_outcome", "second": "second_outcome",
}  # fmt: skip
STOP = {"stop": "stop", "length": "max_tokens"}
Tasks = Mapping[tuple[str, str], Task]


def export(run_dir: Path, tasks: Tasks, into: Path | None = None) -> list[Path]:
    """Write a log of each step and benchmark to `into`, <run_dir>/inspect by default. Returns their
    places. tasks: (benchmark, task_id) → Task; of others the problem is empty.

    Raises ValueError where the run has no record."""
    found = sorted(run_dir.glob("eval/step_*/*.jsonl"))
    if not found:
        raise ValueError(f"{run_dir} has no records to export: evaluate the run first.")
    file, record = run_dir / "provenance_eval.json", {}
    if file.is_file():
        record = provenance.read(file, "evaluate the run again")
    written = []
    for file in found:
        answers = records.once(jsonl.read(file))
        if answers:
            log = _log(run_dir.name, answers, tasks, record, file.stat().st_mtime)
            created = log["eval"]["created"].replace(":", "-").replace("+", "-")
            name = f"{created}_{log['eval']['task']}_{log['eval']['task_id']}.json"
            written.append((into or run_dir / FOLDER) / name)
            write_json(written[-1], log)
    return written


def _log(run: str, answers: list[dict], tasks: Tasks, record: dict, when: float) -> dict:
    """The log of one file of records, last written to at `when` (Unix time)."""
    first = answers[0]
    step, benchmark = first["step"], first["benchmark"]
    p = record.get("parameters", {})
    model = f"distill_nb/{run}/{'base' if step == 0 else f'step_{step}'}"
    ids = list(dict.fromkeys(r["task_id"] for r in answers))
    created = datetime.fromtimestamp(int(when), UTC).isoformat()
    key = provenance.sha256_of_json([run, step, benchmark])[:22]
    samples = [_sample(model, r, tasks.get((benchmark, r["task_id"]))) for r in answers]
    whole = len(answers) == len(ids) * max(r["sample"] + 1 for r in answers)
    whole &= bool(record.get("finished"))
    metadata = {"run": run, "step": step, "benchmark": benchmark}
    metadata |= {
        k: first[k] for k in ("student", "teacher", "domain", "engine", "grader") if k in first
    }
    if benchmark in record.get("benchmarks", {}):
        metadata["source"] = record["benchmarks"][benchmark]
    tokens = {
        f"{kind}_tokens": sum(s["output"]["usage"][f"{kind}_tokens"] for s in samples)
        for kind in ("input", "output", "total")
    }
    return {
        "version": 2,
        "status": "success" if whole else "cancelled",
        "eval": {
            "eval_id": key,
            "run_id": provenance.sha256_of_json([run])[:22],
            "created": created,
            "task": benchmark,
            "task_id": key,
            "task_version": 0,
            "task_args": {"step": step},
            "dataset": {
                "name": benchmark,
                "samples": len(ids),
                "sample_ids": ids,
                "shuffled": False,
            },
            "model": model,
            "model_generate_config": {
                name: p[ours]
                for name, ours in (
                    ("max_tokens", "max_new_tokens"),
                    ("temperature", "temperature"),
                    ("top_p", "top_p"),
                )
                if ours in p
            },
            "config": {"epochs": max(r["sample"] + 1 for r in answers), "epochs_reducer": ["mean"]},
            "packages": record.get("packages", {}),
            "metadata": metadata,
            "scorers": [{"name": name, "metrics": [{"name": "accuracy"}]} for name in SCORES],
        },
        "plan": {"name": "plan", "steps": [{"solver": "generate", "params": {}}], "config": {}},
        "results": {
            "total_samples": len(answers),
            "completed_samples": len(answers),
            "scores": [_score(name, answers, field) for name, field in SCORES.items()],
        },
        "stats": {"started_at": created, "completed_at": created, "model_usage": {model: tokens}},
        "samples": samples,
    }


def _sample(model: str, r: dict, task: Task | None) -> dict:
    """One answer."""
    usage = {"input_tokens": r["prompt_tokens"], "output_tokens": r["completion_tokens"]}
    usage["total_tokens"] = sum(usage.values())
    prompt = task.prompt if task else ""
    message = {
        "role": "assistant",
        "content": _content(r["completion"]),
        "source": "generate",
        "model": model,
    }
    made = {
        "id": r["task_id"],
        "epoch": r["sample"] + 1,
        "input": prompt,
        "target": task.gold if task else "",
        "messages": [{"role": "user", "content": prompt, "source": "input"}, message],
        "output": {
            "model": model,
            "choices": [
                {"message": message, "stop_reason": STOP.get(r["finish_reason"], "unknown")}
            ],
            "completion": r["completion"],
            "usage": usage,
            "time": r["seconds"],
        },
        "scores": {
            name: {
                "value": "C" if r[field] == "correct" else "I",
                "answer": r["answer"],
                "explanation": r["detail"] if name == "outcome" else None,
                "metadata": {"outcome": r[field]},
            }
            for name, field in SCORES.items()
            if r.get(field)
        },
        "metadata": {k: r[k] for k in ("seed", "sandbox_level") if r.get(k) not in (None, "")}
        | ({"finish_reason": "loop"} if r["finish_reason"] == "loop" else {}),
        "model_usage": {model: usage},
        "total_time": r["seconds"],
    }
    if r["outcome"] == "sampling_error":
        made["error"] = {"message": r["detail"], "traceback": "", "traceback_ansi": ""}
    return made


def _content(completion: str) -> str | list[dict]:
    """The text of an answer, its thinking apart, as Inspect's viewer folds it."""
    thinking, end, rest = completion.partition("</think>")
    if not end:
        return completion
    thought = {"type": "reasoning", "reasoning": thinking.strip().removeprefix("<think>").strip()}
    return [thought, {"type": "text", "text": rest.strip()}]


def _score(name: str, answers: Iterable[dict], field: str) -> dict:
    """The mean over problems of the share of correct answers, and its standard error."""
    by_problem: dict[str, list[bool]] = {}
    for r in answers:
        by_problem.setdefault(r["task_id"], []).append(r[field] == "correct")
    shares = [sum(found) / len(found) for found in by_problem.values()]
    n = len(shares)
    mean = sum(shares) / n
    metrics = {"accuracy": mean}
    if n > 1:
        metrics["stderr"] = math.sqrt(sum((s - mean) ** 2 for s in shares) / (n - 1) / n)
    return {
        "name": name,
        "scorer": name,
        "scored_samples": n,
        "params": {},
        "metrics": {k: {"name": k, "value": v, "params": {}} for k, v in metrics.items()},
    }
