"""Units at the end of a math answer: what they are, and what looks like one but changes the value.

The problem says what is counted, so an answer may name its unit or leave it out. Two units that are
both known and differ are two values: 15 cm² is not 15 m². So are two powers of a unit (ft² and
ft³), and two sides (a.m. and p.m., east and west, °C and °F)."""

import re
from typing import NamedTuple

from distill_nb.grading import math_counted

# known units, each with its spellings; a plural s is understood
SPELLINGS = {
    "dollar": "dollar usd",
    "cent": "cent ¢",
    "euro": "euro eur €",
    "sterling": "£ gbp",
    "yen": "yen ¥",
    "degree": "degree deg",
    "radian": "radian rad",
    "kilometre": "km kilometer kilometre",
    "metre": "m meter metre",
    "centimetre": "cm centimeter centimetre",
    "millimetre": "mm millimeter millimetre",
    "inch": "in inch inche",
    "foot": "ft foot feet",
    "yard": "yd yard",
    "mile": "mi mile",
    "kilogram": "kg kilogram",
    "gram": "g gram",
    "milligram": "mg milligram",
    "pound": "lb",
    "ounce": "oz ounce",
    "ton": "ton tonne",
    "litre": "l liter litre",
    "millilitre": "ml milliliter millilitre",
    "gallon": "gal gallon",
    "second": "s sec second",
    "minute": "min minute",
    "hour": "h hr hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "yr year",
    "mile hour": "mph",
    "kilometre hour": "kph kmph",
}
KNOWN = {spelling: unit for unit, all_of in SPELLINGS.items() for spelling in all_of.split()}
# words of which one is not the other
SIDES = {w: w for w in ("am", "pm", "east", "west", "north", "south", "celsius", "fahrenheit")}
SIDES |= {"centigrade": "celsius", "clockwise": "clockwise", "counterclockwise": "other"}
SIDES |= {"anticlockwise": "other", "profit": "profit", "loss": "loss"}
AFTER_DEGREES = {"C": "celsius", "F": "fahrenheit", "N": "north", "S": "south", "E": "east"}
AFTER_DEGREES |= {"W": "west"}
# words that are no part of which unit it is
SHAPES = {"unit", "units", "square", "squared", "sq", "cubic", "cubed", "cu", "per", "of"}
POWERS = {"square": "2", "squared": "2", "sq": "2", "cubic": "3", "cubed": "3", "cu": "3"}
NAMES = frozenset({"unit", "units", *SIDES, *KNOWN})
ORDINAL = re.compile(r"^\s*\\text\{(?:st|nd|rd|th)\}")
# after or before a number these make another value, or a statement about the number
STATEMENTS = (
    r"or|and|greater|larger|smaller|higher|lower|bigger|least|most|than|not|no|never|none|except|"
    r"but|between|until|(?<!left[ -])over|under|above|below|beyond|exceed\w*|minimum|maximum|up|if|"
    r"unless|wrong|false|(?:is|are)(?!\s+(?:the|my|our)\s+(?:\w+\s+)?(?:answer|result|solution))|"
    r"was|were|isn|aren|cannot|can|can't|won|doesn|does|too|when|whenever|where|impossible|"
    r"invalid|incorrect|excluded|excluding|omitted|rejected|extraneous|undefined|unknown|"
    r"insufficient|fails?|failed|short"
)
OPERATORS = (
    r"plus|minus|negative|factorial|root|mod|modulo|base|percent|infinit\w*|pi|sqrt|choose|inverse|"
    r"inverted|reciprocal|power|powers|exponent|to(?!\s+(?:go|finish|the\s+(?:right|left))\b)|divided|multiplied|"
    r"added|subtracted|raised|sin|cos|tan|cot|csc|cis|log|ln|exp|point\s+\w+|"
    r"times(?!\W*$|\s+(?:per|in|as|each|every|total)\b)"
)
FRACTIONS = (
    r"half(?!-[a-z])|halves|thirds?|quarters?|fourths?|"
    r"(?:fif|six|seven|eigh|nin|ten|eleven|twelf|\w+teen|\w+tie|hundred|thousand|\w+illion)ths?"
)
SCALES = (
    r"hundreds?|thousands?|\w*illions?|lakhs?|crores?|grand|gross|score|dozens?|myriads?|googol\w*|"
    r"doubled?|tripled?|quadrupled?|halved|twice|thrice"
)
OTHER_LANGUAGES = (
    r"oder|und|mehr|weniger|mindestens|höchstens|nicht|kein\w*|über|unter|ou|et|plus|moins|pas|non|"
    r"más|menos|или|не|более|менее"
)
SIGNS = (
    r"以[上下内外]|超过|不|至[少多]|最[少多]|大于|小于|[或和与万亿百十半倍负多]"
    r"|千(?![米克瓦])|[<>=+*!]|\.\."
)
# "6 more marbles" is how many, "6 or more" is a statement
QUALIFIERS = re.compile(
    rf"\b(?:{STATEMENTS}|{OPERATORS}|{FRACTIONS}|{SCALES}|{OTHER_LANGUAGES})\b"
    rf"|(?<=\S )\(?\b(?:more|less|fewer)\b|^\W*(?:squared|cubed)\b|{SIGNS}",
    re.IGNORECASE,
)
# these say nothing in a label: \text{Time to school} = 7
IN_LABELS = re.compile(
    r"\b(?:to|is|are|was|were|can|when|where|quarters|power|inverse|reciprocal|points? \w+|times|"
    r"score)\b",
    re.IGNORECASE,
)
TEXT = r"\\text\{[^{}]*\}"
POWER = r"\^\s*(?:\{-?\d\}|-?\d)|(?<=[A-Za-z])[23](?!\d)"
WORD = r"[^\W\d_]+(?![^\W\d_])\.?"
END = r"\s*(?=[.,;)\]}]|$)"
# what follows a value up to the end of the answer or of the part of a list
UNIT = re.compile(
    rf"(?P<value>\d(?!\d)(?:[A-Za-z](?=\s*\\text))?|[.)\]}}]|\\pi|\\infty|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z]))"
    rf"(?P<unit>(?=\s*\(?(?:{TEXT}|{WORD}))(?:\s*(?:{TEXT}|{WORD}|{POWER}|/|\\cdot(?![A-Za-z])|[()]))+){END}"
)
LETTERS = "msghlLAVWJNKF"  # one letter, as a unit; a C after a number is as often a combination
DEGREES = re.compile(
    r"\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degrees?\b)\s*"
    r"(?:(?:\\text\{\s*([CFNSEW])\s*\}|([CF]))(?![A-Za-z]))?"
)
MONEY = re.compile(r"\\\$|\\(?:euro|pounds|cents)\b|[€£¥¢]")
SYMBOLS = {r"\$": "dollar", r"\euro": "euro", r"\pounds": "£", r"\cents": "¢"}
ANGLE_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")


class Unit(NamedTuple):
    """What an answer names after its number; "" for what it does not name."""

    name: str = ""
    power: str = ""
    side: str = ""

    def differs(self, other: "Unit") -> bool:
        """Whether both name something, and not the same."""
        return any(a and b and a != b for a, b in zip(self, other, strict=True))


def words_of(unit: str) -> str:
    r"""A unit without the marks of what is text: \text{N}\cdot\text{m} is N m."""
    return " ".join(re.sub(r"\\text\{([^{}]*)\}|\\cdot(?![A-Za-z])", r" \1 ", unit).split())


def is_label(words: str) -> bool:
    """Whether words before an equals sign only name the value: Area, and not half of the area."""
    return not QUALIFIERS.search(IN_LABELS.sub("", words_of(words)))


def without_units(text: str, letters: bool) -> tuple[str, Unit]:
    """(text without its units, the known unit that it named). letters: a letter after a space may
    be a unit (5 m), as the gold answer holds no variable."""
    named: list[str] = []

    def note(unit: str) -> str:
        named.append(unit)
        return ""

    text = _one_word(text)
    if not ANGLE_FUNCTION.search(text):
        text = DEGREES.sub(
            lambda m: note(f"degree {AFTER_DEGREES.get(m[1] or m[2] or '', '')}"), text
        )
    text = MONEY.sub(lambda m: note(SYMBOLS.get(m.group(), m.group())), text).strip()

    def drop(match: re.Match[str]) -> str:
        if not _is_unit(match["value"], match["unit"], letters):
            return match.group()
        before = text[: match.end("value")]
        if not math_counted.only_counts(before, _words_alone(match["unit"]), NAMES):
            return match.group()
        if _only_words(text[: match.end("value")]):
            return match.group()
        note(words_of(match["unit"]))
        return match["value"]

    text = UNIT.sub(drop, text)
    return text.strip(), _known(named)


def _one_word(text: str) -> str:
    r"""One word for units that are written with points or signs: a.m., \mu\text{m}, \Omega."""
    text = re.sub(r"(?<![A-Za-z.])([AP])\.\s?M\b\.?", r"\1M", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=\d)\s*\\mu\s*\\text\{\s*(?=[A-Za-z])", r"\\text{micro", text)
    return re.sub(
        r"(?<=\d)\s*(?:\\Omega(?![A-Za-z])|\\text\{\s*\\Omega\s*\})", r"\\text{ohm}", text
    )


def _is_unit(value: str, unit: str, letters: bool) -> bool:
    """Whether what follows a value is words that leave it as it is."""
    unit = ORDINAL.sub("", unit)
    if not unit.strip():
        return True
    words = _words_alone(unit)
    if QUALIFIERS.search(words):
        return False
    alone = re.findall(r"\\text\{\s*([A-Za-z])\s*\}", unit)
    if any(letter not in LETTERS for letter in alone):
        return False
    bare = re.findall(WORD, re.sub(rf"{TEXT}|\\cdot(?![A-Za-z])", " ", unit))
    if not bare:
        return True
    first, glued = bare[0].rstrip("."), not unit[0].isspace() and unit[0] != "\\"
    if _named(first) and len(first) > 1:
        fine = not (glued and first.lower() in ("in", "am", "pm"))
    elif len(first) == 1 and first.isascii():
        fine = letters and not glued and first in LETTERS
    elif value.isalpha() or unit.lstrip().startswith("\\text"):
        fine = False
    else:
        # in another script, or of four letters: no product of variables
        fine = not first[0].isascii() or (not glued and len(first) >= 4) or words.startswith("in ")
    rest = [w.rstrip(".") for w in bare[1:]]
    return fine and all(len(w) > 1 or w == "a" or _named(w) or not w.isascii() for w in rest)


def _words_alone(unit: str) -> str:
    """The words of a unit, without what it was rounded to."""
    return re.sub(r"\bto (?:the )?nearest \w+", "", words_of(unit), flags=re.IGNORECASE)


def _named(word: str) -> bool:
    word = word.lower()
    return word in SHAPES or word in SIDES or word in KNOWN or word.removesuffix("s") in KNOWN


def _only_words(text: str) -> bool:
    """Whether what comes before is itself words: the answer is then no number with a unit."""
    return not re.search(r"\d|\\(?!text)|(?<![A-Za-z])[A-Za-z](?![A-Za-z])", text)


def _known(named: list[str]) -> Unit:
    names, powers, sides = [], [], []
    for unit in named:
        words = re.findall(r"[^\W\d_]+|[¢€£¥]", unit.lower())
        sides += [SIDES[w] for w in words if w in SIDES]
        powers += [a or b for a, b in re.findall(r"\^\s*\{?-?(\d)|(?<=[A-Za-z])([23])(?!\d)", unit)]
        powers += [POWERS[w] for w in words if w in POWERS]
        words = [w for w in words if w not in SHAPES and w not in SIDES]
        found = [KNOWN.get(w) or KNOWN.get(w.removesuffix("s"), "") for w in words]
        if found:
            names.append(" ".join(found) if all(found) else "")
    return Unit(*(all_of[0] if len(set(all_of)) == 1 else "" for all_of in (names, powers, sides)))
