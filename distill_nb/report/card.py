"""A model card beside each evaluated checkpoint, so that its folder can be pushed to the hub as it
is.

    hf upload ORGANISATION/NAME runs/full/llama8b_math_4k/checkpoints/step_00500

Metadata as on https://huggingface.co/docs/hub/model-cards (base model, library, tags, data sets,
results as model-index); every number comes from the run's records and provenance. The hub's own
EvalResult is not used: it takes two benchmarks from one source for one data set."""

import json
from pathlib import Path

from pandas import DataFrame

from distill_nb import params
from distill_nb.analysis import names, results, selection
from distill_nb.params import yaml_text
from distill_nb.report import markdown, markup
from distill_nb.runtime import paths
from distill_nb.runtime.files import write_text
from distill_nb.students import sources

# Hub ids of what the students were trained on, where there is one.
HUB_DATASETS = {"r1_math": "open-r1/OpenR1-Math-220k", "r1_code": "nvidia/OpenCodeReasoning"}
TEACHERS = {"r1": "DeepSeek-R1", "sonnet": "Claude Sonnet 4.5"}
HYPERPARAMETERS = (
    "dataset", "n_examples", "max_length", "overlong", "lora_rank", "lora_alpha", "lora_dropout",
    "lora_targets", "lora_experts", "lora_expert_rank", "load_in_4bit", "learning_rate",
    "lr_schedule", "warmup_steps", "weight_decay", "max_grad_norm", "batch_size", "seed", "dtype",
)  # fmt: skip
GENERATION = ("max_new_tokens", "temperature", "top_p", "n_samples", "seed")


def write_cards(p: params.Params) -> list[Path]:
    """Write README.md into the folder of every checkpoint of a run that has records; returns the
    files. Baselines and adapters from elsewhere get none: there is no checkpoint of ours."""
    folder = paths.run_dir(p)
    if params.is_baseline(p) or p.adapter != "none":
        return []
    records = results.load_records(folder.parent, [folder.name])
    table = results.accuracy_of(records)
    chosen = selection.sentences(records, p.select_on)
    trained = json.loads((folder / "provenance_train.json").read_text())
    evaluated = json.loads((folder / "provenance_eval.json").read_text())
    files = []
    for step in sorted(s for s in set(table["step"]) if s and paths.checkpoint_dir(p, s).is_dir()):
        file = paths.checkpoint_dir(p, step) / "README.md"
        write_text(file, card(table, step, trained, evaluated, chosen))
        files.append(file)
    return files


def show_cards(p: params.Params) -> None:
    """Write the cards, and say in a notebook where they are."""
    for file in write_cards(p):
        print(paths.movable(file))


def card(table: DataFrame, step: int, trained: dict, evaluated: dict, chosen: str) -> str:
    """The card of one checkpoint, Markdown with YAML metadata. table: results.accuracy_table of one
    run; trained, evaluated: its provenance; chosen: the sentence of selection.sentences."""
    given, sets = trained["parameters"], evaluated.get("benchmarks", {})
    scores = table[table["step"] == step]
    base = table[table["step"] == 0].set_index("benchmark")
    metadata = _metadata(given, step, scores, sets)
    rows = []
    for r in scores.itertuples():
        before = "not evaluated"
        if r.benchmark in base.index:
            before = results.score(base.loc[r.benchmark], 1)
        label = sets.get(r.benchmark, {}).get("label", "")
        rows.append([names.name_of(r.benchmark), before, results.score(r, 1), str(r.n), label])
    columns = ["benchmark", "base student", f"step {step}", "answers", "problems"]
    settings = evaluated["settings"]
    hyperparameters = [[k, _value(given[k])] for k in HYPERPARAMETERS if k in given]
    whose = params.traces_of(given["teacher"], given["dataset"], given["scale"])
    return markup.fill(
        "model_card.md.j2",
        metadata=yaml_text.dump(metadata, flow=False),
        given=given,
        step=step,
        student=_student(given),
        teacher=TEACHERS.get(whose, whose),
        generated=whose.startswith(params.GENERATOR),
        results=markdown.table(columns, rows),
        generation=", ".join(f"{k} {_value(settings[k])}" for k in GENERATION)
        + (", loops stopped (stop_on_loop)" if settings.get("stop_on_loop") else ""),
        engine=settings["engine_version"],
        grader=evaluated["grader"],
        hyperparameters=markdown.table(["parameter", "value"], hyperparameters),
        chosen=chosen,
        provenance=markdown.table(["what", "value"], _provenance(trained)),
    )


def _metadata(given: dict, step: int, scores: DataFrame, sets: dict[str, dict]) -> dict:
    """What the hub reads. sets: benchmark → its source, of an evaluation's provenance."""
    metadata: dict[str, object] = {}
    if given["student_size"] != "tiny":  # that one is on no hub
        metadata["base_model"] = sources.HUB_NAMES.get(given["student"], given["student"])
    metadata |= {
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "distillation", "reasoning", given["domain"], "distill_nb"],
    }
    if given["dataset"] in HUB_DATASETS and given["scale"] != "tiny":
        metadata["datasets"] = [HUB_DATASETS[given["dataset"]]]
    measured = []
    for r in scores.itertuples():
        about = sets.get(r.benchmark, {})
        task, name = {"type": "text-generation"}, f"accuracy (%), n = {r.n}"
        source, _, revision = str(about.get("source", r.benchmark)).partition("@")
        dataset: dict[str, object] = {"name": names.name_of(r.benchmark), "type": source}
        dataset |= {"revision": revision} if revision else {}
        dataset |= {"args": {"problems": about["label"]}} if "label" in about else {}
        metric = {"type": "accuracy", "value": round(r.accuracy, 2), "name": name}
        measured.append({"task": task, "dataset": dataset, "metrics": [metric]})
    metadata["model-index"] = [{"name": f"{given['run_name']} step {step}", "results": measured}]
    return metadata


def _student(given: dict) -> str:
    """The model that the adapter is for, in words."""
    if given["student_size"] != "tiny":
        return f"`{sources.HUB_NAMES.get(given['student'], given['student'])}`"
    kind = {"llama": "Llama's", "qwen3_moe": "Qwen3's mixture-of-experts"}
    owner = kind[sources.architecture(given["student"])]
    return f"a tiny random model of {owner} architecture, with two layers"


def _value(value: object) -> str:
    """A parameter in words; of one that differs by benchmark one value where all agree."""
    if isinstance(value, dict):
        if len(set(value.values())) == 1:
            return str(next(iter(value.values())))
        return " and ".join(f"{v} for {names.name_of(k)}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _provenance(record: dict) -> list[list[str]]:
    git = record.get("git") or {}
    commit = (git.get("commit") or "unknown") + (", with changes" if git.get("dirty") else "")
    packages = record["packages"]
    versions = [f"{k} {packages[k]}" for k in ("torch", "transformers", "peft") if k in packages]
    return [
        ["code", commit],
        ["training data, sha256", str(record.get("data_sha256"))],
        ["backend", str(record.get("backend"))],
        ["device", f"{record['device']['count']} × {record['device']['name']}"],
        ["finished", str(record.get("finished_at"))],
        ["versions", ", ".join(versions)],
    ]
