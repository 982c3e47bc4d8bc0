import json
import re

import pandas as pd
import pytest
from fake_teacher import FakeTeacher
from helpers import needs_teachers
from teacher_sets import PROBLEMS, settings, solved, write_problems

from distill_nb import benchmarks
from distill_nb.benchmarks import loading
from distill_nb.traces import build, files, from_teacher, params, show

pytestmark = needs_teachers


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-fake")


@pytest.fixture
def source(tmp_path):
    return write_problems(tmp_path)


def test_a_set_is_asked_verified_and_accounted_for(source, runs_dir):
    wrong = PROBLEMS[0]["problem"]
    with FakeTeacher(
        lambda prompt, n: r"\boxed{0}" if prompt.startswith(wrong) else solved(prompt, n)
    ) as server:
        counts = build.build(settings(server, source, n_examples=8, attempts=2))
        assert counts == {"rows": 8, "kept": 7, "rejected": {"wrong": 1}}
        assert server.paid[f"{wrong}\n\n{benchmarks.BOXED}"] == 2 and server.paid.total() == 9
        again = build.build(settings(server, source, n_examples=8, attempts=2, overwrite=True))
        assert again == counts and server.paid.total() == 9  # what was paid for stays
    rows = files.read(
        "sonnet_math", "pocket", ["problem", "prompt", "trace", "answer", "teacher", "id"]
    )
    assert {r["teacher"] for r in rows} == {"sonnet"} and all(
        r["answer"] in r["trace"] for r in rows
    )
    assert all(r["prompt"] == f"{r['problem']}\n\n{benchmarks.BOXED}" for r in rows)
    record = json.loads((files.folder_of("sonnet_math", "pocket") / "provenance.json").read_text())
    assert (
        record["source"]["teacher"] == "claude-sonnet-4-5-20250929" and record["funnel"] == counts
    )


def test_only_as_many_as_wanted_are_asked_and_more_only_for_those_that_failed(source, runs_dir):
    failing = []

    def answer(prompt, n):
        if not failing:
            failing.append(prompt)
        return "No idea." if prompt == failing[0] else solved(prompt, n)

    with FakeTeacher(answer) as server:
        counts = build.build(settings(server, source))
        assert counts == {"rows": 8, "kept": 5, "rejected": {"no_answer": 1, "not_needed": 2}}
        assert server.paid.total() == 6


def test_what_was_made_is_kept_where_more_would_cost_too_much_and_goes_on_with_more_money(
    source, runs_dir, monkeypatch
):
    failing, message = [], FakeTeacher.message

    def long(self, body, found):
        made = message(self, body, found)
        return made | {"usage": made["usage"] | {"output_tokens": 1000}}

    monkeypatch.setattr(FakeTeacher, "message", long)

    def answer(prompt, n):
        if not failing:
            failing.append(prompt)
        return "No idea." if prompt == failing[0] else solved(prompt, n)

    with FakeTeacher(answer) as server:
        p = settings(server, source)
        estimate = from_teacher.cost(p, build.evaluation_sets(p))
        counts = build.build(settings(server, source, max_cost=estimate.most_cost * 1.001))
        assert counts == {
            "rows": 8,
            "kept": 4,
            "rejected": {"no_answer": 1, "not_asked": 1, "not_needed": 2},
        }
        assert server.paid.total() == 5
        counts = build.build(settings(server, source, max_cost=10.0))
        assert (
            counts == {"rows": 8, "kept": 5, "rejected": {"no_answer": 1, "not_needed": 2}}
            and server.paid.total() == 6
        )


def test_nothing_is_sent_without_a_limit_of_cost_and_the_estimate_says_what_it_would_be(
    source, runs_dir, caplog
):
    caplog.set_level("INFO", "distill_nb")
    with FakeTeacher(solved) as server:
        p = settings(server, source, max_cost=0.0)
        estimate = from_teacher.cost(p, build.evaluation_sets(p))
        assert estimate.next_requests == 5 and estimate.most_cost > 0
        with pytest.raises(ValueError, match="max_cost: 0 only estimates, and nothing was sent"):
            build.build(p)
        assert not server.paid and not server.calls
    assert estimate.text() in caplog.text


def test_evaluation_problems_and_repeated_ones_are_never_asked(tmp_path, runs_dir):
    asked = loading.load("pocket_math")[0]
    text = asked.prompt.removesuffix(benchmarks.BOXED)
    problem = PROBLEMS[0]["problem"]
    rows = [
        {"problem": t, "answer": "7"}
        for t in (problem, problem, problem.replace("are left", "remain, then"), text)
    ]
    file = tmp_path / "problems.parquet"
    pd.DataFrame(rows).to_parquet(file)
    with FakeTeacher(lambda prompt, n: r"\boxed{7}") as server:
        counts = build.build(settings(server, str(file)))
        assert server.paid.total() == 1
    assert counts == {
        "rows": 4,
        "kept": 1,
        "rejected": {"contaminated": 1, "same_problem": 1, "near_duplicate": 1},
    }


def test_both_teachers_tell_of_the_same_problems(runs_dir):
    build.build(params.pocket(n_examples=20, processes=1))
    answers = {
        r["prompt"]: r["answer"]
        for r in files.read("generator_math", "pocket", ["prompt", "answer"])
    }
    with FakeTeacher(lambda prompt, n: rf"\boxed{{{answers[prompt]}}}") as server:
        assert build.build(settings(server, "generator_math", n_examples=20))["kept"] == 20
    table = show.overlap("pocket")
    assert (
        table.loc["generator_math", "sonnet_math"] == 20 == table.loc["sonnet_math", "sonnet_math"]
    )
    orders = [
        [r["id"] for r in files.read(name, "pocket", ["id"])]
        for name in ("generator_math", "sonnet_math")
    ]
    assert orders[0] == orders[1]


def test_a_source_that_was_made_again_is_noticed(runs_dir):
    build.build(params.pocket(n_examples=6, processes=1))
    answers = {}

    def learn():
        answers.update(
            {
                r["prompt"]: r["answer"]
                for r in files.read("generator_math", "pocket", ["prompt", "answer"])
            }
        )

    learn()
    with FakeTeacher(lambda prompt, n: rf"\boxed{{{answers[prompt]}}}") as server:
        p = settings(server, "generator_math", n_examples=6)
        assert build.build(p)["kept"] == 6 == build.build(p)["kept"]
        build.build(params.pocket(n_examples=6, processes=1, seed=1, overwrite=True))
        learn()
        with pytest.raises(
            ValueError,
            match=r"sonnet_math: this set was made from generator_math, which is another now; set",
        ):
            build.build(p)
        build.build(settings(server, "generator_math", n_examples=6, overwrite=True))
        ids = [
            {r["id"] for r in files.read(name, "pocket", ["id"])}
            for name in ("generator_math", "sonnet_math")
        ]
        assert ids[0] == ids[1] and build.build(p)["kept"] == 6
        (files.folder_of("generator_math", "pocket") / "train.parquet").unlink()
        assert build.build(p)["kept"] == 6  # what is gone has not changed


def test_the_part_that_max_cost_allows_is_asked_and_the_others_are_accounted_for(
    source, runs_dir, monkeypatch
):
    message = FakeTeacher.message
    monkeypatch.setattr(
        FakeTeacher,
        "message",
        lambda self, body, found: (
            message(self, body, found)
            | {"usage": {"input_tokens": 100, "output_tokens": 1000, "service_tier": "standard"}}
        ),
    )
    with FakeTeacher(solved) as server:
        most = from_teacher.cost(
            settings(server, source), build.evaluation_sets(settings(server, source))
        ).most_cost
        counts = build.build(settings(server, source, max_cost=most * 0.5))
        assert (
            counts == {"rows": 8, "kept": 2, "rejected": {"not_asked": 3, "not_needed": 3}}
            and server.paid.total() == 2
        )
        first = [r["order"] for r in files.read("sonnet_math", "pocket", ["order"])]
        assert first == [0, 1]
        assert build.build(settings(server, source))["kept"] == 5 and server.paid.total() == 5


def test_code_problems_with_starter_code_or_tests_of_a_function_ask_for_it(tmp_path, runs_dir):
    rows = [
        {"problem": "Add two numbers of a pair.", "starter_code": "def add(a, b):\n    "},
        {
            "problem": "Find the longest word in a list.",
            "tests": "assert longest(['a', 'bc']) == 'bc'",
        },
        {
            "problem": "Reverse all the letters of a text.",
            "tests": {"inputs": [["ab"]], "outputs": ["ba"], "fn_name": "turn"},
        },
        {
            "problem": "Print the sum of the line's numbers.",
            "tests": {"inputs": ["1 2\n"], "outputs": ["3\n"]},
        },
    ]
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    p = params.pocket(
        dataset="claude_code",
        teacher_api="anthropic",
        teacher_model="m",
        config="none",
        source=str(file),
        trace_from="text",
    )
    prompts = {r["problem"]: r["prompt"] for r in from_teacher.problems_of(p)[0]}
    assert [("standard input" in prompts[r["problem"]]) for r in rows] == [
        False,
        False,
        False,
        True,
    ]
    for row, words in zip(
        rows,
        ("Complete the starter code", "function `longest`", "function `turn`", "a Python program"),
        strict=True,
    ):
        assert words in prompts[row["problem"]]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"problem": ""}, "line 1: problem is missing"),
        ({"problem": "x"}, "line 1: answer is missing"),
        ({"problem": "x", "answer": ["1"]}, "line 1: answer is no text or number"),
        ({"problem": "x", "answer": 0, "system": "Be brief."}, "line 1: 'system' is not read here"),
        ({"prompt": "x", "answer": 0}, "line 1: 'prompt' is not read here: call it problem."),
        (
            {"problem": "x", "question": "y", "solution": "z", "answer": 0, "messages": ["a"]},
            "line 1: 'question' is not read here: take it out, or put meta_ before its name; nor "
            "are 'solution', 'messages'.",
        ),
        ({"problem": "x", "answer": 0, "tests": {"a": ["\ud83d"]}}, r"line 1 .* in 'tests.a\[0\]'"),
    ],
)
def test_a_problem_that_cannot_be_asked_is_named(row, words, tmp_path, runs_dir):
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    with FakeTeacher(solved) as server, pytest.raises(ValueError, match=words):
        build.build(settings(server, str(tmp_path / "a.jsonl")))


def test_settings_of_the_teacher_are_checked_with_the_others(source):
    with (
        FakeTeacher(solved) as server,
        pytest.raises(ValueError, match=r"pocket: thinking_budget is 100.*at least 1024"),
    ):
        settings(server, source, thinking_budget=100)


def test_real_answers_of_sonnet_go_through(data_dir, tmp_path, runs_dir):
    """Claude Sonnet 4's own answers to 50 word problems, served again; their <answer> tags become
    boxes."""
    found = json.loads(
        (data_dir / "traces" / "sonnet" / "sonnet4__arithmetic__gsm_symbolic.json").read_text()
    )["results"]
    said = {r["question"].strip(): r["completions"][0] for r in found}
    file = tmp_path / "problems.jsonl"
    file.write_text(
        "".join(
            json.dumps({"problem": r["question"], "answer": r["expected_answer"]}) + "\n"
            for r in found
        )
    )

    def answer(prompt, n):
        text = said[prompt.removesuffix(benchmarks.BOXED).strip()]["full_model_response"]
        return re.sub(r"<answer>\s*(.*?)\s*</answer>", r"\\boxed{\1}", text, flags=re.DOTALL)

    with FakeTeacher(answer) as server:
        p = settings(
            server,
            str(file),
            n_examples=50,
            decontaminate=["math500"],
            benchmark_files={"math500": str(data_dir / "math500" / "math500.jsonl")},
        )
        counts = build.build(p)
    right = sum(c["score"] == 1 for c in said.values())
    assert (
        counts["rows"] == len(said) == 50
        and counts["kept"] == right
        and counts["rejected"].get("contaminated") is None
    )
