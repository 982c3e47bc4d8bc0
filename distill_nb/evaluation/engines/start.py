"""Which engine a run gets, and how it serves adapters.

vllm is one engine for the base and all checkpoints of a run: `adapters: multi` serves them side by
side as LoRA adapters, `merged` one after another in the base's weights (faster on a CPU, and for a
mixture of experts there the only way). Merged, each checkpoint of a mixture of experts is written
to disk and read by a new engine; side by side, adapters take memory that answers could have:
`auto` looks at that (slots.py). An adapter from elsewhere that is more than LoRA matrices can only
be merged. hf is Transformers, always merged.
Sampling is seeded per prompt and sample: what shares a batch changes rounding alone."""

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from distill_nb.evaluation.engines import slots, tuned, types
from distill_nb.evaluation.engines.hf import HfEngine
from distill_nb.evaluation.engines.vllm import VllmEngine, adapter_rank
from distill_nb.params import Params, is_baseline
from distill_nb.runtime import imports
from distill_nb.students import check_adapter, student
from distill_nb.students.adapters import adapter_folder


def engine_name(p: Params) -> str:
    """`vllm` or `hf`, also for `engine: auto`. Raises ValueError where vllm is not installed."""
    if p.engine == "vllm" and not types.installed_vllm():
        raise ValueError(
            f"engine: vllm is not installed here; install it with `{imports.install('gpu')}`, or "
            "set engine to hf."
        )
    if p.engine != "auto":
        return p.engine
    return "vllm" if types.installed_vllm() else "hf"


def adapter_mode(p: Params) -> str:
    """`multi` or `merged`, also for `auto`. Raises ValueError for what no engine does here."""
    return adapter_choice(p)[0]


def decided(p: Params, begun: str = "") -> tuple[Params, str]:
    """(the run with adapters multi or merged, why). begun: the mode of an evaluation that is gone
    on with, perhaps on another kind of GPU; `auto` keeps it where it is possible here."""
    if p.adapters == "auto" and begun in ("multi", "merged"):
        with contextlib.suppress(ValueError):
            return replace(p, adapters=adapter_mode(replace(p, adapters=begun))), "it began so"
    mode, why = adapter_choice(p)
    return replace(p, adapters=mode), why


def adapter_choice(p: Params) -> tuple[str, str]:
    """(adapter_mode, why)."""
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
                "kernels for it are for GPUs); set adapters to merged or auto."
            )
    alone = ""
    if p.adapter != "none" and engine == "vllm" and p.adapters != "merged":
        alone = check_adapter.merged_only(adapter_folder(p.adapter))
    if p.adapters == "multi" and alone:
        raise ValueError(
            f"adapters: multi cannot serve the adapter {p.adapter}, as {alone}; set adapters to "
            "merged or auto."
        )
    if p.adapters != "auto":
        return p.adapters, "the parameter adapters says so"
    if is_baseline(p):
        return "merged", "a baseline has no adapters"
    if engine == "hf" or not on_gpu:
        return "merged", "Transformers does no other" if engine == "hf" else "it is faster on a CPU"
    if alone:
        return "merged", alone
    count = rank = 0
    if p.adapter != "none":
        count, rank = 1, adapter_rank(adapter_folder(p.adapter))
    memory = torch.cuda.get_device_properties(0).total_memory
    return slots.choose(p, student.config(p), memory, count, rank)


def engine_version(p: Params) -> str:
    """`hf 5.17.0` or `vllm 0.32.0`: what answers are made with, as the records say it."""
    name = engine_name(p)
    return f"{name} {version('transformers') if name == 'hf' else types.vllm_version()}"


def start(
    p: Params, adapters: dict[int, Path], prompts: list[list[int]], texts: Iterable[list[int]] = ()
) -> HfEngine | VllmEngine:
    """The engine of a run, a context manager; its `serve` loads what it serves.

    adapters: step → folder. prompts: of the requests; texts: whose log-probabilities will be asked;
    the longest of both sets the context. Raises ValueError as engine_name and adapter_mode do."""
    mode = adapter_mode(p)
    if engine_name(p) == "hf":
        return HfEngine(p, adapters)
    longest = max(map(len, prompts), default=1) + p.max_new_tokens
    longest = max([longest, *(len(text) + 1 for text in texts)])
    environment = tuned.environment(p, mode)
    return VllmEngine(p, adapters, mode if adapters else "merged", longest, environment)
