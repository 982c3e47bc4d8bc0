"""Comparisons that findings rest on: shares of problems set against each other, and judged by what
is claimed of them.

A comparison makes one of the CLAIMS of a difference d, with a margin m (margins.MARGIN): the size
below which a difference does not matter. `higher` claims that d is above 0, `not lower` that it is
above -m; `lower` and `not higher` claim the same of -d. Its verdict:

supported            the claim is shown, and a difference claimed is not shown to be below m
contradicted         the claim is shown to be false: `not lower`, that d is below -m; `higher`, that
                     it is below m, and so too small to matter, or of the other sign
inconclusive         neither is shown
confounded           would be supported, but the teachers' learning rates differ too
depends on rounding  not the same for every number of correct answers that is printed so

Each is shown by a one-sided test at 2.5%, which is what the 95% interval shows (bounds.py). All
comparisons together support a finding, which needs no correction for their number (an
intersection-union test: families.all_hold). One alone contradicts it: there p is Holm's, over the
comparisons that decide, or over those that do not. Tests are unpaired, as only percentages are
known."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.margins import MARGIN
from distill_nb.analysis.published import bounds
from distill_nb.analysis.published.rounding import Share

# claim: (sign of the claimed side, whether it is of the margin)
CLAIMS = {
    "higher": (1, False), "lower": (-1, False), "not lower": (1, True), "not higher": (-1, True),
}  # fmt: skip
VERDICTS = (
    "supported", "contradicted", "inconclusive", "depends on rounding", "confounded",
    "not testable",
)  # fmt: skip
WEAKEST_FIRST = ("contradicted", "not testable", "confounded", "inconclusive", "supported")
ENDS = {"verdict": 0, "worst": -1, "best": 1}  # of rounding, as seen by the claim
Signed = tuple[int, Share]


class Comparison(Protocol):
    """A row of a finding's numbers. first and second are accuracies (percent), changes (points), or
    0 where an accuracy is set against nothing."""

    comparison: str  # in words, with the claimed direction
    group: str  # what it is about, such as a student and teacher; may be empty
    claim: str  # one of CLAIMS; empty of a wording that is true or false without a test
    first: float
    second: float
    difference: float  # first - second, points
    lo: float
    hi: float
    margin: float  # points
    p: float  # of no difference, two-sided
    p_holm: float  # the same by Holm
    p_supports: float  # one-sided, of the claim being false; not corrected
    p_contradicts: float  # one-sided, of it being true; by Holm
    supported_from: float  # true difference that would be shown with power 0.8: that supports,
    contradicted_from: float  # that contradicts; nan where none could
    problems: float  # for a verdict, were the observed difference true, with power 0.8; inf = none
    n: int  # problems: the smallest of its cells'
    flagged: bool  # whether one of its cells is
    decides: bool  # whether the finding's verdict rests on it
    verdict: str
    worst: str  # verdict with all numbers rounded against the claim
    best: str  # and in its favour


COMPARISON = list(Comparison.__annotations__)


def against(
    comparison: str,
    claim: str,
    first: Sequence[Share | None],
    second: Sequence[Share | None],
    *,
    group: str = "",
    decides: bool = True,
    confounder: bool = False,
) -> list[dict]:
    """One row of first against second, before it is judged: each an accuracy [share], a change
    [share, baseline], or nothing []. No row where a number is missing."""
    parts: list[Signed] = []
    for outer, side in ((1, first), (-1, second)):
        for i, share in enumerate(side):
            if share is None:
                return []
            parts.append((-outer if i else outer, share))
    shares = [share for _, share in parts]
    return [
        {
            "comparison": comparison,
            "group": group,
            "claim": claim,
            "first": _points(first),
            "second": _points(second),
            "parts": parts,
            "n": min(s.n for s in shares),
            "flagged": any(s.flagged for s in shares),
            "decides": decides,
            "confounder": confounder,
        }
    ]


def wording(comparison: str, shares: Collection[Share], true: bool) -> dict:
    """A row of a wording that its numbers make true or false, whatever the noise. It decides
    nothing: what is claimed of the students is claimed by other rows."""
    top = max(100 * s.k / s.n for s in shares)
    verdict = "supported" if true else "contradicted"
    return {
        "comparison": comparison,
        "group": "",
        "claim": "",
        "first": top,
        "second": 0.0,
        "n": min(s.n for s in shares),
        "flagged": any(s.flagged for s in shares),
        "decides": False,
        **dict.fromkeys(ENDS, verdict),
    }


def _points(side: Sequence[Share | None]) -> float:
    known = [100 * s.k / s.n for s in side if s is not None]
    return known[0] - sum(known[1:]) if known else 0.0


def _rounded(row: Mapping, end: int) -> list[bounds.Part]:
    """The row's parts as printed (0), or rounded against its claim (-1) or in its favour (+1)."""
    claimed = CLAIMS[row["claim"]][0]
    return [(sign, s.at(end * sign * claimed), s.n) for sign, s in row["parts"]]


def _one_sided(row: Mapping, end: int) -> tuple[float, float]:
    """One-sided p of the claim being false and of its being true."""
    claimed, of_margin = CLAIMS[row["claim"]]
    parts = [(sign * claimed, k, n) for sign, k, n in _rounded(row, end)]
    low, high = _edges(of_margin, row["margin"])
    return bounds.p_at_most(parts, low), bounds.p_at_most(bounds.turned(parts), -high)


def _edges(of_margin: bool, margin: float) -> tuple[float, float]:
    """What the difference on the claimed side (a fraction) must be shown to be above, to support,
    and below, to contradict."""
    return (-margin / 100, -margin / 100) if of_margin else (0.0, margin / 100)


def judge(rows: list[dict], margin: float = MARGIN) -> pd.DataFrame:
    """The rows as a table, columns COMPARISON; margin in points."""
    rows = [row | {"margin": margin} for row in rows]
    for decides in (True, False):
        family = [row for row in rows if row["claim"] and row["decides"] is decides]
        for name, end in ENDS.items():
            tests = [_one_sided(row, end) for row in family]
            adjusted = stats.holm([against for _, against in tests])
            for row, (p_for, _), p_against in zip(family, tests, adjusted, strict=True):
                row[name] = _verdict(p_for, p_against, row["confounder"])
                if end == 0:
                    row |= {"p_supports": p_for, "p_contradicts": p_against}
        for row in family:
            row |= _numbers(row, len(family))
        for row, p_holm in zip(family, stats.holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = p_holm
    table = pd.DataFrame(rows, columns=COMPARISON)
    unlike = table["worst"] != table["best"]
    numbers = [name for name, kind in Comparison.__annotations__.items() if kind is float]
    table[numbers] = table[numbers].astype(float)
    return table.assign(
        verdict=table["verdict"].mask(unlike, "depends on rounding"),
        decides=table["decides"].astype(bool),
    )


def _verdict(p_supports: float, p_contradicts: float, confounder: bool) -> str:
    if p_contradicts < bounds.ONE_SIDED:
        return "contradicted"
    if p_supports < bounds.ONE_SIDED:
        return "confounded" if confounder else "supported"
    return "inconclusive"


def _numbers(row: Mapping, family: int) -> dict[str, float]:
    """Difference, interval, two-sided p, and what would be needed; a contradiction counted at the
    level of the first of Holm's steps."""
    claimed, of_margin = CLAIMS[row["claim"]]
    parts = _rounded(row, 0)
    d, (lo, hi) = bounds.difference(parts), bounds.interval(parts)
    p = 2 * bounds.p_at_most(parts if d > 0 else bounds.turned(parts), 0.0)
    low, high = _edges(of_margin, row["margin"])
    se, power = bounds.standard_error(parts), bounds.quantile(1 - bounds.POWER)
    supports = bounds.quantile(bounds.ONE_SIDED) + power
    contradicts = bounds.quantile(bounds.ONE_SIDED / family) + power
    needed = {"supported_from": low + supports * se, "contradicted_from": high - contradicts * se}
    numbers = {"difference": d, "lo": lo, "hi": hi} | {k: claimed * v for k, v in needed.items()}
    numbers = {name: 100 * value for name, value in numbers.items()}
    for name in needed:
        if len(parts) == 2 and not 0 <= row["second"] + numbers[name] <= 100:
            numbers[name] = math.nan
    effect = claimed * d
    ways = ((effect - low, supports), (high - effect, contradicts))
    times = [(size * se / beyond) ** 2 for beyond, size in ways if beyond > 1e-9]
    problems = math.ceil(row["n"] * min(times)) if times else math.inf
    numbers["problems"] = problems if row["verdict"] == "inconclusive" else math.nan
    return numbers | {"p": p}


def together(numbers: pd.DataFrame) -> str:
    """The verdict of some comparisons together: that of the weakest; not testable if there are
    none, and dependent on rounding if the ends of rounding give different ones."""
    worst, best = (_weakest(set(numbers[end])) for end in ("worst", "best"))
    return worst if worst == best else "depends on rounding"


def _weakest(verdicts: set[str]) -> str:
    return next((v for v in WEAKEST_FIRST if v in verdicts), "not testable")


def by_group(numbers: pd.DataFrame) -> pd.DataFrame:
    """group and verdict: the comparisons that decide, together, of each group that has a name."""
    named = numbers[(numbers["group"] != "") & numbers["decides"]]
    rows = [(group, together(own)) for group, own in named.groupby("group", sort=False)]
    return pd.DataFrame(rows, columns=["group", "verdict"])


def verdict_counts(numbers: pd.DataFrame) -> str:
    """`supported`, or `supported in 4, inconclusive in 1 of 5`."""
    counts = numbers["verdict"].value_counts()
    parts = [f"{v} in {counts[v]}" for v in VERDICTS if v in counts]
    return f"{', '.join(parts)} of {len(numbers)}" if len(parts) > 1 else together(numbers)
