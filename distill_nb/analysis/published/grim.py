"""Can the published numbers be? The GRIM test of each number with its n: whether any whole number
of correct answers gives the printed percentage (Brown & Heathers 2017, doi
10.1177/1948550616673876)."""

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import cache

import pandas as pd

# Problems in the full benchmarks; for LiveCodeBench v5 the release and two windows that go by the
# same name.
SIZES = {
    "math500": (500,),
    "mbpp_plus": (378,),
    "humaneval_plus": (164,),
    "livecodebench": (880, 279, 166),
    "aime": (90,),
}


def possible_k(accuracy: float, decimals: int, n: int, rounding: str = "either") -> list[int]:
    """Every k for which k of n, in percent, is printed as `accuracy`; exact. Empty = impossible.
    rounding of ties: half_up, half_even, or either."""
    printed = Fraction(f"{accuracy:.{decimals}f}")
    half = Fraction(1, 2 * 10**decimals)
    low, high = ((printed + sign * half) * n / 100 for sign in (-1, 1))
    even = int(printed * 10**decimals) % 2 == 0
    ends = {"either": (True, True), "half_up": (True, False), "half_even": (even, even)}[rounding]
    return [
        k
        for k in range(max(0, math.ceil(low)), min(n, math.floor(high)) + 1)
        if (k != low or ends[0]) and (k != high or ends[1])
    ]


@cache
def can_fail(decimals: int, n: int) -> bool:
    """Whether GRIM could reject any number printed so: some value from 0 to 100% is no k of n."""
    return any(not possible_k(v / 10**decimals, decimals, n) for v in range(100 * 10**decimals + 1))


def check(table: pd.DataFrame, sizes: Mapping[str, int] | None = None) -> pd.DataFrame:
    """The GRIM test of a tidy table with printed decimals: student to n, flagged and source as
    there, and possible (the k of n, either rounding), consistent, can_fail, implied (sizes of the
    full benchmark, k/n, that a failed number fits; often there is none).

    sizes: benchmark → problems, as a text states them (claims.stated_sizes), in place of the
    table's n."""
    table = table.assign(n=table["benchmark"].map(sizes or {}).fillna(table["n"]).astype(int))
    possible: list[list[int]] = []
    implied: list[list[str]] = []
    for r in table.itertuples():
        possible.append(possible_k(r.accuracy, r.decimals, r.n))
        implied.append([])
        for n in () if possible[-1] else SIZES.get(r.benchmark, ()):
            implied[-1] += [f"{k}/{n}" for k in possible_k(r.accuracy, r.decimals, n)]
    return table.drop(columns="learning_rate").assign(
        possible=possible,
        consistent=[bool(ks) for ks in possible],
        can_fail=[can_fail(r.decimals, r.n) for r in table.itertuples()],
        implied=implied,
    )


def summary(table: pd.DataFrame, sizes: Mapping[str, int] | None = None) -> pd.DataFrame:
    """One row a benchmark, n and precision: cells, how many could fail at all, and how many do;
    sizes as of `check`."""
    groups = check(table, sizes).groupby(["benchmark", "n", "decimals"], sort=False)
    return groups.agg(
        cells=("accuracy", "size"),
        can_fail=("can_fail", "sum"),
        failed=("consistent", lambda c: int((~c).sum())),
    ).reset_index()
