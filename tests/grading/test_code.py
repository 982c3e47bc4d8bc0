"""Code answers: extraction, the benchmarks' own tests, the sandbox behind them."""

import json
import sys

import pytest
from helpers import tiny

from distill_nb.benchmarks import Task, loading
from distill_nb.evaluation import evaluate, regrade
from distill_nb.grading import code, sandbox, suites
from distill_nb.grading.graders import grade_code, grade_code_all
from distill_nb.grading.sandbox import codec
from distill_nb.runtime import paths
from distill_nb.students import student
from distill_nb.training import train

FILES = {"humaneval_plus": "HumanEvalPlus.jsonl.gz", "mbpp_plus": "MbppPlus.jsonl.gz"}


def block(text):
    return f"```python\n{text}\n```"


@pytest.fixture(autouse=True)
def _needs_a_sandbox():
    if all(map(sandbox.why_unavailable, sandbox.LEVELS[:2])):
        reasons = map(sandbox.why_unavailable, sandbox.LEVELS[:2])
        pytest.skip(f"no sandbox works here: {'; '.join(reasons)}")


def test_pocket_code_by_its_public_function():
    good = grade_code(
        "pocket_code", "pocket_code/is_even", block("def is_even(n):\n    return n % 2 == 0")
    )
    assert (good.outcome, good.second_outcome) == ("correct", "correct")
    assert good.sandbox_level == code.level() in ("bubblewrap", "landlock")
    assert good.sandbox_packages.startswith("numpy ") and ", sympy " in good.sandbox_packages
    for body in ("1 - n % 2", "True", "n"):  # 1 and 0 are not True and False
        assert (
            grade_code(
                "pocket_code", "pocket_code/is_even", block(f"def is_even(n): return {body}")
            ).outcome
            == "wrong"
        )
    assert grade_code("pocket_code", "pocket_code/is_even", "").outcome == "no_answer"
    assert (
        grade_code("pocket_code", "pocket_code/is_even", "```python\ndef is", "length").outcome
        == "truncated"
    )
    with pytest.raises(ValueError, match="has no 'pocket_code/none'"):
        grade_code("pocket_code", "pocket_code/none", "")


def test_the_lenient_reading_takes_code_outside_a_complete_block():
    text = "def add(a, b):\n    return a + b"
    for answer in (text, f"```python\n{text}", f"```python\n{text}```\nIt adds them."):
        g = grade_code("pocket_code", "pocket_code/add", answer)
        assert g.outcome != "correct" and g.lenient_outcome == "correct", answer


def test_a_batch_keeps_its_order_and_runs_equal_code_once():
    right, wrong = block("def add(a, b): return a + b"), block("def add(a, b): return a - b")
    slow = block("def add(a, b):\n    while True: pass")
    grades = grade_code_all("pocket_code", ["pocket_code/add"] * 5, [right, wrong, right, slow, ""])
    assert [g.outcome for g in grades] == ["correct", "wrong", "correct", "timeout", "no_answer"]


def test_without_a_sandbox_nothing_is_generated(runs_dir, monkeypatch):
    p = tiny(benchmarks=["pocket_code"])
    train.train(p)
    code._pool.cache_clear()
    monkeypatch.setattr(
        sandbox.pool,
        "why_unavailable",
        lambda level: "it is not here" if level != "process" else "",
    )
    monkeypatch.setattr(
        student, "load_for_generation", lambda *_: pytest.fail("a student was loaded")
    )
    with pytest.raises(RuntimeError, match=r"Install bubblewrap.*allow_unsafe"):
        evaluate.evaluate(p)
    assert code.level(allow_unsafe=True) == "process"
    code._pool.cache_clear()


def test_regrading_needs_no_model_and_shows_what_changed(runs_dir, monkeypatch, caplog):
    caplog.set_level("INFO", "distill_nb")
    p = tiny(benchmark_limit=2)
    train.train(p)
    evaluate.evaluate(p)
    file = paths.records_file(p, 2, "pocket_code")
    first, second = (json.loads(x) for x in file.read_text().splitlines())
    solution = loading.load("pocket_code")
    task = next(t for t in solution if t.task_id == first["task_id"])
    name = task.prompt.split("`")[1]
    broken = first | {
        "completion": block(f"def {name}:\n    return None"),
        "outcome": "correct",
        "grader": "0",
    }
    failed = second | {"outcome": "sampling_error"}
    file.write_text(json.dumps(broken) + "\n" + json.dumps(failed) + "\n")
    monkeypatch.setattr(
        student, "load_for_generation", lambda *_: pytest.fail("a student was loaded")
    )
    record = evaluate.evaluate(tiny(benchmark_limit=2, regrade=True))
    (change,) = record["regraded"]
    assert (change["task_id"], change["outcome_before"], change["outcome"]) == (
        first["task_id"],
        "correct",
        "wrong",
    )
    assert change["grader_before"] == "0" and change["step"] == 2
    one, two = (json.loads(x) for x in file.read_text().splitlines())
    assert (
        one["outcome"] == "wrong"
        and one["grader"] != "0"
        and two == failed | {"grader": one["grader"]}
    )
    assert len(regrade.changes_table(record)) == 1 and "1 records changed" in caplog.text


@pytest.fixture
def real(data_dir):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    return {name: str(data_dir / "evalplus" / file) for name, file in FILES.items()}


@pytest.mark.parametrize("name", FILES)
def test_canonical_solutions_pass_and_nothing_else_does(name, real):
    from distill_nb.benchmarks.evalplus_data import problems

    every = problems(name, real[name])
    chosen = dict(list(every.items())[20:40])  # HumanEval/32 is among them
    if name == "mbpp_plus":
        chosen["Mbpp/793"] = every["Mbpp/793"]  # it has no plus inputs
    solutions = [block(p["prompt"] + p["canonical_solution"]) for p in chosen.values()]
    grades = grade_code_all(name, list(chosen), solutions, file=real[name])
    wrong = {i: g.detail for i, g in zip(chosen, grades, strict=True) if g.outcome != "correct"}
    if sys.version_info >= (3, 12):  # docs/evaluation.md: its sums are rounded in another way
        wrong.pop("HumanEval/32", None)
    assert wrong == {}
    assert {g.second_outcome for g in grades} == {"correct"}
    empty = grade_code_all(
        name,
        list(chosen),
        [block(f"def {p['entry_point']}(*a): return None") for p in chosen.values()],
        file=real[name],
    )
    assert {g.outcome for g in empty} == {"wrong"}
    assert {
        g.outcome for g in grade_code_all(name, list(chosen), [""] * len(chosen), file=real[name])
    } == {"no_answer"}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("humaneval", "meta-llama--Meta-Llama-3-8B-Instruct"),
        ("mbpp", "mistralai--Mistral-7B-Instruct-v0.2"),
    ],
)
def test_verdicts_are_those_that_evalplus_recorded(name, model, real, data_dir):
    recorded = json.loads((data_dir / "graded" / "evalplus" / f"{name}__{model}.json").read_text())[
        "eval"
    ]
    # evalplus fails all answers to it
    rows = {i: r[0] for i, r in list(recorded.items())[:40] if i != "HumanEval/32"}
    benchmark = f"{name}_plus"
    grades = grade_code_all(
        benchmark, list(rows), [block(r["solution"]) for r in rows.values()], file=real[benchmark]
    )
    differing = {}
    for (task_id, r), g in zip(rows.items(), grades, strict=True):
        base, both = r["base_status"] == "pass", r["base_status"] == r["plus_status"] == "pass"
        if (g.second_outcome == "correct", g.outcome == "correct") != (base, both):
            differing[task_id] = (
                r["base_status"],
                r["plus_status"],
                g.second_outcome,
                g.outcome,
                g.detail,
            )
    assert differing == {}


def test_an_input_whose_value_no_answer_could_send_back_is_left_out(monkeypatch, tmp_path):
    problem = {
        "task_id": "Mbpp/0",
        "prompt": "",
        "entry_point": "f",
        "canonical_solution": "def f(n):\n    return 'x' * n",
        "base_input": [[1], [2]],
        "plus_input": [[3], [500], [4]],
        "atol": 0,
    }
    monkeypatch.setattr(paths, "cache", lambda: tmp_path)
    (base, plus), usual = suites._cached("mbpp_plus", problem)
    assert (len(base.inputs), len(plus.inputs), len(usual)) == (2, 3, 2)
    assert suites._cached("mbpp_plus", problem) == ((base, plus), usual)
    monkeypatch.setattr(suites.wire, "LONGEST_FRAME", 100)
    (same, made), usual = suites._cached("mbpp_plus", problem)  # what lies there is made anew
    assert same.expected == base.expected
    assert made.inputs == plus.inputs[::2] and made.expected == plus.expected[::2]
    assert len(made.seconds) == len(made.atols) == 2
    assert suites._cached("mbpp_plus", problem) == ((same, made), usual)
    (file,) = (tmp_path / "evalplus").iterdir()
    file.write_bytes(b"of an earlier form")
    assert suites._cached("mbpp_plus", problem)[0] == (same, made)


def test_further_tests_run_after_all_base_tests_and_only_where_these_pass(monkeypatch):
    """So no answer can tell another whether a value that both must give was right."""
    groups = {"a": ([1, 2], [3, 4, 5]), "b": ([1], [2]), "c": ([7, 8], [])}
    tasks = {name: Task(name, "", "code", tests="-", entry_point="f") for name in groups}

    def suite(task):
        made = [sandbox.function_tests("f", [[x] for x in g], g) for g in groups[task.task_id] if g]
        usual = (0.0, 0.0) if task.task_id == "c" else (0.1, 0.2 if task.task_id == "a" else 9.0)
        return suites.Suite(tuple(made), len(made[0].inputs), usual=usual)

    ran = []

    def run(jobs, *_):
        ran.append([(job.code.split()[-1], len(job.tests.inputs)) for job in jobs])
        return real_run(jobs, *_)

    real_run = code.run
    monkeypatch.setattr(code, "suite", suite)
    monkeypatch.setattr(code, "run", run)
    right, wrong = "def f(x): return x", "def f(x): return 0"
    late = "def f(x): return x if x < 4 else 0"
    asked = [("a", right), ("a", wrong), ("a", late), ("b", right), ("c", right), ("c", wrong)]
    grades = code.grade_many(
        [tasks[name] for name, _ in asked], [block(text) for _, text in asked], ["stop"] * 6
    )
    assert [(g.outcome, g.second_outcome) for g in grades] == [
        ("correct", "correct"),
        ("wrong", "wrong"),
        ("wrong", "correct"),
        ("correct", "correct"),
        ("correct", "correct"),
        ("wrong", "wrong"),
    ]
    assert grades[2].detail == "after the base tests, input 1: another value than expected"
    # the longest first; of the further tests those of "b"
    assert ran[:2] == [
        [("x", 2), ("0", 2), ("0", 2), ("x", 1), ("x", 2), ("0", 2)],
        [("x", 1), ("x", 3), ("0", 3)],
    ]


def test_base_and_further_tests_are_parts_of_the_same_tests():
    tests = sandbox.program_tests(["1", "2", "3"], ["a", "b", "c"], seconds=2.0)
    base, further = suites._groups(tests, 1)
    assert base == sandbox.program_tests(["1"], ["a"], seconds=2.0)
    assert further == sandbox.program_tests(["2", "3"], ["b", "c"], seconds=2.0)
    assert suites._groups(tests, 0) == suites._groups(tests, 3) == (tests,)
    tests = sandbox.function_tests("f", [[1], [2]], [1.0, 2], rule=["equal", "identical"])
    base, further = suites._groups(tests, 1)
    assert (base.expected + further.expected, base.rules) == (tests.expected, ("equal",))
    assert base.atols + further.atols == tests.atols == (1e-6, 1e-6)


def test_several_processes_make_the_tests_of_many_problems(monkeypatch, tmp_path):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    rows = [
        {
            "task_id": f"HumanEval/{i}",
            "prompt": "def f(n):\n",
            "entry_point": "f",
            "canonical_solution": f"    return n + {i}",
            "base_input": [[0]],
            "plus_input": [[1], [2]],
            "atol": 0,
        }
        for i in range(5)
    ]
    file = tmp_path / "plus.part.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path))
    monkeypatch.setattr(suites, "MANY", 5)
    monkeypatch.setattr(suites, "cores", lambda: 2)
    tasks = loading.load("humaneval_plus", str(file))
    suites.prepare(tasks)
    monkeypatch.setattr(suites, "_evalplus_tests", lambda *_: pytest.fail("made once more"))
    for i, task in enumerate(tasks):
        (base, plus), usual = suites._cached("humaneval_plus", suites._problem(task))
        assert [codec.decode(value) for value in base.expected + plus.expected] == [i, i + 1, i + 2]
        assert len(usual) == 2 and min(usual) > 0
