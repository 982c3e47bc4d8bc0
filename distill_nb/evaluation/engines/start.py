"""Token ids in, completions out: one interface, two engines.

    with generate.start(p, adapters, requests) as engine:  # adapters: step → folder; step 0 is the base student
        for steps in engine.serve([100, 200]):             # which checkpoints can be asked now; the base comes first
            for answers in engine.answers(requests):       # of those steps only; lists, as they finish
                ...

vllm (vllm.py) is one engine for the base and all checkpoints of a run. `adapters: multi` serves
them side by side as LoRA adapters; `merged` puts one after another into the base's weights, which
is faster on a CPU, and for a mixture of experts needs less memory and is the only way on a CPU. hf
(hf.py) is Transformers, always merged. Sampling is seeded per prompt and sample, so that a
completion does not depend on what shares its batch, up to the rounding of batched matrix products.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from distill_nb.evaluation.engines.hf import HfEngine
from distill_nb.evaluation.engines.types import installed_vllm, vllm_version
from distill_nb.evaluation.engines.vllm import VllmEngine
from distill_nb.params import Params
from distill_nb.students import student


def engine_name(p: Params) -> str:
    """`vllm` or `hf`: what `engine: auto` means on this machine. Raises ValueError where vllm is
    not installed."""
    if p.engine == "vllm" and not installed_vllm():
        raise ValueError(
            "engine: vllm is not installed here; install it with `pip install -e '.[gpu]' -c "
            "constraints.txt`, "
            "or set engine to hf."
        )
    if p.engine != "auto":
        return p.engine
    return "vllm" if installed_vllm() else "hf"


def adapter_mode(p: Params) -> str:
    """`multi` or `merged`: what `adapters: auto` means on this machine. Raises ValueError for what
    no engine does here."""
    import torch

    engine, on_gpu = engine_name(p), torch.cuda.is_available()
    if p.adapters == "multi":
        if engine == "hf":
            raise ValueError(
                "adapters: multi needs the engine vllm; set adapters to merged, or engine to vllm."
            )
        if not on_gpu and student.is_mixture_of_experts(p):
            raise ValueError(
                "adapters: multi cannot serve LoRA on a mixture of experts on a CPU (vLLM's "
                "kernels for it are "
                "for GPUs); set adapters to merged or auto."
            )
        return "multi"
    served = p.adapters == "auto" and engine == "vllm" and on_gpu
    # Of a mixture of experts six adapters take about as much memory as half of its weights: merged,
    # 30B fits 80 GB.
    return "multi" if served and not student.is_mixture_of_experts(p) else "merged"


def engine_version(p: Params) -> str:
    """`hf 5.17.0` or `vllm 0.32.0`: what answers are made with, as the records say it."""
    name = engine_name(p)
    return f"{name} {version('transformers') if name == 'hf' else vllm_version()}"


def start(p: Params, adapters: dict[int, Path], asked: Iterable, texts: Iterable[list[int]] = ()):
    """The engine of a run, a context manager; what it serves is loaded by its `serve`.

    adapters: step → folder. asked: what has every `prompt` that will come; texts: token ids whose
    log-probabilities will be asked: both for the longest. Raises ValueError as engine_name and
    adapter_mode do."""
    mode = adapter_mode(p)
    if engine_name(p) == "hf":
        return HfEngine(p, adapters)
    longest = max((len(a.prompt) for a in asked), default=1) + p.max_new_tokens
    return VllmEngine(
        p,
        adapters,
        mode if adapters else "merged",
        max([longest, *(len(text) + 1 for text in texts)]),
    )
