"""Scores in the hub's decentralised format: one file .eval_results/<benchmark>.yaml each, which the
hub shows on the model's page and collects on the benchmark's leaderboard.

Format: https://huggingface.co/docs/hub/eval-results and eval_results.yaml of huggingface/hub-docs
(2026-08). An entry names a data set of the hub and the task of its eval.yaml. So only scores on a
whole benchmark that came from the hub at a pinned revision get one, and none with errors of
sampling or grading among the answers."""

from __future__ import annotations

import re

from pandas import DataFrame

from distill_nb.params import yaml_text

FOLDER = ".eval_results"
# The task in the eval.yaml of a data set, where it is not this one.
TASKS = {"Idavidrein/gpqa": "gpqa_diamond"}
DEFAULT_TASK = "default"
SOURCE = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")


def files(scores: DataFrame, evaluated: dict, url: str) -> dict[str, str]:
    """Path in the repository → YAML. scores: results.accuracy_of, of one checkpoint; evaluated: its
    provenance; url: of the evidence, which each entry names as its source."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    made = {}
    for r in scores.itertuples():
        about = evaluated.get("benchmarks", {}).get(r.benchmark, {})
        source = SOURCE.fullmatch(str(about.get("source", "")))
        if not source or r.flagged or r.part or about.get("taken") != about.get("size"):
            continue
        entry = EvalResultEntry(
            dataset_id=source[1],
            task_id=TASKS.get(source[1], DEFAULT_TASK),
            value=round(float(r.accuracy), 2),
            dataset_revision=source[2],
            date=str(evaluated["finished_at"])[:10],
            source_url=url,
            source_name="distill_nb: provenance and proof",
            notes=_notes(r, evaluated["settings"]),
        )
        text = yaml_text.dump(eval_result_entries_to_yaml([entry]), flow=False)
        made[f"{FOLDER}/{r.benchmark}.yaml"] = text + "\n"
    return made


def _notes(r: object, settings: dict) -> str:
    """How a score was made, in one line."""

    def of(key: str) -> object:
        value = settings[key]
        return value[r.benchmark] if isinstance(value, dict) else value  # type: ignore[attr-defined]

    lo, hi = r.lo, r.hi  # type: ignore[attr-defined]
    return (
        f"percent correct, 95% interval {lo:.1f} to {hi:.1f}; zero-shot, no tools, "
        f"{of('n_samples')} sample(s) a problem, temperature {of('temperature')}, "
        f"top_p {of('top_p')}, at most {of('max_new_tokens')} new tokens"
    )
