"""Words after a number in a math answer: whether they only name what is counted.

Which words there are is open-ended, and so is which of them change a value: 7 hex, 0.3 recurring,
7 negated. So the form decides. Words name something where one of them is a known unit, a plural, or
written with other letters than English's. After one, a fraction or an ordinal a singular will do
(1 marble, 9th grade). CHANGING are words of these forms that change the value all the same."""

import re

# units and things that have no plural in -s; math_units.KNOWN has the others
NAMED = frozenset((
    "people", "person", "children", "men", "women", "feet", "teeth", "mice", "geese", "sheep",
    "fish", "deer", "dice", "vertices", "indices", "matrices", "loci", "radii", "data", "money",
    "clock", "grade", "yuan", "won", "baht", "rand", "rmb", "cal", "kcal", "mol", "hz", "khz",
    "mhz", "pa", "kpa", "kj", "kw", "kwh", "kn", "mv", "kv", "ma", "ohm", "rpm", "mpg", "bpm",
    "tbsp", "tsp", "pt", "qt", "ha",
))  # fmt: skip
# words that say nothing about the value where no noun is beside them
PLAIN = frozenset((
    "only", "total", "altogether", "all", "in", "each", "exactly", "approximately", "approx",
    "about", "rounded", "left", "over", "remaining", "more", "less", "fewer", "times", "of", "per",
    "the", "a", "an", "for", "at", "on", "to", "go", "finish", "right", "is", "are", "my", "our",
    "final", "answer", "result", "solution",
))  # fmt: skip
ORDINALS = frozenset(("st", "nd", "rd", "th"))
NUMBERS = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:-\w+)?"
)
CHANGING = re.compile(
    rf"\b(?:{NUMBERS}|tens|\w*fold|binary|ternary|octal|hex\w*|recurring|repeating|periodic|"
    r"imaginary|complex|radicals?|factorials?|logarithms?|basis\s+points|onwards?|upwards?|"
    r"downwards?|perhaps|sometimes|always|remainder|diverges?|contradicts?|violates?|depends?|"
    r"becomes?|equals?|followed|carré|élevé)\b",
    re.IGNORECASE,
)
# the same of a singular: adverbs, participles, and some
NO_NOUN = re.compile(
    r"\w+(?:ly|ed|ive)|conjugate|complement|opposite|maybe|instead|almost|hat|bar|overline|tilde|"
    r"dot|point|decimal|sine|cosine|tangent|derivative|integral|absurd|dne|kilo|mega|giga|centi|"
    r"permille|mille|ish|o|mal|durch|hoch|fois|sur|por|entre|al|au"
)
# a number after which a noun is singular: 1, 1/2
SINGLE = re.compile(r"(?:(?<![\d.,])1|/\s*\d+|\\frac\{[^{}]*\}\{[^{}]*\})\s*$")


def only_counts(value: str, words: str, known: frozenset[str]) -> bool:
    """Whether words after a value name what is counted. value: the text up to its end. known:
    spellings of units."""
    if CHANGING.search(words):
        return False
    found = re.findall(r"[^\W\d_]+", words.lower())
    nouns = [w for w in found if w not in PLAIN and w not in ORDINALS]
    nouns += ["inch"] * (found[-1:] == ["in"])
    if not nouns or any(_names(w, known) for w in nouns):
        return True
    single = SINGLE.search(value) or found[0] in ORDINALS
    return bool(single) and not any(map(NO_NOUN.fullmatch, nouns))


def _names(word: str, known: frozenset[str]) -> bool:
    plural = re.fullmatch(r"[a-z]{2,}[a-hj-rtv-z]s", word) is not None
    return (
        plural
        or word in NAMED
        or word in known
        or len(word) == 1
        or word.startswith("micro")
        or not word.isascii()
    )
