"""Whether an adapter was trained on the student, by what its config says of its base model.

Names differ for the same model: folders move, mirrors have owners of their own and quantise. So two
ids of the hub are of the same model where only the owner or a quantisation's suffix differs, and
else of two, whoever owns them. A folder's name says nothing: its config.json is compared where it
is there, and what cannot be told is said."""

from __future__ import annotations

import json
import re
from pathlib import Path

from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.students import sources

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
QUANTISED = re.compile(r"(-(unsloth|bnb|[48]bit|gguf|awq|gptq|fp8|int[48]))+$")
# what tells models apart in a config.json, whatever its version
SIZES = (
    "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "vocab_size", "num_experts", "moe_intermediate_size",
)  # fmt: skip


def compare(p: Params, folder: Path, settings: dict) -> str:
    """What cannot be told of an adapter's base model, "" where it is the student of p. settings: of
    its adapter_config.json. Raises ValueError where it surely is another."""
    file = paths.movable(folder / "adapter_config.json")
    named = " ".join(str(settings.get("base_model_name_or_path") or "").splitlines()).rstrip("/")
    if not named:
        return f"{file} names no base model; see that it was trained on {p.student}."
    base, _, revision = named.partition("@")
    revision = revision or str(settings.get("revision") or "")
    same = {p.student, sources.public_name(p), sources.base_name(p), sources.source(p)}
    if base not in same and paths.resolve(base) != paths.resolve(p.student):
        remedy = (
            f"set student to {base}, or correct base_model_name_or_path there if it is the same "
            "model"
        )
        if differing := _differing(_config(base), _config(sources.source(p))):
            raise ValueError(
                f"adapter: {file} names {base} as its base model, whose config.json has another "
                f"{differing} than that of {p.student}; {remedy}."
            )
        if _repository(base) != _repository(p.student):
            if _is_hub_id(base) and _is_hub_id(sources.public_name(p)):
                raise ValueError(
                    f"adapter: {file} names {base} as its base model, and student is {p.student}, "
                    "which differ in more than the owner and a quantisation's suffix; "
                    f"{remedy} under another name."
                )
            return f"{file} names {base} as its base model; see that {p.student} is the same."
    if revision not in ("", "main"):
        return f"{file} names revision {revision} of {base}; see that {p.student} is the same."
    return ""


def _is_hub_id(name: str) -> bool:
    return bool(HUB_ID.fullmatch(name)) and not paths.resolve(name).is_dir()


def _repository(name: str) -> str:
    """The last part of a name, without what mirrors and quantisations change in it."""
    last = sources.HUB_NAMES.get(name, name).rpartition("/")[2].lower()
    return QUANTISED.sub("", last.removeprefix("meta-"))


def _config(name: str) -> dict:
    """The config.json of a folder or of what the hub's cache has of an id, else {}."""
    from huggingface_hub import try_to_load_from_cache

    file = paths.resolve(name) / "config.json"
    try:
        if not file.is_file() and _is_hub_id(name):
            cached = try_to_load_from_cache(name, "config.json")
            file = Path(cached) if isinstance(cached, str) else file
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):  # no name, or the file is gone or damaged, and not the student's
        return {}
    return found if isinstance(found, dict) else {}


def _differing(one: dict, other: dict) -> str:
    """The first key of SIZES in which two configs differ, "" where none does."""
    return next((k for k in SIZES if k in one and k in other and one[k] != other[k]), "")
