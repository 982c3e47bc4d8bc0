"""How long traces and answers are, where nothing has been made yet.

The spread is that of 200 published traces of DeepSeek-R1 under Llama 3's tokenizer, as
bench/ledger.py counted them (bench/results/ledger.json, "pcmb_traces_filtered, Llama 3"; a test
compares). It is an expectation: other problems have other lengths."""

import math
from itertools import pairwise

from distill_nb.params import Params
from distill_nb.params.names import is_set

# (share of the traces, tokens that they have at most)
R1 = ((0.0, 933), (0.05, 933), (0.25, 1160), (0.5, 1688), (0.75, 3487), (0.95, 10978), (1.0, 15705))
SHORT = 4  # examples that are no teacher's have between max_length / SHORT and max_length tokens


def r1_tokens(count: int) -> list[float]:
    """Tokens of `count` traces with the spread R1, ascending: straight between its points on a
    logarithmic scale."""
    tokens = []
    for i in range(count):
        share = (i + 0.5) / count
        (low, a), (high, b) = next(pair for pair in pairwise(R1) if share <= pair[1][0])
        tokens.append(math.exp(math.log(a) + (share - low) / (high - low) * math.log(b / a)))
    return tokens


def r1_lengths(cut: int, count: int = 200) -> list[int]:
    """`r1_tokens`, cut at `cut` tokens."""
    return [round(min(tokens, cut)) for tokens in r1_tokens(count)]


def mean_and_square(lengths: list[int]) -> tuple[float, float]:
    """The means of lengths and of their squares."""
    return sum(lengths) / len(lengths), sum(n * n for n in lengths) / len(lengths)


def of_examples(p: Params) -> tuple[list[int], str]:
    """(the shortest examples to expect, what is expected in words); the longest have max_length.
    Those of a teacher: as R1's, cut; others: SHORT."""
    if is_set(p.dataset):
        lengths = r1_lengths(p.max_length)
        mean = sum(lengths) / len(lengths)
        return lengths, f"{mean:,.0f} (as 200 traces of R1, cut) to {p.max_length:,} tokens"
    short = p.max_length // SHORT
    return [short], f"{short:,} to {p.max_length:,} tokens"
