"""A job for the sandbox and its result: code, the tests it is run with, what came of it.

Tests are encoded once for all candidates. Only inputs travel, never the expected values."""

import ast
import marshal
import math
from dataclasses import dataclass

from distill_nb.grading.sandbox import codec, rules

# functions for which equality is not the rule
SPECIAL = {"humaneval": frozenset(("find_zero",)), "mbpp": rules.AS_SETS | rules.NOT_NONE}


@dataclass(frozen=True)
class FunctionTests:
    """Calls of one function, and what they should return. Made by function_tests, assert_tests."""

    entry_point: str  # an expression in the candidate's namespace: "f", "Solution().f"
    inputs: tuple[bytes, ...]  # arguments of each call, by marshal: only ever read from the grader
    expected: tuple[bytes, ...]  # by the codec
    # whether equal bytes mean equal values: not so for NaN, arrays and the special cases
    exact: tuple[bool, ...]
    rules: tuple[str, ...]  # one of rules.RULES for each call
    atols: tuple[float, ...]
    seconds: tuple[float, ...]  # of processor time for each call
    dataset: str  # humaneval, mbpp or ""


@dataclass(frozen=True)
class ProgramTests:
    """Runs of a program: what it reads, and what it should write. Made by program_tests."""

    inputs: tuple[bytes, ...]
    expected: tuple[str, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Job:
    """A candidate and its tests. prelude: the benchmark's own code (imports), run first in the same
    namespace. stop_early: the first test that fails ends the run."""

    code: str
    tests: FunctionTests | ProgramTests
    prelude: str = ""
    stop_early: bool = True


@dataclass(frozen=True)
class Result:
    """What came of a job.

    outcome: correct (every test passed), wrong (a value, an exception, a crash, an early exit, too
    much output), timeout (see Pool) or grader_error (the sandbox itself failed twice). tests: for
    each test correct, wrong, timeout or not_run."""

    outcome: str
    detail: str = ""  # why, for a reader; may quote the candidate's own words
    tests: tuple[str, ...] = ()
    level: str = ""  # bubblewrap, landlock or process
    seconds: float = 0.0  # of processor time that the candidate took
    # late, asleep, starved or killed (run._doubtful): neighbours may be why; "" of a Pool
    doubtful: str = ""


def function_tests(
    entry_point: str,
    inputs: list,
    expected: list,
    *,
    atol: float = 0.0,
    dataset: str = "",
    rule: str | list[str] = "evalplus",
    seconds: float | list[float] = 1.0,
    longest: float = math.inf,
) -> FunctionTests:
    """Tests of a function: `inputs` is a list of argument lists, `expected` a list of values.

    atol: absolute, as evalplus uses it. dataset: humaneval or mbpp, for evalplus's special cases.
    rule: one of rules.RULES, or a list. seconds: of processor time for each call, or a list.
    longest: inputs whose expected value has more bytes are left out. Raises ValueError for no
    inputs, other lengths, inputs not of built-in types, or too deep values."""
    n = len(inputs)
    kinds = [rule] * n if isinstance(rule, str) else list(rule)
    limits = [seconds] * n if isinstance(seconds, (int, float)) else list(seconds)
    if not n == len(expected) == len(kinds) == len(limits):
        raise ValueError(
            f"{entry_point}: give as many expected values, rules and seconds as inputs ({n})."
        )
    if unknown := sorted(set(kinds) - set(rules.RULES)):
        raise ValueError(
            f"{entry_point}: no rule {unknown[0]}; there are {', '.join(rules.RULES)}."
        )
    try:
        arguments = tuple(marshal.dumps(tuple(args), 2) for args in inputs)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{entry_point}: inputs must be lists of arguments of built-in types ({error})."
        ) from error
    special = entry_point in SPECIAL.get(dataset, ())
    atols = rules.tolerances(tuple(expected), atol)
    encoded = [_encoded(value, longest) for value in expected]
    kept = [i for i, value in enumerate(encoded) if value is not None]
    if not kept:
        raise ValueError(f"{entry_point}: there are no inputs, and nothing passes no tests.")
    return FunctionTests(
        entry_point,
        tuple(arguments[i] for i in kept),
        tuple(value for value in encoded if value is not None),
        tuple(not special and _plain(expected[i]) for i in kept),
        tuple(kinds[i] for i in kept),
        tuple(atols[i] for i in kept),
        tuple(float(limits[i]) for i in kept),
        dataset,
    )


def _encoded(value: object, longest: float) -> bytes | None:
    """A value's bytes, None where there are more than `longest`."""
    try:
        return codec.encode(value, longest=longest)
    except codec.TooLong:
        return None


def _plain(value: object) -> bool:
    """Whether the value equals every value that is encoded the same."""
    if isinstance(value, (list, tuple)):
        return type(value) in (list, tuple) and all(map(_plain, value))
    if isinstance(value, dict):
        return type(value) is dict and all(map(_plain, value)) and all(map(_plain, value.values()))
    if type(value) is float:
        return value == value
    return value is None or type(value) in (bool, int, str, bytes)


def program_tests(inputs: list[str], expected: list[str], *, seconds: float = 6.0) -> ProgramTests:
    """Tests of a program that reads standard input, each in a process of its own with `seconds` of
    processor time. Raises ValueError without inputs or for different lengths."""
    if len(inputs) != len(expected):
        raise ValueError(
            f"program tests: {len(inputs)} inputs but {len(expected)} expected outputs."
        )
    if not inputs:
        raise ValueError("program tests: there are no inputs, and nothing passes no tests.")
    return ProgramTests(
        tuple(text.encode("utf-8", "surrogateescape") for text in inputs),
        tuple(expected),
        (float(seconds),) * len(inputs),
    )


def assert_tests(text: str) -> FunctionTests:
    """The tests that a list of asserts stands for, so that their expected values stay with the
    grader too: run as code, an assert would hand its expected value to the candidate.

    Each must be `assert f(literals) == literal`, or `is` with True, False or None, and all call the
    same function. Raises ValueError for any other form."""
    names, inputs, expected, kinds = set(), [], [], []
    for statement in ast.parse(text).body:
        try:
            if not isinstance(statement, ast.Assert) or not isinstance(statement.test, ast.Compare):
                raise ValueError
            (operator,), (right,) = statement.test.ops, statement.test.comparators
            call, literal = statement.test.left, right
            if not isinstance(call, ast.Call):
                call, literal = right, statement.test.left
            value = ast.literal_eval(literal)
            identical = isinstance(operator, ast.Is) and (value is None or isinstance(value, bool))
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                raise ValueError
            if call.keywords or not (identical or isinstance(operator, ast.Eq)):
                raise ValueError
            names.add(call.func.id)
            inputs.append([ast.literal_eval(argument) for argument in call.args])
        except (ValueError, TypeError, SyntaxError) as error:
            raise ValueError(
                f"tests: `{ast.unparse(statement)[:100]}` is not of the form `assert f(1, 2) == 3` "
                "or `assert f(1, 2) is True`; write it so."
            ) from error
        expected.append(value)
        kinds.append("identical" if identical else "equal")
    if len(names) != 1:
        raise ValueError(
            f"tests: the asserts must call one function, and they call {sorted(names) or 'none'}."
        )
    return function_tests(names.pop(), inputs, expected, rule=kinds)
