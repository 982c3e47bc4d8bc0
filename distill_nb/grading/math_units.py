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
SHAPES = {"square", "squared", "sq", "cubic", "cubed", "cu", "per", "of"}
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
POWER = r"(?:\s*\^\s*(?:\{-?\d\}|-?\d)|[23](?!\d))?"
NAMES = "|".join(sorted((re.escape(s) + "s?" for s in KNOWN if len(s) > 1), key=len, reverse=True))
BARE = rf"(?:(?:{NAMES})(?![A-Za-z])|(?:(?:sq|cu|square|cubic)\.?\s+)(?:[A-Za-z]+))\.?{POWER}"
FOREIGN = r"(?=[^\x00-\x7f])[^\W\d_]+"
WORDS = rf"(?:{FOREIGN}|(?<![^\W_])[^\W\d_]{{4,}})(?:\s+(?:[^\W\d_]{{2,}}|a)(?![^\W_]))*"
ITEM = rf"(?:{TEXT}{POWER}|{BARE}|{WORDS})"
END = r"\s*(?=[.,;]|$)"
UNIT = re.compile(
    rf"(?P<value>[\d.)\]}}]|\\pi|\\infty|(?<![A-Za-z\\])[A-Za-z])"
    rf"(?P<unit>\s*{ITEM}(?:\s*(?:/|\\cdot|\s)\s*{ITEM})*){END}"
)
LETTER = re.compile(rf"(?P<value>[\d.)}}])(?P<unit>\s+[msghlLAVWJNKCF]{POWER}){END}")
DEGREES = re.compile(r"\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degrees?\b)\s*(?:(?:\\text\{)?[CF]\}?)?")
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
        words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", match["unit"])
        if QUALIFIERS.search(words.strip()) or _only_words(text[: match.end("value")]):
            return match.group()
        note(words)
        return match["value"]

    text = UNIT.sub(drop, text)
    if letters:
        text = LETTER.sub(drop, text)
    known = {_known(unit) for unit in named}
    return text.strip(), known.pop() if len(known) == 1 else ""


def _only_words(text: str) -> bool:
    """Whether what comes before is itself words: the answer is then no number with a unit."""
    return not re.search(r"\d|\\(?!text)|(?<![A-Za-z])[A-Za-z](?![A-Za-z])", text)


def _known(unit: str) -> str:
    words = re.findall(r"[^\W\d_]+|[¢€£¥]", unit.lower())
    found = [KNOWN.get(w) or KNOWN.get(w.removesuffix("s"), "") for w in words if w not in SHAPES]
    return " ".join(found) if all(found) else ""
