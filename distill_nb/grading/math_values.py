"""Two plain answers that are more than digits, compared by Math-Verify with SymPy.

What differs from Math-Verify as it comes: the text is parsed as it stands, without a search for an
answer in it; decimals are exact; numbers are compared by their size, not by six decimals, so that
2^-100 is not 2^-101; and a number too large to compute is not computed."""

import math
import signal
from fractions import Fraction
from types import FrameType
from typing import Any

from distill_nb.grading import math_numbers

LARGEST = 100_000  # digits of a number that is computed


class OutOfTimeError(BaseException):
    """Past what SymPy catches."""


def verdict(gold: str, answer: str, seconds: float) -> str:
    """`equal`, `different`, `timeout`, `too large` or `error: …`. seconds: of processor time, so
    that a busy machine changes no verdict. Runs in a process's main thread."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGPROF, stop)
    try:
        # again and again, in case SymPy swallows the first
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
        try:
            return _verdict(gold, answer)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except OutOfTimeError:
        return "timeout"
    except Exception as error:  # SymPy may fail in any way on an answer without a meaning
        return f"error: {type(error).__name__}: {error}"[:200]
    finally:
        signal.signal(signal.SIGPROF, before)


def _verdict(gold: str, answer: str) -> str:
    import sympy
    from math_verify import grader

    # Math-Verify has no setting for these two
    grader.sympy_numeric_eq = _equal
    grader.sympy_symbolic_eq = _simplify
    sides = [_parse(gold), _parse(answer)]
    if any(isinstance(side, sympy.Basic) and side.has(sympy.nan, sympy.zoo) for side in sides):
        return "different"  # 12:00 is no ratio
    if sides[0] == sides[1]:
        return "equal"
    if any(_size(side) > LARGEST for side in sides):
        return "too large"
    same = grader.verify(*sides, numeric_precision=50, timeout_seconds=None, raise_on_error=True)
    return "equal" if same else "different"


def _parse(plain: str) -> Any:
    from latex2sympy2_extended.latex2sympy2 import NormalizationConfig, normalize_latex
    from math_verify.parser import parse_latex_cached

    # units are not removed here: to Math-Verify the t of 3t is one
    settings = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
    )
    return parse_latex_cached(normalize_latex(plain, settings))


def _size(side: Any) -> float:
    """The digits of the largest number in an expression, about; infinity if they are too many."""
    import sympy

    digits: dict[Any, float] = {}
    if isinstance(side, sympy.MatrixBase):
        side = side.as_immutable()
    for node in sympy.postorder_traversal(side):
        below = [digits.get(a, 0.0) for a in node.args]
        if isinstance(node, sympy.Rational):
            size = max(abs(node.p), node.q).bit_length() * math.log10(2)
        elif isinstance(node, sympy.Pow):
            size = _power(node.exp, below[1]) * max(below[0], 1.0)
            if node.base in (-1, 0, 1):
                size = 1.0
        elif isinstance(
            node, sympy.factorial | sympy.factorial2 | sympy.gamma | sympy.subfactorial
        ):
            top = _power(node.args[0], below[0])
            size = top * math.log10(top + 1)
        elif isinstance(node, sympy.Product):
            top = max(
                (_power(bound[2], digits.get(bound[2], 0.0)) for bound in node.limits), default=1
            )
            size = top * max(max(below, default=0), math.log10(top + 1), 1.0)
        else:
            size = sum(below)
        digits[node] = size
        if size > LARGEST:
            return math.inf
    return max(digits.values(), default=0.0)


def _power(exponent: Any, digits: float) -> float:
    """The absolute value of an exponent, about: 1 for one that is no number."""
    if digits > 7 and exponent.is_number:
        return math.inf
    try:
        return max(1.0, abs(float(exponent.doit()))) if exponent.is_number else 1.0
    except (TypeError, ValueError, OverflowError):
        return 1.0


def _exact(side: Any) -> Any:
    """An expression with fractions for its decimals: 0.1 is 1/10."""
    import sympy

    decimals = side.atoms(sympy.Float)
    return side.xreplace({f: sympy.Rational(str(f)) for f in decimals}) if decimals else side


def _equal(one: Any, other: Any, *settings: object) -> bool:
    """Whether two expressions are the same number, or the same at once; `_simplify` comes next."""
    import sympy

    matrix = (sympy.MatrixBase, sympy.MatrixExpr)
    if isinstance(one, matrix) or isinstance(other, matrix):
        one, other = one.doit(), other.doit()
        if not isinstance(one, sympy.MatrixBase) or not isinstance(other, sympy.MatrixBase):
            return False
        return one.shape == other.shape and all(
            _equal(a, b) or _simplify(a, b) for a, b in zip(one.flat(), other.flat(), strict=True)
        )
    one, other = _exact(one), _exact(other)
    numbers = [_number(one), _number(other)]
    if numbers[0] and numbers[1]:
        return math_numbers.same(numbers[0], numbers[1])
    if not (one.is_number and other.is_number):
        return bool((one - other).expand() == 0)
    for number, value in ((numbers[0], other), (numbers[1], one)):
        if number and math_numbers.has_an_end(number[0]) and value.is_finite and value.is_real:
            # a long decimal for a value that has no end: 904.778684 for 288 pi
            near = Fraction(str(sympy.N(value, 30)))
            if not number[1] and math_numbers.rounds_alike(number[0], near):
                return True
    return bool(one == other) or _alike(
        sympy.N(one - other, 40), sympy.N(one, 40), sympy.N(other, 40)
    )


def _simplify(one: Any, other: Any) -> bool:
    """Whether SymPy finds that two expressions have no difference. It takes long, so that two that
    differ at a point are not given to it."""
    import sympy

    try:
        if isinstance(one, sympy.MatrixBase) or isinstance(other, sympy.MatrixBase):
            return bool(sympy.simplify(one - other).is_zero_matrix)
        one, other = _exact(one), _exact(other)
        symbols = sorted(one.free_symbols | other.free_symbols, key=str)
        point = {s: sympy.Rational(137 + 61 * i, 100) for i, s in enumerate(symbols)}
        sides = [sympy.N(side.subs(point), 40) for side in (one - other, one, other)]
        if all(side.is_finite and side.is_number for side in sides) and not _alike(*sides):
            return False
        return bool(sympy.simplify(one - other).is_zero)
    except Exception:  # no difference can be made of these two
        return False


def _alike(difference: Any, one: Any, other: Any) -> bool:
    """Whether a difference is nothing beside the numbers."""
    size = max(abs(one), abs(other))
    return bool(one.is_finite and other.is_finite and abs(difference) * 10**25 <= size)


def _number(side: Any) -> tuple[Fraction, bool] | None:
    """The fraction that an expression is, and whether it has a percent sign."""
    import sympy

    percent = sympy.UnevaluatedExpr(sympy.Rational(1, 100))
    has_sign = isinstance(side, sympy.Mul) and percent in side.args
    if has_sign:
        side = sympy.Mul(*(a for a in side.args if a != percent))
    value = side.doit()
    return (
        (Fraction(int(value.p), int(value.q)), has_sign)
        if isinstance(value, sympy.Rational)
        else None
    )
