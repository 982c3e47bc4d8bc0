"""A benchmark of one's own, loaded by its path: the docs' example, graders, what is refused."""

import json
import re

import pytest
from helpers import tiny

from distill_nb import params
from distill_nb.benchmarks import loading
from distill_nb.evaluation import evaluate
from distill_nb.grading.graders import grade
from distill_nb.runtime import jsonl, paths
from distill_nb.runtime.provenance import read, sha256_of_file
from distill_nb.traces import params as trace_params
from distill_nb.traces.decontamination import evaluation_sets

ROWS = [
    {"id": "a", "problem": "What is 2 + 3?", "answer": "5"},
    {"id": "b", "problem": "What is 7 + 4?", "answer": "11"},
]
PROMPT = "def prompt(row):\n    return row['problem']\n"
LOAD = f"def load(file):\n    return {ROWS!r}\n"


def example():
    """The file that docs/benchmarks.md shows as sums.py."""
    text = (paths.ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    return re.search(r"`sums.py`.*?```python\n(.*?)```", text, re.DOTALL)[1]


@pytest.fixture
def sums(tmp_path):
    """The example of the docs and its data."""
    (tmp_path / "sums.py").write_text(example())
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def test_the_example_is_evaluated_as_any_benchmark(sums, runs_dir):
    file, data = str(sums / "sums.py"), str(sums / "sums.jsonl")
    p = tiny(
        benchmarks=[file, "pocket_math"], benchmark_files={"sums": data}, benchmark_limit=2,
        teacher="none", domain="none", dataset="none", max_steps=0, n_examples=0, n_heldout=0,
    )  # fmt: skip
    record = evaluate.evaluate(p)
    found = jsonl.read(paths.records_file(p, 0, "sums"))
    assert [r["task_id"] for r in found] == ["a", "b"] and record["finished"]
    assert {r["benchmark"] for r in found} == {"sums"}
    about = read(paths.run_dir(p) / "provenance_eval.json", "")["benchmarks"]["sums"]
    assert about["module"] == file and about["label"] == "all 2"
    names = ("sums.py", "sums.jsonl")
    assert about["sha256"] == {name: sha256_of_file(sums / name) for name in names}
    tasks = evaluate.tasks_of(p)
    assert tasks["sums", "a"].prompt == "What is 2 + 3?\n\nPut the final answer in \\boxed{}."
    assert grade(tasks["sums", "a"], r"\boxed{5}").outcome == "correct"
    (sums / "sums.py").write_text(example().replace("{BOXED}", "{BOXED} Please."))
    with pytest.raises(ValueError, match=r"other values of .*sums.*overwrite: true"):
        evaluate.evaluate(p)


def test_a_working_folder_is_looked_into_and_the_name_is_the_files(sums, monkeypatch):
    monkeypatch.chdir(sums)
    p = params.pocket(benchmarks=["sums.py"], benchmark_files={"sums": str(sums / "sums.jsonl")})
    assert p.benchmarks == [str(sums / "sums.py")]
    assert params.benchmark_name(p.benchmarks[0]) == "sums"
    statements = evaluation_sets.problems(p.benchmarks[0], str(sums / "sums.jsonl"))
    assert [(name, i) for name, i, _ in statements] == [("sums", "a"), ("sums", "b")]
    assert statements[0][2].strip() == "What is 2 + 3?"
    files = {"sums": str(sums / "sums.jsonl")}
    q = trace_params.pocket(decontaminate=["math500", "sums.py"], benchmark_files=files)
    assert q.decontaminate == ["math500", str(sums / "sums.py")]
    with pytest.raises(ValueError, match=r"where 'sums' is unknown: choose from math500"):
        trace_params.pocket(decontaminate=["math500"], benchmark_files=files)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("math500.py", "math500 is the name of a built-in benchmark: rename "),
        ("My Sums.py", "My Sums cannot name a benchmark"),
        ("absent.py", "there is no file .*absent.py: correct the path"),
    ],
)
def test_a_name_or_path_that_cannot_stand_is_refused(name, words, tmp_path):
    if name != "absent.py":
        (tmp_path / name).write_text(example())
    with pytest.raises(ValueError, match=words):
        params.pocket(benchmarks=[str(tmp_path / name)])


def test_two_files_of_one_name_are_refused(sums):
    (sums / "other").mkdir()
    (sums / "other" / "sums.py").write_text(example())
    both = [str(sums / "sums.py"), str(sums / "other" / "sums.py")]
    with pytest.raises(ValueError, match="two files are called sums: rename one"):
        params.pocket(benchmarks=both)


GRADE = "def grade(answer, row):\n    return {'yes': True, 'no': False}.get(answer)\n"


def own(tmp_path, text):
    file = tmp_path / "mine.py"
    file.write_text(text)
    return loading.load(str(file))


@pytest.mark.parametrize(
    ("completion", "ending", "outcome"),
    [
        ("<think>no</think> yes", "stop", "correct"),
        ("no", "stop", "wrong"),
        ("perhaps", "stop", "no_answer"),
        ("perhaps", "length", "truncated"),
        ("perhaps", "loop", "looping"),
    ],
)
def test_a_grader_of_ones_own(completion, ending, outcome, tmp_path):
    task = own(tmp_path, LOAD + PROMPT + GRADE)[0]
    made = grade(task, completion, ending)
    assert made.outcome == made.lenient_outcome == made.second_outcome == outcome


def test_a_grader_that_fails_is_an_error_of_ours(tmp_path):
    task = own(tmp_path, LOAD + PROMPT + "def grade(answer, row):\n    return row['nothing']\n")[0]
    made = grade(task, "yes")
    assert made.outcome == "grader_error" and "KeyError: 'nothing'" in made.detail
    task = own(tmp_path, LOAD + PROMPT + "def grade(answer, row):\n    return 0.5\n\n\n")[0]
    assert "grade gave 0.5: it must give True" in grade(task, "yes").detail


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1 / 0\n", "its code failed with ZeroDivisionError: division by zero; correct it"),
        (PROMPT + GRADE, "has no function load"),
        (LOAD + PROMPT, "GRADER is None; write one of math, code, choice, or a function"),
        (LOAD + PROMPT + GRADE + "GRADER = 'math'\n", "or a function grade"),
        (LOAD + PROMPT + "GRADER = 'code'\n", "row 0 of load.file. has no text 'tests'"),
        (
            "def load(file):\n    return open(file)\n" + PROMPT + GRADE,
            "load.file. failed with Type",
        ),
        ("def load(file):\n    return []\n" + PROMPT + GRADE, "must give a list of rows"),
        (LOAD.replace("'b'", "'a'") + PROMPT + GRADE, "gives the id 'a' more than once"),
        (LOAD + "def prompt(row):\n    return ''\n" + GRADE, "prompt.row. of row 0 gives no text"),
    ],
)
def test_a_file_that_is_none_says_what_it_lacks(text, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        own(tmp_path, text)


def test_code_and_choice_are_graded_by_ours(tmp_path):
    rows = [
        {"id": "t", "problem": "?", "answer": "B", "tests": "assert f(1) == 2", "entry_point": "f"}
    ]
    load = f"def load(file):\n    return {rows!r}\n"
    task = own(tmp_path, load + PROMPT + "GRADER = 'choice'\n")[0]
    assert grade(task, "Answer: B").outcome == "correct"
    task = own(tmp_path, load + PROMPT + "GRADER = 'code'\n\n")[0]
    assert grade(task, "```python\ndef f(x):\n    return x + 1\n```").outcome == "correct"
