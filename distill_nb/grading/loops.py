r"""Answers that end in a loop: the same block again and again, until the length limit.

Two rules, on tokens. Both ask for REPEATS copies of a block, and for at least 256 tokens of them,
so that a short list, table or row of zeros is none.

- `copies`: the last tokens are REPEATS exact copies of one block of SHORTEST to LONGEST tokens. A
  shorter block is found by a multiple of it. This is what vLLM's repetition detection does
  (RepetitionDetectionParams, vLLM 0.32), and what stops an answer where `stop_on_loop` is true.
- `find`: over the last tokens, REPEATS times a period of up to LONGEST_PERIOD, the share ALIKE of
  them is the token one period before. It names the outcome `looping` of an answer that the length
  limit ended. It finds what `copies` finds, and loops that count on: "Wait, case 117. …".

Endless repetition of one block is how greedy decoding degenerates (Holtzman et al. 2020, arXiv
1904.09751). A loop that says the same in other words each time is not found: such an answer stays
`truncated`. docs/grading.md has what is found of made loops, and the false alarms on honest long
answers."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

REPEATS = 4  # copies of the block, the first one included
SHORTEST, LONGEST = 64, 256  # tokens of a block that stops an answer
LONGEST_PERIOD = 1024  # tokens of a block that names one; REPEATS of them are half of 8,192
FEWEST = REPEATS * SHORTEST  # tokens that repeat
# for vLLM
DETECTION = {"min_pattern_size": SHORTEST, "max_pattern_size": LONGEST, "min_count": REPEATS}
ALIKE = 0.9  # share of tokens that are as one period before
PIECE = re.compile(r"\d|[^\W\d_]+|\s+|.", re.DOTALL)


class Loop(NamedTuple):
    """The end of an answer that repeats."""

    period: int  # tokens of the block
    tokens: int  # of the answer, that belong to the loop, its first copy included


def find(tokens: Sequence[int]) -> Loop | None:
    """The loop at the end of an answer's tokens, by the shortest period that has one, or None.

    The loop is followed back as long as no FEWEST tokens have fewer than ALIKE alike."""
    ids = np.asarray(tokens)
    for period in range(1, min(LONGEST_PERIOD, len(ids) // REPEATS) + 1):
        needed = max(REPEATS * period, FEWEST)
        if needed > len(ids):
            break
        same = ids[period:] == ids[:-period]  # of each token, whether it is as one period before
        last = same[-(needed - period) :]
        if last.mean() >= ALIKE and last[-FEWEST:].mean() >= ALIKE:
            return Loop(period, period + _length(same))
    return None


def _length(same: np.ndarray) -> int:
    """How many of the last entries belong to the loop: up to the first window of FEWEST entries,
    from the end, that has fewer than ALIKE of them true, without the false ones at its start."""
    width = min(FEWEST, len(same))
    sums = np.convolve(same, np.ones(width), "valid")  # of each window, by its first entry
    poor = np.flatnonzero(sums < ALIKE * width)
    start = int(poor[-1]) + 1 if len(poor) else 0
    return len(same) - start - int(np.argmax(same[start:]))


def copies(tokens: Sequence[int]) -> int:
    """The size of the block of which the last tokens are REPEATS exact copies; 0 where they are
    none."""
    ids = np.asarray(tokens[-REPEATS * LONGEST :])
    for block in range(SHORTEST, min(LONGEST, len(ids) // REPEATS) + 1):
        end = ids[-REPEATS * block :]
        if np.array_equal(end[block:], end[:-block]):
            return block
    return 0


def find_in_text(text: str) -> Loop | None:
    """`find` where only the text is known, of an older record or of a log made elsewhere: each
    word, digit, run of spaces and sign counts as one token."""
    numbers: dict[str, int] = {}
    return find([numbers.setdefault(piece, len(numbers)) for piece in PIECE.findall(text)])


def tokens_in_loop(finish_reason: str, tokens: Sequence[int]) -> int:
    """How many tokens of an answer belong to a loop at its end; 0 for one that ended by itself."""
    found = find(tokens) if finish_reason in ("length", "loop") else None
    return found.tokens if found else 0


def ending(finish_reason: str, tokens: Sequence[int]) -> str:
    """How an answer ended, as graders take it: finish_reason, or loop where it ends in one."""
    return "loop" if tokens_in_loop(finish_reason, tokens) else finish_reason


def ending_of_text(finish_reason: str, text: str) -> str:
    """`ending` where only the text is known."""
    return "loop" if finish_reason == "length" and find_in_text(text) else finish_reason
