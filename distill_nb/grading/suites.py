"""The tests of a code task, ready for the sandbox: pocket_code's asserts, evalplus's base and plus
inputs, LiveCodeBench's public and private tests.

What evalplus's canonical solutions return takes minutes to compute, so each problem's tests are
kept in the cache folder, under a hash of the problem."""

from __future__ import annotations

import marshal
import platform
import re
from dataclasses import astuple
from functools import cache, lru_cache

from distill_nb.benchmarks import Task, evalplus_data, livecodebench, livecodebench_tests, sources
from distill_nb.grading.sandbox import (
    FunctionTests,
    ProgramTests,
    assert_tests,
    function_tests,
    program_tests,
    wire,
)
from distill_nb.runtime import files, paths, provenance

# Time for one call, as evalplus's defaults have it: at least a second, and four times what the
# canonical solution took.
SECONDS, FACTOR = 1.0, 4.0


def suite(task: Task) -> tuple[FunctionTests | ProgramTests, int, str]:
    """(tests, how many of them are the benchmark's base tests, code that runs before the
    candidate's).

    All tests of pocket_code are base tests; LiveCodeBench's are its public ones. Raises ValueError
    where the task has no tests that can be run."""
    return _livecodebench(task) if task.benchmark == "livecodebench" else _suite(task)


@lru_cache(maxsize=livecodebench.TAKEN)  # of a problem they may be some 100 MB
def _livecodebench(task: Task) -> tuple[FunctionTests | ProgramTests, int, str]:
    tests, seconds, prelude = (
        livecodebench.tests(task),
        livecodebench_tests.SECONDS,
        livecodebench_tests.PRELUDE,
    )
    if not tests.function:
        return program_tests(tests.inputs, tests.expected, seconds=seconds), tests.public, prelude
    # The official runner takes a bare function as well, where the class of the starter code was
    # left out.
    entry_point = f"Solution().{tests.function} if 'Solution' in globals() else {tests.function}"
    made = function_tests(
        entry_point, tests.inputs, tests.expected, rule="livecodebench", seconds=seconds
    )
    return made, tests.public, prelude


@cache
def _suite(task: Task) -> tuple[FunctionTests, int, str]:
    if task.tests and not task.benchmark:
        tests = assert_tests(task.tests)
        return tests, len(tests.inputs), ""
    if task.benchmark not in evalplus_data.SIZES:
        raise ValueError(
            f"{task.task_id}: it has no tests to grade code with; grade_code knows pocket_code, "
            f"{', '.join(evalplus_data.SIZES)}, livecodebench."
        )
    problem = evalplus_data.problems(task.benchmark, task.file or None)[
        task.task_id.removeprefix(sources.PART)
    ]
    tests = _cached(task.benchmark, problem)
    # Students often leave out the imports that the prompt has made already.
    imports = re.findall(r"^(?:import|from) .*$", problem["prompt"], re.MULTILINE)
    prelude = "\n".join(imports) if task.benchmark == "humaneval_plus" else ""
    return tests, len(problem["base_input"]), prelude


def _cached(benchmark: str, problem: dict) -> FunctionTests:
    key = provenance.sha256_of_json(
        [{k: repr(v) for k, v in problem.items()}, platform.python_version(), SECONDS, FACTOR]
    )
    file = paths.cache() / "evalplus" / f"{problem['task_id'].replace('/', '_')}-{key[:16]}.bin"
    try:
        tests = FunctionTests(*marshal.loads(file.read_bytes()))
        if (
            max(map(len, tests.expected)) <= wire.LONGEST_FRAME
        ):  # an earlier version kept the others
            return tests
    except (OSError, ValueError, EOFError, TypeError):
        pass
    tests = _evalplus_tests(benchmark, problem)
    files.write_bytes(file, marshal.dumps(astuple(tests)))
    return tests


def _evalplus_tests(benchmark: str, problem: dict) -> FunctionTests:
    """Base tests, then plus tests. evalplus settles tolerances in each group by itself, so they are
    made apart.

    A plus input whose value is larger than the sandbox sends back is left out, as no answer could
    pass it: of all there are these are five of Mbpp/255's 109, of up to 1.2 GB."""
    not_none = problem["entry_point"] in evalplus_data.NOT_NONE
    groups = []
    for inputs in filter(
        None, (problem["base_input"], problem["plus_input"])
    ):  # Mbpp/793 has no plus inputs
        expected, seconds = evalplus_data.run_canonical(problem, inputs, not_none)
        groups.append(
            function_tests(
                problem["entry_point"],
                inputs,
                expected,
                atol=problem["atol"],
                dataset={"humaneval_plus": "humaneval", "mbpp_plus": "mbpp"}[benchmark],
                seconds=[max(SECONDS, FACTOR * s) for s in seconds],
            )
        )
    kept = [
        [
            i
            for i, value in enumerate(g.expected)
            if g is groups[0] or len(value) <= wire.LONGEST_FRAME
        ]
        for g in groups
    ]
    joined = (
        tuple(getattr(g, field)[i] for g, places in zip(groups, kept, strict=True) for i in places)
        for field in ("inputs", "expected", "exact", "rules", "atols", "seconds")
    )
    return FunctionTests(groups[0].entry_point, *joined, groups[0].dataset)
