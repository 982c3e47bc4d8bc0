r"""What a problem says, whatever its layout: a stable id, and near-duplicates.

Two statements that differ only in case, white space, LaTeX spacing, delimiters ($x$, \(x\)), in
\dfrac for \frac, in commas within numbers, in numbers as words or in Unicode for LaTeX have the
same words (words.py) and so the same id. Near-duplicates are found by MinHash (Broder 1997) over
pairs of neighbouring words, with the library rensa; they must also have the same numbers and
operators in the same order, for a word problem with other numbers is another problem, and x^2 + y^2
is another expression than x^2 - y^2. Brackets count for ids alone: copies of a problem lose them
with the delimiters of its formulas."""

from __future__ import annotations

import hashlib
from itertools import pairwise

from distill_nb.traces.decontamination.words import words

__all__ = [
    "SIGNS",
    "VERSION",
    "NearDuplicates",
    "id_of",
    "numbers",
    "problem_id",
    "shingles",
    "sketch",
    "words",
]

# of words, ids, sketches and matches; new with every change to what they are
VERSION = "statements-3"
# of the MinHash: the estimated Jaccard similarity has a standard error of at most 0.045
PERMUTATIONS = 128
BANDS = 32  # of 4 rows: a pair with similarity 0.8 becomes a candidate with probability 1 - (1 - 0.8^4)^32 > 0.99999
SEED = 7

# of formulas
SIGNS = frozenset(
    ["(", ")", "[", "]", "{", "}", "|", "!", "'", r"\lbrace", r"\rbrace", r"\Vert", r"\dots"]
)
POSTFIX = frozenset("!'|")
OPERATORS = frozenset(
    [
        "+",
        "-",
        "*",
        "/",
        "^",
        "=",
        "<",
        ">",
        "%",
        r"\frac",
        r"\sqrt",
        r"\binom",
        r"\le",
        r"\ge",
        r"\ne",
        r"\pm",
        r"\div",
        r"\cup",
        r"\cap",
    ]
)


def problem_id(text: str) -> str:
    """A stable id: 16 hex digits of the sha256 of the statement's words."""
    return id_of(words(text))


def id_of(found: list[str]) -> str:
    """`problem_id` of words."""
    return hashlib.sha256(" ".join(found).encode()).hexdigest()[:16]


def numbers(found: list[str]) -> list[str]:
    """The numbers among words and the operators that act on them, in order; the hyphen of
    `two-digit` is none."""
    return [
        w
        for w, after in zip(found, [*found[1:], ""], strict=True)
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


class NearDuplicates:
    """Statements seen so far. `first_like` gives the earliest that a new one nearly repeats, and
    otherwise adds it; `add` and `all_like` are the two halves of it, without a condition."""

    def __init__(self, threshold: float):
        """threshold: the estimated Jaccard similarity of shingles from which two statements are
        near-duplicates."""
        from rensa import RMinHashLSH

        self.threshold, self.index, self.seen = (
            threshold,
            RMinHashLSH(threshold, PERMUTATIONS, BANDS),
            [],
        )

    def first_like(self, name: str, state: bytes, values: str) -> tuple[str, float] | None:
        """(name, similarity) of the earliest near-duplicate with the same numbers, or None. values:
        what must be equal, of `numbers`."""
        minhash = self._minhash(state)
        for i in sorted(self.index.query(minhash)):
            other, same, known = self.seen[i]
            if same == values and (similarity := minhash.jaccard(known)) >= self.threshold:
                return other, similarity
        self._add(name, minhash, values)
        return None

    def add(self, name: str, state: bytes, values: str = "") -> None:
        """Add a statement, whatever it is like."""
        self._add(name, self._minhash(state), values)

    def all_like(self, state: bytes) -> list[tuple[str, float]]:
        """[(name, similarity)] of every near-duplicate seen, in the order in which they came; adds
        nothing."""
        minhash = self._minhash(state)
        found = [
            (self.seen[i][0], minhash.jaccard(self.seen[i][2]))
            for i in sorted(self.index.query(minhash))
        ]
        return [(name, similarity) for name, similarity in found if similarity >= self.threshold]

    def _add(self, name: str, minhash, values: str) -> None:
        self.index.insert(len(self.seen), minhash)
        self.seen.append((name, values, minhash))

    @staticmethod
    def _minhash(state: bytes):
        from rensa import RMinHash

        minhash = RMinHash(PERMUTATIONS, SEED)
        minhash.__setstate__(state)
        return minhash
