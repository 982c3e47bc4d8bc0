r"""What a problem says, whatever its layout: a stable id, and near-duplicates.

Statements have the same words (words.py), and so the same id, if they differ only in case, white
space, LaTeX spacing, delimiters ($x$, \(x\)), \dfrac for \frac, commas within numbers, numbers as
words, or Unicode for LaTeX.

Near-duplicates are found by MinHash (Broder 1997) over pairs of neighbouring words, with the
library rensa. They must also have the same numbers and operators in the same order: a word problem
with other numbers is another problem, and x^2 + y^2 is another expression than x^2 - y^2. Brackets
count for ids alone: copies of a problem lose them with the delimiters of its formulas."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from distill_nb.traces.decontamination.words import words

if TYPE_CHECKING:
    from rensa import RMinHash

# Of words, ids, sketches and matches; new with every change to what they are.
VERSION = "statements-3"
# Of the MinHash: the estimated Jaccard similarity has a standard error of at most 0.045.
PERMUTATIONS = 128
# Of 4 values each: a pair with similarity 0.8 is compared with p = 1 - (1 - 0.8^4)^32 > 0.99999.
BANDS = 32
SEED = 7

# Signs of formulas that copies lose.
SIGNS = frozenset([
    "(", ")", "[", "]", "{", "}", "|", "!", "'", r"\lbrace", r"\rbrace", r"\Vert", r"\dots",
])  # fmt: skip
POSTFIX = frozenset("!'|")
OPERATORS = frozenset([
    "+", "-", "*", "/", "^", "=", "<", ">", "%", r"\frac", r"\sqrt", r"\binom",
    r"\le", r"\ge", r"\ne", r"\pm", r"\div", r"\cup", r"\cap",
])  # fmt: skip


def problem_id(text: str) -> str:
    """A stable id: 16 hex digits of the sha256 of the statement's words."""
    return id_of(words(text))


def id_of(found: list[str]) -> str:
    """`problem_id` of words."""
    return hashlib.sha256(" ".join(found).encode()).hexdigest()[:16]


def numbers(found: list[str]) -> list[str]:
    """The numbers and operators among words, in order; the hyphen of `two-digit` is none."""
    return [
        w
        for w, after in zip(found, [*found[1:], ""], strict=False)
        if w[0].isdigit()
        or w in POSTFIX
        or (w in OPERATORS and not (len(after) > 1 and after.isalpha()))
    ]


def shingles(found: list[str]) -> list[str]:
    """Pairs of neighbouring words, SIGNS left out, each once, in no order."""
    found = [w for w in found if w not in SIGNS]
    if len(found) <= 2:
        return [" ".join(found)]
    return list({f"{a} {b}" for a, b in pairwise(found)})


def sketch(found: list[str]) -> bytes:
    """The MinHash of a statement's words, as bytes that `NearDuplicates` takes."""
    from rensa import RMinHash

    minhash = RMinHash(PERMUTATIONS, SEED)
    minhash.update(shingles(found))
    return minhash.__getstate__()


def _minhash(state: bytes) -> RMinHash:
    from rensa import RMinHash

    minhash = RMinHash(PERMUTATIONS, SEED)
    minhash.__setstate__(state)
    return minhash


def bands_of(sketches: list[bytes]) -> list[bytes]:
    """For each statement's sketch, one number of 32 bits per band: equal where the bands are."""
    digests = [_minhash(state).digest() for state in sketches]
    rows = PERMUTATIONS // BANDS
    values = np.array(digests, np.uint64).reshape(len(sketches), BANDS, rows)
    factors = np.array([2654435761 + 2 * 40503 * k for k in range(rows)], np.uint64)
    hashes = ((values * factors).sum(axis=2) >> np.uint64(16)).astype(np.uint32)
    return [row.tobytes() for row in hashes]


class NearDuplicates:
    """Statements seen so far."""

    def __init__(self, threshold: float):
        """threshold: the estimated Jaccard similarity of near-duplicates' shingles."""
        from rensa import RMinHashLSH

        self.threshold = threshold
        self.index = RMinHashLSH(threshold, PERMUTATIONS, BANDS)
        self.seen: list[tuple[str, str, RMinHash]] = []  # name, values, MinHash

    def first_like(self, name: str, state: bytes, values: str) -> tuple[str, float] | None:
        """(name, similarity) of the earliest near-duplicate with the same values; where there is
        none, None, and it is added. state: a `sketch`; values: `numbers`, or a hash of them."""
        minhash = _minhash(state)
        for i in sorted(self.index.query(minhash)):
            other, same, known = self.seen[i]
            if same == values and (similarity := minhash.jaccard(known)) >= self.threshold:
                return other, similarity
        self._add(name, minhash, values)
        return None

    def add(self, name: str, state: bytes) -> None:
        """Add a statement, whatever it is like."""
        self._add(name, _minhash(state), "")

    def all_like(self, state: bytes) -> list[tuple[str, float]]:
        """[(name, similarity)] of every near-duplicate, in the order they came in; adds nothing."""
        minhash = _minhash(state)
        found = []
        for i in sorted(self.index.query(minhash)):
            name, _, known = self.seen[i]
            if (similarity := minhash.jaccard(known)) >= self.threshold:
                found.append((name, similarity))
        return found

    def _add(self, name: str, minhash: RMinHash, values: str) -> None:
        self.index.insert(len(self.seen), minhash)
        self.seen.append((name, values, minhash))
