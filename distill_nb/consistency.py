"""Can the published numbers be? What a line of the data may hold, and the GRIM test of each number with its n.

`python -m distill_nb.consistency` prints both that and what `claims.py` finds in the sentences.
"""
from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import cache

from distill_nb.params import BENCHMARKS
from distill_nb.results import COLUMNS, NAMES, load_published

# Problems in the full benchmarks; for LiveCodeBench v5 the release and two windows that go by the same name.
SIZES = {"math500": (500,), "mbpp_plus": (378,), "humaneval_plus": (164,), "livecodebench": (880, 279, 166),
         "aime": (90,)}


def row_problems(row: dict):
    """(column, remedy) of everything that cannot be in one line of accuracies.csv, a mapping of texts."""
    if None in row or None in row.values():
        yield "source", f"the line does not have {len(COLUMNS)} columns: quote a comma, or add what is missing"
        return
    base = row["teacher"] == "none"
    number = re.fullmatch(r"(\d{1,3})(?:\.(\d+))?", row["accuracy"])
    checks = [
        ("student", row["student"] in NAMES.values(), "write the hub id of one of the study's students"),
        ("teacher", row["teacher"] in ("r1", "sonnet", "none"), "write r1, sonnet, or none for a baseline"),
        ("domain", row["domain"] in (("none",) if base else ("math", "code")),
         "write none" if base else "write math or code"),
        ("step", row["step"] == "0" if base else re.fullmatch(r"[1-9]\d*", row["step"]),
         "write 0" if base else "write the checkpoint's step, a whole number above 0"),
        ("benchmark", row["benchmark"] in BENCHMARKS, f"write one of {', '.join(BENCHMARKS)}"),
        ("accuracy", number and float(row["accuracy"]) <= 100, "write percent from 0 to 100, as printed"),
        ("decimals", number and row["decimals"] == str(len(number[2] or "")),
         f"write the digits after the point of accuracy {row['accuracy']}"),
        ("n", re.fullmatch(r"[1-9]\d*", row["n"]), "write the number of problems"),
        ("flagged", row["flagged"] in ("true", "false"), "write true or false"),
        ("learning_rate", row["learning_rate"] == "" if base else re.fullmatch(r"\d\.\d+e-\d", row["learning_rate"]),
         "leave it empty" if base else "write a rate like 2.0e-5"),
        ("source", row["source"].strip(), "name the study's section and row"),
    ]
    yield from ((column, remedy) for column, fine, remedy in checks if not fine)


def possible_k(accuracy: float, decimals: int, n: int, rounding: str = "either") -> list[int]:
    """Every k for which k of n, in percent, is printed as `accuracy`: the GRIM test (Brown & Heathers 2017, doi
    10.1177/1948550616673876), exact. Empty = impossible. rounding of ties: half_up, half_even, or either."""
    printed = Fraction(f"{accuracy:.{decimals}f}")
    half = Fraction(1, 2 * 10**decimals)
    low, high = ((printed + sign * half) * n / 100 for sign in (-1, 1))
    even = int(printed * 10**decimals) % 2 == 0
    ends = {"either": (True, True), "half_up": (True, False), "half_even": (even, even)}[rounding]
    return [k for k in range(max(0, math.ceil(low)), min(n, math.floor(high)) + 1)
            if (k != low or ends[0]) and (k != high or ends[1])]


@cache
def can_fail(decimals: int, n: int) -> bool:
    """Whether GRIM could reject any number printed so: some value from 0 to 100% is no k of n."""
    return any(not possible_k(v / 10**decimals, decimals, n) for v in range(100 * 10**decimals + 1))


def grim(table):
    """The GRIM test of a tidy table with printed decimals: student to n, flagged and source as there, and possible (the
    k of n, either rounding), consistent, can_fail, implied (sizes of the full benchmark, k/n, that a failed number
    fits; often there is none)."""
    could = {key: can_fail(*key) for key in set(zip(table["decimals"], table["n"], strict=True))}
    rows = []
    for r in table.itertuples():
        ks = possible_k(r.accuracy, r.decimals, r.n)
        fits = [] if ks else [f"{k}/{n}" for n in SIZES.get(r.benchmark, ())
                              for k in possible_k(r.accuracy, r.decimals, n)]
        rows.append((ks, bool(ks), could[r.decimals, r.n], fits))
    new = dict(zip(("possible", "consistent", "can_fail", "implied"), zip(*rows, strict=True), strict=True))
    return table.drop(columns="learning_rate").assign(**{k: list(v) for k, v in new.items()})


def grim_summary(table):
    """One row a benchmark, n and precision: cells, how many could fail at all, and how many do."""
    groups = grim(table).groupby(["benchmark", "n", "decimals"], sort=False)
    return groups.agg(cells=("accuracy", "size"), can_fail=("can_fail", "sum"),
                      failed=("consistent", lambda c: int((~c).sum()))).reset_index()


if __name__ == "__main__":
    from distill_nb.claims import inconsistencies, load_claims

    print(grim_summary(load_published()).to_string(index=False))
    for r in inconsistencies(load_claims(), load_published()).itertuples():
        print(f"\n{r.id} ({r.section}), {r.verdict}\n  says:    {r.says}\n  numbers: {r.numbers}")
