"""The students of gpu_check.py, from configs alone: files of weights that take no disk, random
weights on the device, and what its sections share."""

from __future__ import annotations

import json
import os
import time
import traceback
import zlib
from pathlib import Path

# of config.json what architectures.KNOWN has not, as it is about sizes
POSITIONS = {
    "dense": dict(
        max_position_embeddings=131072,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    ),
    "moe": dict(
        max_position_embeddings=40960,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    ),
}
STUDENTS = {
    "dense": ("meta-llama/Llama-3.1-8B-Instruct", "llama3"),
    "moe": ("Qwen/Qwen3-30B-A3B-Base", "qwen3"),
}
RUNS = {"dense": "run09.yaml", "moe": "run01.yaml"}
STD = 0.02  # of random weights, as the configs have it
# nats; a GPU may round float32 products to 10 bits on the way
LOSS_TOLERANCE = {"float32": 0.01, "bfloat16": 0.05}


def emit(row: dict) -> None:
    """Hand a row to gpu_check.py now; one of the same name takes its place later."""
    print("\nROW " + json.dumps(row), flush=True)


def failure(error: BaseException) -> dict:
    """What a row says of an exception."""
    said = traceback.format_exception(error)
    return {
        "failed": f"{type(error).__name__}: {error}"[:500],
        "said": "".join(said).splitlines()[-30:],
    }


def left() -> float:
    """Seconds that this section has left; a day where it has no limit."""
    return float(os.environ.get("GPU_CHECK_UNTIL") or time.time() + 86400) - time.time()


def tiny_params(kind: str, **changes):
    """The tiny run of one kind of student."""
    from distill_nb import params

    return params.validate(
        params.read_files(RUNS[kind], "tiny.yaml") | {"student": STUDENTS[kind][0]} | changes
    )


def run_params(size: str, kind: str, model: str | Path, **changes):
    """The study's run of one kind of student, or the tiny one, with the student in a folder."""
    from distill_nb import params

    files = [RUNS[kind]] + (["tiny.yaml"] if size == "tiny" else [])
    own = {"student": str(model), "student_size": "full", "chat_template": STUDENTS[kind][1]}
    if size == "tiny":
        own["max_length"] = 256
    return params.validate(params.read_files(*files) | own | changes)


def config_of(size: str, kind: str, layers: int = 0):
    """The config of a student, with fewer layers where `layers` is not 0."""
    from transformers import AutoConfig

    from distill_nb.plan import architectures
    from distill_nb.students import sources

    if size == "tiny":
        config = AutoConfig.from_pretrained(sources.source(tiny_params(kind)))
    else:
        sizes = architectures.KNOWN[STUDENTS[kind][0]] | POSITIONS[kind]
        config = AutoConfig.for_model(**sizes)
    config.dtype = "float32" if size == "tiny" else "bfloat16"
    layers = min(layers, config.num_hidden_layers)
    return architectures.with_layers(config, layers) if layers else config


def folder_of(size: str, kind: str, layers: int, folder: Path) -> Path:
    """A folder with the config and a byte-level tokenizer alone."""
    from transformers import AutoTokenizer

    from distill_nb.students import sources

    config = config_of(size, kind, layers)
    made = folder / f"{kind}-{config.num_hidden_layers}-config"
    if not (made / "config.json").exists():
        AutoTokenizer.from_pretrained(sources.source(tiny_params(kind))).save_pretrained(made)
        name = "LlamaForCausalLM" if kind == "dense" else "Qwen3MoeForCausalLM"
        config.architectures = [name]
        config.save_pretrained(made)
    return made


def write_hole(folder: Path) -> None:
    """Beside a config, a file of weights with the hub's names that is a hole after its header: it
    reads as zeros, and takes no disk. `fill` makes them random once they are loaded."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from distill_nb.students import experts, weights

    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=config.dtype)
    kind = weights.OF_TORCH[str(config.dtype).removeprefix("torch.")]
    found: list[weights.Entry] = []
    for name, weight in model.named_parameters():
        base, _, leaf = name.rpartition(".")
        shapes = {name: tuple(weight.shape)}
        if leaf in experts.FUSED:  # the hub has each expert's projections apart
            count, high, wide = weight.shape
            parts = experts.FUSED[leaf]
            shapes = {
                f"{base}.{i}.{part}.weight": (high // len(parts), wide)
                for i in range(count)
                for part in parts
            }
        found += [weights.Entry(key, kind, shape) for key, shape in shapes.items()]
    begin = weights.header(found)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(begin)
        file.truncate(len(begin) + sum(entry.size for entry in found))


def fill(model, only: str = "", std: float = STD) -> None:
    """Random weights in place: norms 1, all else normal, the same for a name in every process.
    only: a part of the names that are filled."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if only not in name:
                continue
            if weight.dim() < 2:
                weight.fill_(1.0)
                continue
            generator = torch.Generator(weight.device).manual_seed(zlib.crc32(name.encode()))
            weight.normal_(0, std, generator=generator)


def loaded(size: str, kind: str, layers: int, folder: Path, backend: str, recomputed, **changes):
    """(parameters, PEFT model with random weights on the device, seconds of loading), by
    distill_nb's own loading."""
    from distill_nb.students import student

    begin = time.perf_counter()
    made = folder_of(size, kind, layers, folder)
    if not (made / "model.safetensors").exists():
        write_hole(made)
    recompute = "on" if recomputed else "off"
    p = run_params(size, kind, made, backend=backend, recompute=recompute, **changes)
    model = student.load(p, backend)
    fill(model)
    network = student.attach_lora(model, p, backend)
    return p, network, time.perf_counter() - begin


def examples_of(p, lengths: list[int]) -> list[dict]:
    """Training examples of these lengths for a run's student."""
    import training

    from distill_nb.students import chat, student

    template = chat.template_for(p.student, p.chat_template)
    return training.examples(student.load_tokenizer(p), template, lengths)


def expected_loss(size: str, kind: str) -> float:
    """Nats a token of a student with random weights: the head's logits of a normalised vector are
    normal with the variance STD^2 * hidden_size."""
    import math

    config = config_of(size, kind)
    return math.log(config.vocab_size) + STD**2 * config.hidden_size / 2


def gib(size: float) -> float:
    """Bytes in GiB."""
    return round(size / 2**30, 3)
