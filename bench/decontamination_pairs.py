"""Pairs for bench/decontamination.py, made by rule: LEAKS make the same problem in another form,
OTHERS another problem that looks like it. Each rule gives None where it does not apply."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

FORMULA = re.compile(
    r"(\$\$.*?\$\$|\\\[.*?\\\]|(?<!\\)\$(?:[^$\\]|\\.)*\$|\[asy\].*?\[/asy\])", re.DOTALL
)
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")
NAMES = {
    "Ada": "Ruth", "Ben": "Omar", "Cleo": "Nina", "Dan": "Igor", "Eva": "Lena", "Finn": "Karl",
    "Gia": "Joan", "Hugo": "Ivan", "Iris": "Hana", "Jon": "Gus", "Kim": "Fay", "Leo": "Ed",
    "Mia": "Dora", "Ned": "Carl", "Ola": "Bea", "Pia": "Ann", "Tom": "Ravi", "Sam": "Luis",
    "Bob": "Chen", "Alice": "Priya", "John": "Mateo", "Mary": "Aiko", "Sarah": "Noor",
    "Mark": "Diego", "Paul": "Amir", "Anna": "Keiko", "Peter": "Tariq", "Jane": "Wanda",
    "Mike": "Boris", "Emily": "Yara", "Kevin": "Femi", "Susan": "Olga", "Jim": "Pablo",
    "Lisa": "Greta", "Steve": "Kofi", "Joe": "Sven", "Alex": "Milo", "Max": "Otto",
}  # fmt: skip
VERBS = {
    "Find": "Determine", "Compute": "Evaluate", "Evaluate": "Compute", "Simplify": "Reduce",
    "Determine": "Work out", "Calculate": "Find", "Solve": "Work out", "Express": "Write",
    "Convert": "Change", "What is": "Give", "Return": "Give back", "Check": "Test",
    "Write a function to find": "Write a function that gives",
    "Write a python function to find": "Write a python function that gives",
    "Write a function to check": "Write a function that tells",
    "Write a function to": "Implement code to",
    "Write a python function to": "Implement code to",
}  # fmt: skip
ALIKE = {
    "greatest": "largest", "largest": "greatest", "smallest": "least", "minimum": "smallest",
    "maximum": "greatest", "each": "every", "every": "each", "such that": "so that",
    "How many": "What number of", "total number": "number", "in terms of": "by means of",
    "contains": "includes", "given": "provided", "begin": "start", "remove": "delete",
    "elements": "items", "common": "shared", "identical": "equal", "occurrences": "frequency",
    "possible": "feasible", "different": "distinct", "starts": "begins", "buys": "purchases",
    "repeated": "duplicated", "determine": "find out", "satisfy": "fulfil", "has": "owns",
}  # fmt: skip
UNITS = {
    r"\^\\circ|\^\{\\circ\}": "degrees", r"\bcm\b": "centimeters", r"\bkm\b": "kilometers",
    r"\bmph\b": "miles per hour", r"\\%": "percent", r"\bkg\b": "kilograms", r"\bft\b": "feet",
    r"\bmm\b": "millimeters", r"(?<=\d)%": "percent",
}  # fmt: skip
# Problems of an evaluation set that ask what another one of it asks, by reading them.
SAME_IN_SET = {
    "mbpp_plus": {
        "Mbpp/71": "sorts a list, as 141 and 635 do",
        "Mbpp/141": "sorts a list, in the words of 71",
        "Mbpp/428": "sorts an array; shell sort is a way to do it",
        "Mbpp/635": "sorts a list, as 71 and 141 do",
        "Mbpp/451": "removes all whitespaces from a string, in the words of 800",
        "Mbpp/800": "removes all whitespaces from a string, in the words of 451",
        "Mbpp/563": "extracts what stands between quotation marks, in the words of 725",
        "Mbpp/725": "extracts what stands between quotation marks, in the words of 563",
    }
}
SMALL = "a an the of that is are be its their this these any given as to in"
LEFT_OUT = frozenset(SMALL.split(" "))


def _changed(change: Callable[[str], str]) -> Callable[[str, random.Random], str | None]:
    """A rule that applies where the change changes something."""
    return lambda text, rng: new if (new := change(text)) != text else None


def _swap(words: dict[str, str], most: int = 99) -> Callable[[str], str]:
    """Replace whole words outside of formulas, each once at its place."""
    pattern = re.compile(
        r"\b(" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + r")\b"
    )

    def change(text: str) -> str:
        parts, left = FORMULA.split(text), most
        for i in range(0, len(parts), 2):
            parts[i], n = pattern.subn(lambda m: words[m[1]], parts[i], count=left)
            left -= n
            if left <= 0:
                break
        return "".join(parts)

    return change


def _in_formulas(pattern: str, to: str | Callable[[re.Match], str]) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def change(text: str) -> str:
        parts = FORMULA.split(text)
        for i in range(1, len(parts), 2):
            if not parts[i].startswith("[asy]"):
                parts[i] = compiled.sub(to, parts[i])
        return "".join(parts)

    return change


def _units(text: str) -> str:
    """Units in words; in a formula within \\text{}."""
    parts = FORMULA.split(text)
    for i, part in enumerate(parts):
        for pattern, name in UNITS.items() if not part.startswith("[asy]") else ():
            part = re.sub(pattern, rf"\\text{{ {name}}}" if i % 2 else f" {name}", part)
        parts[i] = part
    return "".join(parts)


def _reordered(text: str, rng: random.Random) -> str | None:
    """The sentences that come before the question in the reverse order."""
    sentences = SENTENCE.split(text.strip())
    return " ".join([*sentences[-2::-1], sentences[-1]]) if len(sentences) >= 3 else None


def _verb(text: str, rng: random.Random) -> str | None:
    """Another verb in a problem of at most 15 words."""
    if len(text.split()) > 15:
        return None
    start = next(
        (v for v in sorted(VERBS, key=len, reverse=True) if text.strip().startswith(v)), ""
    )
    return VERBS[start] + text.strip()[len(start) :] if start else None


def _left_out(text: str, rng: random.Random) -> str | None:
    """A tenth of the words left out, small ones of prose."""
    words = text.split(" ")
    small = [i for i, w in enumerate(words) if w in LEFT_OUT]
    if "$$" in text or len(words) < 10 or len(small) < 2:
        return None
    gone = set(rng.sample(small, min(len(small), max(1, len(words) // 10))))
    return " ".join(w for i, w in enumerate(words) if i not in gone)


def _clause(text: str, rng: random.Random) -> str | None:
    """A program's task with a clause about what it is given."""
    if "function" not in text.split(".")[0]:
        return None
    clause = rng.choice([" given as input", " that is passed as an argument", " given by the user"])
    return f"{text.strip().rstrip('.')}{clause}."


LEAKS: dict[str, Callable[[str, random.Random], str | None]] = {
    "verbatim": lambda t, rng: t,
    "lower case": _changed(str.lower),
    r"a/b for \frac{a}{b}": _changed(_in_formulas(r"(?<!\d)\\d?frac\{(\w+)\}\{(\w+)\}", r"\1/\2")),
    "13^47 for 13^{47}": _changed(_in_formulas(r"\^\{(\d\d+)\}", r"^\1")),
    r"\mathbf for \vec and back": _changed(
        _in_formulas(r"\\(vec|mathbf)", lambda m: r"\mathbf" if m[1] == "vec" else r"\vec")
    ),
    "*ABC* for $ABC$": _changed(lambda t: re.sub(r"\$(?:\\triangle ?)?([A-Z]{2,5})\$", r"*\1*", t)),
    "other indexes": _changed(_in_formulas(r"([a-z])_([1-3])(?!\d)", r"\1_{\2}")),
    "units written out": _changed(_units),
    "array for list": _changed(_swap({"list": "array", "lists": "arrays", "sublist": "subarray"})),
    "a clause added": _clause,
    "framed": lambda t, rng: (
        f"Problem: {t.strip()}\n\nPlease reason step by step, and put your final answer within "
        "\\boxed{}."
    ),
    "a python function": _changed(
        lambda t: t.replace("Write a function to", "Write a python function to")
    ),
    "one verb of a short one": _verb,
    "other names": _changed(_swap(NAMES)),
    "two words for synonyms": _changed(_swap(ALIKE, 2)),
    "all words for synonyms": _changed(_swap(ALIKE)),
    "a tenth of the words left out": _left_out,
    "sentences in another order": _reordered,
}


def _number(text: str, rng: random.Random) -> str | None:
    """One number of at least 2, outside of drawings, made another."""
    bare = re.sub(r"(?s)\[asy\].*?\[/asy\]", "", text)
    numbers = [m for m in re.finditer(r"(?<![\w.^_{])\d+(?![\w.}])", bare) if int(m[0]) > 1]
    if not numbers:
        return None
    m = rng.choice(numbers)
    return f"{bare[: m.start()]}{int(m[0]) + rng.randint(11, 97)}{bare[m.end() :]}"


def _once(pattern: str, to: str) -> Callable[[str, random.Random], str | None]:
    """One place, drawn, made another."""
    compiled = re.compile(pattern)

    def rule(text: str, rng: random.Random) -> str | None:
        text = re.sub(r"(?s)\[asy\].*?\[/asy\]", "", text)
        places = list(compiled.finditer(text))
        if not places:
            return None
        m = rng.choice(places)
        return text[: m.start()] + m.expand(to) + text[m.end() :]

    return rule


def _opposite(one: str, other: str) -> Callable[[str, random.Random], str | None]:
    """`one` for `other` or the reverse, in one place."""
    there, back = _once(rf"(?<!\\)\b{one}\b", other), _once(rf"(?<!\\)\b{other}\b", one)
    return lambda text, rng: there(text, rng) or back(text, rng)


OTHERS: dict[str, Callable[[str, random.Random], str | None]] = {
    "another number": _number,
    "a changed sign": lambda t, rng: (
        _once(r"(?<=[\w})]) ?\+ ?(?=[\w\\])", " - ")(t, rng)
        or _once(r"(?<=[\w})]) ?(?<!\w)-(?!\w)? ?(?=\d)", " + ")(t, rng)
    ),
    "product for sum": _opposite("sum", "product"),
    "largest for smallest": lambda t, rng: (
        _opposite("largest", "smallest")(t, rng)
        or _opposite("greatest", "least")(t, rng)
        or _opposite("longest", "shortest")(t, rng)
    ),
    "minimum for maximum": _opposite("minimum", "maximum"),
    "at most for at least": _opposite("at least", "at most"),
    "descending for ascending": lambda t, rng: (
        _opposite("ascending", "descending")(t, rng)
        or _opposite("increasing", "decreasing")(t, rng)
    ),
    "odd for even": _opposite("odd", "even"),
    "last for first": _opposite("first", "last"),
    "negative for positive": _opposite("positive", "negative"),
    "somebody for nobody": lambda t, rng: (
        _opposite("nobody", "somebody")(t, rng) or _opposite("no one", "someone")(t, rng)
    ),
    "there and back": lambda t, rng: (
        f"{m[1]}{m[3]} to {m[2]}{m[4]}"
        if (m := re.fullmatch(r"(.*\bconvert )(\w{5,}) to (\w{5,})\b(.*)", t.strip(), re.DOTALL))
        else None
    ),
}
