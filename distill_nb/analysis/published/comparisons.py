"""Comparisons that findings rest on: cells of a tidy table set against each other, and judged.

A comparison claims a direction (+1: the first is higher, -1: lower) and gets a verdict of its own:
  supported     the difference has the claimed sign, and p < 0.05 after Holm over the finding
  contradicted  the same with the other sign
  within noise  p >= 0.05: the numbers show neither the effect nor its absence
  confounded    would be supported, but the teachers' learning rates differ too
Tests are unpaired (only percentages are known); intervals are 95% and not adjusted for their
number."""

from collections.abc import Collection
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Protocol

import pandas as pd

from distill_nb.analysis import stats
from distill_nb.analysis.baseline_changes import difference
from distill_nb.analysis.names import RULE, Cell, chooses, name_of
from distill_nb.analysis.tidy import Best, of_run

NORMAL = NormalDist()
VERDICTS = ("supported", "contradicted", "within noise", "confounded", "not testable")
WEAKEST_FIRST = ("contradicted", "not testable", "confounded", "within noise", "supported")


class Comparison(Protocol):
    """A row of a finding's numbers. first and second are accuracies (percent) or, of a comparison
    of two changes, changes (points)."""

    comparison: str  # in words, with the claimed direction
    first: float
    second: float
    difference: float  # first - second, points
    lo: float
    hi: float
    p: float
    p_holm: float  # over the comparisons of the finding
    detectable: float  # true difference, on the side of the observed one, found with power 0.8
    n: int  # the smallest of its cells'
    flagged: bool  # whether one of its cells is
    decides: bool  # whether the finding's verdict rests on it
    verdict: str


COMPARISON = list(Comparison.__annotations__)


@dataclass
class Lookup:
    """Finds runs and cells in a tidy table; names of what it does not find go into `missing`."""

    table: pd.DataFrame
    best: pd.DataFrame  # best_checkpoints of the table
    missing: list[str] = field(default_factory=list)

    def runs(self, student: str, teacher: str, domain: str) -> list[Best]:
        """The runs of that kind, lowest learning rate first (ours may repeat one at another
        rate)."""
        wanted = self.best[["student", "teacher", "domain"]] == [student, teacher, domain]
        return list(self.best[wanted.all(axis=1)].sort_values("learning_rate").itertuples())

    def run(self, student: str, teacher: str, domain: str) -> Best | None:
        """The first of `runs`; None where there is none."""
        runs = self.runs(student, teacher, domain)
        if not runs:
            self.missing.append(f"{name_of(student)} distilled from {name_of(teacher)} {domain}")
        return runs[0] if runs else None

    def cell(self, run: Best, step: int, benchmark: str) -> Cell | None:
        """The cell of a run or, at step 0, of its student; None where there is none."""
        own = of_run(self.table, run) if step else self.table[self.table["student"] == run.student]
        own = own[(own["benchmark"] == benchmark) & (own["step"] == step)]
        if own.empty:
            kind = f"{name_of(run.teacher)} {run.domain} step {step}" if step else "baseline"
            self.missing.append(f"{name_of(benchmark)} of {name_of(run.student)} {kind}")
        return next(own.itertuples(), None)

    def benchmark(self, run: Best, domain: str) -> str:
        """What measures a domain in this run: the first of RULE that runs of its student have."""
        own = self.table[(self.table["student"] == run.student) & (self.table["step"] > 0)]
        return chooses(domain, set(own["benchmark"])) or RULE[domain][0]


def row(
    comparison: str,
    d: stats.Difference,
    first: float,
    second: float,
    cells: Collection[Cell],
    claimed: int,
    detectable: float,
    decides: bool = True,
    confounder: bool = False,
) -> dict:
    """A Comparison of these cells before it is judged; d and detectable in fractions, first and
    second in percent."""
    return {
        "comparison": comparison,
        "first": first,
        "second": second,
        "difference": 100 * d.difference,
        "lo": 100 * d.lo,
        "hi": 100 * d.hi,
        "p": d.p,
        "detectable": 100 * detectable,
        "n": min(c.n for c in cells),
        "flagged": any(c.flagged for c in cells),
        "decides": decides,
        "claimed": claimed,
        "confounder": confounder,
    }


def against(
    comparison: str, a: Cell | None, b: Cell | None, claimed: int, confounder: bool = False
) -> list[dict]:
    """One row of accuracy a against accuracy b; none where a number is missing."""
    if a is None or b is None:
        return []
    d = difference(a, b)
    side = stats.detectable(b.accuracy / 100, a.n, b.n)[d.difference > 0]
    accuracies = (a.accuracy, b.accuracy)
    return [row(comparison, d, *accuracies, (a, b), claimed, side, confounder=confounder)]


def change_against(
    comparison: str,
    first: tuple[Cell | None, Cell | None],
    second: tuple[Cell | None, Cell | None],
    claimed: int,
    decides: bool = True,
) -> list[dict]:
    """One row of two changes, each (cell, baseline); none where a number is missing."""
    cells = [c for c in (*first, *second) if c is not None]
    if len(cells) < 4:
        return []
    one, two = difference(*cells[:2]), difference(*cells[2:])
    d = stats.contrast(one, two)
    # Normal approximation: the interval's half width is 1.96 standard errors, power 0.8 takes 1.96
    # + 0.84 of them.
    end = d.hi if d.difference > 0 else d.lo
    side = (end - d.difference) * (1 + NORMAL.inv_cdf(0.8) / NORMAL.inv_cdf(0.975))
    points = (100 * one.difference, 100 * two.difference)
    return [row(comparison, d, *points, cells, claimed, side, decides)]


def judge(rows: list[dict]) -> pd.DataFrame:
    """The rows as a table, columns COMPARISON. Rows without a p value keep the verdict that they
    bring."""
    table = pd.DataFrame(rows, columns=[*COMPARISON, "claimed", "confounder"])
    tested = table["p"].notna()
    p_holm = pd.Series(stats.holm(table["p"][tested].astype(float)), table.index[tested])
    verdicts = [
        _verdict(r.difference * r.claimed, r.confounder, p_holm[r.Index])
        if r.Index in p_holm.index
        else r.verdict
        for r in table.itertuples()
    ]
    return table.assign(p_holm=p_holm, verdict=verdicts)[COMPARISON]


def _verdict(as_claimed: float, confounder: bool, p_holm: float) -> str:
    """as_claimed: the difference, positive in the claimed direction."""
    if p_holm >= 0.05:
        return "within noise"
    if as_claimed < 0:
        return "contradicted"
    return "confounded" if confounder else "supported"


def weakest(numbers: pd.DataFrame) -> str:
    """The verdict of some comparisons together; not testable if there are none."""
    return next((v for v in WEAKEST_FIRST if v in set(numbers["verdict"])), "not testable")


def verdict_counts(numbers: pd.DataFrame) -> str:
    """`supported`, or `supported in 4, within noise in 1 of 5`."""
    counts = numbers["verdict"].value_counts()
    parts = [f"{v} in {counts[v]}" for v in VERDICTS if v in counts]
    return f"{', '.join(parts)} of {len(numbers)}" if len(parts) > 1 else weakest(numbers)
