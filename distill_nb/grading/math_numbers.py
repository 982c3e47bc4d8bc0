r"""Numbers that math answers give as digits, compared exactly: 0.15, 15\%, 3/20, 1\frac14, 52_{8}.

Works on the plain forms of math_forms.py. What is no such number is for Math-Verify."""

import re
from fractions import Fraction

DIGITS = r"(?:\d+(?:\.\d*)?|\.\d+)"
NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<whole>\d+)?\s*\\frac\{{\s*(?P<minus>-?)(?P<top>{DIGITS})\s*\}}"
    rf"\{{\s*(?P<bottom>{DIGITS})\s*\}}|(?P<a>{DIGITS})(?:\s*/\s*(?P<b>{DIGITS}))?)"
    r"(?:\s*(?:\\times|\\cdot)\s*10\s*\^\s*(?:\{\s*(?P<power>-?\d{1,4})\s*\}|(?P<digit>\d)))?"
    r"(?P<percent>\\%)?"
)
BASED = re.compile(r"(?P<digits>-?[0-9A-F]+)_\{(?P<base>\d+)\}")


def number(plain: str) -> tuple[Fraction, bool] | None:
    """(the number, whether it has a percent sign; 15 for 15 %), or None if it is no number."""
    match = NUMBER.fullmatch(plain)
    if match is None:
        return None
    top, bottom = match["a"] or match["top"], match["b"] or match["bottom"] or "1"
    if not Fraction(bottom) or (match["whole"] and match["minus"]):
        return None
    value = int(match["whole"] or 0) + Fraction(top) / Fraction(bottom)
    if match["minus"]:
        value = -value
    if match["sign"] == "-":
        value = -value
    power = int(match["power"] or match["digit"] or 0)
    return value * Fraction(10) ** power, bool(match["percent"])


def same(gold: tuple[Fraction, bool], answer: tuple[Fraction, bool]) -> bool:
    """Whether two numbers are the same. Where the problem asks for percent, the sign may be missing
    on one side, but 0.15 is not 0.15 %."""
    (one, one_percent), (other, other_percent) = gold, answer
    if one_percent != other_percent and one == other and abs(one) >= 1:
        return True
    return equal(one / 100 if one_percent else one, other / 100 if other_percent else other)


def equal(one: Fraction, other: Fraction) -> bool:
    """Whether two exact numbers are equal. A long decimal stands for a fraction that has no end:
    0.333333 for 1/3."""
    if one == other:
        return True
    ends = [has_an_end(one), has_an_end(other)]
    return ends[0] != ends[1] and rounds_alike(one, other)


def has_an_end(value: Fraction) -> bool:
    """Whether a fraction is a decimal with an end: its denominator has no factor but 2 and 5."""
    rest = value.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def rounds_alike(one: Fraction, other: Fraction) -> bool:
    """Whether two numbers agree to six decimals and to six significant digits."""
    size = max(abs(one), abs(other))
    places = 6
    while size * 10**places < 10**5 and places < 400:
        places += 1
    return round(one * 10**places) == round(other * 10**places)


def based(plain: str) -> tuple[str, int] | None:
    """(digits, base) of a number that names its base, or None."""
    match = BASED.fullmatch(plain)
    return (match["digits"], int(match["base"])) if match else None


def same_in_base(gold: str, answer: str) -> bool | None:
    """Whether two plain forms, of which one names a base, are the same number in the same base;
    None if neither names one. Without a base the gold answer is in base ten, and an answer is in
    the gold's base, which the problem asked for."""
    gold_based, answer_based = based(gold), based(answer)
    if gold_based is None and answer_based is None:
        return None
    digits, base = gold_based or (gold, 10)
    other, other_base = answer_based or (answer, base)
    other = re.sub(r"^(-?)0+(?=.)", r"\1", other)
    return base == other_base and digits == other
