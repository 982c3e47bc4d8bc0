"""What a finding is, and how its comparisons become its verdict and its sentence."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from distill_nb.analysis.published import comparisons
from distill_nb.analysis.published.comparisons import Comparison
from distill_nb.analysis.published.lookup import Lookup


@dataclass(frozen=True)
class Finding:
    number: int
    title: str
    verdict: str  # one of comparisons.VERDICTS
    numbers: pd.DataFrame  # one Comparison a row
    sentence: str
    ours: bool = False  # a finding of this package, not of the published study


def conclude(
    number: int,
    title: str,
    rows: list[dict],
    look: Lookup,
    sentence: Callable[[pd.DataFrame], str],
    ours: bool = False,
) -> Finding:
    """The finding that rests on these rows (comparisons.against): contradicted if one that decides
    is; else not testable if one lacks its numbers; else as weak as the weakest.

    sentence: a function of the judged rows, called only if they can be judged."""
    numbers = comparisons.judge(rows, look.margin)
    verdict = comparisons.together(numbers[numbers["decides"]])
    lacks = "; ".join(dict.fromkeys(look.missing))
    if (lacks and verdict != "contradicted") or verdict == "not testable":
        verdict, text = "not testable", f"Not testable: there is no {lacks}."
    else:
        text = sentence(numbers) + (f" Missing: {lacks}." if lacks else "")
    return Finding(number, title, verdict, numbers, text, ours)


# ---- words for sentences


def points(r: Comparison) -> str:
    """`+9.5 points [+0.3, +18.6]`."""
    return f"{r.difference:+.1f} points [{r.lo:+.1f}, {r.hi:+.1f}]"


def name(comparison: str) -> str:
    """What a comparison is of: its text before the colon."""
    return comparison.split(":")[0]


def beyond_noise(numbers: pd.DataFrame) -> pd.Series:
    """Whether each difference is significant, by Holm's p at 5%."""
    return numbers["p_holm"] < 0.05


def listed(numbers: pd.DataFrame) -> str:
    """Each comparison with its difference, its verdict and, where that is open, what would settle
    it."""
    parts = []
    for r in numbers.itertuples():
        text = f"{name(r.comparison)} {points(r)}, {r.verdict}"
        if r.problems == math.inf:
            text += " (if the true difference is this one, no number of problems settles it)"
        elif r.problems == r.problems:
            text += f" (about {r.problems:,.0f} problems would settle it)"
        parts.append(text)
    return "; ".join(parts) or "none"
