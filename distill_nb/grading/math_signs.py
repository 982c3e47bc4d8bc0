"""Signs of Unicode as LaTeX, and one name for each sign of LaTeX that has several."""

import re
import unicodedata

SIGNS = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "⋅": r"\cdot ",
    "∙": r"\cdot ", "∞": r"\infty ", "π": r"\pi ", "°": r"^\circ ", "≤": r"\le ", "⩽": r"\le ",
    "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "±": r"\pm ", "∓": r"\mp ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "∠": r"\angle ", "→": r"\to ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}", "ℕ": r"\mathbb{N}",
    "⟨": r"\langle ", "⟩": r"\rangle ", "。": ".", "、": ",", "；": ";", "٫": ".", "٬": ",",
    "⁄": "/", "∕": "/", "✓": "", "✔": "", "\ufe0f": "", "\u200b": "", "\u2061": "", "\ufeff": "",
    "‰": r"\cdot 10^{-3}",
}  # fmt: skip
LETTERS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
GREEK = dict(zip("αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΠΣΦΨΩ", LETTERS.split(), strict=True))
SYNONYMS = {
    "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "lt": "<", "gt": ">",
    "varnothing": "emptyset",
    "lvert": "|", "rvert": "|", "vert": "|", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[",
    "rbrack": "]", "lparen": "(", "rparen": ")", "colon": ":", "dfrac": "frac", "tfrac": "frac",
    "cfrac": "frac", "mathrm": "text", "mbox": "text", "textrm": "text", "textbf": "text",
    "textit": "text", "textnormal": "text", "operatorname": "text", "land": "text{and}",
}  # fmt: skip
NAMES = {"lim", "det", "rank", "tr", "Re", "Im", "arg", "lcm", "gcd", "max", "min", "sgn", "arcsec"}


def latex(text: str) -> str:
    """ASCII and LaTeX for signs of Unicode."""
    out = []
    for sign in text:
        kind = unicodedata.decomposition(sign).partition(" ")[0]
        if sign in SIGNS:
            out.append(SIGNS[sign])
        elif sign in GREEK:
            out.append(f"\\{GREEK[sign]} ")
        elif kind == "<fraction>" and "\u2044" in (pair := unicodedata.normalize("NFKC", sign)):
            out.append("\\frac{{{}}}{{{}}}".format(*pair.split("\u2044")))
        elif kind in ("<super>", "<sub>"):
            mark = "^" if kind == "<super>" else "_"
            plain = latex(unicodedata.normalize("NFKC", sign))
            if out and out[-1].startswith(mark) and out[-1].endswith("}"):
                out[-1] = f"{out[-1][:-1]}{plain}}}"  # ¹² is one exponent
            else:
                out.append(f"{mark}{{{plain}}}")
        elif unicodedata.category(sign) == "Nd":
            out.append(str(unicodedata.decimal(sign)))
        elif sign.isascii():
            out.append(sign)
        else:
            plain = unicodedata.normalize("NFKC", sign)
            out.append(plain if plain == sign else latex(plain))
    text = unicodedata.normalize("NFC", "".join(out))
    return re.sub(
        r"([√∛])\s*(?:(\d+(?:\.\d+)?|[A-Za-z]|\\pi)|\(([^()]*)\)|\{([^{}]*)\})",
        lambda m: ("\\sqrt{" if m[1] == "√" else "\\sqrt[3]{") + (m[2] or m[3] or m[4] or "") + "}",
        text,
    )


def one_name(text: str) -> str:
    """One name for each sign of LaTeX that has several."""

    def other(match: re.Match[str]) -> str:
        new = SYNONYMS.get(match[1])
        if new is None or (match[1] == "operatorname" and _named(text[match.end() :])):
            return match.group()
        return ("\\" if new[0].isalpha() else "") + new

    if r"\begin" not in text:  # no rows to separate: \\frac was escaped twice
        text = re.sub(r"\\\\(?=[A-Za-z])", r"\\", text)
    text = re.sub(r"\\([A-Za-z]+)\*?", other, text)
    text = re.sub(r"<=", r"\\le ", re.sub(r">=", r"\\ge ", text))
    return re.sub(r"\\\{\s*\\\}", r"\\emptyset", text)


def _named(rest: str) -> bool:
    return (name := re.match(r"\s*\{(\w+)\}", rest)) is not None and name[1] in NAMES
