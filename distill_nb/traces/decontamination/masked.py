"""Words with variables and numbers masked, and whether numbers were changed.

A variable is a single letter or a Greek one. Brackets and the like (statements.SIGNS) are left out,
for copies lose them."""

from collections import Counter
from functools import lru_cache

from distill_nb.traces.decontamination.statements import SIGNS
from distill_nb.traces.decontamination.symbols import VARIABLES
from distill_nb.traces.decontamination.words import KNOWN

NGRAM = 4
# Share of an evaluation problem's numbers that must be there. A 1 is not counted, which copies
# write as `a`.
NUMBERS = 0.8
SHORT = 26  # words
LONGER = 1.2  # times the words of the evaluation problem
FUNCTIONS = frozenset([
    r"\sin", r"\cos", r"\tan", r"\cot", r"\sec", r"\csc", r"\arcsin", r"\arccos", r"\arctan",
    r"\log", r"\ln", r"\exp", r"\gcd", r"\lcm", r"\min", r"\max",
])  # fmt: skip


@lru_cache(KNOWN)
def _mask(word: str) -> str:
    r"""`v` for a variable, `#` for a number, "" for SIGNS, `sin` for `\sin`, else the word."""
    if word in SIGNS:
        return ""
    if (len(word) == 1 and word.isalpha()) or word in VARIABLES:
        return "v"
    if word[0].isdigit():
        return "#"
    return word[1:] if word in FUNCTIONS else word


def masked_words(words: list[str]) -> list[str]:
    """Words with variables as `v` and numbers as `#`."""
    return [mask for w in words if (mask := _mask(w))]


def with_numbers(words: list[str]) -> list[str]:
    """Words with variables as `v`, and a number after a minus as `-3`; as long as
    `masked_words`."""
    found: list[str] = []
    for word in words:
        if mask := _mask(word):
            minus = "-" if mask == "#" and found and found[-1] == "-" else ""
            found.append(minus + word if mask == "#" else mask)
    return found


def ngrams(words: list[str]) -> list[tuple[str, ...]]:
    """Every NGRAM neighbouring words, in order."""
    return list(zip(*(words[i:] for i in range(NGRAM)), strict=False))


def values(words: list[str]) -> list[str]:
    """The numbers among words, in order, those after a minus as `-3`."""
    return [w for w in with_numbers(words) if w.lstrip("-")[:1].isdigit()]


def _counts(words: list[str]) -> Counter[str]:
    """How often each number is among words, 1 left out."""
    return Counter(w for w in values(words) if w != "1")


class Numbers:
    """The numbers of a problem, and the words around them."""

    def __init__(self, words: list[str]):
        self.counts = _counts(words)
        self.mask = masked_words(words)
        self.windows = list(zip(ngrams(self.mask), ngrams(with_numbers(words)), strict=True))
        self.masked = {masked for masked, _ in self.windows}
        self.exact = {exact for _, exact in self.windows}

    def agree_with(self, asked: list[str], missing: bool) -> bool:
        """Whether the numbers of a training problem are those of an evaluation problem, whose words
        are `asked`.

        None of its numbers may stand changed in the same words here: of the n-grams around it, at
        least two are here, but none with this number. Nor may one of a training problem that is
        hardly longer. Unless numbers may be `missing`, a share of NUMBERS of them must be here too;
        and of a short problem none may be missing while others are here."""
        wanted = Numbers(asked)
        shared = (wanted.counts & self.counts).total()
        if not missing and shared < NUMBERS * wanted.counts.total():
            return False
        if len(asked) <= SHORT and wanted.counts - self.counts and self.counts - wanted.counts:
            return False
        if self._changes_one_of(wanted):
            return False
        return len(self.mask) > LONGER * len(wanted.mask) or not wanted._changes_one_of(self)

    def _changes_one_of(self, other: "Numbers") -> bool:
        """Whether a number of another problem stands changed in the same words here."""
        for place, word in enumerate(other.mask):
            if word != "#":
                continue
            around = other.windows[max(0, place - NGRAM + 1) : place + 1]
            known = [exact for masked, exact in around if masked in self.masked]
            if known and len(known) >= min(2, len(around)) and self.exact.isdisjoint(known):
                return True
        return False
