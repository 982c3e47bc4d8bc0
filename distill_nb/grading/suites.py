"""The tests of a code task, ready for the sandbox: pocket_code's asserts, evalplus's base and plus
inputs, LiveCodeBench's public and private tests.

Running evalplus's canonical solutions takes a minute, so each problem's tests are kept on disk."""

import itertools
import json
import marshal
import platform
import re
import subprocess
import sys
from dataclasses import astuple
from functools import cache, lru_cache
from pathlib import Path

from distill_nb.benchmarks import Task, evalplus_data, livecodebench, livecodebench_tests, sources
from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import FunctionTests, ProgramTests, codec, rules, wire
from distill_nb.runtime import files, paths, provenance
from distill_nb.runtime.devices import cores

# (tests, how many of them, the first, are base tests, code that runs before the candidate's)
Suite = tuple[FunctionTests | ProgramTests, int, str]
# Time for one call, as by evalplus's defaults: four times what the canonical solution took, but at
# least a second.
SECONDS, FACTOR = 1.0, 4.0
MANY = 20  # problems whose tests are not kept yet from which they are made by several processes


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
    problem = _problem(task)
    tests = _cached(task.benchmark, problem)
    # Students often leave out the imports that the prompt has already.
    imports = re.findall(r"^(?:import|from) .*$", problem["prompt"], re.MULTILINE)
    prelude = "\n".join(imports) if task.benchmark == "humaneval_plus" else ""
    return tests, len(problem["base_input"]), prelude


_looked_for: set[Task] = set()


def prepare(tasks: list[Task]) -> None:
    """Make the tests that are not kept yet, on all cores where they are many."""
    for benchmark, file in {
        (t.benchmark, t.file) for t in tasks if t.benchmark in evalplus_data.SIZES
    }:
        chosen = {t for t in tasks if (t.benchmark, t.file) == (benchmark, file)} - _looked_for
        _looked_for.update(chosen)
        lacking = sorted(t.task_id for t in chosen if not _file(_problem(t)).exists())
        if len(lacking) < MANY or cores() == 1:
            continue
        asked = [json.dumps([benchmark, file, lacking[i :: cores()]]) for i in range(cores())]
        line = [sys.executable, "-c", "from distill_nb.grading import suites; suites.make_asked()"]
        made = []
        try:
            for words in asked:
                process = subprocess.Popen(
                    line,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    env=paths.child_environment(),
                )
                made.append(process)
                assert process.stdin
                process.stdin.write(words.encode())
                process.stdin.close()
            for process in made:  # what one of them fails at is made here later, or says why
                process.wait()
        finally:
            for process in made:
                process.kill()


def make_asked() -> None:
    """Make the tests of one benchmark's problems that `prepare` asks a process for."""
    benchmark, file, ids = json.load(sys.stdin)
    problems = evalplus_data.problems(benchmark, file or None)
    for task_id in ids:
        _cached(benchmark, problems[task_id.removeprefix(sources.PART)])


def _problem(task: Task) -> dict:
    problems = evalplus_data.problems(task.benchmark, task.file or None)
    return problems[task.task_id.removeprefix(sources.PART)]


def _file(problem: dict) -> Path:
    """Where a problem's tests are kept. They hold limits of processor time."""
    key = provenance.sha256_of_json(
        [
            {k: repr(v) for k, v in problem.items()},
            platform.python_version(),
            SECONDS,
            FACTOR,
            "cpu",
        ]
    )
    return paths.cache() / "evalplus" / f"{problem['task_id'].replace('/', '_')}-{key[:16]}.bin"


def _cached(benchmark: str, problem: dict) -> FunctionTests:
    file = _file(problem)
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
        kept = [inputs is problem["base_input"] or _fits(value) for value in expected]
        for i, keep in enumerate(kept):
            if not keep:  # something that sets the same tolerance
                expected[i] = 0.0 if rules.is_floats(expected[i]) else None
        group = sandbox.function_tests(
            name, inputs, expected, atol=problem["atol"], dataset=dataset, seconds=seconds
        )
        columns = (group.inputs, group.expected, group.exact, group.rules, group.atols)
        rows += itertools.compress(zip(*columns, group.seconds, strict=True), kept)
    inputs, values, exact, kinds, atols, seconds = zip(*rows, strict=True)
    return FunctionTests(name, inputs, values, exact, kinds, atols, seconds, dataset)


def _fits(value: object) -> bool:
    """Whether the sandbox can send the value back."""
    try:
        codec.encode(value, longest=wire.LONGEST_FRAME)
    except codec.TooLong:
        return False
    return True
