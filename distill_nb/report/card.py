"""A model card beside each evaluated checkpoint, so that its folder can be pushed to the hub as it
is.

    hf upload ORGANISATION/NAME runs/full/llama8b_math_4k/checkpoints/step_00500

Metadata as on https://huggingface.co/docs/hub/model-cards (base model, library, tags, data sets,
results as model-index); every number comes from the run's records and provenance."""

from __future__ import annotations

import json
from pathlib import Path

from distill_nb import params
from distill_nb.analysis import names, results, selection
from distill_nb.runtime import paths
from distill_nb.runtime.files import write_text
from distill_nb.students import sources

# Hub ids of what the students were trained on, where there is one.
HUB_DATASETS = {"r1_math": "open-r1/OpenR1-Math-220k", "r1_code": "nvidia/OpenCodeReasoning"}
TEACHERS = {"r1": "DeepSeek-R1", "sonnet": "Claude Sonnet 4.5"}
HYPERPARAMETERS = (
    "dataset",
    "n_examples",
    "max_length",
    "overlong",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "lora_targets",
    "lora_experts",
    "lora_expert_rank",
    "load_in_4bit",
    "learning_rate",
    "lr_schedule",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "batch_size",
    "seed",
    "dtype",
)
GENERATION = ("max_new_tokens", "temperature", "top_p", "n_samples", "seed")


def write_cards(p: params.Params) -> list[Path]:
    """Write README.md into the folder of every checkpoint of a run that has records; returns the
    files.

    Baselines and adapters from elsewhere get none: there is no checkpoint of ours."""
    folder = paths.run_dir(p)
    if params.is_baseline(p) or p.adapter != "none":
        return []
    records = results.load_records(folder.parent)
    records = records[records["folder"] == folder.name] if len(records) else records
    table, chosen = (
        results.accuracy_of(records),
        selection.sentences(selection.both_rules(records), p.select_on),
    )
    trained = json.loads((folder / "provenance_train.json").read_text())
    evaluated = json.loads((folder / "provenance_eval.json").read_text())
    written = []
    for step in sorted(s for s in set(table["step"]) if s and paths.checkpoint_dir(p, s).is_dir()):
        file = paths.checkpoint_dir(p, step) / "README.md"
        write_text(file, card(table, step, trained, evaluated, chosen))
        written.append(file)
    return written


def card(table, step: int, trained: dict, evaluated: dict, chosen: str) -> str:
    """The card of one checkpoint, Markdown with YAML metadata; table: results.accuracy_table of one
    run; chosen: the sentence of selection.sentences."""
    import yaml

    given, now, base = (
        trained["parameters"],
        table[table["step"] == step],
        table[table["step"] == 0].set_index("benchmark"),
    )
    teacher, full = TEACHERS.get(given["teacher"], given["teacher"]), given["scale"] == "full"
    sets = evaluated.get("benchmarks", {})
    data = HUB_DATASETS.get(given["dataset"])
    metadata = {
        "base_model": sources.HUB_NAMES.get(given["student"], given["student"]),
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "distillation", "reasoning", given["domain"], "distill_nb"],
        **({"datasets": [data]} if data else {}),
        "model-index": [
            {
                "name": f"{given['run_name']} step {step}",
                "results": [
                    {
                        "task": {"type": "text-generation"},
                        "dataset": {
                            "name": names.name_of(r.benchmark),
                            "type": sets.get(r.benchmark, {}).get("source", r.benchmark),
                        },
                        "metrics": [
                            {
                                "type": "accuracy",
                                "value": round(r.accuracy, 2),
                                "name": f"accuracy (%), n = {r.n}",
                            }
                        ],
                    }
                    for r in now.itertuples()
                ],
            }
        ],
    }
    rows = []
    for r in now.itertuples():
        before = base.loc[r.benchmark] if r.benchmark in base.index else None
        rows.append(
            [
                names.name_of(r.benchmark),
                "not evaluated" if before is None else results.score(before, 1),
                results.score(r, 1),
                str(r.n),
                sets.get(r.benchmark, {}).get("label", ""),
            ]
        )
    head = (
        ""
        if full
        else (
            f"**Not the study's model.** This is a run at {given['scale']} scale, made to try the "
            "method; its numbers say nothing "
            f"of the full run.\n\n"
        )
    )
    source = (
        f"{teacher}'s reasoning traces ({given['domain']})"
        if full
        else f"the dataset `{given['dataset']}` in place of {teacher}'s {given['domain']} traces"
    )
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True).strip()}
---

# {given["run_name"]}, step {step}

{head}A LoRA adapter for `{given["student"]}`, trained by supervised fine-tuning with plain cross-entropy on {source}:
checkpoint {step} of {given["max_steps"]} steps.

## Results

Percent correct with 95% intervals; an asterisk marks a score whose n includes errors of sampling or grading.

{_table(["benchmark", "base student", f"step {step}", "answers", "problems"], rows)}

Answers were generated with {_listed({k: evaluated["settings"][k] for k in GENERATION})} by the engine \
`{evaluated["settings"]["engine_version"]}`, and graded by version `{evaluated["grader"]}` of the grader.

## Training

{_table(["parameter", "value"], [[k, _value(given[k])] for k in HYPERPARAMETERS if k in given])}

## Limits

- Choosing the best of several checkpoints by these scores makes them too good. {chosen}
- An interval covers the sampling of problems, not the seeds of training: one run, one seed.
- Whether the traces hold problems of these benchmarks decides what the scores mean; see the training data's own record.
- Whether a teacher's outputs may be used for training is for the user to check.

## Provenance

{_table(["what", "value"], _provenance(trained))}
"""


def _value(value) -> str:
    if isinstance(value, dict):  # by benchmark: one value where all agree
        same = set(value.values())
        return (
            str(*same)
            if len(same) == 1
            else " and ".join(f"{v} for {names.name_of(k)}" for k, v in value.items())
        )
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _listed(values: dict) -> str:
    return ", ".join(f"{k} {_value(v)}" for k, v in values.items())


def _provenance(record: dict) -> list[list[str]]:
    git = record.get("git") or {}
    commit = (git.get("commit") or "unknown") + (", with changes" if git.get("dirty") else "")
    packages = record["packages"]
    return [
        ["code", commit],
        ["training data, sha256", str(record.get("data_sha256"))],
        ["backend", str(record.get("backend"))],
        ["device", f"{record['device']['count']} × {record['device']['name']}"],
        ["finished", str(record.get("finished_at"))],
        [
            "versions",
            ", ".join(
                f"{k} {packages[k]}" for k in ("torch", "transformers", "peft") if k in packages
            ),
        ],
    ]


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines
    )
