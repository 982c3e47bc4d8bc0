"""A second, slower look at problems that are alike without sharing n-grams: reworded, shortened,
with other names, sentences in another order, words misspelt.

A problem is compared by its content words, without frame, order and repetition. A word weighs the
more the fewer problems of the evaluation set have it. Words left over on both sides that differ by
little more than a letter (Levenshtein, by rapidfuzz) are the same, and in a word problem other
capitalised words may stand for names. Numbers must be the same, formulas alike, and no word turned
into its opposite (turned.py). A programming task must not be another one (tasks.py).

It asks the same if it is reworded (at least 55% of the weight of either is in the other, and 80% of
one, and no rare word stands for another rare one), told at greater length (95% of the evaluation
problem and half of it), or, of programming problems, whose evaluation sets explain what their
sources leave open, shortened (90% of it, 22% of the evaluation problem). The shares were chosen
on MBPP's own wordings and MATH's training set (docs/decontamination.md)."""

import math
import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise

import numpy as np
from rapidfuzz.distance import Levenshtein

from distill_nb.traces.decontamination.masked import masked_words
from distill_nb.traces.decontamination.short_problems import content_stem
from distill_nb.traces.decontamination.tasks import Task, another_task, without_method
from distill_nb.traces.decontamination.turned import Turns, turned
from distill_nb.traces.decontamination.words import KNOWN

SPELLING = 0.8  # similarity of two spellings of one word of at least LETTERS letters
LETTERS = 5
LEAST_SET = 200  # problems that a set counts as having, so that words of a small one weigh enough
LONGEST = 400  # words of a training problem that is looked at
CANDIDATES = 40  # evaluation problems that one training problem is compared with
FORMULA = 0.3  # weight of two neighbouring words of a formula
ALIKE = 0.7  # share of them that must be the same
ENOUGH, PLENTY = 1.2, 5.0  # weight of shared content words that may stand with others beside them
NAME = re.compile(r"\b[A-Z][a-z]{2,}")
# A problem with one of these more or less is another problem.
_MODIFIERS = """
    largest smallest even odd first last second third fourth fifth sum product difference quotient
    remainder left right union intersection row column median average consecutive lateral before
    after top bottom uppercase lowercase
"""
MODIFIERS = frozenset(map(content_stem, _MODIFIERS.split()))
NEGATIONS = frozenset(["not", "non", "no", "never", "without", "except", "neither", "nor"])


class Profile:
    """What a statement is about. names: its capitalised words, lower-case."""

    def __init__(self, words: list[str], names: frozenset[str] = frozenset()):
        bare = without_method(words)
        self.task = Task(bare)
        self.content = self.task.content
        self.names = frozenset(content_stem(w) for w in names) & self.content
        self.numbers = self.task.numbers
        self.formulas = _formulas(masked_words(bare))
        self.turns = Turns(bare)
        self.negations = sum(w in NEGATIONS for w in bare)


def _formulas(mask: list[str]) -> Counter[tuple[str, str]]:
    """Neighbouring words of formulas."""
    others = [w for w in mask if len(w) == 1 or w[0] == "\\"]
    return Counter(pairwise(others))


def names_in(text: str) -> frozenset[str]:
    """The words of a text that have a capital first letter wherever they are, lower-case."""
    found = frozenset(NAME.findall(text))
    return frozenset(w.lower() for w in found if w.lower() not in text)


@lru_cache(KNOWN)
def _same_spelling(one: str, other: str) -> bool:
    if one[0] != other[0] or min(len(one), len(other)) < LETTERS:
        return False
    return Levenshtein.normalized_similarity(one, other, score_cutoff=SPELLING) > 0


class NearProblems:
    """The evaluation problems, by their content words. `names`: (benchmark, id) of each."""

    def __init__(
        self,
        names: list[tuple[str, str]],
        words: list[list[str]],
        texts: list[str],
        programs: frozenset[str],
    ):
        """programs: the sets of programming problems, whose copies lack sentences."""
        self.profiles = [Profile(w, names_in(t)) for w, t in zip(words, texts, strict=True)]
        self.programs = [benchmark in programs for benchmark, _ in names]
        self.known = frozenset().union(
            *(p.content for p, own in zip(self.profiles, self.programs, strict=True) if own)
        )
        self.sets = sorted({benchmark for benchmark, _ in names})
        self.set_of = np.array([self.sets.index(benchmark) for benchmark, _ in names], np.int64)
        self.weights: list[dict[str, float]] = []  # of each set: content word → weight
        for number in range(len(self.sets)):
            own = [self.profiles[i].content for i in np.flatnonzero(self.set_of == number)]
            size = math.log(1 + max(LEAST_SET, len(own)))
            counts = Counter(word for content in own for word in content)
            self.weights.append(
                {w: 1 - math.log(1 + min(n, len(own))) / size for w, n in counts.items()}
            )
        self.sums = np.zeros(len(names))
        places: dict[str, list[tuple[int, float]]] = {}
        for i, profile in enumerate(self.profiles):
            for word in profile.content:
                weight = self.weights[self.set_of[i]][word]
                places.setdefault(word, []).append((i, weight))
                self.sums[i] += weight
        self.places = {
            word: (np.array([i for i, _ in own]), np.array([w for _, w in own]))
            for word, own in places.items()
        }

    def like(self, words: list[str], text: str, known: set[int]) -> list[tuple[int, float]]:
        """[(evaluation problem, similarity)] of those, but the known ones, that ask the same."""
        if not 2 <= len(words) <= LONGEST:
            return []
        here = Profile(words, names_in(text))
        found = []
        for i in self._candidates(here.content):
            if i not in known and (similarity := self._similarity(i, here)):
                found.append((i, similarity))
        return found

    def _candidates(self, content: frozenset[str]) -> list[int]:
        """Those that share enough content to be looked at, best first."""
        shared = np.zeros(len(self.sums))
        for word in content & self.places.keys():
            where, weights = self.places[word]
            shared[where] += weights
        sums = np.array([sum(own.get(w, 1.0) for w in content) for own in self.weights])[
            self.set_of
        ]
        if not len(shared):
            return []
        most = shared / np.maximum(np.minimum(self.sums, sums), 1e-9)
        least = shared / np.maximum(np.maximum(self.sums, sums), 1e-9)
        good = np.flatnonzero((shared >= 0.3) & (most >= 0.6) & (least >= 0.15))
        return good[np.argsort(-least[good], kind="stable")][:CANDIDATES].tolist()

    def _similarity(self, i: int, here: Profile) -> float:
        """How alike a training problem is to one of the evaluation's; 0 where it is another."""
        asked, program = self.profiles[i], self.programs[i]
        gone, new = asked.numbers - here.numbers, here.numbers - asked.numbers
        if new or (gone and not program):
            return 0.0
        negations = here.negations - asked.negations
        if negations > 0 or (negations and not program) or turned(asked.turns, here.turns):
            return 0.0
        left, added = _left_over(asked.content, here.content)
        weights = self.weights[self.set_of[i]]
        shared = sum(weights[w] for w in asked.content - left)
        if shared >= (ENOUGH if asked.numbers.total() >= 2 else PLENTY):
            left, added = left - asked.names, added - here.names
        if program and another_task(asked.task, here.task, left, added, self.known):
            return 0.0
        if added & MODIFIERS or (left & MODIFIERS and shared < PLENTY):
            return 0.0
        both = FORMULA * (asked.formulas & here.formulas).total()
        longer = FORMULA * max(asked.formulas.total(), here.formulas.total())
        if not program and longer >= 3 * FORMULA and both < ALIKE * longer:
            return 0.0
        all_asked = shared + sum(weights[w] for w in left) + FORMULA * asked.formulas.total()
        all_here = shared + sum(weights.get(w, 1.0) for w in added)
        all_here += FORMULA * here.formulas.total()
        of_asked, of_here = (shared + both) / all_asked, (shared + both) / all_here
        rarest_left = max((weights[w] for w in left), default=0.0)
        rarest_added = max((weights.get(w, 1.0) for w in added), default=0.0)
        least, most = sorted((of_asked, of_here))
        reworded = least >= 0.55 and most >= 0.8 and min(rarest_left, rarest_added) <= 0.6
        shortened = program and of_here >= 0.9 and of_asked >= 0.22 and shared >= 0.8
        longer_told = (
            of_asked >= 0.95 and of_here >= 0.5 and shared >= ENOUGH and rarest_added <= 0.45
        )
        if reworded or shortened or longer_told:
            return 2 * of_asked * of_here / (of_asked + of_here)
        return 0.0


def _left_over(
    asked: frozenset[str], here: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """(content words of the one that the other lacks, and the reverse), whatever the spelling."""
    left, added = asked - here, here - asked
    for one in sorted(left):
        for other in sorted(added):
            if _same_spelling(one, other):
                left, added = left - {one}, added - {other}
                break
    return left, added
