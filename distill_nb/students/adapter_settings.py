"""Whether all that an adapter's config says is applied exactly, whatever the student."""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path

from packaging.version import InvalidVersion, Version

from distill_nb.runtime import paths
from distill_nb.students import integrity

CONFIG = "adapter_config.json"
# of an adapter's config: what is applied exactly; any other key of PEFT's must have its default
APPLIED = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying",
    "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights",
    "layers_pattern", "layers_to_transform", "lora_alpha", "lora_bias", "lora_dropout",
    "modules_to_save", "peft_type", "peft_version", "r", "rank_pattern", "revision",
    "target_modules", "target_parameters", "task_type", "trainable_token_indices", "use_dora",
    "use_rslora",
}  # fmt: skip
# what their values are; null may stand for none
KINDS: dict[str, type | tuple[type, ...]] = {
    "alpha_pattern": dict, "bias": str, "exclude_modules": (list, str), "fan_in_fan_out": bool,
    "layers_pattern": (list, str), "layers_to_transform": (list, int), "lora_bias": bool,
    "lora_dropout": (int, float), "modules_to_save": list, "rank_pattern": dict,
    "target_modules": (list, str), "target_parameters": list,
    "trainable_token_indices": (list, dict), "use_dora": bool, "use_rslora": bool,
}  # fmt: skip
# these leave the student's own weights as they are; pissa, olora, corda, loftq and lora_ga do not
INITS = (True, False, None, "gaussian", "eva", "orthogonal", "mica")


def check(folder: Path, settings: dict) -> str:
    """What is to be noted of an adapter's settings, as a sentence, "" where that is nothing.

    Raises ValueError for a kind of adapter, or a setting, that is not applied exactly."""
    from peft import LoraConfig

    file = paths.movable(folder / CONFIG)
    if (kind := settings.get("peft_type")) != "LORA":
        raise ValueError(
            f"adapter: peft_type in {file} is {integrity.shown(kind)}, and only LORA can be "
            "evaluated here; name an adapter of that kind, or merge this one by PEFT and name the "
            "result as student."
        )
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    if type(rank) is not int or rank < 1:
        raise ValueError(
            f"adapter: r in {file} is {rank!r}, and must be a whole number from 1 on; {put_back()}."
        )
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise ValueError(
            f"adapter: lora_alpha in {file} is {alpha!r}, and must be a number; {put_back()}."
        )
    for key in ("use_rslora", "use_dora", "lora_bias"):
        value = settings.get(key)
        if value is not None and type(value) is not bool:  # "false" would be true
            raise ValueError(
                f"adapter: {key} in {file} is {value!r}, not true or false; {put_back()}."
            )
    init = settings.get("init_lora_weights", True)
    if init not in INITS:
        raise ValueError(
            f"adapter: init_lora_weights in {file} is {integrity.shown(init)}, which changes the "
            "student's own weights in training; save the adapter again with PEFT's "
            "path_initial_model_for_weight_conversion, which makes a plain one of it."
        )
    for key, kind in KINDS.items():
        value = settings.get(key)
        if value is not None and not isinstance(value, kind):
            raise ValueError(
                f"adapter: {key} in {file} is {integrity.shown(repr(value))}, which it cannot be; "
                f"{put_back()}."
            )
    default = LoraConfig().to_dict()
    for key, value in settings.items():
        if key in default and key not in APPLIED and not _is_same(value, default[key]):
            raise ValueError(
                f"adapter: {key} in {file} is {integrity.shown(value)}, which is not applied "
                "exactly here; merge the adapter by PEFT and name the result as student, or name "
                "another adapter."
            )
    unknown = [key for key, value in settings.items() if key not in default and value]
    if unknown and _is_newer(settings.get("peft_version")):
        raise ValueError(
            f"adapter: {file} has {integrity.listed(unknown)}, which PEFT {version('peft')} here "
            f"ignores, and PEFT {settings['peft_version']}, which saved it, may not; install that "
            "PEFT, or remove the key where it changes nothing."
        )
    if unknown:
        return f"{file} has {integrity.listed(unknown)}, which PEFT does not know and ignores."
    return ""


def _is_same(value: object, default: object) -> bool:
    """Whether a setting is PEFT's default. None, false and [] are all nothing; an empty mapping in
    place of None switches something on."""
    if isinstance(value, dict) != isinstance(default, dict) and value is not None:
        return False
    return (value or None) == (default or None)


def _is_newer(saved_by: object) -> bool:
    """Whether an adapter was saved by a later PEFT than the one here. saved_by: its peft_version,
    which may end in @ and a commit."""
    try:
        return Version(str(saved_by).partition("@")[0]) > Version(version("peft"))
    except InvalidVersion:  # or none is named
        return False


def put_back() -> str:
    return f"put back the adapter's own {CONFIG}"
