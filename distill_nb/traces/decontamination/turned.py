"""Whether a problem was turned into another one by few words: a sign changed, product for sum,
nobody for somebody, largest for smallest, even factors for all, miles to kilometres and back."""

from collections import Counter
from functools import lru_cache

from distill_nb.traces.decontamination.short_problems import content_stem
from distill_nb.traces.decontamination.synonyms import OPPOSED, OPPOSITES
from distill_nb.traces.decontamination.words import KNOWN

# Between what is turned and what it is turned into.
JOINTS = frozenset(["to", "into", "from", "by", "minus", "over", "than"])
# What some of the numbers or things asked about are: with one more or less, of others.
QUALIFIERS = frozenset(
    ["even", "odd", "prime", "composite", "alternate", "consecutive", "distinct"]
)
LONGER = 1.4  # times the words of the other, from which a statement may only tell more
REACH = 3  # words on either side of one
Sides = list[tuple[str, frozenset[str], frozenset[str]]]  # [(joint, content before, after)]


class Turns:
    """What of a problem's words could be turned."""

    def __init__(self, words: list[str]):
        self.opposed = Counter(_opposed(word) for word in words)
        del self.opposed[""]
        self.sides = _sides(words)
        self.qualifiers = QUALIFIERS.intersection(words)
        if "even or odd" in " ".join(words):  # is it even?
            self.qualifiers -= {"odd"}
        self.length = len(words)


@lru_cache(KNOWN)
def _opposed(word: str) -> str:
    return word if word in OPPOSED else ""


def _sides(words: list[str]) -> Sides:
    found = []
    for place, word in enumerate(words):
        if word in JOINTS:
            before = _content(words[max(0, place - REACH) : place])
            after = _content(words[place + 1 : place + 1 + REACH])
            if before and after and before != after:
                found.append((word, before - after, after - before))
    return found


def _content(words: list[str]) -> frozenset[str]:
    return frozenset(stem for w in words if (stem := content_stem(w)))


def turned(asked: Turns, here: Turns) -> bool:
    """Whether a training problem's words (`here`) turn an evaluation problem (`asked`) into another
    one: a word of it is gone and its opposite is new, it asks of even numbers alone or no longer
    so, or the sides of a joint are exchanged."""
    gone, new = asked.opposed - here.opposed, here.opposed - asked.opposed
    if gone and new:
        for group in OPPOSITES:
            if not group.isdisjoint(gone) and not group.isdisjoint(new):
                return True
    shorter, longer = sorted((asked.length, here.length))
    if asked.qualifiers != here.qualifiers and longer <= LONGER * shorter:
        return True
    return _exchanged(asked.sides, here.sides)


def _exchanged(asked: Sides, here: Sides) -> bool:
    for joint, before, after in asked:
        same = [(b, a) for j, b, a in here if j == joint]
        crossed = [bool(before & a and after & b) for b, a in same]
        kept = [bool(before & b or after & a) for b, a in same]
        if any(crossed) and not any(k and not c for k, c in zip(kept, crossed, strict=True)):
            return True
    return False
