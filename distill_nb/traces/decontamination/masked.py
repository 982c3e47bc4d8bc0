"""Words with what a copy of a problem may change masked: variables, and numbers; and whether
numbers were changed.

A variable is a single letter or a Greek one. Brackets and the like (statements.SIGNS) are left out,
for copies lose them."""

from __future__ import annotations

from collections import Counter

from distill_nb.traces.decontamination.statements import SIGNS
from distill_nb.traces.decontamination.words import GREEK

NGRAM = 4
NUMBERS = 0.8  # of an evaluation problem's numbers must be there; a 1 is not counted, which copies write as `a`
VARIABLES = frozenset(GREEK.values()) - {r"\pi"} | {r"\ell"}
FUNCTIONS = frozenset(
    rf"\{name}"
    for name in (
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "log",
        "ln",
        "exp",
        "gcd",
        "lcm",
        "min",
        "max",
    )
)


class Masks(dict):
    """word → `v` for a variable, `#` for a number, "" for what is left out, `sin` for `\\sin`, else
    itself. Words come again and again, so each is judged once."""

    def __missing__(self, word: str) -> str:
        masked = (
            ""
            if word in SIGNS
            else "v"
            if (len(word) == 1 and word.isalpha()) or word in VARIABLES
            else "#"
            if word[0].isdigit()
            else word[1:]
            if word in FUNCTIONS
            else word
        )
        if len(self) < 2**20:  # memory stays flat, whatever the texts hold
            self[word] = masked
        return masked


MASKS = Masks()


def masked_words(words: list[str]) -> list[str]:
    """Words with variables as `v` and numbers as `#`."""
    return [mask for w in words if (mask := MASKS[w])]


def with_numbers(words: list[str]) -> list[str]:
    """Words with variables as `v`; as long as `masked_words`."""
    return [w if mask == "#" else mask for w in words if (mask := MASKS[w])]


def ngrams(words: list[str]) -> list[tuple[str, ...]]:
    """Every NGRAM neighbouring words, in order."""
    return list(zip(*(words[i:] for i in range(NGRAM)), strict=False))


def values(words: list[str]) -> list[str]:
    """The numbers among words, in order."""
    return [w for w in words if w[0].isdigit()]


def counts(words: list[str]) -> Counter:
    """How often each number is among words, 1 left out."""
    return Counter(w for w in words if w[0].isdigit() and w != "1")


class Numbers:
    """The numbers of a training problem, and the words in which they stand."""

    def __init__(self, words: list[str]):
        self.counts = counts(words)
        self.masked, self.exact = set(ngrams(masked_words(words))), set(ngrams(with_numbers(words)))

    def agree_with(self, asked: list[str], missing: bool) -> bool:
        """Whether none of an evaluation problem's numbers stands changed in the same words here: of
        the n-grams around it at least two are here, but none with this number. Unless they may be
        `missing`, NUMBERS of them must be here too."""
        wanted = counts(asked)
        if not missing and (wanted & self.counts).total() < NUMBERS * wanted.total():
            return False
        mask = masked_words(asked)
        windows = list(zip(ngrams(mask), ngrams(with_numbers(asked)), strict=True))
        for place, word in enumerate(mask):
            if word == "#":
                around = windows[max(0, place - NGRAM + 1) : place + 1]
                known = [exact for m, exact in around if m in self.masked]
                if len(known) >= min(2, len(around)) and known and self.exact.isdisjoint(known):
                    return False
        return True
