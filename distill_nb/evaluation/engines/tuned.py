"""vLLM's tuned kernel configuration for a mixture of experts, where it has one for a near GPU only.

vLLM multiplies unquantised experts on an H100 by a Triton kernel. The sizes of its blocks are in a
file for each GPU, number of experts and width of one (N, over the GPUs of tensor_parallel); without
a file, general ones are taken. vLLM 0.32 has no file for Qwen3-30B-A3B on one H100 (N = 768), and
one for the H200. The H100 SXM and the H200 have the same processor (architecture 9.0, 132
multiprocessors, up to 227 KiB of shared memory for a block) beside other memory: a configuration
that fits one fits the other, and it changes speed and rounding alone. So the H200's file is handed
over under the H100's name, in a folder of VLLM_TUNED_CONFIG_FOLDER. How much faster that is was not
measured on a GPU.

Not where adapters are served side by side: with such a folder vLLM takes the configuration of the
experts' adapters from there alone, and no longer from that of the experts."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from pathlib import Path

from distill_nb.evaluation.engines import types
from distill_nb.params import Params
from distill_nb.runtime import files, paths
from distill_nb.students import student

log = logging.getLogger(__name__)

FOLDER = "VLLM_TUNED_CONFIG_FOLDER"
NEAR = {"NVIDIA_H100_80GB_HBM3": "NVIDIA_H200"}  # a GPU, and the near one, as vLLM names them


def vllm_files() -> Path | None:
    """vLLM's folder of tuned configurations; None where it is not installed."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "model_executor/layers/fused_moe/configs")


def lent(p: Params, mode: str) -> tuple[str, str, Path] | None:
    """(this GPU, the near one, whose file it gets); None where vLLM is left alone: no CUDA, a dense
    student, other weights than bfloat16, adapters side by side, a folder that the user has set, a
    file that vLLM has for this GPU, or none for a near one. mode: as of start.adapter_mode."""
    import torch

    alone = mode == "multi" or p.dtype != "bfloat16" or bool(os.environ.get(FOLDER))
    if alone or not torch.cuda.is_available() or (folder := vllm_files()) is None:
        return None
    config = student.config(p)
    experts, width = (getattr(config, k, 0) for k in ("num_experts", "moe_intermediate_size"))
    if not experts or not width:
        return None
    # named as in vLLM's get_config_file_name
    device = re.sub(r"[\s/]+", "_", torch.cuda.get_device_name())
    near = NEAR.get(device, "")
    one = f"E={experts},N={width // p.tensor_parallel},device_name="
    file = folder / f"{one}{near}.json"
    if (folder / f"{one}{device}.json").exists() or not near or not file.exists():
        return None
    return device, near, file


def environment(p: Params, mode: str) -> dict[str, str]:
    """For the engine's processes: the folder with this GPU's file, which is written; or nothing."""
    if (found := lent(p, mode)) is None:
        return {}
    device, near, file = found
    folder = paths.cache() / "vllm_tuned" / (types.vllm_version() or "unknown")
    files.write_bytes(folder / file.name.replace(near, device), file.read_bytes())
    log.info(f"vLLM has no tuned configuration for these experts on {device}: it gets {near}'s.")
    return {FOLDER: str(folder)}


def record(p: Params, mode: str) -> dict[str, str]:
    """For the provenance: whose configuration the experts' kernel has, if lent; or nothing."""
    if (found := lent(p, mode)) is None:
        return {}
    device, near, _ = found
    whose = f"{near}'s of vLLM {types.vllm_version()}, under the name of {device}"
    return {"moe_config": whose}
