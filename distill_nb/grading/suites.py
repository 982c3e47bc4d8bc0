"""The tests of a code task, ready for the sandbox: pocket_code's asserts, evalplus's base and plus
inputs, LiveCodeBench's public and private tests.

Running evalplus's canonical solutions takes minutes, so each problem's tests are kept on disk."""

import marshal
import platform
import re
from dataclasses import astuple
from functools import cache, lru_cache

from distill_nb.benchmarks import Task, evalplus_data, livecodebench, livecodebench_tests, sources
from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import FunctionTests, ProgramTests, rules, wire
from distill_nb.runtime import files, paths, provenance

# (tests, how many of them, the first, are base tests, code that runs before the candidate's)
Suite = tuple[FunctionTests | ProgramTests, int, str]
# Time for one call, as by evalplus's defaults: four times what the canonical solution took, but at
# least a second.
SECONDS, FACTOR = 1.0, 4.0


def suite(task: Task) -> Suite:
    """A task's tests. All of pocket_code are base tests; LiveCodeBench's are its public ones.
    Raises ValueError where the task has no tests that can be run."""
    return _livecodebench(task) if task.benchmark == "livecodebench" else _suite(task)


@lru_cache(maxsize=livecodebench.TAKEN)  # one problem's may take some 100 MB
def _livecodebench(task: Task) -> Suite:
    tests, seconds = livecodebench.tests(task), livecodebench_tests.SECONDS
    pairs = (tests.inputs, tests.expected)
    made: FunctionTests | ProgramTests
    if tests.function:
        # as in the official runner, a bare function will do, without the starter code's class
        name = f"Solution().{tests.function} if 'Solution' in globals() else {tests.function}"
        made = sandbox.function_tests(name, *pairs, rule="livecodebench", seconds=seconds)
    else:
        made = sandbox.program_tests(*pairs, seconds=seconds)
    return made, tests.public, livecodebench_tests.PRELUDE


@cache
def _suite(task: Task) -> Suite:
    if task.tests and not task.benchmark:
        tests = sandbox.assert_tests(task.tests)
        return tests, len(tests.inputs), ""
    if task.benchmark not in evalplus_data.SIZES:
        raise ValueError(
            f"{task.task_id}: it has no tests to grade code with; grade_code knows pocket_code, "
            f"{', '.join(evalplus_data.SIZES)}, livecodebench."
        )
    problems = evalplus_data.problems(task.benchmark, task.file or None)
    problem = problems[task.task_id.removeprefix(sources.PART)]
    tests = _cached(task.benchmark, problem)
    # Students often leave out the imports that the prompt has already.
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
        # an earlier version kept larger values
        if max(map(len, tests.expected)) <= wire.LONGEST_FRAME:
            return tests
    except (OSError, ValueError, EOFError, TypeError):
        pass
    tests = _evalplus_tests(benchmark, problem)
    files.write_bytes(file, marshal.dumps(astuple(tests)))
    return tests


def _evalplus_tests(benchmark: str, problem: dict) -> FunctionTests:
    """Base tests, then plus tests, made apart as evalplus settles tolerances within each group.

    A plus input whose value is larger than the sandbox sends back is left out, as no answer could
    pass it: five of Mbpp/255's 109, of up to 1.2 GB."""
    name, dataset = problem["entry_point"], benchmark.removesuffix("_plus")
    rows: list[tuple] = []
    for inputs in (problem["base_input"], problem["plus_input"]):
        if not inputs:  # Mbpp/793 has no plus inputs
            continue
        expected, took = evalplus_data.run_canonical(problem, inputs, name in rules.NOT_NONE)
        seconds = [max(SECONDS, FACTOR * s) for s in took]
        group = sandbox.function_tests(
            name, inputs, expected, atol=problem["atol"], dataset=dataset, seconds=seconds
        )
        columns = (group.inputs, group.expected, group.exact, group.rules, group.atols)
        for row in zip(*columns, group.seconds, strict=True):
            if inputs is problem["base_input"] or len(row[1]) <= wire.LONGEST_FRAME:
                rows.append(row)
    inputs, values, exact, kinds, atols, seconds = zip(*rows, strict=True)
    return FunctionTests(name, inputs, values, exact, kinds, atols, seconds, dataset)
