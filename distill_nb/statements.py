r"""What a problem says, whatever its layout: words for comparing, a stable id, near-duplicates.

Two statements that differ only in case, white space, LaTeX spacing, delimiters or brackets ($x$, \(x\), \left( ), in
\dfrac for \frac or in commas within numbers have the same words and so the same id. Near-duplicates are found by
MinHash (Broder 1997) over pairs of neighbouring words, with the library rensa; they must also have the same numbers, for a
word problem with other numbers is another problem.
"""
from __future__ import annotations

import hashlib
import re
import unicodedata
from itertools import pairwise

PERMUTATIONS = 128   # of the MinHash: the estimated Jaccard similarity has a standard error of at most 0.045
BANDS = 32           # of 4 rows: a pair with similarity 0.8 becomes a candidate with probability 1 - (1 - 0.8^4)^32 > 0.99999
SEED = 7

DELIMITER = re.compile(r"\\\$|\$\$|\$|\\[()\[\]]|\\(?:begin|end)\{(?:equation|align|gather)\*?\}")
CLOSED_BY = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mbox|operatorname)\*?\s*\{([^{}]*)\}")
LAYOUT = re.compile(r"\\(?:left|right|bigg?[lr]?|Bigg?[lr]?|displaystyle|limits|quad|qquad|hspace|vspace|phantom)(?![A-Za-z])"
                    r"|\\[,;:! \\]|\\(?:begin|end)\{[^{}]*\}|~")
SAME = {r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\times": "*", r"\cdot": "*", r"\leq": r"\le",
        r"\geq": r"\ge", r"\neq": r"\ne", r"\ldots": r"\dots", r"\cdots": r"\dots", r"\lbrace": "", r"\rbrace": "",
        "×": "*", "·": "*", "−": "-", "–": "-", "—": "-", "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "…": r"\dots", "π": r"\pi",
        "√": r"\sqrt", "∞": r"\infty", "°": r"\circ"}
# 10,000, 10{,}000 and 10\,000; the groups must have three digits, or (1,200) would lose its comma.
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:,|\{,\}|\\,|\\!,|,\\!)\d{3})+(?![\d,])")
SINGLE = re.compile(r"(\\(?:[dtc]?frac|sqrt|binom))\s*(\d)\s*(\d)?|([\^_])(\d)(?=\d)")  # LaTeX takes one digit: \frac12, x^12
FIGURE = re.compile(r"\[asy\].*?\[/asy\]|!\[[^\]]*\]\([^)]*\)", re.DOTALL)  # drawings, which copies of a problem often lack
WORD = re.compile(r"\\[A-Za-z]+|\d+(?:\.\d+)?|[^\W\d_]+|[^\w\s]")
DROPPED = set("$.,;:!?'\"`{}()[]|&\\")


def words(text: str) -> list[str]:
    """The words of a statement in order: lower-case words, numbers, LaTeX commands, operators. In formulas each letter
    is a word, since xy, x y and x\\,y are one product."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if "[asy]" in text or "![" in text:
        without = FIGURE.sub(" ", text)
        text = without if len(without.split()) >= 20 else text  # of a few words the drawing is what tells them apart
    text = THOUSANDS.sub(lambda m: re.sub(r"\D", "", m.group()), text)
    found = []
    for part, formula in _parts(text):
        found += _formula(part) if formula else _words(part, formula=False)
    return found


def _parts(text: str):
    r"""Yield (part of the text, whether it is a formula). What opens a formula that nothing closes is prose, as \$ is. Takes
    time proportional to the text's length, whatever it holds."""
    place, closing, last = 0, "", {}
    for match in DELIMITER.finditer(text):
        sign = match.group()
        if closing:
            if sign == closing or (sign, closing) == ("$$", "$"):  # $a$$b$ is two formulas
                yield text[place:match.start()], True
                place, closing = match.end(), "$" if sign != closing and last["$"] >= match.end() else ""
            continue
        wanted = CLOSED_BY.get(sign) or (sign.replace("begin", "end") if sign.startswith(r"\begin") else "")
        if wanted and wanted not in last:
            last[wanted] = text.rfind(wanted)
        if wanted and last[wanted] >= match.end():
            yield text[place:match.start()], False
            place, closing = match.end(), wanted
    yield text[place:], False


def _formula(text: str) -> list[str]:
    """The words of a formula; what is in \\text{…} is prose."""
    found, place = [], 0
    for match in TEXT.finditer(text):
        found += _words(text[place:match.start()], formula=True) + _words(match.group(1), formula=False)
        place = match.end()
    return found + _words(text[place:], formula=True)


def _words(text: str, formula: bool) -> list[str]:
    found = []
    if "\\" in text or "~" in text or "^" in text or "_" in text:
        text = SINGLE.sub(_apart, text)
        text = LAYOUT.sub(" ", text)
    for word in WORD.findall(text):
        word = SAME.get(word, word)
        if word[:1] == "\\" and len(word) > 1:
            found.append(word)
        elif word and word not in DROPPED:
            found += list(word.lower()) if formula and word.isalpha() else [word.lower()]
    return found


def _apart(match: re.Match) -> str:
    """What SINGLE found, with spaces between its digits."""
    return " ".join(part for part in match.groups() if part) + " "


def problem_id(text: str) -> str:
    """A stable id: 16 hex digits of the sha256 of the statement's words."""
    return id_of(words(text))


def id_of(found: list[str]) -> str:
    """`problem_id` of words."""
    return hashlib.sha256(" ".join(found).encode()).hexdigest()[:16]


def numbers(found: list[str]) -> list[str]:
    """The numbers among words, sorted."""
    return sorted(w for w in found if w[0].isdigit())


def shingles(found: list[str]) -> list[str]:
    """Pairs of neighbouring words, each once, in no order."""
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
    """Statements seen so far. `first_like` gives the earliest that a new one nearly repeats, and otherwise adds it."""

    def __init__(self, threshold: float):
        """threshold: the estimated Jaccard similarity of shingles from which two statements are near-duplicates."""
        from rensa import RMinHashLSH

        self.threshold, self.index, self.seen = threshold, RMinHashLSH(threshold, PERMUTATIONS, BANDS), []

    def first_like(self, name: str, state: bytes, values: str) -> tuple[str, float] | None:
        """(name, similarity) of the earliest near-duplicate with the same numbers, or None. values: what must be equal."""
        minhash = self._minhash(state)
        for i in sorted(self.index.query(minhash)):
            other, same, known = self.seen[i]
            if same == values and (similarity := minhash.jaccard(known)) >= self.threshold:
                return other, similarity
        self.index.insert(len(self.seen), minhash)
        self.seen.append((name, values, minhash))
        return None

    def nearest(self, state: bytes) -> tuple[str, float] | None:
        """(name, similarity) of the most similar statement seen, if it is a near-duplicate; adds nothing."""
        minhash = self._minhash(state)
        near = [(minhash.jaccard(self.seen[i][2]), self.seen[i][0]) for i in self.index.query(minhash)]
        similarity, name = max(near, default=(0.0, ""))
        return (name, similarity) if similarity >= self.threshold else None

    @staticmethod
    def _minhash(state: bytes):
        from rensa import RMinHash

        minhash = RMinHash(PERMUTATIONS, SEED)
        minhash.__setstate__(state)
        return minhash
