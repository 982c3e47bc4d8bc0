"""Whether an adapter is whole and belongs to the student, before any work.

The engine and its reference load the same half of an adapter, so a proof (proof.py) agrees where
weights are left out. Here PEFT makes the adapter's layers on the student without data (torch's meta
device) and loads the names and shapes of the adapter's file: every weight must find its place, and
every layer its weights. What PEFT only warns about is refused."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.students import base_model, experts, integrity, student
from distill_nb.students.integrity import Shapes

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
# of an adapter's config: what is applied exactly; any other key must have PEFT's default
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
# what PEFT says where nothing is left out: its patterns miss tensors that it does follow, which is
# looked at here; heads that are tied are merged or refused in merge.py; init values are replaced
HARMLESS = re.compile(
    "The following (rank|alpha)_pattern keys did not match|Unexpected keyword arguments|"
    "lora with eva initialization|.*(tie_word_embeddings|ensure_weight_tying)"
)
# keys that vLLM does not take side by side, beside those that it takes
MERGED_ONLY = ("bias", "lora_bias", "modules_to_save", "trainable_token_indices", "use_dora")


def check(p: Params, folder: Path) -> str:
    """Look at an adapter in PEFT's layout for the student of p. Returns what cannot be told of the
    model that it was trained on, as a sentence, "" where it is the student.

    Raises ValueError, one sentence that names the file and the remedy."""
    settings = config_of(folder)
    _refuse_other_settings(folder, settings)
    file = weights_of(folder)
    found = integrity.shapes("adapter", file)
    note = base_model.compare(p, folder, settings)
    _refuse_other_layers(p, folder, settings, found)
    for name, tensor in integrity.tensors(file):
        if not integrity.is_finite(tensor):
            raise ValueError(
                f"adapter: {name} in {paths.movable(file)} holds NaN or infinity, so its training "
                "diverged or the file is damaged; take an earlier checkpoint, or copy it again."
            )
    return note


def config_of(folder: Path) -> dict:
    """What an adapter's config holds."""
    return integrity.mapping("adapter", folder / CONFIG)


def weights_of(folder: Path) -> Path:
    """The file of an adapter's weights, the one that PEFT takes."""
    for name in ("adapter_model.safetensors", "adapter_model.bin"):
        if (folder / name).exists():
            return folder / name
    raise ValueError(
        f"adapter: {paths.movable(folder)} has no adapter_model.safetensors; copy it there from "
        "where the folder came from."
    )


def merged_only(folder: Path) -> str:
    """Why an adapter cannot be served side by side with others, "" where it can."""
    settings = config_of(folder)
    for key in MERGED_ONLY:
        if settings.get(key) not in (None, False, "none", [], {}):
            return f"its {key} is {settings[key]}"
    tensors = settings.get("target_parameters") or []
    if others := [t for t in tensors if t.rpartition(".")[2] not in experts.FUSED]:
        return f"its target_parameters has {others[0]}"
    names = integrity.shapes("adapter", weights_of(folder))
    if others := [name for name in names if not re.search(r"\.lora_(embedding_)?[AB]\b", name)]:
        return f"it holds {integrity.listed(others)}, which is no LoRA weight"
    return ""


def _refuse_other_settings(folder: Path, settings: dict) -> None:
    """Raises ValueError for a kind of adapter, or a setting, that is not applied exactly."""
    from peft import LoraConfig

    file = paths.movable(folder / CONFIG)
    if (kind := settings.get("peft_type")) != "LORA":
        raise ValueError(
            f"adapter: peft_type in {file} is {kind}, and only LORA can be evaluated here; name an "
            "adapter of that kind, or merge this one by PEFT and name the result as student."
        )
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    if type(rank) is not int or rank < 1:
        raise ValueError(f"adapter: r in {file} is {rank}, and must be 1 or more; {_put_back()}.")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise ValueError(f"adapter: lora_alpha in {file} is {alpha}, and no number; {_put_back()}.")
    for key in ("use_rslora", "use_dora", "lora_bias"):
        value = settings.get(key)
        if value is not None and type(value) is not bool:  # "false" would be true
            raise ValueError(
                f"adapter: {key} in {file} is {value!r}, not true or false; {_put_back()}."
            )
    init = settings.get("init_lora_weights", True)
    if init not in INITS:
        raise ValueError(
            f"adapter: init_lora_weights in {file} is {init}, which changes the student's own "
            "weights in training; save the adapter again with PEFT's "
            "path_initial_model_for_weight_conversion, which makes a plain one of it."
        )
    for key, kind in KINDS.items():
        value = settings.get(key)
        if value is not None and not isinstance(value, kind):
            raise ValueError(
                f"adapter: {key} in {file} is {value!r}, which it cannot be; {_put_back()}."
            )
    default = LoraConfig().to_dict()
    for key, value in settings.items():
        # None, false, {} and [] are all nothing
        if key not in APPLIED and (value or None) != (default.get(key) or None):
            raise ValueError(
                f"adapter: {key} in {file} is {value}, which is not applied exactly here; merge "
                "the adapter by PEFT and name the result as student, or name another adapter."
            )


def _refuse_other_layers(p: Params, folder: Path, settings: dict, found: Shapes) -> None:
    """Raises ValueError unless the adapter's weights are exactly those of its config's layers in
    the student."""
    from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict

    said: list[warnings.WarningMessage]
    problem: Exception | None = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            config = LoraConfig.from_pretrained(str(folder))
            config.base_model_name_or_path = None  # compared elsewhere
            adapted = _adapted(_without_data(p), config)
            expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
            result = set_peft_model_state_dict(adapted, integrity.on_meta(found))
        except Exception as error:  # a config of other values fails in many ways
            problem = error
    if isinstance(problem, KeyError) and str(problem.args[0]).startswith("base_model."):
        # of a module that is saved as a whole
        integrity.refuse_partial_adapter(p, folder, [problem.args[0]], [], all_keys=True)
    if problem is not None:
        raise ValueError(_misfit(p, folder, problem)) from None
    integrity.refuse_partial_adapter(p, folder, result.missing_keys, result.unexpected_keys)
    # biases, which the student has too, are not among what is missing there
    lost = [name for name in expected if "lora_" not in name and name not in found]
    integrity.refuse_partial_adapter(p, folder, lost, [], all_keys=True)
    _refuse_unused_names(folder, settings, adapted)
    for warning in said:
        if issubclass(warning.category, (UserWarning, RuntimeWarning)) and not HARMLESS.match(
            text := str(warning.message)
        ):
            raise ValueError(
                f"adapter: PEFT says of {paths.movable(folder / CONFIG)}: {text[:200].rstrip('. ')}"
                f"; {_put_back()}."
            )


def _without_data(p: Params) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(student.config(p))


def _adapted(model: PreTrainedModel, config: LoraConfig) -> PeftModel:
    import torch
    from peft import get_peft_model

    with torch.device("meta"):
        return get_peft_model(model, config)


def _misfit(p: Params, folder: Path, error: Exception) -> str:
    """Why PEFT cannot load an adapter, as a sentence."""
    size = re.search(
        r"size mismatch for (\S+): .*?Size\((\[.*?\])\) from checkpoint.*?Size\((\[.*?\])\)",
        str(error),
        re.DOTALL,
    )
    said = integrity.first_line(error)
    if size:
        name = integrity.name_in_file(size[1])
        said = f"{name} is {size[2]}, and by its {CONFIG} and the student {size[3]}"
    return (
        f"adapter: {paths.movable(folder)} does not fit {p.student} ({said}); name the student "
        f"that it was trained on, or {_put_back()}."
    )


def _refuse_unused_names(folder: Path, settings: dict, adapted: PeftModel) -> None:
    """Raises ValueError where the config names modules, tensors or patterns that are not there."""
    tuner, config = adapted.base_model, adapted.peft_config["default"]
    modules, tensors = tuner.targeted_module_names, tuner.targeted_parameter_names

    def unused(names: Iterable[str], held: list[str], pattern: bool = False) -> list[str]:
        forms = {name: f"({name})" if pattern else re.escape(str(name)) for name in names}
        return [
            name
            for name, form in forms.items()
            if not any(re.fullmatch(rf"(.*\.)?{form}", other) for other in held)
        ]

    # PEFT has put names of older layouts of experts in the place of those in the file
    targets = [] if isinstance(config.target_modules, str) else config.target_modules or []
    faults = {
        "target_modules": unused(targets, modules),
        "target_parameters": unused(config.target_parameters or [], tensors),
        "modules_to_save": unused(settings.get("modules_to_save") or [], _all_modules(adapted)),
        **{
            key: unused(settings.get(key) or {}, [*modules, *tensors], pattern=True)
            for key in ("rank_pattern", "alpha_pattern")
        },
    }
    for key, names in faults.items():
        if names:
            raise ValueError(
                f"adapter: {key} in {paths.movable(folder / CONFIG)} has {integrity.listed(names)},"
                f" which is no layer with an adapter; remove it, or {_put_back()}."
            )


def _all_modules(adapted: PeftModel) -> list[str]:
    return [name for name, _ in adapted.get_base_model().named_modules()]


def _put_back() -> str:
    return f"put back the adapter's own {CONFIG}"
