"""Scores in the hub's decentralised format: read back by huggingface_hub, and what gets none."""

import pandas as pd
import yaml

from distill_nb.report import eval_results

REVISION = "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"
URL = "https://huggingface.co/org/name/tree/step_00100/distill_nb"


def score(benchmark, accuracy, flagged=False, part=False):
    return dict(
        benchmark=benchmark, accuracy=accuracy, flagged=flagged, part=part, lo=40.0, hi=50.0
    )


def about(source, taken=500, size=500):
    return {"source": source, "taken": taken, "size": size}


EVALUATED = {
    "finished_at": "2026-11-29T12:00:00.000+00:00",
    "settings": {
        "n_samples": {"math500": 1, "aime": 16, "gpqa_diamond": 1},
        "temperature": 0.6,
        "top_p": 0.95,
        "max_new_tokens": 8192,
    },
    "benchmarks": {
        "math500": about(f"HuggingFaceH4/MATH-500@{REVISION}"),
        "gpqa_diamond": about(f"Idavidrein/gpqa@{REVISION}", 198, 198),
        "aime": about(f"AI-MO/aimo-validation-aime@{REVISION}", 30, 90),
        "humaneval_plus": about("evalplus 0.1.10"),
        "livecodebench": about(f"livecodebench/code_generation_lite@{REVISION}"),
        "mbpp_plus": about("mbpp.part.jsonl"),
    },
}


def test_a_score_on_a_whole_benchmark_of_the_hub_is_read_back_as_it_was():
    from huggingface_hub import EvalResultEntry, parse_eval_result_entries

    table = pd.DataFrame([score("math500", 45.678), score("gpqa_diamond", 31.0)])
    made = eval_results.files(table, EVALUATED, URL)
    assert list(made) == [".eval_results/math500.yaml", ".eval_results/gpqa_diamond.yaml"]
    (entry,) = parse_eval_result_entries(yaml.safe_load(made[".eval_results/math500.yaml"]))
    assert entry == EvalResultEntry(
        dataset_id="HuggingFaceH4/MATH-500",
        task_id="default",
        value=45.68,
        dataset_revision=REVISION,
        date="2026-11-29",
        source_url=URL,
        source_name="distill_nb: provenance and proof",
        notes=(
            "percent correct, 95% interval 40.0 to 50.0; zero-shot, no tools, 1 sample(s) a "
            "problem, temperature 0.6, top_p 0.95, at most 8192 new tokens"
        ),
    )
    (gpqa,) = parse_eval_result_entries(yaml.safe_load(made[".eval_results/gpqa_diamond.yaml"]))
    assert (gpqa.task_id, gpqa.value) == ("gpqa_diamond", 31.0)


def test_a_part_errors_and_other_sources_get_none():
    table = pd.DataFrame(
        [
            score("aime", 10.0),  # 30 of 90
            score("humaneval_plus", 50.0),  # not from the hub
            score("livecodebench", 20.0, flagged=True),
            score("mbpp_plus", 20.0, part=True),
            score("pocket_math", 20.0),
        ]
    )
    assert eval_results.files(table, EVALUATED, URL) == {}
