"""Write a student with an adapter merged into its weights: tensor by tensor, in the memory of one.

An adapter adds scale * B @ A to a weight. The student's files are read and written again in their
own layout, so that whatever loads the student loads the merged one. PEFT says, on a model without
data, which weights an adapter changes and by which scale. The experts of a layer are one tensor in
Transformers and in PEFT's adapter, and mostly a tensor for each in the files (experts.py).

Float32 gives the bits that PEFT's merge_and_unload gives, also for weights in bfloat16: they are
added in float32 and rounded once. PEFT rounds what it adds to experts before that, too: there, and
only in bfloat16, the two differ by a rounding.

What is not merged so goes through PEFT, which takes the memory of the whole model: DoRA, biases,
embeddings, weights that are no safetensors, and whatever else an adapter's config has. Where the
adapter makes the embedding and the head of a tied student differ, both are written (embeddings.py).
Nothing of an adapter is left out in silence: ValueError (Unsloth has: unslothai/unsloth#5410)."""

from __future__ import annotations

import functools
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import disk, paths
from distill_nb.runtime.devices import GIB
from distill_nb.students import (
    check_adapter,
    check_student,
    embeddings,
    experts,
    generation,
    sources,
    student,
    weights,
)
from distill_nb.students.weights import Entry

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor

log = logging.getLogger(__name__)

# of an adapter's config; any other key of PEFT's must have its default
HANDLED = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "exclude_modules",
    "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_alpha",
    "lora_dropout", "peft_type", "peft_version", "r", "rank_pattern", "revision", "target_modules",
    "target_parameters", "task_type", "use_rslora",
}  # fmt: skip
LORA = "adapter_model.safetensors"


class NotStreamed(Exception):
    """Why an adapter goes through PEFT."""


@dataclass(frozen=True)
class Delta:
    """What an adapter adds to a tensor of the student's files: scale * B @ A."""

    key: str  # of A in the adapter's file
    scale: float
    experts: int = 1  # that A and B are of; the tensor has them all, or is one's
    expert: int = 0
    part: int = 0  # of B's rows, where several tensors share them: gate_proj and up_proj
    parts: int = 1

    def of(self, expert: int, read: Callable[[str], Tensor]) -> Tensor:
        """[out, in], float32. read: a tensor of the adapter."""
        a, b = read(self.key), read(self.key.replace(".lora_A.", ".lora_B."))
        a = a.reshape(self.experts, -1, a.shape[-1])[expert]
        b = b.reshape(len(b), -1, self.experts)[:, :, expert]
        return (b.chunk(self.parts)[self.part] @ a).mul_(self.scale)


def write_merged(p: Params, adapter: Path, folder: Path) -> None:
    """Write the student with an adapter merged into its weights, in p.dtype, and its tokenizer, as
    a folder that loads like any model: whole, or not at all. On the CPU, as an engine may need a
    GPU's memory.

    Raises ValueError where the folder is not empty, or something of the adapter finds no place in
    the student; disk.DiskFull before anything is written where there is not enough room."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{paths.movable(folder)}: it is not empty; name a new folder.")
    check_student.check_weights(p)
    check_adapter.check(p, adapter)
    begun, new = time.perf_counter(), folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
    new.mkdir(parents=True)
    try:
        size = _write(p, adapter, new)
        student.load_tokenizer(p).save_pretrained(new)
        new.replace(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    seconds = time.perf_counter() - begun
    log.info(f"{adapter.name} is merged: {size / GIB:.2f} GiB written in {seconds:.0f} s.")


def _write(p: Params, adapter: Path, new: Path) -> int:
    """All but the tokenizer; returns the bytes of the weights."""
    files = sources.weight_files(p)
    found = {file: weights.entries(file) for file in files}
    try:
        deltas = deltas_of(p, adapter, {e.name: e for es in found.values() for e in es})
    except NotStreamed as why:
        log.info(f"{adapter.name} is merged by PEFT, in memory, as {why}.")
        return _through_peft(p, adapter, new)
    made = {file.name: _cast(es, p.dtype) for file, es in found.items()}
    size = sum(entry.size for es in made.values() for entry in es)
    _need(new, size)
    index = {entry.name: name for name, es in made.items() for entry in es}
    for file in files:
        weights.write(new / file.name, made[file.name], _parts(p, adapter, file, made, deltas))
    if len(files) > 1:
        about = {"metadata": {"total_size": size}, "weight_map": index}
        (new / sources.INDEX).write_text(json.dumps(about, indent=2) + "\n")
    _copy_configs(p, new)
    return size


def _cast(entries: list[Entry], dtype: str) -> list[Entry]:
    """What is written of a file: the widest first, so that each begins at a multiple of its own
    size."""
    made = [entry.cast(dtype) for entry in entries]
    return sorted(made, key=lambda entry: -weights.SIZES[entry.dtype])


def _need(folder: Path, size: int) -> None:
    remedy = "or name a folder on a larger one (an evaluation's is below $DISTILL_NB_CACHE)"
    disk.need(folder, size, "the student with the adapter merged", remedy)


def _parts(
    p: Params, adapter: Path, file: Path, made: dict[str, list[Entry]], deltas: dict[str, Delta]
) -> Iterator[Tensor]:
    """What weights.write writes of a file: its tensors, those of all experts expert by expert."""
    import torch
    from safetensors import safe_open

    dtype = getattr(torch, p.dtype)

    def add(base: Tensor, delta: Tensor) -> Tensor:
        # to p.dtype first: that is the student which the adapter was trained on
        return delta.add_(base.to(dtype)).to(dtype)  # added in float32, delta's

    with safe_open(file, "pt") as base, safe_open(adapter / LORA, "pt") as lora:
        # A and B of all experts of a layer are needed for one after another: gate_up and down
        read = functools.lru_cache(maxsize=4)(lambda key: lora.get_tensor(key).float())
        for entry in made[file.name]:
            delta = deltas.get(entry.name)
            if delta is None:
                whole = base.get_tensor(entry.name)
                yield whole.to(dtype) if entry.dtype in weights.FLOATS else whole
            elif len(entry.shape) == 3:
                all_experts = base.get_slice(entry.name)
                for expert in range(delta.experts):
                    yield add(all_experts[expert], delta.of(expert, read))
            else:
                yield add(base.get_tensor(entry.name), delta.of(delta.expert, read))


def _copy_configs(p: Params, new: Path) -> None:
    """The student's config as it is, but for the dtype, and its generation_config."""
    file = generation.own_file(p, "config.json")
    assert file is not None  # the student was loaded by it
    config = json.loads(file.read_text())
    config.pop("torch_dtype", None)  # its name before Transformers 5
    config["dtype"] = p.dtype
    (new / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    generation.copy(p, new)


def deltas_of(p: Params, adapter: Path, found: dict[str, Entry]) -> dict[str, Delta]:
    """Tensor of the student's files → what the adapter adds. found: those tensors by name. Raises
    NotStreamed."""
    if not found:
        raise NotStreamed("the student's weights are in no safetensors files")
    if not (adapter / LORA).exists():
        raise NotStreamed(f"it has no {LORA}")
    if strange := {e.dtype for e in found.values()} - weights.SIZES.keys():
        raise NotStreamed(f"the student's weights have the dtype {', '.join(strange)}")
    _refuse_other_settings(adapter)
    adapted = _without_data(p, adapter)
    made: dict[str, Delta] = {}
    for name, module in adapted.get_base_model().named_modules():
        made |= _deltas_of_layer(name, module, found)
    _refuse_lost_tensors(adapted, adapter)
    base = adapted.get_base_model()
    if base.config.tie_word_embeddings and made.keys() & set(base._tied_weights_keys or ()):
        raise NotStreamed("it is on the head, which is the embedding too")
    return made


def _refuse_other_settings(adapter: Path) -> None:
    """Raises NotStreamed where an adapter's config says more than where LoRA matrices are, and
    their scale."""
    from peft import LoraConfig

    config = json.loads((adapter / "adapter_config.json").read_text())
    default = LoraConfig().to_dict()
    if config.get("peft_type") != "LORA":
        raise NotStreamed(f"its peft_type is {config.get('peft_type')}")
    if config.get("init_lora_weights", True) not in (True, False, "gaussian"):  # some change W
        raise NotStreamed(f"its init_lora_weights is {config['init_lora_weights']}")
    for key, value in config.items():
        # None, {} and [] are all nothing
        if key in default and key not in HANDLED and (value or None) != (default[key] or None):
            raise NotStreamed(f"its {key} is {value}")


def _without_data(p: Params, adapter: Path) -> PeftModel:
    """The student with the adapter's layers, shapes only (torch's meta device)."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = student.config(p)
    if getattr(config, "quantization_config", None):
        raise NotStreamed("the student is quantised")
    with torch.device("meta"), experts.without_false_alarm():
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, p.dtype))
        if model._keep_in_fp32_modules or model._keep_in_fp32_modules_strict:
            raise NotStreamed("some weights of the student stay in float32")
        try:
            return get_peft_model(model, LoraConfig.from_pretrained(str(adapter)))
        except ValueError as error:
            raise NotStreamed(f"PEFT says: {error}") from error


def _refuse_lost_tensors(adapted: PeftModel, adapter: Path) -> None:
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    with safe_open(adapter / LORA, "pt") as lora:
        keys = set(lora.keys())
        if other := sorted(keys ^ expected.keys()):
            raise NotStreamed(f"its layers are not those of its config ({other[0]})")
        for key in keys:
            if (shape := lora.get_slice(key).get_shape()) != list(expected[key].shape):
                raise NotStreamed(f"{key} has the shape {shape}")


def _deltas_of_layer(name: str, module: object, found: dict[str, Entry]) -> dict[str, Delta]:
    """What one layer's adapter adds, {} for a module without one."""
    from peft.tuners.lora import Linear, LoraLayer
    from peft.tuners.lora.layer import ParamWrapper
    from torch import nn

    if not isinstance(module, LoraLayer):
        return {}
    key, scale = f"base_model.model.{name}.lora_A.weight", module.scaling["default"]
    if type(module) is Linear and type(module.base_layer) is nn.Linear:
        if module.base_layer.weight.shape != getattr(found.get(f"{name}.weight"), "shape", ()):
            raise NotStreamed(f"the student's files have no {name}.weight of its shape")
        return {f"{name}.weight": Delta(key, scale)}
    leaf = getattr(module, "parameter_name", "")
    if not isinstance(module, ParamWrapper) or leaf not in experts.FUSED:
        raise NotStreamed(f"it is on {name}, for PEFT a layer of the kind {type(module).__name__}")
    shape = tuple(module.get_param().shape)
    if len(shape) != 3 or not module._did_swap_in_out_features:
        raise NotStreamed(f"{name}.{leaf} is not [experts, out, in]")
    inside = name.replace(".base_layer", "")  # PEFT wraps a layer's wrapper
    if getattr(found.get(f"{inside}.{leaf}"), "shape", ()) == shape:
        return {f"{inside}.{leaf}": Delta(key, scale, shape[0])}
    parts = experts.FUSED[leaf]
    made = {
        f"{inside}.{expert}.{part}.weight": Delta(key, scale, shape[0], expert, i, len(parts))
        for expert in range(shape[0])
        for i, part in enumerate(parts)
    }
    one = (shape[1] // len(parts), shape[2])
    if any(getattr(found.get(wanted), "shape", ()) != one for wanted in made):
        raise NotStreamed(f"the student's files have no {inside} of its shape")
    return made


def _through_peft(p: Params, adapter: Path, new: Path) -> int:
    """`_write`, by PEFT."""
    model = student.load(student.unquantised(p), where="cpu")
    _need(new, model.get_memory_footprint(return_buffers=False))
    merged = embeddings.merge(student.with_adapter(p, model, adapter, where="cpu"))
    size = merged.get_memory_footprint(return_buffers=False)
    _need(new, size)  # a head of its own may have come to it
    merged.config.use_cache = True
    merged.save_pretrained(new)
    generation.copy(p, new)
    return size
