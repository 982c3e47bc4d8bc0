"""Short statements, known by their content words, whatever frame, order or verb asks for them.

N-grams tell little about a statement of ten words: `Write a python function to find the smallest
number in a list` and `Given a list, return its smallest number` share no 4-gram. Both are about
{smallest, number, list}. A short statement is the same as another if their sets of content words
are equal, and their numbers, commands and operators are the same in order."""

import re
from functools import lru_cache

from distill_nb.traces.decontamination.statements import SIGNS
from distill_nb.traces.decontamination.words import KNOWN

ARTICLES = ("a", "i", "s", "t")  # single letters that prose has too, as in it's
LONGEST = 26  # words of a short statement, its frame left out
FRAMED = 70  # words up to which a frame is looked for
# What a task is asked with, not what it is about.
STOP_WORDS = """
    a accept an and any are argument as at back be been being by calculate can check code
    compute create define description design determine develop do does each evaluate exercise
    false find following for from function get give given has have i identify if implement in
    input into is it its let make me method my need of on or otherwise out output parameter pass
    please print problem program provided python question receive return routine script should
    simple solution solve some such take takes task test that the their then there these this to
    true us using value verify was we what when where whether which will with write you your
"""
STOP = frozenset(STOP_WORDS.split())
_WRITE = r"(?:write|create|implement|define|develop|design|make|give|build|provide|code|complete)"
_THINK = r"(?:reason|think|explain|solve|work|show|answer|proceed|go)"
_GIVE = (
    r"(?:put|place|write|give|present|return|provide|express|enclose|box|report|output|state|wrap)"
)
_ANSWER = r"(?:final |correct |numerical )*(?:answer|result|response|solution|output)s?"
_TASK = r"(?:problem|question|task|exercise)"
INSIDE = re.compile(  # anywhere; each has a word of INSIDE_HAS
    r"(?:please |let us |let ' s |lets |make sure to |you should |remember to )*"
    rf"{_THINK}(?: [a-z]+){{0,5}} step(?: -)? by(?: -)? step(?: carefully)?"
    rf"|(?:and |then |please |finally )*{_GIVE}(?: (?:your|the|a))? {_ANSWER}(?: [a-z]+){{0,8}}"
    r" \\boxed(?: [a-z]+){0,4}"
    r"|(?:explain|show|justify) (?:your|all|each|the)(?: [a-z]+){0,2}"
    r" (?:work|reasoning|steps?|solution|answer)"
    r"|(?:please )?(?:solve|answer|consider|read|here is)(?: [a-z]+){0,3} following"
    rf"(?: [a-z]+){{0,4}} {_TASK}(?: carefully)?"
)
INSIDE_HAS = ("step", "boxed", "reasoning", "work", "solution", "answer", "following")
START = re.compile(
    rf"{_TASK}(?: #? ?\d+)?(?: statement)?\b"
    r"|you are (?:an? )?(?:[a-z]+ ){0,4}(?:programmer|assistant|expert|mathematician)\b"
    rf"|(?:please )?{_WRITE} (?:an? |the )?(?:[a-z0-9]+ )?(?:function|program|method|script|code)\b"
    r"(?: (?:in|using) python)?(?: (?:to|that|which)\b)?"
)
ENDS = (" or not", " thanks", " thank you", " solution", " answer")


def key_of(words: list[str]) -> tuple[tuple, list[str]] | None:
    """((content words, the others in order, variables as v and numbers as #), numbers in order) of
    a short statement; None for a longer one, or where too little is left."""
    if len(words) > FRAMED:
        return None
    words = [w for w in words if w not in SIGNS]
    joined = " ".join(words)
    if len(joined) > 20 * FRAMED:  # no words
        return None
    bare = unframed(joined).split() or words
    if len(bare) > LONGEST:
        return None
    content, others = content_of(bare), []
    for i, word in enumerate(bare):
        if _is_prose(word) or word in ARTICLES:
            continue
        if word == "-" and any(map(_is_prose, bare[max(0, i - 1) : i + 2])):  # as in non-prime
            continue
        others.append("#" if word[0].isdigit() else "v" if word.isalpha() else word)
    if len(content) + len(others) < 2:
        return None
    return (content, tuple(others)), [w for w in bare if w[0].isdigit()]


def unframed(text: str) -> str:
    """Joined words without the frame around a task."""
    if any(word in text for word in INSIDE_HAS):
        text = INSIDE.sub(" ", text).strip()
    for _ in range(2):  # Problem 3: write a function to …
        text = START.sub("", text, count=1).lstrip() if START.match(text) else text
        for end in ENDS:
            text = text.removesuffix(end)
    return text


def content_of(words: list[str]) -> frozenset[str]:
    """The words of prose that say what a statement is about, without plural's or verb's s."""
    return frozenset(_stem(w) for w in words if _is_prose(w)) - STOP


@lru_cache(KNOWN)
def content_stem(word: str) -> str:
    """The stem of a content word without endings, so that `rotating` is `rotated`; "" for another
    word."""
    if not _is_prose(word) or (stem := _stem(word)) in STOP:
        return ""
    for ending in ("ing", "ed", "e"):
        if stem.endswith(ending) and len(stem) >= len(ending) + 3:
            stem = stem.removesuffix(ending)
            return stem[:-1] if len(stem) > 4 and stem[-1] == stem[-2] != "s" else stem
    return stem


def _is_prose(word: str) -> bool:
    return len(word) > 1 and word.isalpha()


@lru_cache(KNOWN)
def _stem(word: str) -> str:
    """The word without a plural's or verb's s; "a", which is of STOP, for a word of STOP."""
    if word in STOP:
        return "a"
    if len(word) > 3 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word
