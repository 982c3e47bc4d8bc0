"""Whether the files of a student or an adapter are whole, from their headers, and whether a library
took all that is in them.

Each function raises a ValueError, one sentence that begins with the parameter that named the files
(`student` or `adapter`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.runtime.text import one_line

if TYPE_CHECKING:
    from torch import Tensor

POINTER = b"version https://git-lfs"  # what Git has in place of a large file until it is fetched
Shapes = dict[str, tuple[int, ...]]  # of tensors, by name


def refuse_empty(key: str, file: Path) -> None:
    """Refuse a file that is not there, is empty, or is a Git LFS pointer."""
    if not file.is_file():
        raise ValueError(f"{key}: {paths.movable(file)} is not there; {_again(file)}.")
    with open(file, "rb") as stream:
        start = stream.read(len(POINTER))
    if not start:
        raise ValueError(f"{key}: {paths.movable(file)} is empty; {_again(file)}.")
    if start == POINTER:
        raise ValueError(
            f"{key}: {paths.movable(file)} is a Git LFS pointer, not the file itself; run `git lfs "
            f"pull` in its folder, or {_again(file)}."
        )


def mapping(key: str, file: Path) -> dict:
    """The content of a JSON file that must be a mapping."""
    refuse_empty(key, file)
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:  # UnicodeDecodeError too
        raise ValueError(
            f"{key}: {paths.movable(file)} is not valid JSON ({first_line(error)}); {_again(file)}."
        ) from None
    if not isinstance(found, dict):
        raise ValueError(
            f"{key}: {paths.movable(file)} holds a {type(found).__name__}, not a mapping of keys; "
            f"{_again(file)}."
        )
    return found


def shapes(key: str, file: Path) -> Shapes:
    """The tensors of a file of weights, safetensors or PyTorch's own."""
    import torch
    from safetensors import safe_open

    refuse_empty(key, file)
    try:
        if file.suffix == ".safetensors":
            # it compares the header with the length of the file
            with safe_open(file, "pt") as found:
                # safe_open is no mapping
                return {k: tuple(found.get_slice(k).get_shape()) for k in found.keys()}  # noqa: SIM118
        held = torch.load(file, map_location="meta", weights_only=True)
        return {name: tuple(tensor.shape) for name, tensor in held.items()}
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(
            f"{key}: {paths.movable(file)} is damaged or cut off ({first_line(error)}); "
            f"{_again(file)}."
        ) from None


def refuse_partial_student(p: Params, report: dict) -> None:
    """Raises ValueError unless Transformers found every tensor of the student in its files, in its
    shape, and no other. report: of from_pretrained(output_loading_info=True), which leaves out what
    Transformers documents, such as a tied head."""
    remedy = "copy its weights and its config.json again from where they came from"
    if missing := report.get("missing_keys"):
        raise ValueError(
            f"student: the weights of {p.student} lack {listed(missing)}, and what is "
            f"missing would be random at each load; {remedy}."
        )
    if mismatched := report.get("mismatched_keys"):
        name, held, wanted = min(mismatched)
        raise ValueError(
            f"student: in the weights of {p.student} {name} is {list(held)}, and by its "
            f"config.json it is {list(wanted)}; {remedy}."
        )
    if unexpected := report.get("unexpected_keys"):
        raise ValueError(
            f"student: the weights of {p.student} have {listed(unexpected)}, for which "
            f"the model of its config.json has no place; {remedy}, or remove these tensors."
        )


def refuse_partial_adapter(
    p: Params, adapter: Path, missing: list[str], unexpected: list[str], all_keys: bool = False
) -> None:
    """Raises ValueError unless every weight of an adapter found its place, and every layer its
    weights. missing, unexpected: keys, of PEFT's load_state_dict; without all_keys, those of
    `missing` that are the student's are passed over."""
    lost = [name_in_file(key) for key in missing if all_keys or "lora_" in key]
    begin = f"adapter: {paths.movable(adapter)} does not fit {p.student}"
    if unexpected:
        raise ValueError(
            f"{begin}: {listed([name_in_file(key) for key in unexpected])} is of no "
            "layer; name the student that it was trained on, or put back the adapter's own "
            "adapter_config.json, whose target_modules must name all that its weights are of."
        )
    if lost:
        raise ValueError(
            f"{begin}: {listed(lost)} is not in the adapter; name the student that it "
            "was trained on, or put back the adapter's own weights and adapter_config.json, whose "
            "target_modules must name only what its weights are of."
        )


def name_in_file(key: str) -> str:
    """The name in an adapter's file of a key of PEFT's model."""
    return key.replace(".default", "")


def on_meta(found: Shapes) -> dict[str, Tensor]:
    """Tensors without data (torch's meta device), for libraries that load a state dict."""
    import torch

    return {name: torch.empty(shape, device="meta") for name, shape in found.items()}


def tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file of weights, read one after another."""
    import torch
    from safetensors import safe_open

    if file.suffix != ".safetensors":
        yield from torch.load(file, map_location="cpu", weights_only=True).items()
        return
    with safe_open(file, "pt") as found:
        for name in found.keys():  # noqa: SIM118  (no mapping)
            yield name, found.get_tensor(name)


def is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite; one pass without a copy, as a sum carries what is not."""
    import torch

    if not tensor.is_floating_point():
        return True
    return bool(torch.isfinite(tensor.sum(dtype=torch.float32)))


def listed(names: Iterable[object]) -> str:
    """The first of some names, and how many more there are."""
    first, *others = sorted(map(shown, names))
    return f"{first} (and {len(others)} more)" if others else first


def shown(value: object) -> str:
    """A value of a config, in one line and not too long."""
    return one_line(value, 80)


def first_line(error: Exception) -> str:
    """What an error of a library says first, short."""
    lines = (line.strip() for line in str(error).splitlines())
    said = next((line for line in lines if line), "")
    return f"{type(error).__name__}: {said[:150]}".rstrip(": .")


def _again(file: Path) -> str:
    return f"copy {file.name} again from where the folder came from"
