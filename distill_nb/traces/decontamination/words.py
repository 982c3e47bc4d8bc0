r"""A statement as words, the same for every layout of it: white space, LaTeX spacing and
delimiters, \dfrac for \frac, Unicode for LaTeX, numbers in words for digits.

A formula gives each letter alone, numbers, commands, operators, brackets, and the braces around
more than one word: 5! is not 5, nor f'(x) f(x), nor 2^{n+1} 2^n+1. Prose gives its words in lower
case and numbers, without punctuation or brackets. The time grows linearly with the text's length,
whatever the text holds."""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

from distill_nb.traces.decontamination.number_words import as_digits
from distill_nb.traces.decontamination.symbols import AS_LATEX, SAME

DELIMITER = re.compile(r"\\\$|\$\$|\$|\\[()\[\]]|\\(?:begin|end)\{(?:equation|align|gather)\*?\}")
CLOSED_BY = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
NEXT = re.compile(r"(?<!\\)(?:\$|\\[(\[]|\\begin\{(?:equation|align|gather)|\n[ \t]*\n)")
PLAIN = re.compile(r"[^\W\d_]{2,}")
TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mbox|operatorname)\*?\s*\{([^{}]*)\}")
LAYOUT = re.compile(
    r"\\(?:left|right|bigg?[lr]?|Bigg?[lr]?|displaystyle|limits|quad|qquad|hspace|vspace|phantom)"
    r"(?![A-Za-z])|\\[,;:! \\]|\\(?:begin|end)\{[^{}]*\}|~"
)
SIGN = re.compile(f"[{''.join(AS_LATEX)}]")
# Raised, lowered and fraction signs: NFKC alone would make 992 of 99².
RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ]+|[₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎]+|[º½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")
# Invisible characters that copying leaves behind.
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
DOTS = re.compile(r"\.{3,}")
# HTML that sites leave in their problems. An & of a table in LaTeX has no ; after a name.
ENTITY = re.compile(r"&(?:lt|gt|le|ge|amp|quot|nbsp|times|minus|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
# 10,000, 10{,}000 and 10\,000. Each group has three digits, or (1,200) would lose its comma.
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:,|\{,\}|\\,|\\!,|,\\!)\d{3})+(?![\d,])")
# LaTeX takes one digit: \frac12, x^12.
SINGLE = re.compile(r"(\\(?:[dtc]?frac|sqrt|binom))\s*(\d)\s*(\d)?|([\^_])(\d)(?=\d)")
PRIME = re.compile(r"\^\s*(?:\{\s*)?\\prime(?:\s*\})?")
IMAGE = re.compile(r"!\[[^\]\n]{0,200}\]\([^)\n]{0,2000}\)")
NUMBER = r"\d+(?:\.\d+)?|(?<![\w)])\.\d+"
WORD = re.compile(rf"\\[A-Za-z]+|\\[{{}}|]|{NUMBER}|[^\W\d_]+|[^\w\s]")
LETTER = re.compile(rf"\\[A-Za-z]+|\\[{{}}|]|{NUMBER}|[^\W\d_]|[^\w\s]")
# Signs that are no words.
DROPPED_IN_PROSE = frozenset("$.,;:!?'\"`()[]|&\\")
DROPPED_IN_FORMULA = frozenset('$.,;:?"`&\\')
KNOWN = 2**18  # words that are remembered: memory stays flat, whatever the texts hold


def words(text: str) -> list[str]:
    """The words of a statement in order. In formulas each letter is one, since xy, x y and x\\,y
    are one product."""
    if "&" in text:
        text = ENTITY.sub(lambda m: html.unescape(m.group()), text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", RAISED.sub(_raised_as_latex, INVISIBLE.sub("", text)))
        text = SIGN.sub(lambda m: AS_LATEX[m.group()], text)
    without = without_figures(text)
    if without is not text and len(without.split()) >= 20:  # fewer may differ by the figure alone
        text = without
    if "..." in text:
        text = DOTS.sub(r" \\dots ", text)
    if "\\prime" in text:
        text = PRIME.sub("'", text)
    text = THOUSANDS.sub(_without_commas, text)
    found: list[str] = []
    for part, is_formula in _parts(text):
        if is_formula:
            _add_formula(part, found)
        else:
            _add(part, found, WORD, _prose_word)
    found = as_digits(found)
    return _grouped(found) if "{" in found or "}" in found else found


def without_figures(text: str) -> str:
    """The text without its drawings and images; the same object where it has none."""
    if "[asy]" not in text and "![" not in text:
        return text
    kept, place = [], 0
    while (start := text.find("[asy]", place)) >= 0 and (end := text.find("[/asy]", start)) >= 0:
        kept += [text[place:start], " "]
        place = end + len("[/asy]")
    return IMAGE.sub(" ", "".join([*kept, text[place:]]))


def _without_commas(match: re.Match) -> str:
    """A number without the commas between its thousands; (1,200) and [-500,500] are two numbers."""
    number, text = match.group(), match.string
    before = text[max(0, match.start() - 4) : match.start()].rstrip("- ")[-1:]
    after = text[match.end() : match.end() + 8].lstrip().removeprefix(r"\right")[:1]
    if before in ("(", "[") and after in (")", "]") and number.replace(",", "").isdigit():
        return number
    return re.sub(r"\D", "", number)


def _raised_as_latex(match: re.Match) -> str:
    sign = match.group()
    if sign == "º":
        return "°"
    plain = unicodedata.normalize("NFKC", sign)
    if "⁄" in plain:
        above, below = plain.split("⁄")
        return rf" \frac{{{above}}}{{{below}}}"
    return f"{'_' if '₀' <= sign[0] <= '₎' else '^'}{{{plain}}}"


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    r"""Yield (part, whether it is a formula). \$, amounts and what nothing closes are prose."""
    place, closing = 0, ""
    last: dict[str, int] = {}  # closing delimiter → where it stands last in the text
    for match in DELIMITER.finditer(text):
        sign = match.group()
        if closing:
            if sign == closing or (sign, closing) == ("$$", "$"):  # $a$$b$ is two formulas
                yield text[place : match.start()], True
                reopened = sign != closing and last["$"] >= match.end()
                place, closing = match.end(), "$" if reopened else ""
            continue
        wanted = CLOSED_BY.get(sign, "")
        if sign.startswith(r"\begin"):
            wanted = sign.replace("begin", "end")
        if not wanted:
            continue
        if wanted not in last:
            last[wanted] = text.rfind(wanted)
        if last[wanted] >= match.end() and not (sign == "$" and _is_money(text, match.end())):
            yield text[place : match.start()], False
            place, closing = match.end(), wanted
    yield text[place:], False


def _is_money(text: str, start: int) -> bool:
    """Whether the dollar sign before `start` belongs to an amount of money.

    It does if a digit follows, and the text up to the next dollar sign reads as prose: two plain
    words and nothing of LaTeX. One plain word, or another amount, is enough where a space stands
    before that sign. No formula goes on beyond a blank line, nor holds another's opening."""
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


def _add_formula(text: str, found: list[str]) -> None:
    """Add the words of a formula; what is in \\text{…} is prose."""
    place = 0
    for match in TEXT.finditer(text):
        _add(text[place : match.start()], found, LETTER, _formula_word)
        _add(match.group(1), found, WORD, _prose_word)
        place = match.end()
    _add(text[place:], found, LETTER, _formula_word)


def _add(text: str, found: list[str], pattern: re.Pattern, as_word: Callable[[str], str]) -> None:
    backslash = "\\" in text
    if backslash or "^" in text or "_" in text:
        text = SINGLE.sub(_apart, text)
    if backslash or "~" in text:
        text = LAYOUT.sub(" ", text)
    found += [word for match in pattern.findall(text) if (word := as_word(match))]


def _apart(match: re.Match) -> str:
    """What SINGLE found, with spaces between its digits."""
    return " ".join(part for part in match.groups() if part) + " "


@lru_cache(KNOWN)
def _prose_word(found: str) -> str:
    return _word(found, DROPPED_IN_PROSE)


@lru_cache(KNOWN)
def _formula_word(found: str) -> str:
    return _word(found, DROPPED_IN_FORMULA)


def _word(found: str, dropped: frozenset[str]) -> str:
    """What a match of WORD or LETTER is as a word, "" where it is none."""
    word = SAME.get(found, found)
    if word in dropped:
        return ""
    if word[0].isdigit() or (word[0] == "." and len(word) > 1):
        word = f"0{word}" if word[0] == "." else word
        return word.rstrip("0").rstrip(".") if "." in word else word
    return word if word[0] == "\\" else word.lower()


def _grouped(found: list[str]) -> list[str]:
    """Words without the braces around one word or none, and without those that nothing matches."""
    kept: list[str] = []
    opened: list[int] = []
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
