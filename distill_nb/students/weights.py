"""A model's weights in safetensors files, read and written a tensor, or a slice of one, at a time:
memory does not grow with the model.

safetensors' own save_file takes all tensors of a file at once. Its format is the length of a header
(8 bytes, little-endian), the header (JSON), and the tensors one after another."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FLOATS = {"F32": 4, "F16": 2, "BF16": 2}  # in the files' words → bytes
SIZES = FLOATS | {"F64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
OF_TORCH = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


@dataclass(frozen=True)
class Entry:
    """A tensor of a file."""

    name: str
    dtype: str  # such as BF16
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return prod(self.shape) * SIZES[self.dtype]

    def cast(self, dtype: str) -> Entry:
        """The same in a dtype of torch's, such as bfloat16, where it holds floating-point numbers
        that a student is loaded from."""
        kept = self.dtype not in FLOATS
        return Entry(self.name, self.dtype if kept else OF_TORCH[dtype], self.shape)


def entries(file: Path) -> list[Entry]:
    """The tensors of a file, without reading them."""
    with open(file, "rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    header.pop("__metadata__", None)
    return [Entry(name, about["dtype"], tuple(about["shape"])) for name, about in header.items()]


def header(found: list[Entry]) -> bytes:
    """What a file begins with, where it has these tensors in this order."""
    about: dict = {"__metadata__": {"format": "pt"}}  # Transformers asks for it
    end = 0
    for entry in found:
        offsets = [end, end := end + entry.size]
        about[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": offsets,
        }
    text = json.dumps(about, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write(file: Path, found: list[Entry], parts: Iterable[Tensor]) -> None:
    """Write a file. parts: the tensors' elements in the order of `found`; each is a tensor, or a
    slice of one along its first dimension. Raises RuntimeError where they are more or fewer."""
    import torch

    begin = header(found)
    size = sum(entry.size for entry in found)
    with open(file, "wb") as stream:
        stream.write(begin)
        for part in parts:
            stream.write(part.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        if (written := stream.tell() - len(begin)) != size:
            raise RuntimeError(f"{file.name}: {written} bytes are written, not {size}")
