r"""A statement as words, the same for every layout of it: white space, LaTeX spacing and
delimiters, \dfrac for \frac, Unicode for LaTeX, numbers in words for digits.

A formula gives its letters one by one, numbers, commands, operators, brackets, and the braces
around more than one word: 5! is not 5, nor f'(x) f(x), nor 2^{n+1} 2^n+1. Prose gives its words in
lower case and numbers, without punctuation or brackets. Everything takes time proportional to the
text's length, whatever it holds."""

from __future__ import annotations

import html
import re
import unicodedata

DELIMITER = re.compile(r"\\\$|\$\$|\$|\\[()\[\]]|\\(?:begin|end)\{(?:equation|align|gather)\*?\}")
CLOSED_BY = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
NEXT = re.compile(r"(?<!\\)(?:\$|\\[(\[]|\\begin\{(?:equation|align|gather)|\n[ \t]*\n)")
PLAIN = re.compile(r"[^\W\d_]{2,}")
TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mbox|operatorname)\*?\s*\{([^{}]*)\}")
LAYOUT = re.compile(
    r"\\(?:left|right|bigg?[lr]?|Bigg?[lr]?|displaystyle|limits|quad|qquad|hspace|vspace|phantom)(?![A-Za-z])"
    r"|\\[,;:! \\]|\\(?:begin|end)\{[^{}]*\}|~"
)
SAME = {
    r"\dfrac": r"\frac",
    r"\tfrac": r"\frac",
    r"\cfrac": r"\frac",
    r"\times": "*",
    r"\cdot": "*",
    r"\leq": r"\le",
    r"\geq": r"\ge",
    r"\neq": r"\ne",
    r"\ldots": r"\dots",
    r"\cdots": r"\dots",
    r"\{": r"\lbrace",
    r"\}": r"\rbrace",
    r"\|": r"\Vert",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\vert": "|",
    r"\mid": "|",
    r"\prime": "'",
    r"\lt": "<",
    r"\gt": ">",
    r"\varepsilon": r"\epsilon",
    r"\varphi": r"\phi",
    r"\vartheta": r"\theta",
}
GREEK = {
    "α": r"\alpha",
    "β": r"\beta",
    "γ": r"\gamma",
    "δ": r"\delta",
    "ε": r"\epsilon",
    "ζ": r"\zeta",
    "η": r"\eta",
    "θ": r"\theta",
    "ι": r"\iota",
    "κ": r"\kappa",
    "λ": r"\lambda",
    "μ": r"\mu",
    "ν": r"\nu",
    "ξ": r"\xi",
    "π": r"\pi",
    "ρ": r"\rho",
    "σ": r"\sigma",
    "τ": r"\tau",
    "υ": r"\upsilon",
    "φ": r"\phi",
    "χ": r"\chi",
    "ψ": r"\psi",
    "ω": r"\omega",
    "Γ": r"\Gamma",
    "Δ": r"\Delta",
    "Θ": r"\Theta",
    "Λ": r"\Lambda",
    "Ξ": r"\Xi",
    "Π": r"\Pi",
    "Σ": r"\Sigma",
    "Φ": r"\Phi",
    "Ψ": r"\Psi",
    "Ω": r"\Omega",
}
SYMBOLS = {
    "×": "*",
    "·": "*",
    "⋅": "*",
    "−": "-",
    "–": "-",
    "—": "-",
    "⁄": "/",
    "∕": "/",
    "≤": r"\le",
    "≥": r"\ge",
    "≠": r"\ne",
    "√": r"\sqrt",
    "∞": r"\infty",
    "°": r"^\circ",
    "±": r"\pm",
    "÷": r"\div",
    "≈": r"\approx",
    "≡": r"\equiv",
    "∈": r"\in",
    "∪": r"\cup",
    "∩": r"\cap",
    "∅": r"\emptyset",
    "∠": r"\angle",
    "△": r"\triangle",
    "→": r"\to",
    "⊥": r"\perp",
    "∥": r"\parallel",
    "⌊": r"\lfloor",
    "⌋": r"\rfloor",
    "⌈": r"\lceil",
    "⌉": r"\rceil",
    "∑": r"\sum",
    "∏": r"\prod",
    "∫": r"\int",
    "′": "'",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "⋯": r"\dots",
}
AS_LATEX = {k: f"{v} " if v[-1:].isalpha() else v for k, v in (GREEK | SYMBOLS).items()}
SIGN = re.compile(f"[{''.join(AS_LATEX)}]")
# NFKC would make 992 of 99²
RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ]+|[₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎]+|[º½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")
# of copies
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
DOTS = re.compile(r"\.{3,}")
# 10,000, 10{,}000 and 10\,000; the groups must have three digits, or (1,200) would lose its comma.
ENTITY = re.compile(r"&(?:lt|gt|le|ge|amp|quot|nbsp|times|minus|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:,|\{,\}|\\,|\\!,|,\\!)\d{3})+(?![\d,])")
# LaTeX takes one digit: \frac12, x^12
SINGLE = re.compile(r"(\\(?:[dtc]?frac|sqrt|binom))\s*(\d)\s*(\d)?|([\^_])(\d)(?=\d)")
PRIME = re.compile(r"\^\s*(?:\{\s*)?\\prime(?:\s*\})?")
IMAGE = re.compile(r"!\[[^\]\n]{0,200}\]\([^)\n]{0,2000}\)")
NUMBER = r"\d+(?:\.\d+)?|(?<![\w)])\.\d+"
WORD = re.compile(rf"\\[A-Za-z]+|\\[{{}}|]|{NUMBER}|[^\W\d_]+|[^\w\s]")
LETTER = re.compile(rf"\\[A-Za-z]+|\\[{{}}|]|{NUMBER}|[^\W\d_]|[^\w\s]")
UNITS = {
    "zero": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
}
TENS = {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}
POWERS = {"thousand": 1000, "million": 10**6}
NAMED = frozenset([*UNITS, *TENS, *POWERS, "hundred"])


class Normal(dict):
    """What a match of WORD or LETTER is as a word, "" where it is none. Each is judged once, for
    they come again and again."""

    def __init__(self, dropped: str):
        """dropped: the signs that are no words."""
        super().__init__()
        self.dropped = frozenset(dropped)

    def __missing__(self, found: str) -> str:
        word = SAME.get(found, found)
        if word in self.dropped:
            word = ""
        elif word[0].isdigit() or (word[0] == "." and len(word) > 1):
            word = f"0{word}" if word[0] == "." else word
            word = word.rstrip("0").rstrip(".") if "." in word else word
        elif word[0] != "\\":
            word = word.lower()
        if len(self) < 2**20:  # memory stays flat, whatever the texts hold
            self[found] = word
        return word


PROSE, FORMULA = Normal("$.,;:!?'\"`()[]|&\\"), Normal('$.,;:?"`&\\')


def words(text: str) -> list[str]:
    """The words of a statement in order: lower-case words, numbers, LaTeX commands, operators. In
    formulas each letter is a word, since xy, x y and x\\,y are one product, and so are brackets, !,
    ' and |."""
    if (
        "&" in text
    ):  # of HTML, which sites that publish problems leave in; a table's & in LaTeX has no ; after a name
        text = ENTITY.sub(lambda m: html.unescape(m.group()), text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", RAISED.sub(_lowered, INVISIBLE.sub("", text)))
        text = SIGN.sub(lambda m: AS_LATEX[m.group()], text)
    without = without_figures(text)
    if (
        without is not text and len(without.split()) >= 20
    ):  # of a few words the drawing is what tells them apart
        text = without
    if "..." in text:
        text = DOTS.sub(r" \\dots ", text)
    if "\\prime" in text:
        text = PRIME.sub("'", text)
    text = THOUSANDS.sub(_joined, text)
    found = []
    for part, formula in _parts(text):
        if formula:
            _formula(part, found)
        else:
            _add(part, found, WORD, PROSE)
    if not NAMED.isdisjoint(found):
        found = _counted(found)
    return _grouped(found) if "{" in found or "}" in found else found


def without_figures(text: str) -> str:
    """The text without its drawings and images, which copies of a problem often lack; the very text
    where it has none."""
    if "[asy]" not in text and "![" not in text:
        return text
    kept, place = [], 0
    while (start := text.find("[asy]", place)) >= 0 and (end := text.find("[/asy]", start)) >= 0:
        kept += [text[place:start], " "]
        place = end + len("[/asy]")
    return IMAGE.sub(" ", "".join([*kept, text[place:]]))


def _joined(match: re.Match) -> str:
    """A number without the commas between its thousands; (1,200) and [-500,500] are two numbers."""
    number, text = match.group(), match.string
    before = text[max(0, match.start() - 4) : match.start()].rstrip("- ")[-1:]
    after = text[match.end() : match.end() + 8].lstrip().removeprefix(r"\right")[:1]
    if before in ("(", "[") and after in (")", "]") and number.replace(",", "").isdigit():
        return number
    return re.sub(r"\D", "", number)


def _lowered(match: re.Match) -> str:
    """Raised, lowered and fraction signs as LaTeX."""
    sign = match.group()
    if sign == "º":
        return "°"
    plain = unicodedata.normalize("NFKC", sign)
    if "⁄" in plain:
        above, below = plain.split("⁄")
        return rf" \frac{{{above}}}{{{below}}}"
    return f"{'_' if '₀' <= sign[0] <= '₎' else '^'}{{{plain}}}"


def _parts(text: str):
    r"""Yield (part of the text, whether it is a formula). What opens a formula that nothing closes
    is prose, as \$ is and a dollar sign before an amount of money."""
    place, closing, last = 0, "", {}
    for match in DELIMITER.finditer(text):
        sign = match.group()
        if closing:
            if sign == closing or (sign, closing) == ("$$", "$"):  # $a$$b$ is two formulas
                yield text[place : match.start()], True
                place, closing = (
                    match.end(),
                    "$" if sign != closing and last["$"] >= match.end() else "",
                )
            continue
        wanted = CLOSED_BY.get(sign) or (
            sign.replace("begin", "end") if sign.startswith(r"\begin") else ""
        )
        if wanted and wanted not in last:
            last[wanted] = text.rfind(wanted)
        if (
            wanted
            and last[wanted] >= match.end()
            and not (sign == "$" and _money(text, match.end()))
        ):
            yield text[place : match.start()], False
            place, closing = match.end(), wanted
    yield text[place:], False


def _money(text: str, start: int) -> bool:
    """Whether the dollar sign before `start` is an amount's: a digit follows, and what is between
    it and the next dollar sign reads as prose: two plain words and nothing of LaTeX, or one (or
    another amount) where a space stands before that sign. No formula goes on beyond a blank line,
    nor holds another's opening."""
    if not text[start : start + 1].isdigit():
        return False
    following = NEXT.search(text, start)
    if not following:
        return True
    between, after = text[start : following.start()], text[following.end() : following.end() + 1]
    if any(sign in between for sign in "\\^_="):
        return False
    plain = len(PLAIN.findall(between))
    if following.group() != "$":
        return plain >= 1
    opens = between[-1:].isspace() and not after.isspace()
    return plain >= 2 or (opens and (plain == 1 or after.isdigit()))


def _formula(text: str, found: list[str]) -> None:
    """Add the words of a formula; what is in \\text{…} is prose."""
    place = 0
    for match in TEXT.finditer(text):
        _add(text[place : match.start()], found, LETTER, FORMULA)
        _add(match.group(1), found, WORD, PROSE)
        place = match.end()
    _add(text[place:], found, LETTER, FORMULA)


def _add(text: str, found: list[str], pattern: re.Pattern, normal: Normal) -> None:
    backslash = "\\" in text
    if backslash or "^" in text or "_" in text:
        text = SINGLE.sub(_apart, text)
    if backslash or "~" in text:
        text = LAYOUT.sub(" ", text)
    found += [word for match in pattern.findall(text) if (word := normal[match])]


def _apart(match: re.Match) -> str:
    """What SINGLE found, with spaces between its digits."""
    return " ".join(part for part in match.groups() if part) + " "


def _grouped(found: list[str]) -> list[str]:
    """Words without the braces around one word or none, and without those that nothing matches."""
    kept, opened = [], []
    for word in found:
        if word == "}":
            if not opened:
                continue
            start = opened.pop()
            if len(kept) - start <= 2:
                del kept[start]
                continue
        elif word == "{":
            opened.append(len(kept))
        kept.append(word)
    for place in reversed(opened):
        kept[place] = ""
    return [word for word in kept if word] if opened else kept


def _counted(found: list[str]) -> list[str]:
    """Words with numbers in words as digits: twenty-five as 25, two hundred and six as 206."""
    kept, place = [], 0
    while place < len(found):
        value, after = _below_hundred(found, place)
        if found[after : after + 1] == ["hundred"]:
            value, after = 100 * (value or 1), after + 1
            rest, end = _below_hundred(found, after + (found[after : after + 1] == ["and"]))
            if rest and found[end : end + 1] not in (["hundred"], ["thousand"], ["million"]):
                value, after = value + rest, end
        if value is not None and after < len(found) and found[after] in POWERS:
            value, after = value * POWERS[found[after]], after + 1
        if value is None:
            kept.append(found[place])
            after = place + 1
        else:
            kept.append(str(value))
        place = after
    return kept


def _below_hundred(found: list[str], place: int) -> tuple[int | None, int]:
    """(the number in words at a place, where it ends), or (None, the place)."""
    word = found[place] if place < len(found) else ""
    if word in UNITS:
        return UNITS[word], place + 1
    if word not in TENS:
        return None, place
    unit = place + 1 + (found[place + 1 : place + 2] == ["-"])
    if unit < len(found) and 0 < UNITS.get(found[unit], 0) < 10:
        return TENS[word] + UNITS[found[unit]], unit + 1
    return TENS[word], place + 1
