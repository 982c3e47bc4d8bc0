"""When a value passes: the comparisons of evalplus, of asserts and of LiveCodeBench.

evalplus's rules are those of its release 0.3.1 (https://github.com/evalplus/evalplus,
evalplus/eval/__init__.py and _special_oracle.py), with two differences. That release never counts a
pass of HumanEval/32 (`find_zero`); here a pass counts, as upstream since its pull request #241. And
values within a tolerance must have equal shapes. LiveCodeBench's rules are those of
lcb_runner/evaluation/testing_util.py (https://github.com/LiveCodeBench/LiveCodeBench). Hostile
values are met here, so all runs in the disposable process of compare.py."""

import math
from decimal import Decimal
from typing import Any

RULES = ("evalplus", "equal", "identical", "livecodebench")
FLOAT_TOLERANCE = 1e-6  # absolute; evalplus's for floats where a problem sets none
# MBPP problems whose answer is a list in any order
AS_SETS = frozenset((
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly",
    "larg_nnum", "intersection_array", "find_dissimilar", "Diff",
))  # fmt: skip
# MBPP problems of whose answer only matters whether it is None
NOT_NONE = frozenset(("check_str", "text_match_three", "text_starta_endb"))


def passes(
    rule: str,
    out: object,
    expected: object,
    args: tuple,
    atol: float = 0.0,
    dataset: str = "",
    entry_point: str = "",
) -> bool:
    """Whether a value passes by the named rule. As in evalplus, an exception is a fail."""
    try:
        if rule == "evalplus":
            return evalplus(out, expected, args, atol, dataset, entry_point)
        if rule == "identical":  # assert f(x) is True
            return type(out) is type(expected) and out == expected
        if rule == "livecodebench" and isinstance(out, tuple):
            out = list(out)
        return bool(out == expected)
    except Exception:
        return False


def evalplus(
    out: Any, expected: Any, args: tuple, atol: float, dataset: str, entry_point: str
) -> bool:
    """evalplus's comparison of one value; `atol` is what `tolerances` gives for this input. Raises
    whatever the operations on a hostile value raise."""
    if dataset == "humaneval" and entry_point == "find_zero":
        value = 0.0  # not sum(), which rounds in another way from Python 3.12 on
        for i, c in enumerate(args[0]):
            value += c * math.pow(out, i)
        return bool(abs(value) <= atol)
    same = out == expected
    if dataset == "mbpp":
        if entry_point == "are_equivalent":
            same = True
        elif entry_point == "sum_div":
            same = same or out == 0
        elif entry_point == "surface_Area":
            same = same or abs(out - surface_area(*args)) <= atol
        elif entry_point == "digit_distance_nums":
            same = same or out == digit_distance(*args)
        elif entry_point in AS_SETS:
            same = set(out) == set(expected)
        elif entry_point in NOT_NONE:
            same = out == expected if isinstance(out, bool) else expected == (out is not None)
    if not same and atol != 0:
        import numpy

        # evalplus compares types and lengths, and allclose broadcasts: there [[]] passes for [5.0]
        if type(out) is not type(expected) or numpy.shape(out) != numpy.shape(expected):
            return False
        return bool(numpy.allclose(out, expected, rtol=1e-7, atol=atol))
    return bool(same)


def tolerances(expected: tuple, atol: float) -> list[float]:
    """The absolute tolerance of each input; evalplus sets one from the first floats expected on."""
    found = []
    for value in expected:
        if atol == 0 and is_floats(value):
            atol = FLOAT_TOLERANCE
        found.append(atol)
    return found


def is_floats(value: Any) -> bool:
    """A float, a non-empty list or tuple of floats, or an array of 32- or 64-bit floats."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, float) for item in value)
    if type(value).__module__ == "numpy" and type(value).__name__ == "ndarray":
        return str(value.dtype) in ("float32", "float64")
    return isinstance(value, float)


def surface_area(edge: float, height: float) -> int:
    """Mbpp/581 by its second reading: a square pyramid's rounded area, its height perpendicular."""
    return round(edge**2 + 2 * edge * math.hypot(edge / 2, height))


def digit_distance(a: int, b: int) -> int:
    """Mbpp/558 by its second reading: the sum of the digits' differences, with leading zeros."""
    width = max(len(str(a)), len(str(b)))
    digits = zip(str(a).zfill(width), str(b).zfill(width), strict=True)
    return sum(abs(int(x) - int(y)) for x, y in digits)


def output_passes(out: str, expected: str) -> bool:
    """Whether a program's output passes: as many lines, each equal as text or decimal numbers."""
    out, expected = out.strip(), expected.strip()
    if out.count("\n") != expected.count("\n"):  # before millions of lines are made of it
        return False
    for a, b in zip(out.split("\n"), expected.split("\n"), strict=True):
        if a.strip() != b.strip():
            try:
                if [Decimal(x) for x in a.split()] != [Decimal(x) for x in b.split()]:
                    return False
            except Exception:  # decimal's own for what is no number
                return False
    return True
