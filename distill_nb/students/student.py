"""Load a student, attach LoRA, merge in memory: Unsloth on CUDA, Transformers + PEFT elsewhere.
Both were run on a CPU; `load_in_4bit` was not run yet. bench/gpu_check.py runs all on a GPU."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import compiler, imports, paths
from distill_nb.students import chat, embeddings, experts, integrity, sources, targets

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def choose_backend(p: Params) -> str:
    """`unsloth` or `hf`: what p.backend means on this machine. Call it before anything imports
    Transformers: Unsloth patches Transformers and must be imported first. Raises ValueError for
    what this machine lacks."""
    installed = importlib.util.find_spec("unsloth") is not None
    if p.backend == "unsloth" and not installed:
        raise ValueError(
            "backend: unsloth is not installed here; install it with "
            f"`{imports.install('gpu')}`, or set backend to hf."
        )
    trained_whole = [t for t in p.lora_targets if t in ("embed_tokens", "lm_head")]
    if p.backend == "unsloth" and trained_whole:
        raise ValueError(
            f"lora_targets: Unsloth trains {' and '.join(trained_whole)} whole instead of with an "
            "adapter; set backend to hf, or remove it."
        )
    backend = p.backend
    if backend == "auto":
        can = installed and p.sharding == "none" and not trained_whole
        backend = "unsloth" if can and device() == "cuda" else "hf"
    compiler.check(device())
    if p.load_in_4bit and device() != "cuda":
        raise ValueError(
            "load_in_4bit: 4-bit weights are trained on CUDA only, and there is none here; set "
            "load_in_4bit to false."
        )
    if p.load_in_4bit and backend == "hf" and importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(
            "load_in_4bit: bitsandbytes is not installed here; install it with "
            f"`{imports.install('gpu')}`, or set load_in_4bit to false."
        )
    if backend == "hf" and device() == "cuda":
        _expand_segments()
    if backend == "unsloth":
        # else it writes the code that it generates into the working folder
        os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(paths.cache() / "unsloth_compiled"))
        # else it reports each load to the hub, and waits for that
        os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
        with imports.uncollected():
            import unsloth  # noqa: F401
    return backend


def import_for_training() -> None:
    """Import what training needs; after `choose_backend`, for Unsloth must come first."""
    if "peft" in sys.modules:
        return
    with imports.uncollected():
        import peft  # noqa: F401
        from transformers import AutoModelForCausalLM, Trainer  # noqa: F401

        gc.freeze()


def _expand_segments() -> None:
    """As Unsloth does, for less memory lost between tensors; Windows' Linux cannot do it. torch
    reads it when CUDA starts."""
    asked = {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys()
    if not asked and "microsoft" not in os.uname().release.lower():
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"


def device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def recomputes(p: Params) -> bool:
    """Whether training computes activations a second time in the backward pass; `auto` that no plan
    has decided: on CUDA."""
    return device() == "cuda" if p.recompute == "auto" else p.recompute == "on"


def _unsloth_recomputes(p: Params) -> str | bool:
    """As Unsloth's use_gradient_checkpointing takes it."""
    return "unsloth" if recomputes(p) else False


def load_tokenizer(p: Params) -> PreTrainedTokenizerBase:
    """The student's tokenizer with the template's end and pad tokens set."""
    with imports.uncollected():
        from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sources.source(p))
    chat.set_special_tokens(tokenizer, chat.template_for(p.student, p.chat_template))
    return tokenizer


def load(p: Params, backend: str = "hf", where: str = "") -> PreTrainedModel:
    """The student's model in p.dtype on this device, or on `where` (cpu).

    p.load_in_4bit: its linear layers as 4-bit NF4 with doubly quantised scales (Dettmers et al.
    2023, arXiv 2305.14314), on CUDA only; with `hf` fused experts stay as they are. ValueError:
    a tensor is missing, too much, or holds NaN (check_student.py looks at the files before)."""
    import torch

    dtype = getattr(torch, p.dtype)
    if backend == "unsloth":
        from unsloth import FastLanguageModel

        model, _ = FastLanguageModel.from_pretrained(
            sources.source(p),
            max_seq_length=p.max_length,
            dtype=dtype,
            load_in_4bit=p.load_in_4bit,
            offload_embedding=False,
            use_exact_model_name=True,  # else it loads its own copy of the student
            use_gradient_checkpointing=_unsloth_recomputes(p),
        )
    else:
        with imports.uncollected():
            from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig

        # what may be another in the student's own files, and is not to be (generation.py)
        options: dict = {"generation_config": GenerationConfig(), "return_dict": True}
        if p.load_in_4bit:
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
            )
        if (where or device()) == "cuda":  # directly, as the host may have less memory
            options["device_map"] = {"": torch.cuda.current_device()}
        options |= {"attn_implementation": "sdpa", "output_loading_info": True}
        model, report = AutoModelForCausalLM.from_pretrained(
            sources.source(p), dtype=dtype, **options
        )
        integrity.refuse_partial_student(p, report)
        if getattr(model, "_hf_peft_config_loaded", False):
            raise ValueError(
                f"student: {p.student} holds an adapter beside the model, which only some engines "
                "would add; copy the model alone into a folder, and name the adapter as adapter."
            )
    for name, weight in model.named_parameters():
        if not integrity.is_finite(weight):
            raise ValueError(
                f"student: {name} of {p.student} holds NaN or infinity; copy its weights again "
                "from where they came from, or name another student."
            )
    model.config.use_cache = False
    return model


def without_weights(p: Params) -> PreTrainedModel:
    """The same for Transformers on the CPU, with weights that are not set: memory takes room when
    it is written to. (Transformers 5.17's own way for this reads all weights first.)"""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    options = {"dtype": getattr(torch, p.dtype), "attn_implementation": "sdpa"}
    with no_init_weights():
        model = AutoModelForCausalLM.from_config(config(p), **options)
    model.tie_weights()
    model.config.use_cache = False
    return model


def on_meta(config: PretrainedConfig) -> PreTrainedModel:
    """The model of a config without data: names and shapes, on torch's meta device."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def attach_lora(model: PreTrainedModel, p: Params, backend: str = "hf") -> PeftModel:
    """LoRA adapters on p.lora_targets (Hu et al. 2021, arXiv 2106.09685), seeded by p.seed.

    B starts at zero, so the student at step 0 is the base student. Activations are recomputed where
    `recomputes` says so. Raises ValueError as targets.refuse does."""
    from transformers import set_seed

    targets.refuse(model, p)
    set_seed(p.seed)
    lora = dict(
        r=p.lora_rank,
        lora_alpha=p.lora_alpha,
        lora_dropout=p.lora_dropout,
        bias="none",
        **experts.lora_arguments(model, p),
    )
    with experts.without_false_alarm():
        if backend == "unsloth":
            from unsloth import FastLanguageModel

            lora.setdefault("target_parameters", [])  # else it chooses experts itself
            return FastLanguageModel.get_peft_model(
                model,
                **lora,
                random_state=p.seed,
                max_seq_length=p.max_length,
                use_gradient_checkpointing=_unsloth_recomputes(p),
            )
        # not prepare_model_for_kbit_training, which makes experts float32
        from peft import LoraConfig, get_peft_model

        adapted = get_peft_model(model, LoraConfig(**lora, task_type="CAUSAL_LM"))
        experts.multiply_once(adapted)
    if recomputes(p):
        adapted.gradient_checkpointing_enable({"use_reentrant": False})
        adapted.enable_input_require_grads()
    return adapted


def unquantised(p: Params) -> Params:
    """The parameters with load_in_4bit false: an adapter is evaluated on the original weights."""
    return replace(p, load_in_4bit=False)


def load_for_generation(p: Params, adapter: Path | None = None, where: str = "") -> PreTrainedModel:
    """The student in eval mode, with an adapter, if given, merged into its weights."""
    model = load(unquantised(p), where=where)
    if adapter is not None:
        adapted = with_adapter(p, model, adapter, where)
        with experts.without_false_alarm():
            model = embeddings.merge(adapted)
    model.config.use_cache = True
    return model.eval()


def with_adapter(p: Params, model: PreTrainedModel, adapter: Path, where: str = "") -> PeftModel:
    """A student's model with an adapter of PEFT's, not merged. Raises ValueError unless PEFT takes
    all of it (check_adapter.py looks before anything is loaded)."""
    from peft import PeftModel, load_peft_weights, set_peft_model_state_dict

    with experts.without_false_alarm():
        adapted = PeftModel.from_pretrained(model, str(adapter), torch_device=where or None)
    # from_pretrained does not say which tensors found no place
    result = set_peft_model_state_dict(adapted, load_peft_weights(str(adapter), where or device()))
    integrity.refuse_partial_adapter(p, adapter, result.missing_keys, result.unexpected_keys)
    return adapted


def bytes_of_number(p: Params) -> int:
    """Of a weight or an activation in p.dtype."""
    return 2 if p.dtype == "bfloat16" else 4


def config(p: Params) -> PretrainedConfig:
    """The student's config."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(sources.source(p))


def is_mixture_of_experts(p: Params) -> bool:
    """Whether the student's config names experts."""
    found = config(p).to_dict()
    return any(found.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts"))


def longest_context(p: Params) -> int:
    """The student's longest context in tokens."""
    return config(p).max_position_embeddings
