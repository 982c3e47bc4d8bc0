"""Transformers as an engine: adapters merged, prompts sorted by length and left-padded."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.evaluation.engines.loop_stop import LoopStop
from distill_nb.evaluation.engines.types import Answer, Request, completion
from distill_nb.params import Params
from distill_nb.students import chat, proof, student

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    seeds: list[int],
    stop_ids: list[int],
    p: Params,
) -> list[tuple[str, list[int], str]]:
    """(text, tokens, finish_reason) of each prompt of one batch.

    prompts: token ids, one list a prompt. seeds: one a prompt, used where p.temperature > 0 (0 is
    greedy). Raises torch.OutOfMemoryError where a GPU has too little for them."""
    import torch
    from transformers import (
        GenerationConfig,
        LogitsProcessorList,
        StoppingCriteriaList,
        TopPLogitsWarper,
    )

    longest, pad = max(map(len, prompts)), tokenizer.pad_token_id
    padding = [longest - len(prompt) for prompt in prompts]
    rows = [[pad] * n + prompt for n, prompt in zip(padding, prompts, strict=True)]
    mask = [[0] * n + [1] * (longest - n) for n in padding]
    processors = LogitsProcessorList()
    if p.temperature > 0:
        processors.append(lambda _, scores: scores / p.temperature)
        if p.top_p < 1:
            processors.append(TopPLogitsWarper(p.top_p))
        processors.append(_GumbelNoise(seeds))
    # all of it: student.load keeps the student's own from the model, which would be added to this
    how = GenerationConfig(
        max_new_tokens=p.max_new_tokens, do_sample=False, eos_token_id=stop_ids, pad_token_id=pad
    )
    loops = LoopStop(len(rows), longest, p.max_new_tokens) if p.stop_on_loop else None
    with torch.inference_mode():
        out = model.generate(
            input_ids=torch.tensor(rows, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            generation_config=how,
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList([loops] if loops else []),
        )
    made = [row[longest:].tolist() for row in out]
    ends = loops.ends if loops else [0] * len(made)  # after a loop there is only padding
    return [
        completion(tokens[: end or None], tokenizer, stop_ids, looped=end > 0)
        for tokens, end in zip(made, ends, strict=True)
    ]


class _GumbelNoise:
    """Exact sampling by argmax(log p + Gumbel noise) (Gumbel 1954; Maddison et al. 2014, arXiv
    1411.0030), with one random generator a row, which `do_sample` does not offer."""

    def __init__(self, seeds: list[int]):
        import torch

        self.generators = [torch.Generator().manual_seed(s) for s in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        uniform = torch.stack([torch.rand(scores.shape[-1], generator=g) for g in self.generators])
        return scores - torch.log(-torch.log(uniform.clamp_min(1e-20))).to(scores)
