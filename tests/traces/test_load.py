import json
import random
import re

import pytest

from distill_nb.benchmarks import Task, loading, pocket_problems
from distill_nb.grading.extract import blocks, visible_text
from distill_nb.grading.graders import grade
from distill_nb.traces import load, pocket


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("teacher", ["r1", "sonnet"])
def test_no_benchmark_problem_is_ever_trained_on(teacher, seed):
    asked = {
        " ".join(t.prompt.lower().split())
        for name in ("pocket_math", "pocket_code")
        for t in loading.load(name)
    }
    trained = [
        t
        for domain, n in (("math", 5000), ("code", 300))
        for t in pocket.pocket_traces(teacher, domain, n, seed)
    ]
    assert asked.isdisjoint(" ".join(t["problem"].lower().split()) for t in trained)
    numbers = {tuple(sorted(re.findall(r"\d+", t.prompt))) for t in loading.load("pocket_math")}
    assert numbers.isdisjoint(
        tuple(sorted(re.findall(r"\d+", t["problem"]))) for t in trained if t["answer"]
    )
    functions = {t.entry_point for t in loading.load("pocket_code")}
    assert not [t for t in trained if any(f"`{f}(" in t["problem"] for f in functions)]


def test_every_math_trace_ends_in_the_boxed_answer_and_its_arithmetic_holds():
    for teacher in ("r1", "sonnet"):
        for row in pocket.pocket_traces(teacher, "math", 300, 0):
            assert (
                grade(Task("t", "", "math", gold=row["answer"]), row["trace"], "stop").outcome
                == "correct"
            )
            for line in row["trace"].splitlines():
                if (
                    line.count("=") == 1
                    and line[0].isdigit()
                    and "," not in line
                    and "and" not in line
                ):
                    left, right = line.replace("×", "*").split("=")
                    assert eval(left) == int(right)


SAMPLES = {
    "n": 17,
    "numbers": [3, 18, 8],
    "items": [5, 1, 5, 2],
    "s": "hello there",
    "words": ["a", "marble"],
}


def test_every_kind_of_code_trace_runs_and_depends_on_its_constant():
    assert len(pocket.CODE_KINDS) >= 40
    for function, returns, body in pocket.CODE_KINDS:
        assert "{k}" in function and "{k}" in returns and "{k}" in body
        name = function.split("(")[1].rstrip(")")
        results = [eval(body.format(k=k), {name: SAMPLES[name]}) for k in range(2, 23)]
        assert len({str(r) for r in results}) > 1, function


def test_a_code_trace_is_one_complete_block_that_runs():
    for teacher in ("r1", "sonnet"):
        for row in pocket.pocket_traces(teacher, "code", 60, 0):
            name, argument = row["problem"].split("`")[1].rstrip(")").split("(")
            (code,) = blocks(visible_text(row["trace"]))
            namespace = {}
            exec(code, namespace)
            namespace[name](SAMPLES[argument])


def test_no_subtraction_borrows():
    rng = random.Random(1)
    for template in pocket_problems.MATH_TEMPLATES:
        for _ in range(200):
            _, steps, answer = pocket_problems.math_problem(template, rng)
            assert steps[-1][3] == answer >= 0
            assert all(right % 10 <= left % 10 for left, op, right, _ in steps if op == "-")


def test_both_teachers_tell_of_the_same_problems_and_the_style_differs():
    for domain in ("math", "code"):
        r1, sonnet = (pocket.pocket_traces(t, domain, 50, 3) for t in ("r1", "sonnet"))
        assert [x["id"] for x in r1] == [x["id"] for x in sonnet] and len(
            {x["id"] for x in r1}
        ) == 50
        assert all("<think>" in x["trace"] for x in r1) and not any(
            "<think>" in x["trace"] for x in sonnet
        )
    assert pocket.pocket_traces("r1", "math", 50, 3) == pocket.pocket_traces("r1", "math", 50, 3)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_local_files_of_problem_and_trace_or_messages(suffix, tmp_path):
    import pandas as pd

    rows = [{"problem": f"p{i}", "trace": "t\u2028é"} for i in range(5)]
    talk = [
        {"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a"}]}
        for i in range(5)
    ]
    for content in (rows, talk):
        file = tmp_path / f"data{suffix}"
        if suffix == ".jsonl":
            file.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in content) + "\n")
        else:
            pd.DataFrame(content).to_parquet(file)
        loaded = load.traces_and_spare(str(file), "r1", "math", 5, 0)[0]
        assert len({r["id"] for r in loaded}) == 5
        assert loaded == load.traces_and_spare(str(file), "r1", "math", 5, 0)[0]
        with pytest.raises(ValueError, match="has 5 traces"):
            load.traces_and_spare(str(file), "r1", "math", 6, 0)


@pytest.mark.parametrize("ids", ["problems", "rows", "none"])
def test_no_held_out_problem_is_trained_on_nor_in_reserve(ids, tmp_path):
    # three traces a problem
    rows = [
        {
            "problem": f"How many  are {i % 40}?" if i < 40 else f"how many are ${i % 40}$?",
            "trace": f"t{i}",
        }
        for i in range(120)
    ]
    for i, row in enumerate(rows):
        row |= {"problems": {"id": f"p{i % 40}"}, "rows": {"id": f"r{i}"}, "none": {}}[ids]
    file = tmp_path / "traces.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    number = {r["trace"]: i % 40 for i, r in enumerate(rows)}
    for seed in range(5):
        train, held, spare = (
            ({number[r["trace"]] for r in part}, len(part))
            for part in load.split(str(file), "r1", "math", 20, 30, seed)
        )
        assert train[1] == 20 and 0 < held[1] < 30 and 0 < spare[1] < 70
        assert train[0].isdisjoint(held[0]) and spare[0].isdisjoint(held[0])
        assert spare[0] | held[0] == set(range(40)) - train[0] | (spare[0] & train[0])
    (tmp_path / "chat.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "id": str(i),
                    "messages": [
                        {"role": "user", "content": f"q{i % 3}"},
                        {"role": "assistant", "content": "a"},
                    ],
                }
            )
            + "\n"
            for i in range(9)
        )
    )
    train, held, spare = load.split(str(tmp_path / "chat.jsonl"), "r1", "math", 1, 1, 2)
    assert [
        len(
            {r["messages"][0]["content"] for r in part}
            & {r["messages"][0]["content"] for r in held}
        )
        for part in (train, spare)
    ] == [0, 0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is no mapping"),
        ('{"problem": "x"}', "trace is missing"),
        ('{"problem": "", "trace": "y"}', "problem is missing or empty"),
        ('{"messages": [{"role": "user", "content": "q"}]}', "messages must end"),
        ('{"messages": "hi"}', "messages must be"),
        ('{"messages": 5}', "messages must be"),
        ('{"messages": ["a", "b"]}', "messages must be"),
    ],
)
def test_a_bad_row_is_named(line, words, tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_text('{"problem": "x", "trace": "y"}\n' + line + "\n")
    with pytest.raises(ValueError, match=words) as error:
        load.traces_and_spare(str(file), "r1", "math", 1, 0)
    assert "bad.jsonl: line 2" in str(error.value)


def test_a_file_in_another_encoding_or_format_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_bytes('{"problem": "é", "trace": "y"}'.encode("latin-1"))
    (tmp_path / "b.parquet").write_text("no parquet")
    for name, words in (("a.jsonl", "is not UTF-8"), ("b.parquet", "not a Parquet file")):
        with pytest.raises(ValueError, match=words) as error:
            load.traces_and_spare(str(tmp_path / name), "r1", "math", 1, 0)
        assert name in str(error.value)


def test_a_set_that_is_not_there_says_how_to_make_it(runs_dir):
    with pytest.raises(ValueError, match="traces_r1_math\\.yaml -f papermill_params/traces_tiny"):
        load.traces_and_spare("r1_math", "r1", "math", 1, 0, "tiny")
