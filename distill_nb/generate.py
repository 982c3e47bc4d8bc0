"""Token ids in, completions out, with Transformers: sorted by length, left-padded, in batches.

Sampling is seeded per prompt and sample, so that a completion does not depend on what shares its batch (up to
the rounding of batched matrix products).
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Completion:
    """One generated answer. `tokens` includes the end token where one was generated."""

    index: int          # position of its prompt in the list given
    text: str           # without special tokens
    tokens: list[int]
    finish_reason: str  # stop | length
    seconds: float      # the batch's wall time divided by its size


def generate(model, tokenizer, prompts: list[list[int]], seeds: list[int], *, stop_ids: list[int],
             max_new_tokens: int, temperature: float, top_p: float, batch_size: int) -> Iterator[list[Completion]]:
    """Yield the completions of one batch after another, longest prompts first.

    prompts: token ids, one list a prompt. seeds: one a prompt, used where temperature > 0 (0 is greedy)."""
    import torch
    from transformers import LogitsProcessorList, TopPLogitsWarper

    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    for start in range(0, len(order), batch_size):
        batch = order[start:start + batch_size]
        longest = max(len(prompts[i]) for i in batch)
        pad = tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(prompts[i])) + prompts[i] for i in batch], device=model.device)
        mask = torch.tensor([[0] * (longest - len(prompts[i])) + [1] * len(prompts[i]) for i in batch],
                            device=model.device)
        processors = LogitsProcessorList()
        if temperature > 0:
            if top_p < 1:
                processors.append(TopPLogitsWarper(top_p))
            processors.insert(0, lambda _, scores: scores / temperature)
            processors.append(_GumbelNoise([seeds[i] for i in batch]))
        begin = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False,
                                 temperature=None, top_p=None, top_k=None, logits_processor=processors,
                                 eos_token_id=stop_ids, pad_token_id=pad)
        seconds = (time.perf_counter() - begin) / len(batch)
        yield [_completion(i, row[longest:].tolist(), tokenizer, stop_ids, seconds)
               for i, row in zip(batch, out, strict=True)]


class _GumbelNoise:
    """Exact sampling by argmax(log p + Gumbel noise) (Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030), with one
    random generator a row, which `do_sample` does not offer."""

    def __init__(self, seeds: list[int]):
        import torch

        self.generators = [torch.Generator().manual_seed(s) for s in seeds]

    def __call__(self, input_ids, scores):
        import torch

        uniform = torch.stack([torch.rand(scores.shape[-1], generator=g) for g in self.generators])
        return scores - torch.log(-torch.log(uniform.clamp_min(1e-20))).to(scores)


def _completion(index: int, tokens: list[int], tokenizer, stop_ids: list[int], seconds: float) -> Completion:
    end = next((k for k, t in enumerate(tokens) if t in stop_ids), None)
    answer = tokens if end is None else tokens[:end]
    return Completion(index, tokenizer.decode(answer, skip_special_tokens=True),
                      tokens if end is None else tokens[:end + 1], "length" if end is None else "stop", seconds)
