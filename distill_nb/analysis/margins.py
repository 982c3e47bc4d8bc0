"""How a change compares with a stated margin, beside the test of whether there is one.

A test of no difference cannot show that there is none, and with many problems it finds changes that
matter to nobody. So a size is stated beforehand, the margin, below which a change does not matter.
A verdict is one word of VERDICTS:

gain, loss    the change is significant; `words` says how it compares with the margin
equivalent    it is not, and any change is smaller than the margin, either way
no worse      it is not, and a loss is smaller than the margin; a gain may be larger
inconclusive  none of these can be said: both a change that matters and none are possible

Equivalence takes two one-sided tests (Schuirmann 1987, doi 10.1007/BF01068419): each at level a is
significant exactly if the interval at 1 - 2a lies within the margin. So at 5% that interval is the
one of 90%, narrower than the 95% of the test of no difference."""

from typing import Protocol

MARGIN = 5.0  # points, where nothing else is said
ALPHA = 0.05
VERDICTS = ("gain", "loss", "equivalent", "no worse", "inconclusive")
UNTESTED = "—"


class Tested(Protocol):
    """A comparison after its family was corrected (`families.adjust`); all in points but p. Tables
    have columns of these names."""

    change: float
    lo: float  # interval at 1 - alpha of its family's step
    hi: float
    p_adjusted: float  # nan: not tested
    margin_lo: float  # interval at 1 - 2a, for the two one-sided tests at level a
    margin_hi: float
    margin_level: float  # of that interval, percent


def place(lo: float, hi: float, margin: float) -> str:
    """Where an interval (points) lies: `within` ±margin, `below` -margin, `above` +margin, `no
    worse` than -margin, or `open`, where it holds -margin."""
    if hi < -margin:
        return "below"
    if lo > margin:
        return "above"
    if lo > -margin:
        return "within" if hi < margin else "no worse"
    return "open"


def verdict(row: Tested, margin: float = MARGIN) -> str:
    """One of VERDICTS, or UNTESTED where there is no p. A gain or loss needs both: p below 5% and
    an interval without 0."""
    if row.p_adjusted != row.p_adjusted:
        return UNTESTED
    if row.p_adjusted < ALPHA and not row.lo <= 0 <= row.hi:
        return "gain" if row.change > 0 else "loss"
    found = place(row.margin_lo, row.margin_hi, margin)
    return {"within": "equivalent", "no worse": "no worse"}.get(found, "inconclusive")


def interval(lo: float, hi: float, level: float) -> str:
    """An interval in points with its level in percent: `[-1.2, +3.4 at 95%]`."""
    return f"[{lo:+.1f}, {hi:+.1f} at {level:.3g}%]"


def p_value(p: float) -> str:
    """`p = 0.011`, or `p < 0.0001`: what is smaller than that is no surer, as no test's assumptions
    hold that well."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def words(row: Tested, margin: float = MARGIN) -> str:
    """The verdict for a sentence, with the interval that says how it compares with the margin: `a
    loss, smaller than 5 points [-4.0, -0.9 at 90%]`."""
    found, points = verdict(row, margin), f"{margin:g} point{'' if margin == 1 else 's'}"
    if found == UNTESTED:
        return "not tested"
    near = interval(row.margin_lo, row.margin_hi, row.margin_level)
    if found in ("gain", "loss"):
        sizes = {"within": ", smaller than", "above": " of more than", "below": " of more than"}
        size = sizes.get(place(row.margin_lo, row.margin_hi, margin))
        return f"a {found}{size} {points} {near}" if size else f"a {found}"
    said = {
        "equivalent": f"equivalent, within ±{points} {near}",
        "no worse": f"no worse: a loss of {points} or more is excluded {near}",
        "inconclusive": f"inconclusive: no change and a loss of {points} or more are both possible",
    }[found]
    if (row.p_adjusted < ALPHA) == (row.lo <= 0 <= row.hi):
        said += "; p and the interval disagree about 0, so neither is taken for a change"
    return said
