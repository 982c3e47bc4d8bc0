"""Accuracies as shares of problems, and every number of correct answers that a printed one allows:
1% of 500 problems is 3 to 7 of them."""

from collections.abc import Collection
from dataclasses import dataclass

from distill_nb.analysis.names import Cell
from distill_nb.analysis.published import grim


@dataclass(frozen=True)
class Share:
    """k of n problems; lowest and highest are the fewest and the most that are printed so."""

    k: float  # fractional where only a percentage is known
    n: int
    lowest: float
    highest: float
    flagged: bool = False

    def at(self, end: int) -> float:
        """k as printed (0), or the lowest (-1) or highest (+1) that is printed so."""
        return (self.k, self.highest, self.lowest)[end]


def share(cell: Cell) -> Share:
    """The accuracy of a cell. A number with more digits than are printed is not rounded: our runs.
    A printed one that no k of n explains (grim.py) has half a unit of its last digit on each
    side."""
    k = cell.accuracy * cell.n / 100
    if abs(cell.accuracy - round(cell.accuracy, cell.decimals)) > 1e-9:
        return Share(k, cell.n, k, k, cell.flagged)
    possible = grim.possible_k(cell.accuracy, cell.decimals, cell.n)
    half = cell.n / 200 / 10**cell.decimals
    ends = possible or [max(0.0, k - half), min(float(cell.n), k + half)]
    return Share(k, cell.n, ends[0], ends[-1], cell.flagged)


def shares(*cells: Cell | None) -> list[Share | None]:
    """One side of comparisons.against: a cell's share, and its baseline's; None where it lacks."""
    return [None if cell is None else share(cell) for cell in cells]


def mean(shares: Collection[Share]) -> Share:
    """The mean of shares of the same problems, taken as uncertain as one of them, which it is at
    worst."""
    count, n = len(shares), min(s.n for s in shares)
    k, low, high = (sum(n * s.at(end) / s.n for s in shares) / count for end in (0, -1, 1))
    return Share(k, n, low, high, any(s.flagged for s in shares))


def printed_k(share: Share) -> str:
    """`400`, or `3 to 7` where rounding hides which."""
    low, high = f"{share.lowest:g}", f"{share.highest:g}"
    return low if low == high else f"{low} to {high}"
