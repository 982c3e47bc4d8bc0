"""Transformers as an engine: adapters merged, prompts sorted by length."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.evaluation.engines.hf_generate import generate
from distill_nb.evaluation.engines.types import Answer, Request
from distill_nb.params import Params
from distill_nb.students import chat, proof, student

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


class HfEngine:
    """The fallback and the reference: one checkpoint at a time, in this process (types.Engine)."""

    name, version = "hf", metadata.version("transformers")

    def __init__(self, p: Params, adapters: dict[int, Path]):
        self.p, self.adapters, self.step = p, adapters, -1  # the step that is loaded; -1: none
        self.model: PreTrainedModel | None = None
        self.batch_size = p.eval_batch_size  # until memory runs out
        self.tokenizer = student.load_tokenizer(p)
        self.stop_ids = chat.stop_ids(self.tokenizer, chat.template_for(p.student, p.chat_template))

    def __enter__(self) -> HfEngine:
        return self

    def __exit__(self, *_) -> None:
        self.model = None

    def serve(self, steps: list[int]) -> Iterator[list[int]]:
        for step in [0, *steps]:
            self.model = None  # its memory is needed
            self.model = student.load_for_generation(self.p, self.adapters.get(step))
            self.step = step
            yield [step]

    def again(self) -> bool:
        return False  # there is no other way to load a checkpoint

    def logprobs(self, texts: list[tuple[int, list[int], list[int]]]) -> list[list[list[float]]]:
        assert {step for step, *_ in texts} <= {self.step}
        return [[proof.token_logprobs(self.model, ids, at) for _, ids, at in texts]]

    def answers(self, requests: list[Request]) -> Iterator[list[Answer]]:
        """One batch after another, longest prompts first. Where memory runs out, batches are half
        as large from then on; a prompt that does not fit alone is an answer with an error."""
        import torch

        assert {r.step for r in requests} <= {self.step}
        waiting, p = sorted(requests, key=lambda r: -len(r.prompt)), self.p
        while waiting:
            batch, found, begin = waiting[: self.batch_size], None, time.perf_counter()
            try:
                prompts, seeds = [r.prompt for r in batch], [r.seed for r in batch]
                found = generate(self.model, self.tokenizer, prompts, seeds, self.stop_ids, p)
            except torch.OutOfMemoryError:  # no `as error`: it would hold the memory
                torch.cuda.empty_cache()
            if found is None and len(batch) > 1:
                self.batch_size = len(batch) // 2
                log.info(
                    f"Out of memory with {len(batch)} prompts at once: from here on "
                    f"{self.batch_size} (eval_batch_size)."
                )
                continue
            waiting, seconds = waiting[len(batch) :], (time.perf_counter() - begin) / len(batch)
            if found is None:
                error = (
                    f"out of memory with this prompt alone ({len(batch[0].prompt)} tokens, and up "
                    f"to {p.max_new_tokens} new ones); set max_new_tokens lower, or take a device "
                    "with more memory"
                )
                yield [Answer(batch[0].number, "", [], "length", seconds, error, final=True)]
            else:
                answered = zip(batch, found, strict=True)
                yield [Answer(request.number, *made, seconds) for request, made in answered]
