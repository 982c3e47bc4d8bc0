"""Units at the end of a math answer: what they are, and what looks like one but changes the value.

The problem says what is counted, so an answer may name its unit or leave it out. Two units that are
both known and differ are two values: 15 cm² is not 15 m²."""

import re

# known units, each with its spellings; a plural s is understood
SPELLINGS = {
    "dollar": "dollar usd",
    "cent": "cent ¢",
    "euro": "euro eur €",
    "pound sterling": "£ gbp",
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
    "miles per hour": "mph",
    "kilometres per hour": "kph kmph",
}
KNOWN = {spelling: unit for unit, all_of in SPELLINGS.items() for spelling in all_of.split()}
# words that are no part of which unit it is; a power follows from what is asked
SHAPES = {"unit", "units", "square", "squared", "sq", "cubic", "cubed", "cu", "per", "of"}
# after or before a number these make another value, or a statement about the number
QUALIFIERS = re.compile(
    r"\b(?:or|and|more|less|fewer|greater|larger|smaller|higher|lower|bigger|least|most|than|not|no|"
    r"never|none|except|but|between|until|over|under|above|below|beyond|exceed\w*|minimum|maximum|"
    r"up|plus|minus|negative|half|halves|thirds?|hundreds?|thousands?|millions?|billions?|"
    r"trillions?|dozens?|factorial|root|if|unless|mod|modulo|base|percent|infinit\w*|wrong|false|"
    r"oder|und|mehr|weniger|mindestens|höchstens|nicht|kein\w*|über|unter|ou|et|plus|moins|pas|non|"
    r"más|menos|или|не|более|менее)\b"
    r"|^\W*(?:squared|cubed)\b"
    r"|以[上下内外]|超过|不|至[少多]|最[少多]|大于|小于|[或和与万亿百十半倍负多]|千(?![米克瓦])"
    r"|[<>=+*!]|\.\.",
    re.IGNORECASE,
)
TEXT = r"\\text\{[^{}]*\}"
POWER = r"\^\s*(?:\{-?\d\}|-?\d)|(?<=[A-Za-z])[23](?!\d)"
WORD = r"[^\W\d_]+(?![^\W\d_])\.?"
END = r"\s*(?=[.,;)\]}]|$)"
# what follows a value up to the end of the answer or of the part of a list
UNIT = re.compile(
    rf"(?P<value>\d(?!\d)|[.)\]}}]|\\pi|\\infty|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z]))"
    rf"(?P<unit>(?=\s*\(?(?:{TEXT}|{WORD}))(?:\s*(?:{TEXT}|{WORD}|{POWER}|/|\\cdot(?![A-Za-z])|[()]))+){END}"
)
LETTERS = "msghlLAVWJNKCF"  # one letter, as a unit
DEGREES = re.compile(
    r"\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degrees?\b)\s*(?:(?:\\text\{)?[CF]\}?)?"
)
MONEY = re.compile(r"\\\$|\\(?:euro|pounds|cents)\b|[€£¥¢]")
SYMBOLS = {r"\$": "dollar", r"\euro": "euro", r"\pounds": "£", r"\cents": "¢"}
ANGLE_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")


def without_units(text: str, letters: bool) -> tuple[str, str]:
    """(text without its units, the known unit that it named or ""). letters: a letter after a space
    may be a unit (5 m), as the gold answer holds no variable."""
    named: list[str] = []

    def note(unit: str) -> str:
        named.append(unit)
        return ""

    if not ANGLE_FUNCTION.search(text):
        text = DEGREES.sub(lambda m: note("degree"), text)
    text = MONEY.sub(lambda m: note(SYMBOLS.get(m.group(), m.group())), text).strip()

    def drop(match: re.Match[str]) -> str:
        if not _is_unit(match["value"], match["unit"], letters):
            return match.group()
        if _only_words(text[: match.end("value")]):
            return match.group()
        note(re.sub(r"\\text\{([^{}]*)\}", r" \1 ", match["unit"]))
        return match["value"]

    text = UNIT.sub(drop, text)
    known = {_known(unit) for unit in named}
    return text.strip(), known.pop() if len(known) == 1 else ""


def _is_unit(value: str, unit: str, letters: bool) -> bool:
    """Whether what follows a value is words that leave it as it is."""
    words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", unit).strip()
    if QUALIFIERS.search(words):
        return False
    bare = re.findall(WORD, re.sub(TEXT, " ", unit))
    if not bare:
        return True
    first, glued = bare[0].rstrip("."), not unit[0].isspace() and unit[0] != "\\"
    if _named(first) and len(first) > 1:
        fine = not (glued and first == "in")
    elif len(first) == 1 and first.isascii():
        fine = letters and not glued and first in LETTERS
    elif value.isalpha() or unit.lstrip().startswith("\\text"):
        fine = False
    else:
        # in another script, or of four letters: no product of variables
        fine = not first[0].isascii() or (not glued and len(first) >= 4) or words.startswith("in ")
    rest = [w.rstrip(".") for w in bare[1:]]
    return fine and all(len(w) > 1 or w == "a" or _named(w) or not w.isascii() for w in rest)


def _named(word: str) -> bool:
    word = word.lower()
    return word in SHAPES or word in KNOWN or word.removesuffix("s") in KNOWN


def _only_words(text: str) -> bool:
    """Whether what comes before is itself words: the answer is then no number with a unit."""
    return not re.search(r"\d|\\(?!text)|(?<![A-Za-z])[A-Za-z](?![A-Za-z])", text)


def _known(unit: str) -> str:
    words = re.findall(r"[^\W\d_]+|[¢€£¥]", unit.lower())
    found = [KNOWN.get(w) or KNOWN.get(w.removesuffix("s"), "") for w in words if w not in SHAPES]
    return " ".join(found) if all(found) else ""
