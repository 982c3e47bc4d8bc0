r"""The words by which problems are compared: a statement's words (words.py) without what its form
alone decides. Ids are of words.py's words, so that they stay what they were.

The same are `7/80` and `\frac{7}{80}`, `13^47` and `13^{47}`, `\vec{v}`, `\mathbf{v}` and `v`,
*KLM* and $KLM$, a_1 and a_n (not a_10), 60° and 60 degrees, `sub-list` and `sublist`, and words
that mean the same in problems: array and list, greatest and largest, how many and the number of."""

import re

from distill_nb.traces.decontamination import statements
from distill_nb.traces.decontamination.symbols import VARIABLES
from distill_nb.traces.decontamination.synonyms import PHRASES, SYNONYMS

# LaTeX takes one digit as a power or an index, 13^47; who writes two means both.
DIGITS = re.compile(r"(\^|(?<![A-Za-z\\])[A-Za-z]_)\s?(\d\d+)")
POWER = re.compile(r"\*\*(?=\s?[\w({])")  # of Python
# An index that names a variable, a_1 or A_n; a_10 is a place in a sequence, 10_2 and \log_2 a base.
INDEX = re.compile(
    r"((?<![A-Za-z\\])[A-Za-z]|"
    + "|".join(map(re.escape, sorted(VARIABLES, key=len, reverse=True)))
    + r")_(?:\{([0-3A-Za-z])\}|([0-3](?!\d)|[A-Za-z](?![A-Za-z\d_])))"
)
MINUS = re.compile(r"(?<=[^\W\d_]{2}) - (?=[^\W\d_]{2})")  # no hyphen has spaces
# *KLM*, **list**
EMPHASIS = re.compile(r"(?<![\w*])(\*{1,2})([^\W\d_](?:[\w ]{0,40}\w)?)\1(?![\w*])")
TAG = re.compile(r"<(sup|sub)>([^<]{1,40})</\1>|</?(?:[pbiu]|br|em|strong|span|code)\s?/?>")
POINTS = re.compile(r"(?<![A-Za-z\\])[A-Z]{2,6}(?![A-Za-z])")
_WORDS = """
    GCD LCM HCF GCF SIN COS TAN LOG MAX MIN AND OR NOT XOR IS OF TO IN AT ON BY IF IT AS AN WE MOD
    ASCII ABS UTF HTML HTTP JSON RGB UPPER LOWER TRUE FALSE NONE NULL MATH CODE INPUT OUTPUT
    USA UK AM PM ID DNA
"""
NO_POINTS = frozenset(_WORDS.split())
# Marks on a letter, and kinds of type.
MARKS = frozenset([
    r"\vec", r"\mathbf", r"\boldsymbol", r"\bold", r"\bf", r"\overrightarrow", r"\mathcal",
    r"\mathit", r"\mathsf", r"\bm", r"\hat", r"\widehat", r"\rm", r"\it",
])  # fmt: skip
# Marks on a letter or a name of points; on a digit they say that it repeats.
LINES = frozenset([r"\overline", r"\bar", r"\underline"])
NAMED = {
    r"\angle": "angle",
    r"\triangle": "triangle",
    r"\circ": "degree",
    "%": "percent",
    r"\minus": "-",
}
BRACKETS = frozenset("(){}")
LONGEST_GROUP = 60  # words above a slash
PREFIXES = frozenset(["sub", "bi", "multi", "pre", "co", "semi", "anti", "non"])
NTH = frozenset(["nth", "kth", "ith", "jth", "mth"])
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
    if "**" in text:
        text = POWER.sub("^", text)
    if "^" in text or "_" in text:
        text = INDEX.sub(r"\1", DIGITS.sub(r"\1{\2}", text))
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
    if "/" in words:
        words = _with_fractions(words)
    found: list[str] = []
    place, end = 0, len(words)
    while place < end:
        word = words[place]
        after = words[place + 1] if place + 1 < end else ""
        place += 1
        if word in MARKS or (word in LINES and _is_letter(after, words, place)):
            continue
        if word == "^" and after in (r"\circ", "th"):
            continue
        if word == "-" and found and _hyphen(found[-1], after):
            if found[-1] in PREFIXES:
                found[-1] += after
                place += 1
            continue
        if word == "'" and after == "th":
            continue
        if word in ("<", ">") and after == "=":
            word, place = (r"\le" if word == "<" else r"\ge"), place + 1
        elif word == "how" and after == "many":
            found.append("number")
            word, place = "of", place + 1
        elif word == "no" and after == "1":  # no one
            word, place = "nobody", place + 1
        elif word == "case" and found and found[-1] in CASES:
            found[-1] += word
            continue
        elif word in NTH:
            found.append(word[0])
            word = "th"
        word = NAMED.get(word, word)
        found.append(SYNONYMS.get(word, word))
        if phrase := PHRASES.get(tuple(found[-3:])):
            found[-3:] = [phrase]
    return found


def _with_fractions(words: list[str]) -> list[str]:
    r"""Words with `\frac A B` for `A / B`, where A and B are numbers, variables, commands or stand
    in brackets."""
    found: list[str] = []
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        if word == "/" and found and _divides(found[-1], after):
            start = _start_of_group(found)
            found.insert(start, r"\frac")
        else:
            found.append(word)
    return found


def _divides(above: str, below: str) -> bool:
    """Whether a slash between two words is that of a fraction: not in and/or."""
    return all(
        w in BRACKETS or w[:1].isdigit() or _is_variable(w) or w[:1] == "\\" for w in (above, below)
    )


def _start_of_group(words: list[str]) -> int:
    """Where the last group of words begins: a word, or what stands in brackets."""
    end = len(words) - 1
    opening = {")": "(", "}": "{"}.get(words[end], "")
    depth = 0
    for place in range(end, max(-1, end - LONGEST_GROUP), -1) if opening else ():
        depth += (words[place] == words[end]) - (words[place] == opening)
        if not depth:
            return place
    return end


def _is_variable(word: str) -> bool:
    return (len(word) == 1 and word.isalpha()) or word in VARIABLES


def _is_letter(word: str, words: list[str], place: int) -> bool:
    """Whether a letter follows, in braces or not."""
    if word == "{":
        word = words[place + 1] if place + 1 < len(words) else ""
    return _is_variable(word)


def _hyphen(before: str, after: str) -> bool:
    """Whether a - between two words is a hyphen: sub-list, two-digit, n-th."""
    if not (len(after) > 1 and after.isalpha()):
        return False
    return before.isalnum() and (len(before) > 1 or before.isdigit() or after == "th")
