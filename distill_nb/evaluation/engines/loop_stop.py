"""Ends answers of Transformers that loop, by the rule of vLLM's repetition detection
(loops.copies)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill_nb.grading.loops import LONGEST, REPEATS, SHORTEST

if TYPE_CHECKING:
    import torch


class LoopStop:
    """A stopping criterion for one batch. `ends` has of each row the number of tokens after which
    it looped, 0 where it did not. The length limit comes first, as in vLLM.

    It counts, for each size of a block, how many tokens on end are as one block before: a row has
    REPEATS copies of a block of b tokens where (REPEATS - 1) b of them are."""

    def __init__(self, rows: int, prompt: int, max_new_tokens: int):
        self.ends, self._rows = [0] * rows, list(range(rows))
        self.prompt, self.max_new_tokens = prompt, max_new_tokens
        self._alike: torch.Tensor | None = None  # [rows, blocks]

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """Whether each row of input_ids [rows, prompt + tokens so far] ends now: [rows]."""
        import torch

        blocks = torch.arange(SHORTEST, LONGEST + 1, device=input_ids.device)
        if self._alike is None:
            self._alike = torch.zeros((len(input_ids), len(blocks)), dtype=torch.long).to(blocks)
        made = input_ids.shape[1] - self.prompt
        places = input_ids.shape[1] - 1 - blocks
        same = input_ids[:, places.clamp(min=0)] == input_ids[:, -1:]
        same &= places >= self.prompt  # a repeated prompt is no loop
        self._alike = torch.where(same, self._alike + 1, 0)
        looped = (self._alike >= (REPEATS - 1) * blocks).any(1)
        if made < self.max_new_tokens:
            for row in torch.nonzero(looped).flatten().tolist():
                self.ends[self._rows[row]] = self.ends[self._rows[row]] or made
        return torch.tensor([self.ends[row] > 0 for row in self._rows], device=input_ids.device)

    def keep(self, places: list[int]) -> None:
        """Go on with the rows at these places of the batch only."""
        self._rows = [self._rows[place] for place in places]
        if self._alike is not None:
            self._alike = self._alike[places]
