r"""The words by which problems are compared: a statement's words (words.py) without what its form
alone decides. Ids are of words.py's words, so that they stay what they were.

The same are `7/80` and `\frac{7}{80}`, `13^47` and `13^{47}`, `\vec{v}`, `\mathbf{v}` and `v`,
*KLM* and $KLM$, a_1 and a_n (not a_10), 60° and 60 degrees, `sub-list` and `sublist`, and words
that mean the same in problems: array and list, greatest and largest."""

import re

from distill_nb.traces.decontamination import statements
from distill_nb.traces.decontamination.symbols import VARIABLES
from distill_nb.traces.decontamination.synonyms import SYNONYMS

# LaTeX takes one digit as a power or an index, 13^47; who writes two means both.
DIGITS = re.compile(r"(\^|_)\s?(\d\d+)|\*\*(?=\s?[\w({])")
MINUS = re.compile(r"(?<=[^\W\d_]{2}) - (?=[^\W\d_]{2})")  # no hyphen has spaces
# *KLM*, **list**
EMPHASIS = re.compile(r"(?<![\w*])(\*{1,2})([^\W\d_](?:[\w ]{0,40}\w)?)\1(?![\w*])")
TAG = re.compile(r"<(sup|sub)>([^<]{1,40})</\1>|</?(?:[pbiu]|br|em|strong|span|code)\s?/?>")
POINTS = re.compile(r"(?<![A-Za-z\\])[A-Z]{2,6}(?![A-Za-z])")
NO_POINTS = frozenset("""
    GCD LCM HCF SIN COS TAN LOG MAX MIN AND OR NOT XOR IS OF TO IN AT ON BY IF IT AS AN WE MOD
    ASCII ABS UTF HTML HTTP JSON RGB UPPER LOWER TRUE FALSE NONE NULL MATH CODE INPUT OUTPUT
    USA UK AM PM ID DNA
""".split())  # fmt: skip
# Marks on a letter, and kinds of type.
MARKS = frozenset([
    r"\vec", r"\mathbf", r"\boldsymbol", r"\bold", r"\bf", r"\overrightarrow", r"\mathcal",
    r"\mathit", r"\mathsf", r"\bm", r"\hat", r"\widehat", r"\rm", r"\it",
])  # fmt: skip
# Marks on a letter or a name of points; on a digit they say that it repeats.
LINES = frozenset([r"\overline", r"\bar", r"\underline"])
NAMED = {r"\angle": "angle", r"\triangle": "triangle", r"\circ": "degree", "%": "percent", r"\minus": "-"}
SMALL = frozenset("0123")  # indexes that name a variable; a_10 is a place in a sequence
PREFIXES = frozenset(["sub", "bi", "multi", "pre", "co", "semi", "anti", "non"])
CASES = frozenset(["upper", "lower"])


def words_of(text: str) -> list[str]:
    """The words by which a statement is compared."""
    return compared(statements.words(prepared(text)))


def prepared(text: str) -> str:
    """The text with what words.py cannot tell written out; the same object where there is none."""
    if "<" in text:
        text = TAG.sub(_untagged, text)
    if "*" in text:
        text = EMPHASIS.sub(r"\2", text)
    if "^" in text or "_" in text or "**" in text:
        text = DIGITS.sub(lambda m: f"{m[1]}{{{m[2]}}}" if m[1] else "^", text)
    if " - " in text:
        text = MINUS.sub(r" \\minus ", text)
    found = POINTS.search(text)
    if found and sum(map(str.isupper, text)) * 2 < sum(map(str.isalpha, text)):
        text = POINTS.sub(_apart, text)
    return text


def _untagged(match: re.Match) -> str:
    if not match[1]:
        return " "
    return f"{'^' if match[1] == 'sup' else '_'}{{{match[2]}}}"


def _apart(match: re.Match) -> str:
    """The letters of a name of points, each on its own."""
    name = match.group()
    return name if name in NO_POINTS or len(set(name)) < len(name) else " ".join(name)


def compared(words: list[str]) -> list[str]:
    """Words of words.py as those by which problems are compared."""
    if r"\frac" in words:
        words = _without_fractions(words)
    found: list[str] = []
    place, end = 0, len(words)
    while place < end:
        word = words[place]
        after = words[place + 1] if place + 1 < end else ""
        place += 1
        if word in MARKS or (word in LINES and _is_letter(after, words, place)):
            continue
        if word == "_" and found and _is_variable(found[-1]) and _names(after):
            place += 1
            continue
        if word == "^" and after in (r"\circ", "th"):
            continue
        if word == "-" and found and _hyphen(found[-1], after):
            if found[-1] in PREFIXES or (len(found[-1]) == 1 and after == "th"):
                found[-1] += after
                place += 1
            continue
        if word in ("<", ">") and after == "=":
            word, place = (r"\le" if word == "<" else r"\ge"), place + 1
        elif word == "no" and after == "1":  # no one
            word, place = "nobody", place + 1
        elif word == "case" and found and found[-1] in CASES:
            found[-1] += word
            continue
        elif word == "th" and found and (len(found[-1]) == 1 or found[-1] == "'"):
            found = found[:-1] if found[-1] == "'" else found
            if found and len(found[-1]) == 1:
                found[-1] += "th"
                continue
        word = NAMED.get(word, word)
        found.append(SYNONYMS.get(word, word))
    return found


def _without_fractions(words: list[str]) -> list[str]:
    r"""Words with `A / B` for `\frac A B`; the braces around A and B stay, where they have any."""
    found, place = [], 0
    below: set[int] = set()  # places where a slash belongs
    while place < len(words):
        if place in below:
            found.append("/")
        word = words[place]
        place += 1
        if word == r"\frac":
            below.add(_end_of_group(words, place))
        else:
            found.append(word)
    return found


def _end_of_group(words: list[str], place: int) -> int:
    """Where the group that begins at a place ends: a word, or what stands in braces."""
    if words[place : place + 1] != ["{"]:
        return place + 1
    depth = 0
    for end in range(place, min(len(words), place + 200)):
        depth += (words[end] == "{") - (words[end] == "}")
        if not depth:
            return end + 1
    return place + 1


def _is_variable(word: str) -> bool:
    return (len(word) == 1 and word.isalpha()) or word in VARIABLES


def _is_letter(word: str, words: list[str], place: int) -> bool:
    """Whether a letter follows, in braces or not."""
    if word == "{":
        word = words[place + 1] if place + 1 < len(words) else ""
    return _is_variable(word)


def _names(index: str) -> bool:
    """Whether an index only names a variable: a_1, a_n, and A_max."""
    return index in SMALL or index.isalpha() or index in VARIABLES


def _hyphen(before: str, after: str) -> bool:
    """Whether a - between two words is a hyphen: sub-list, two-digit, n-th."""
    if not (len(after) > 1 and after.isalpha()):
        return False
    return before.isalnum() and (len(before) > 1 or before.isdigit() or after == "th")
