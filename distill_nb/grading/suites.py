"""The tests of a code task, ready for the sandbox: pocket_code's asserts, evalplus's base and plus
inputs, LiveCodeBench's public and private tests.

Running evalplus's canonical solutions takes most of a minute of processor time, so each problem's
tests are kept on disk."""

import json
import marshal
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import astuple, fields, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from distill_nb.benchmarks import Task, evalplus_data, livecodebench, livecodebench_tests, sources
from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import FunctionTests, ProgramTests, rules, wire
from distill_nb.runtime import files, paths, provenance
from distill_nb.runtime.devices import cores

Tests = FunctionTests | ProgramTests
# Time for one call, as by evalplus's defaults: four times what the canonical solution took, but at
# least a second.
SECONDS, FACTOR = 1.0, 4.0
MANY = 20  # problems whose tests are not kept yet from which they are made by several processes
FORMAT = b"tests 2\n"  # how the files of tests begin; those of an earlier form are made anew


class Suite(NamedTuple):
    """A task's tests, in groups that run one after the other. The base tests are a group."""

    groups: tuple[Tests, ...]
    base: int  # how many tests, the first, are base tests
    prelude: str = ""  # code that runs before the candidate's
    # of processor time that the benchmark's own solution takes for each group; 0 where unknown
    usual: tuple[float, ...] = (0.0, 0.0)


def suite(task: Task) -> Suite:
    """A task's tests. All of pocket_code are base tests; LiveCodeBench's are its public ones.
    Raises ValueError where the task has no tests that can be run."""
    return _livecodebench(task) if task.benchmark == "livecodebench" else _suite(task)


@lru_cache(maxsize=livecodebench.TAKEN)  # one problem's may take some 100 MB
def _livecodebench(task: Task) -> Suite:
    tests, seconds = livecodebench.tests(task), livecodebench_tests.SECONDS
    pairs = (tests.inputs, tests.expected)
    made: Tests
    if tests.function:
        # as in the official runner, a bare function will do, without the starter code's class
        name = f"Solution().{tests.function} if 'Solution' in globals() else {tests.function}"
        made = sandbox.function_tests(name, *pairs, rule="livecodebench", seconds=seconds)
    else:
        made = sandbox.program_tests(*pairs, seconds=seconds)
    return Suite(_groups(made, tests.public), tests.public, livecodebench_tests.PRELUDE)


def _groups(tests: Tests, base: int) -> tuple[Tests, ...]:
    """The first `base` tests and the others; only those of the two that there are."""

    def part(which: slice) -> Tests:
        columns = {f.name: getattr(tests, f.name) for f in fields(tests)}
        cut: dict[str, Any] = {n: c[which] for n, c in columns.items() if isinstance(c, tuple)}
        return replace(tests, **cut)

    count = len(tests.inputs)
    return (part(slice(base)), part(slice(base, count))) if 0 < base < count else (tests,)


@cache
def _suite(task: Task) -> Suite:
    if task.tests and not task.benchmark:
        tests = sandbox.assert_tests(task.tests)
        return Suite((tests,), len(tests.inputs))
    if task.benchmark not in evalplus_data.SIZES:
        raise ValueError(
            f"{task.task_id}: it has no tests to grade code with; grade_code knows pocket_code, "
            f"{', '.join(evalplus_data.SIZES)}, livecodebench."
        )
    problem = _problem(task)
    groups, usual = _cached(task.benchmark, problem)
    # Students often leave out the imports that the prompt has already.
    imports = re.findall(r"^(?:import|from) .*$", problem["prompt"], re.MULTILINE)
    prelude = "\n".join(imports) if task.benchmark == "humaneval_plus" else ""
    return Suite(groups, len(groups[0].inputs), prelude, usual)


_looked_for: set[Task] = set()


def prepare(tasks: list[Task]) -> None:
    """Make the tests that are not kept yet, on all cores where they are many."""
    for benchmark, file in {
        (t.benchmark, t.file) for t in tasks if t.benchmark in evalplus_data.SIZES
    }:
        chosen = {t for t in tasks if (t.benchmark, t.file) == (benchmark, file)} - _looked_for
        _looked_for.update(chosen)
        lacking = sorted(t.task_id for t in chosen if not _is_kept(_file(_problem(t))))
        if len(lacking) >= MANY and cores() > 1:
            _make(benchmark, file, lacking)


def _make(benchmark: str, file: str, ids: list[str]) -> None:
    """Make the tests of these problems by a process a core. Each takes the next problem that none
    has taken, as a few problems take most of the time."""
    line = [sys.executable, "-c", "from distill_nb.grading import suites; suites.make_asked()"]
    made: list[subprocess.Popen] = []
    with tempfile.TemporaryDirectory() as taken:
        words = json.dumps([benchmark, file, ids, taken]).encode()
        try:
            for _ in range(cores()):
                process = subprocess.Popen(
                    line,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    env=paths.child_environment(),
                )
                made.append(process)
                assert process.stdin
                process.stdin.write(words)
                process.stdin.close()
            for process in made:  # what one of them fails at is made here later, or says why
                process.wait()
        finally:
            for process in made:
                process.kill()
                process.wait()


def make_asked() -> None:
    """Make those of the tests that `_make` asks for which no other process has taken."""
    benchmark, file, ids, taken = json.load(sys.stdin)
    problems = evalplus_data.problems(benchmark, file or None)
    for number, task_id in enumerate(ids):
        try:
            os.close(os.open(f"{taken}/{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
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


def _is_kept(file: Path) -> bool:
    """Whether the file holds tests in today's form."""
    try:
        with file.open("rb") as kept:
            return kept.read(len(FORMAT)) == FORMAT
    except OSError:
        return False


def _cached(benchmark: str, problem: dict) -> tuple[tuple[FunctionTests, ...], tuple[float, ...]]:
    """(groups, usual) of a Suite, from disk where they are there."""
    file = _file(problem)
    if _is_kept(file):
        try:
            rows, usual = marshal.loads(file.read_bytes()[len(FORMAT) :])
            groups = tuple(FunctionTests(*row) for row in rows)
            if all(len(value) <= wire.LONGEST_FRAME for g in groups for value in g.expected):
                return groups, usual
        except (OSError, ValueError, EOFError, TypeError):
            pass
    groups, usual = _evalplus_tests(benchmark, problem)
    kept = marshal.dumps(([astuple(group) for group in groups], usual))
    files.write_bytes(file, FORMAT + kept)
    return groups, usual


def _evalplus_tests(
    benchmark: str, problem: dict
) -> tuple[tuple[FunctionTests, ...], tuple[float, ...]]:
    """Base tests, then plus tests, as evalplus settles tolerances within each group; and the
    processor time that the canonical solution took for each.

    A plus input whose value is larger than the sandbox sends back is left out, as no answer could
    pass it: five of Mbpp/255's 109, of up to 1.2 GB."""
    name, dataset = problem["entry_point"], benchmark.removesuffix("_plus")
    groups, usual = [], []
    for inputs in (problem["base_input"], problem["plus_input"]):
        if not inputs:  # Mbpp/793 has no plus inputs
            continue
        expected, took = evalplus_data.run_canonical(problem, inputs, name in rules.NOT_NONE)
        groups.append(
            sandbox.function_tests(
                name,
                inputs,
                expected,
                atol=problem["atol"],
                dataset=dataset,
                seconds=[max(SECONDS, FACTOR * s) for s in took],
                longest=wire.LONGEST_FRAME,
            )
        )
        usual.append(sum(took))
    return tuple(groups), tuple(usual)
