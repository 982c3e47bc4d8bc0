"""majority@k: the accuracy of the answer that most of k samples give (self-consistency: Wang et al.
2022, arXiv 2203.11171). For math, whose answers can be compared.

Two answers are one if they are the same number, or the same text in the plain form of the grader
(grading/math_forms.py). The gold answer has no part in that. A sample without an answer does not
vote, and where none has one the majority is wrong. Of answers with as many votes each is taken with
the same chance, and what counts is the expectation."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from distill_nb.grading import math_forms, math_numbers
from distill_nb.grading.math_answer import LONGEST

MATH = ("math500", "aime", "pocket_math")  # benchmarks whose answers can be compared


@lru_cache(maxsize=65536)
def vote(answer: str) -> str:
    """What an answer (LaTeX) votes for, as text; "" for no answer. 15\\% is 15, as in the grader,
    whose problems may ask for percent; below 1 the sign counts."""
    if not answer.strip() or len(answer) > LONGEST:
        return answer.strip()
    plain, _ = math_forms.read(answer)
    plain = re.sub(r"^\s*[A-Za-z]\s*=", "", plain).strip()  # x = 4 is 4
    if number := math_numbers.number(plain):
        value, percent = number
        return str(value / 100 if percent and abs(value) < 1 else value)
    return math_forms.key(plain) or answer


def majority_at_k(counts: tuple[int, ...], right: tuple[float, ...], silent: int, k: int) -> float:
    """The chance that the majority of k samples is correct, exactly: the mean over all choices of k
    of the samples without replacement, which is unbiased for k new samples of the problem.

    counts: how many samples gave each answer; right: the share of these that are correct; silent:
    samples without an answer. Raises ValueError unless 1 <= k <= all samples."""
    total = sum(counts) + silent
    if not 1 <= k <= total:
        raise ValueError(f"majority@{k}: there are {total} samples; choose k from 1 to {total}.")
    chance = 0.0
    for i in range(len(counts)):
        if right[i]:
            others = tuple(sorted(counts[:i] + counts[i + 1 :]))
            chance += right[i] * _wins(counts[i], others, silent, k)
    return chance


@lru_cache(maxsize=65536)
def _wins(own: int, others: tuple[int, ...], silent: int, k: int) -> float:
    """The chance that an answer wins among k samples, a tie of m counted as 1 / m."""
    from scipy.special import comb

    ways = 0.0
    for votes in range(1, min(own, k) + 1):
        # [other answers with as many votes, samples taken]: ways to take them
        taken = np.zeros((len(others) + 1, k - votes + 1))
        taken[0, : silent + 1] = comb(silent, np.arange(taken.shape[1]))[: silent + 1]
        for count in others:
            before, taken = taken, np.zeros_like(taken)
            for x in range(min(count, votes, k - votes) + 1):
                tied = int(x == votes)
                moved = before[: len(before) - tied, : taken.shape[1] - x]
                taken[tied:, x:] += comb(count, x) * moved
        ties = np.arange(1, len(others) + 2)
        ways += comb(own, votes) * float((taken[:, -1] / ties).sum())
    return ways / comb(own + sum(others) + silent, k)


def by_problem(records: pd.DataFrame, ks: Sequence[int]) -> pd.DataFrame:
    """[problems × ks]: majority@k of each problem, 0 to 1. records: of one run, step and benchmark
    of MATH, with as many samples of each problem as the largest k, or more."""
    votes: dict[str, dict[str, list[bool]]] = {}  # problem → answer → whether each is correct
    columns = (records[c] for c in ("task_id", "answer", "outcome"))
    for task, answer, outcome in zip(*columns, strict=True):
        votes.setdefault(task, {}).setdefault(vote(answer), []).append(outcome == "correct")
    rows = {}
    for task, given in votes.items():
        silent = len(given.pop("", ()))
        counts = tuple(len(correct) for correct in given.values())
        right = tuple(sum(correct) / len(correct) for correct in given.values())
        rows[task] = [majority_at_k(counts, right, silent, k) for k in ks]
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(ks), dtype=float)
