"""Intervals and one-sided tests of a sum and difference of independent shares, by one construction,
so that a p value and the interval beside it never disagree.

One share has Wilson's interval (1927, doi 10.1080/01621459.1927.10502953), the difference of two
Newcombe's method 10 (1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I),
and that of two differences the variances recovered from their intervals (Zou & Donner 2008, doi
10.1002/sim.3095). All three are one formula. A test inverts it: its p is the level at which the
bound reaches the value tested."""

import math
from collections.abc import Sequence
from statistics import NormalDist

Part = tuple[int, float, int]  # (+1 or -1, correct, of n problems)
ONE_SIDED = 0.025  # level of each test: what a 95% interval shows
POWER = 0.8
FAR = 37.0  # standard errors: a p of which is below 1e-299, and taken for 0


def quantile(level: float) -> float:
    """How many standard errors leave a tail of `level`."""
    return NormalDist().inv_cdf(1 - level)


def difference(parts: Sequence[Part]) -> float:
    """The sum of signed shares, a fraction."""
    return sum(sign * k / n for sign, k, n in parts)


def standard_error(parts: Sequence[Part]) -> float:
    """Of the same, a fraction: for sample sizes, not for tests. Two successes and two failures are
    added to each share (Agresti & Coull 1998, doi 10.1080/00031305.1998.10480550), so that 0 of n
    is not certain."""
    shares = [((k + 2) / (n + 4), n) for _, k, n in parts]
    return math.sqrt(sum(p * (1 - p) / n for p, n in shares))


def interval(parts: Sequence[Part], z: float = quantile(ONE_SIDED)) -> tuple[float, float]:
    """The interval of the sum of signed shares at z standard errors, fractions."""
    below = above = 0.0
    for sign, k, n in parts:
        p, stretch = k / n, 1 + z * z / n
        centre = (p + z * z / (2 * n)) / stretch
        half = z / stretch * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        down, up = p - centre + half, centre + half - p
        below += (down if sign > 0 else up) ** 2
        above += (up if sign > 0 else down) ** 2
    d = difference(parts)
    return d - math.sqrt(below), d + math.sqrt(above)


def turned(parts: Sequence[Part]) -> list[Part]:
    """The same with the other sign. A small p is exact only where it is asked for as such: that d
    is v or more is that -d is -v or less."""
    return [(-sign, k, n) for sign, k, n in parts]


def p_at_most(parts: Sequence[Part], value: float) -> float:
    """One-sided p of the hypothesis that the sum of signed shares is `value` (a fraction) or less;
    small where it is shown to be more."""
    from scipy.optimize import brentq

    d = difference(parts)
    if abs(d - value) < 1e-12:
        return 0.5
    end = 0 if d > value else 1

    def off(z: float) -> float:
        return interval(parts, z)[end] - value

    same_side = off(0.0) * off(FAR) > 0  # no interval of any level reaches the value
    p = 0.0 if same_side else math.erfc(brentq(off, 0.0, FAR, xtol=1e-9) / math.sqrt(2)) / 2
    return p if d > value else 1 - p
