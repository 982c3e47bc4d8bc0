r"""The forms that a math answer may be written in, each brought to one form by one rule.

A rule changes how a value is written and never which value it is. `read` applies the rules of RULES
in order, to the gold answer and to the answer alike. docs/grading.md explains each rule with an
example of what it forgives and of what it must not forgive."""

import re
from collections.abc import Callable

from distill_nb.grading import math_signs, math_units

# one argument in braces, with braces inside it
ARG = r"\{((?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})*)\}"


def _once(pattern: str, new: str | Callable[[re.Match[str]], str]) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, new, text)


def _styles(text: str) -> str:
    """Without colours, fonts and frames around a part, innermost first."""
    text = re.sub(r"\\(?:displaystyle|textstyle|scriptstyle|(?:bf|rm|it|sf|tt|bfseries|large|Large|"
                  r"LARGE|huge|Huge|small|normalsize|centering|color\s*\{[^{}]*\}))(?![A-Za-z])",
                  " ", text)  # fmt: skip
    style = (
        r"\\(?:textcolor\s*\{[^{}]*\}|colorbox\s*\{[^{}]*\}|mathbf|mathit|mathsf|mathtt|boldsymbol|"
        rf"bm|pmb|underline|uline|boxed|fbox|emph|mathop|ensuremath|framebox)\s*{ARG}"
    )
    for _ in range(4):
        text = re.sub(style, r"{\1}", text)
    return text


def _texts(text: str) -> str:
    r"""\text{12 cm} holds a value: 12 cm. \text{$} holds a sign."""

    def plain(match: re.Match[str]) -> str:
        in_words = re.search(r"[^\W\d_]", match[1]) and not re.search(r"\d", match[1])
        return rf"\text{{{match[1].strip()}}}" if in_words else f" {match[1]} "

    return re.sub(rf"\\text\s*{ARG}", plain, text)


GAP = r"(?:\s|~|(?<!\\)\\(?:[,;:! ]|(?:quad|qquad|thinspace)(?![A-Za-z])))"


def _thousands(text: str) -> str:
    """10,080 and 10 080 are 10080. A comma in brackets stands between two: (1,234)."""
    text = re.sub(rf"(?<=\d)(?:\{{,\}}|,\\!){GAP}*(?=\d{{3}}(?!\d))", "", text)
    text = re.sub(
        rf"(?<![\d.])(?<![^\\],)[1-9]\d{{0,2}}(?:{GAP}+\d{{3}})+(?!\d|[/,]\s*\d)",
        lambda m: re.sub(GAP, "", m.group()),
        text,
    )
    depth, parts = 0, re.split(r"(\\[{}]|[()\[\]])", text)
    for i, part in enumerate(parts):
        depth += part in ("(", "[", r"\{")
        depth -= part in (")", "]", r"\}")
        if depth <= 0:
            parts[i] = re.sub(
                r"(?<![\d.])(?<![^\\],)[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)",
                lambda m: m.group().replace(",", ""),
                part,
            )
    return "".join(parts)


LEAD = (
    r"(?:(?:so|thus|therefore|hence)\b,?\s*)?(?:(?:the|my|our)\s+)?(?:(?:final|correct|exact)\s+)*"
    r"(?:answer|result|solution|antwort|lösung|ответ|réponse|respuesta|risposta|resposta|答案)\s*"
    r"(?:(?:is|are|equals|ist|est|es|è|é)(?![^\W_])\s*[:=]?|[是为為]|[:=]|\s(?=\s*[-\d\\]))\s*"
)


def _lead(text: str) -> str:
    r"""Without "The answer is", "about", or a label in words: \text{Area} = 24."""
    text = re.sub(rf"^\s*\\text\{{{LEAD}\}}", "", text, flags=re.IGNORECASE)
    text = re.sub(rf"^\s*(\\text\{{)?{LEAD}", r"\1", text, flags=re.IGNORECASE)
    text = re.sub(r"^\s*(?:\\approx|(?:\\text\{)?(?:approximately|about)\b\}?)\s*", "", text)
    label = re.match(r"\s*((?:\\text\{[^{}=]*[^\W\d_]{2}[^{}=]*\}\s*)+)[=:]([^=<>]+)$", text)
    return label[2] if label and math_units.is_label(label[1]) else text


def _ordinals(text: str) -> str:
    r"""12^{\text{th}} and 12th are 12\text{th}, of which the units' rule leaves 12."""
    return re.sub(
        r"(?<=\d)\s*(?:\^\s*)?\{?\s*(?:\\text\s*\{\s*(?P<a>st|nd|rd|th)\s*\}|(?P<b>st|nd|rd|th)\b)"
        r"(?:\s*\})?",
        lambda match: rf"\text{{{match['a'] or match['b']}}} ",
        text,
    )


def _repeating(text: str) -> str:
    r"""0.1\overline{6} is \frac{15}{90}."""

    def fraction(match: re.Match[str]) -> str:
        whole, fixed, again = match[1] or "0", match[2], re.sub(r"\D", "", match[3])
        nines = (10 ** len(again) - 1) * 10 ** len(fixed)
        return rf"\frac{{{int(whole + fixed + again) - int(whole + fixed)}}}{{{nines}}}"

    part = r"(?<![\d.])(\d*)\.(\d*)"
    text = re.sub(part + r"\\(?:overline|bar)\s*(\{\d+\}|\d)", fraction, text)
    return re.sub(part + r"((?:\\dot\s*(?:\{\d\}|\d))+)(?!\d)", fraction, text)


def _over(match: re.Match[str]) -> str:
    return rf"\frac{{{match[1] or match[3]}}}{{{match[2] or match[4]}}}"


def _fractions(text: str) -> str:
    r"""\frac43, {4\over3} and 1\ 4/5, each with its braces: \frac{4}{3}, 1\frac{4}{5}."""
    over = r"([^{}]*)\\over(?![a-z])([^{}]*)"
    text = re.sub(rf"\{{{over}\}}|^{over}$", _over, text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{", text)
    text = re.sub(rf"\\frac\s*{ARG}\s*(\d|[a-z]|\\pi)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt\s*(\d|[a-z])", r"\\sqrt{\1}", text)
    # not \frac{1}{2} + 4/5, and 14/5 has no space
    return re.sub(
        r"(?<![\d.}/^])(?<![\d.}/^]\s)(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d./^])",
        r"\1\\frac{\2}{\3}",
        text,
    )


TWO_ON = "two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
BASES = {word: str(i) for i, word in enumerate(TWO_ON, start=2)} | {"sixteen": "16"}


def _bases(text: str) -> str:
    r"""(52)_8, 52_{\text{eight}} and 52 in base 8 are 52_{8}."""
    bare = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    match = re.match(
        r"\s*(?P<open>(?:\{|\()*)\s*"
        r"(?P<digits>-?[0-9A-F]*\d[0-9A-F]*|-?\d[0-9A-F]*|[A-F]+)\s*(?:\)|\})*\s*"
        r"(?:_\s*[{(]*\s*(?:base\s*)?|\(?\s*(?:in\s+)?base\s+)(?P<base>\w+)[\s)}]*$",
        bare,
    )
    if match is None:
        return text
    digits, base = match["digits"], BASES.get(match["base"].lower(), match["base"])
    # A_{11} may be a symbol: letters alone are digits in base 16, or in brackets
    known = base.isdecimal() and 2 <= int(base) <= 36
    if not known or (digits.isalpha() and base != "16" and "(" not in match["open"]):
        return text
    return f"{digits.lstrip('0') or '0'}_{{{int(base)}}}"


SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12, "万": 4, "亿": 8}


def _scales(text: str) -> str:
    r"""2 million is 2\cdot 10^{6}."""

    def power(match: re.Match[str]) -> str:
        in_text = "text" in match.group() and not match[2]  # \text{million dollars}
        return rf"\cdot 10^{{{SCALES[match[1].lower()]}}}" + (r" \text{" if in_text else "")

    words = rf"(?<=\d)\s*(?:\\text\{{\s*)?({'|'.join(SCALES)})(?![A-Za-z])(\s*\}})?"
    return re.sub(words, power, text, flags=re.IGNORECASE)


def _percent(text: str) -> str:
    text = re.sub(r"\\text\{\s*(?:per\s*cent|percentage|pct)\.?\s*\}", r"\\%", text, flags=re.I)
    text = re.sub(r"(?<=[\d}\s])(?:per\s*cent|pct)\b\.?", r"\\%", text, flags=re.I)
    return re.sub(r"\s*(?<!\\)%|\s*\\%", r"\\%", text)


def _end(text: str) -> str:
    """Without the sentence's stop, an outer pair of braces, or brackets around one number."""
    before = None
    while before != text:
        before, text = text, re.sub(r"(?:[.,;:]|\\\\)\s*$|^\s*(?:\\\\|=)", "", text).strip()
        text = re.sub(r"(?<=\\text\{)([^{}]*?)[.,;:!]\s*(?=\}$)", r"\1", text)
        if re.fullmatch(ARG, text):
            text = text[1:-1]
        text = re.sub(rf"^\(\s*(-?\d+(?:\.\d+)?|{ARG})\s*\)$", r"\1", text)
    return text


def _words(text: str) -> str:
    r"""An answer in words is \text{these words}, in lower case and without an article; the letter
    of a choice is that letter."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    plain = " ".join(re.sub(r"[\"“”]|''|``", " ", plain).split())
    if choice := re.fullmatch(r"\(?([A-Z])\)?\.?", plain):
        return choice[1]
    if not re.fullmatch(r"[^\W\d_]+(?:[ ,'’-]+[^\W\d_]+)*", plain) or len(plain) < 2:
        return text
    if r"\text" not in text and not re.match(r"[^\W\d_]{4}", plain):
        return text  # abc may be a product
    return rf"\text{{{re.sub(r'^(?:an?|the) ', '', plain.lower())}}}"


# Each row of docs/grading.md, in the order in which they are applied; after "percent" come units.
BEFORE_UNITS: dict[str, Callable[[str], str]] = {
    "signs of Unicode": math_signs.latex,
    "other names": math_signs.one_name,
    "delimiters": _once(
        r"(?<!\\)\\[\[\]()]|(?<!\\)\$|\\(?:begin|end)\s*\{(?:aligned|align|split|gathered|gather|equation)"
        r"\*?\}|(?<!\\)&(?=\s*=)|^\s*\*\*(?!\*)|\*\*\s*$",
        " ",
    ),
    "styles": _styles,
    "marks": _once(
        r"\\(?:tag|label|hspace|vspace|phantom|hphantom|vphantom)\*?\s*\{[^{}]*\}"
        r"|\\(?:checkmark|blacksquare|qed|qedsymbol|nonumber|notag|limits)(?![A-Za-z])",
        " ",
    ),
    "sizes of brackets": _once(
        r"\\(?:left|right)\s*\.|\\(?:left|right|middle|[bB]ig{1,2}[lrm]?)(?![A-Za-z])", ""
    ),
    "text": _texts,
    "thousands": _thousands,
    # the space of a last "\\ " may be lost
    "spaces": lambda text: re.sub(rf"{GAP}+|(?<!\\)\\$", " ", text.replace(r"\!", "")).strip(),
    "lead-ins": _lead,
    "ordinals": _ordinals,
    "repeating decimals": _repeating,
    "fractions": _fractions,
    "percent": _percent,
    "bases": _bases,
    "numbers in words": _scales,
}
AFTER_UNITS: dict[str, Callable[[str], str]] = {"end": _end, "words": _words}
RULES = [*BEFORE_UNITS, "units", *AFTER_UNITS]


def read(answer: str, letters: bool = False) -> tuple[str, math_units.Unit]:
    """(the answer in its plain form, the known unit that it names). letters: see
    math_units.without_units."""
    text, before, named = answer, None, math_units.Unit()
    for _ in range(4):  # one form may hide another: braces around a lead-in
        if text == before:
            break
        before = text
        for rule in BEFORE_UNITS.values():
            text = rule(text)
        text, unit = math_units.without_units(text, letters)
        named = named if any(named) else unit
        for rule in AFTER_UNITS.values():
            text = rule(text)
        text = text.strip()
    return text, named


def key(plain: str) -> str:
    """A plain form as text that may be compared: without the spaces that mean nothing (2 5 is not
    25), and without the mark of what is words."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", plain)
    return re.sub(r"\s", "", re.sub(r"(?<=\d)\s+(?=\d)", "_", plain))
