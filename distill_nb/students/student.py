"""Load a student, attach LoRA, merge an adapter: Unsloth on CUDA, Transformers + PEFT elsewhere.

Both were run on a CPU, `load_in_4bit` nowhere yet; bench/gpu_check.py runs them on a GPU.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.students import chat, experts, sources


def choose_backend(p: Params) -> str:
    """`unsloth` or `hf`: what `backend: auto` means on this machine.

    Call it before anything imports Transformers: Unsloth patches Transformers and must come
    first."""
    installed = importlib.util.find_spec("unsloth") is not None
    if p.backend == "unsloth" and not installed:
        raise ValueError(
            "backend: unsloth is not installed here; install it with `pip install -e '.[gpu]' "
            "-c constraints.txt`, or set backend to hf."
        )
    if p.backend == "auto":
        import torch

        backend = "unsloth" if installed and torch.cuda.is_available() else "hf"
    else:
        backend = p.backend
    if p.load_in_4bit:
        _refuse_4bit(backend)
    if backend == "unsloth":
        # code of its own making goes into the folder where the process was started, else
        os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(paths.cache() / "unsloth_compiled"))
        # else it reports each loading to the hub, and waits for it
        os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
        import unsloth  # noqa: F401
    return backend


def _refuse_4bit(backend: str) -> None:
    if device() != "cuda":
        raise ValueError(
            "load_in_4bit: 4-bit weights are trained on CUDA only, and there is none here; set "
            "load_in_4bit to false."
        )
    if backend == "hf" and importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(
            "load_in_4bit: bitsandbytes is not installed here; install it with `pip install -e "
            "'.[gpu]' -c constraints.txt`, or set load_in_4bit to false."
        )


def device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_tokenizer(p: Params):
    """The student's tokenizer with the template's end and pad tokens set."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sources.source(p))
    chat.set_special_tokens(tokenizer, chat.template_for(p.student, p.chat_template))
    return tokenizer


def load(p: Params, backend: str = "hf", where: str = ""):
    """The student's model in p.dtype on this device, or `where` (cpu). With `unsloth`, Unsloth's
    own loader.

    p.load_in_4bit: its linear layers as 4-bit NF4 with doubly quantised scales (Dettmers et al.
    2023, arXiv 2305.14314), on CUDA only; with `hf` fused experts stay as they are."""
    import torch

    dtype = getattr(torch, p.dtype)
    if backend == "unsloth":
        from unsloth import FastLanguageModel

        # else it loads a copy of its own
        model, _ = FastLanguageModel.from_pretrained(
            sources.source(p),
            max_seq_length=p.max_length,
            dtype=dtype,
            load_in_4bit=p.load_in_4bit,
            offload_embedding=False,
            use_exact_model_name=True,
        )
    else:
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        options = (
            {
                "quantization_config": BitsAndBytesConfig(
                    load_in_4bit=True,
                    bnb_4bit_quant_type="nf4",
                    bnb_4bit_use_double_quant=True,
                    bnb_4bit_compute_dtype=dtype,
                )
            }
            if p.load_in_4bit
            else {}
        )
        if (
            where or device()
        ) == "cuda":  # straight there: the host's memory may be smaller than the student
            options["device_map"] = {"": torch.cuda.current_device()}
        model = AutoModelForCausalLM.from_pretrained(
            sources.source(p), dtype=dtype, attn_implementation="sdpa", **options
        )
    model.config.use_cache = False
    return model


def attach_lora(model, p: Params, backend: str = "hf", checkpointing: bool | None = None):
    """LoRA adapters on p.lora_targets (Hu et al. 2021, arXiv 2106.09685), seeded by p.seed; on
    experts see experts.py.

    B starts at zero, so that the student at step 0 is the base student. checkpointing: recompute
    activations in the backward pass, by default on CUDA. Raises ValueError for a target that the
    student does not have."""
    from transformers import set_seed

    names = [name for name, _ in model.named_parameters()]
    fused = experts.LEAVES if experts.tensors(model) else ()
    unknown = [
        t for t in p.lora_targets if t not in fused and not any(f".{t}." in name for name in names)
    ]
    if unknown:
        raise ValueError(
            f"lora_targets: {p.student} has no module named {', '.join(unknown)}; correct or "
            "remove it."
        )
    set_seed(p.seed)
    checkpointing = device() == "cuda" if checkpointing is None else checkpointing
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

            lora.setdefault("target_parameters", [])  # else it looks for experts itself
            return FastLanguageModel.get_peft_model(
                model,
                **lora,
                random_state=p.seed,
                max_seq_length=p.max_length,
                use_gradient_checkpointing="unsloth" if checkpointing else False,
            )
        from peft import (  # not prepare_model_for_kbit_training: it makes experts float32
            LoraConfig,
            get_peft_model,
        )

        model = get_peft_model(model, LoraConfig(**lora, task_type="CAUSAL_LM"))
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def unquantised(p: Params) -> Params:
    """The parameters with load_in_4bit false: that is a way to train, and an adapter is evaluated
    on the student as it comes, whose weights it can be merged into."""
    return replace(p, load_in_4bit=False)


def load_for_generation(p: Params, adapter: Path | None = None, where: str = ""):
    """The base student, or the student with one checkpoint's adapter merged into its weights, in
    eval mode; `where`: cpu, else this device."""
    model = load(unquantised(p), where=where)
    if adapter is not None:
        from peft import PeftModel

        with experts.without_false_alarm():
            model = PeftModel.from_pretrained(
                model, str(adapter), torch_device=where or None
            ).merge_and_unload()
    model.config.use_cache = True
    return model.eval()


def is_mixture_of_experts(p: Params) -> bool:
    """Whether the student's config names experts."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(sources.source(p)).to_dict()
    return any(config.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts"))


def longest_context(p: Params) -> int:
    """Tokens that the student's positions reach."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(sources.source(p)).max_position_embeddings


def write_merged(p: Params, adapter: Path, folder: Path) -> None:
    """Write the student with an adapter merged into its weights, in p.dtype, as a folder that
    Transformers, vLLM and others load like any model; the tokenizer comes with it. On the CPU: a
    GPU's memory may be an engine's."""
    model = load_for_generation(p, adapter, where="cpu")
    model.save_pretrained(folder)
    load_tokenizer(p).save_pretrained(folder)
