"""Whether an adapter is whole and belongs to the student, before any work.

The engine and its reference load the same half of an adapter, so a proof (proof.py) agrees where
weights are left out. Here PEFT makes the adapter's layers on the student without data (torch's meta
device) and loads the names and shapes of the adapter's file: every weight must find its place, and
every layer its weights. What PEFT only warns about is refused."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.students import adapter_settings, base_model, experts, integrity, sources, student
from distill_nb.students.adapter_settings import CONFIG, put_back
from distill_nb.students.integrity import Shapes

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

# what PEFT says where nothing is left out: its patterns miss tensors that it does follow, which is
# looked at here; heads that are tied are merged or refused in merge.py; init values are replaced
HARMLESS = re.compile(
    "The following (rank|alpha)_pattern keys did not match|Unexpected keyword arguments|"
    "lora with eva initialization|.*(tie_word_embeddings|ensure_weight_tying)|"
    "You have passed exclude_modules=|The configuration file contains a `runtime_config` key"
)
# keys that vLLM does not take side by side, beside those that it takes
MERGED_ONLY = ("bias", "lora_bias", "modules_to_save", "trainable_token_indices", "use_dora")

# what was found sound, adapters and students with the state of their files → what was noted
_sound: dict[tuple, str] = {}


def check(p: Params, folder: Path) -> str:
    """Look at an adapter in PEFT's layout for the student of p. Returns what is to be noted, as
    sentences: what cannot be told of the model that it was trained on, what its config has beside
    what is applied; "" where that is nothing. Weights are looked at only where a file has changed.

    Raises ValueError, one sentence that names the file and the remedy."""
    settings = config_of(folder)
    notes = [adapter_settings.check(folder, settings)]
    file = weights_of(folder)
    found = integrity.shapes("adapter", file)
    notes.append(base_model.compare(p, folder, settings))
    state = tuple((f, f.stat().st_size, f.stat().st_mtime_ns) for f in (file, folder / CONFIG))
    key = (state, p.student, sources.source(p), student.config(p).to_json_string())
    if key not in _sound:
        note = _refuse_other_layers(p, folder, settings, found)
        _refuse_numbers(file)
        _sound[key] = note
    return " ".join(filter(None, [*notes, _sound[key]]))


def _refuse_numbers(file: Path) -> None:
    """Raises ValueError where an adapter's weights are no numbers."""
    for name, tensor in integrity.tensors(file):
        if not integrity.is_finite(tensor):
            raise ValueError(
                f"adapter: {name} in {paths.movable(file)} holds NaN or infinity, so its training "
                "diverged or the file is damaged; take an earlier checkpoint, or copy it again."
            )


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
            return f"its {key} is {integrity.shown(settings[key])}"
    tensors = settings.get("target_parameters") or []
    if others := [t for t in tensors if t.rpartition(".")[2] not in experts.FUSED]:
        return f"its target_parameters has {others[0]}"
    names = integrity.shapes("adapter", weights_of(folder))
    if others := [name for name in names if not re.search(r"\.lora_(embedding_)?[AB]\b", name)]:
        return f"it holds {integrity.listed(others)}, which is no LoRA weight"
    return ""


def _refuse_other_layers(p: Params, folder: Path, settings: dict, found: Shapes) -> str:
    """Raises ValueError unless the adapter's weights are exactly those of its config's layers in
    the student. Returns what is to be noted of its config."""
    from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict

    said: list[warnings.WarningMessage]
    problem: Exception | None = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            config = LoraConfig.from_pretrained(str(folder))
            config.base_model_name_or_path = None  # compared elsewhere
            adapted = _adapted(student.on_meta(student.config(p)), config)
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
    note = _refuse_unused_names(folder, settings, adapted)
    for warning in said:
        if issubclass(warning.category, (UserWarning, RuntimeWarning)) and not HARMLESS.match(
            text := str(warning.message)
        ):
            raise ValueError(
                f"adapter: PEFT says of {paths.movable(folder / CONFIG)}: {text[:200].rstrip('. ')}"
                f"; {put_back()}."
            )
    return note


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
        f"that it was trained on, or {put_back()}."
    )


def _refuse_unused_names(folder: Path, settings: dict, adapted: PeftModel) -> str:
    """Raises ValueError where the config names modules, tensors or patterns that are not there, and
    the adapter may lose by that. Other such names are returned as a sentence: the weights, which
    have found their places, show that a target and a rank are of no layer here."""
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
    file, notes = paths.movable(folder / CONFIG), []
    for key, names in faults.items():
        if names and key in ("target_modules", "rank_pattern"):
            notes.append(f"{integrity.listed(names)} in {key}")
        elif names:
            raise ValueError(
                f"adapter: {key} in {file} has {integrity.listed(names)}, which is no layer with "
                f"an adapter; remove it, or {put_back()}."
            )
    return f"{file} names {' and '.join(notes)}, which is of no layer here." if notes else ""


def _all_modules(adapted: PeftModel) -> list[str]:
    return [name for name, _ in adapted.get_base_model().named_modules()]
