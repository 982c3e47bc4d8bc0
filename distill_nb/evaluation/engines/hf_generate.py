"""Answers to a batch of prompts with Transformers.

What all prompts begin with, as a system prompt, is computed once: a row is that part, its padding,
the rest of its prompt, and its answer. Every EVERY tokens the answers that have ended leave the
batch, so that a long one does not hold up the others. On a CPU, heads that share keys and values
read them where they are (bench/generate.py has what all of this gains)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from distill_nb.evaluation.engines.loop_stop import LoopStop
from distill_nb.evaluation.engines.types import completion
from distill_nb.params import Params

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

EVERY = 16  # tokens


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

    with torch.inference_mode(), grouped_heads():
        batch = _Batch(model, prompts, seeds, stop_ids, tokenizer.pad_token_id, p)
        while batch.rows:
            batch.extend()
    return [
        completion(tokens, tokenizer, stop_ids, looped=looped)
        for tokens, looped in zip(batch.made, batch.looped, strict=True)
    ]


@contextlib.contextmanager
def grouped_heads() -> Iterator[None]:
    """Let attention on the CPU read grouped keys and values where they are, with a mask too. With a
    mask, Transformers copies them for every head and token, because torch's fast kernels for CUDA
    do not take both; torch's kernel for CPUs does. The name of the function stays sdpa: some models
    ask for that name before they mask what they leave out."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register("sdpa", _attention)
    try:
        yield
    finally:
        AttentionInterface.register("sdpa", sdpa_attention_forward)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """query [B, heads, T, d], key and value [B, fewer heads, N, d], mask [B, 1, T, N] to [B, T,
    heads, d], in eval mode. Transformers' own function does what is not grouped, not masked, not on
    a CPU, or has a bias of positions."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    grouped, biased = query.shape[1] != key.shape[1], options.get("position_bias") is not None
    if attention_mask is None or biased or not grouped or query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    made = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attention_mask, scale=options.get("scaling"), enable_gqa=True
    )
    return made.transpose(1, 2).contiguous(), None


class _Batch:
    """Prompts whose answers are not all at their end. `made` and `looped` have of every prompt its
    answer's tokens, up to the batch's padding, and whether a loop ended it; `rows`, the prompts
    that are still answered."""

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: list[list[int]],
        seeds: list[int],
        stop_ids: list[int],
        pad: int,
        p: Params,
    ):
        import torch

        self.model, self.stop_ids, self.pad, self.p = model, stop_ids, pad, p
        self.prompt = max(map(len, prompts))
        self.rows = list(range(len(prompts)))
        self.made: list[list[int]] = [[] for _ in prompts]
        self.looped = [False for _ in prompts]
        self.noise = _GumbelNoise(seeds)
        self.loops = LoopStop(len(prompts), self.prompt, p.max_new_tokens)
        n = common_prefix(prompts) if _only_full_attention(model) else 0
        gaps = [self.prompt - len(x) for x in prompts]
        rows = [x[:n] + [pad] * gap + x[n:] for gap, x in zip(gaps, prompts, strict=True)]
        mask = [[1] * n + [0] * gap + [1] * (self.prompt - n - gap) for gap in gaps]
        self.ids, self.mask = (torch.tensor(x, device=model.device) for x in (rows, mask))
        self.cache: Cache | None = None
        if n:
            begin = model(input_ids=self.ids[:1, :n], use_cache=True, logits_to_keep=1)
            self.cache = begin.past_key_values
            self.cache.batch_repeat_interleave(len(rows))

    def extend(self) -> None:
        """Up to EVERY more tokens of each answer, and those that have ended leave."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        limit = self.prompt + self.p.max_new_tokens
        # all of it: student.load keeps the student's own from the model, which would be added here
        how = GenerationConfig(
            max_new_tokens=min(EVERY, limit - self.ids.shape[1]),
            do_sample=False,
            eos_token_id=self.stop_ids,
            pad_token_id=self.pad,
            return_dict_in_generate=True,
        )
        out = self.model.generate(
            input_ids=self.ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            generation_config=how,
            logits_processor=LogitsProcessorList(self._sampling()),
            stopping_criteria=StoppingCriteriaList([self.loops] if self.p.stop_on_loop else []),
        )
        grown = out.sequences.shape[1] - self.ids.shape[1]
        self.ids, self.cache = out.sequences, out.past_key_values
        self.mask = torch.nn.functional.pad(self.mask, (0, grown), value=1)
        stops = torch.tensor(self.stop_ids, device=self.ids.device)
        ended = torch.isin(self.ids[:, self.prompt :], stops).any(1).tolist()
        going = []
        for place, row in enumerate(self.rows):
            loop = self.loops.ends[row]
            if not (ended[place] or loop or self.ids.shape[1] == limit):
                going.append(place)
                continue
            tokens = self.ids[place, self.prompt :].tolist()
            self.made[row], self.looped[row] = tokens[: loop or None], loop > 0
        if len(going) < len(self.rows):
            self._keep(going)

    def _keep(self, places: list[int]) -> None:
        """Go on with the rows at these places of the batch only."""
        import torch

        self.rows = [self.rows[place] for place in places]
        kept = torch.tensor(places, dtype=torch.long, device=self.ids.device)
        self.ids, self.mask = self.ids[kept], self.mask[kept]
        if self.cache is not None and places:
            self.cache.batch_select_indices(kept)
        self.noise.keep(places)
        self.loops.keep(places)

    def _sampling(self) -> list[Callable]:
        """What temperature and top_p do to the scores, [B, vocabulary]."""
        from transformers import TopPLogitsWarper

        p = self.p
        if p.temperature == 0:
            return []
        top = [TopPLogitsWarper(p.top_p)] if p.top_p < 1 else []
        return [lambda _, scores: scores / p.temperature, *top, self.noise]


def common_prefix(prompts: list[list[int]]) -> int:
    """How many tokens all prompts begin with, without the last of the shortest, which its answer
    begins after. 0 for one prompt."""
    if len(prompts) < 2:
        return 0
    shortest, first = min(map(len, prompts)) - 1, prompts[0]
    different = (i for i in range(shortest) if any(x[i] != first[i] for x in prompts))
    return next(different, shortest)


def _only_full_attention(model: PreTrainedModel) -> bool:
    """Whether every layer sees all tokens before. A sliding window, or blocks of tokens, would
    count the padding between what is shared and the rest."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    if set(getattr(model.config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


class _GumbelNoise:
    """Exact sampling by argmax(log p + Gumbel noise) (Gumbel 1954; Maddison et al. 2014, arXiv
    1411.0030), with one random generator a row, which `do_sample` does not offer."""

    def __init__(self, seeds: list[int]):
        import torch

        self.generators = [torch.Generator().manual_seed(s) for s in seeds]

    def keep(self, places: list[int]) -> None:
        """Go on with the rows at these places only."""
        self.generators = [self.generators[place] for place in places]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        uniform = torch.stack([torch.rand(scores.shape[-1], generator=g) for g in self.generators])
        return scores - torch.log(-torch.log(uniform.clamp_min(1e-20))).to(scores)
