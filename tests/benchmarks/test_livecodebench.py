"""LiveCodeBench from files of the hub's shape, built here: reading, the window, hostile private
tests, and grading."""

import base64
import json
import os
import pickle
import zlib

import pytest

from distill_nb.benchmarks import livecodebench, livecodebench_tests, loading, sources
from distill_nb.grading.graders import grade, grade_code, grade_code_all
from distill_nb.study.tiny import cases, packed


def program(
    i,
    date="2024-09-01T00:00:00",
    public=(("1 2\n", "3\n"),),
    private=(("10 -4", "6"), ("0 0\n", "0")),
):
    return {
        "question_title": "Sum",
        "question_content": "Print the sum of two numbers.",
        "platform": "atcoder",
        "question_id": f"abc{i}_a",
        "contest_id": f"abc{i}",
        "contest_date": date,
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": cases(public, "stdin"),
        "metadata": "{}",
        "private_test_cases": packed(cases(private, "stdin")),
    }


def function(i, date="2025-01-04T18:30:00"):
    return {
        "question_title": "Pairs",
        "question_content": "Return [a, b] swapped, and whether b > a.",
        "platform": "leetcode",
        "question_id": str(i),
        "contest_id": "weekly",
        "contest_date": date,
        "difficulty": "medium",
        "starter_code": "class Solution:\n    def swapPair(self, a: int, b: List[int]) -> "
        "List[int]:\n        ",
        "public_test_cases": cases([("1\n[2]", "[[2], 1]")], "functional"),
        "private_test_cases": cases(
            [("3\n[]", "[[], 3]"), ('"x"\n[1.5]', '[[1.5], "x"]')], "functional"
        ),
        "metadata": json.dumps({"func_name": "swapPair"}),
    }


def write(file, rows):
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(file)


@pytest.fixture
def part(tmp_path):
    rows = [
        program(1),
        function(3600),
        program(2, "2024-07-31T23:59:59"),
        program(3, "2025-02-01T00:00:00"),
        program(4, "2025-02-01T00:00:01"),
        program(5, "2024-08-01T00:00:00"),
    ]
    return write(tmp_path / "lcb.part.jsonl", rows)


def code(text):
    return f"```python\n{text}\n```"


SWAP = (
    "class Solution:\n    def swapPair(self, a: int, b: List[int]) -> List[int]:\n        return "
)


def test_a_part_is_read_in_its_window_and_labelled(part, caplog):
    caplog.set_level("INFO", "distill_nb")
    tasks = loading.load("livecodebench", part)
    assert [t.task_id for t in tasks] == ["part/3600", "part/abc1_a", "part/abc3_a", "part/abc5_a"]
    assert "4 of the 279 problems of livecodebench" in caplog.text
    assert (
        tasks[0].entry_point == "Solution().swapPair"
        and "class Solution" in tasks[0].prompt
        and tasks[1].entry_point == ""
    )
    assert "standard input" in tasks[1].prompt and "```" not in tasks[1].prompt
    source = loading.describe("livecodebench", part)
    assert (
        source["whole"] is False
        and source["as_published"] is False
        and source["found"] == 4
        and source["size"] == 279
    )
    assert (
        "not the benchmark" in source["label"]
        and source["version"] == "release_v5, contest_date 2024-08-01 to 2025-02-01"
    )
    json.dumps(source)


def test_a_file_that_is_not_whole_and_does_not_say_so_is_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"lcb\.jsonl: 1 rows are not the 279 problems of livecodebench; use the 5.*\*\.part",
    ):
        loading.load("livecodebench", write(tmp_path / "lcb.jsonl", [program(1)]))
    with pytest.raises(
        ValueError, match=r"0 rows are not the 279 problems.*window is 2024-08-01 to 2025-02-01"
    ):
        loading.load(
            "livecodebench", write(tmp_path / "old.part.jsonl", [program(1, "2023-05-07T00:00:00")])
        )


def test_the_whole_window_gives_a_seeded_hundred_whatever_the_order(tmp_path):
    rows = [program(i) for i in range(279)] + [
        program(1000 + i, "2023-06-01T00:00:00") for i in range(21)
    ]
    one = loading.load("livecodebench", write(tmp_path / "a.jsonl", rows))
    two = loading.load("livecodebench", write(tmp_path / "b.jsonl", rows[::-1]))
    assert [t.task_id for t in one] == [t.task_id for t in two] and len(
        {t.task_id for t in one}
    ) == livecodebench.TAKEN == 100
    source = loading.describe("livecodebench", str(tmp_path / "a.jsonl"))
    assert (
        source["whole"]
        and source["label"] == "100 of 279, a seeded subset of ours"
        and len(source["ids"]) == 100
    )
    few = {t.task_id for t in loading.load("livecodebench", str(tmp_path / "a.jsonl"), limit=7)}
    assert len(few) == 7 and few < {t.task_id for t in one}


def test_the_first_of_the_hub_s_files_stands_for_all_beside_it(tmp_path):
    for k, name in enumerate(livecodebench.FILES):
        if name != "test5.jsonl":
            write(tmp_path / name, [program(1000 * k + i) for i in range(60)])
    with pytest.raises(ValueError, match=r"test5\.jsonl is not beside"):
        loading.load("livecodebench", str(tmp_path / "test.jsonl"))
    write(tmp_path / "test5.jsonl", [program(9000 + i) for i in range(39)])
    assert len(loading.load("livecodebench", str(tmp_path / "test.jsonl"))) == 100
    source = loading.describe("livecodebench", str(tmp_path / "test.jsonl"))
    assert (
        source["found"] == 279
        and list(source["sha256"]) == list(livecodebench.FILES)
        and not source["as_published"]
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question_id": None}, "line 2: no text 'question_id'"),
        ({"metadata": None}, "no text 'metadata'"),
        ({"contest_date": "soon"}, "contest_date 'soon' is no date"),
        ({"metadata": "{"}, "metadata is not JSON"),
        ({"metadata": '{"func_name": "f(); g"}'}, "is no name"),
        ({"metadata": "[]"}, "metadata is a JSON list, not a dict"),
        ({"question_id": "abc1_a"}, "abc1_a more than once"),
        ({"public_test_cases": "{}"}, "is a JSON dict, not a list"),
        ({"public_test_cases": "[]", "private_test_cases": "[]"}, "there are no tests"),
        ({"public_test_cases": '[{"input": 1}]'}, "test without the texts input and output"),
        ({"private_test_cases": "%%%"}, "neither JSON nor base64"),
        ({"private_test_cases": packed("x")}, "is not JSON"),
        (
            {"private_test_cases": base64.b64encode(zlib.compress(b"x" * 100)[:-6]).decode()},
            "cut off",
        ),
        ({"private_test_cases": packed(["a", "b"])}, "pickle that is no text"),
        (
            {"private_test_cases": base64.b64encode(zlib.compress(b"\x80\x04]")).decode()},
            "pickle that is no text",
        ),
        ({"private_test_cases": base64.b64encode(zlib.compress(b"!")).decode()}, "hold no pickle"),
        ({"metadata": '{"func_name": "f"}'}, "input of a test is not JSON"),
    ],
)
def test_what_is_not_of_the_hub_s_shape_is_one_sentence(change, words, tmp_path):
    file = write(tmp_path / "lcb.part.jsonl", [program(1), program(2) | change])
    with pytest.raises(ValueError, match=words) as error:
        loading.load("livecodebench", file)
    assert (
        str(error.value).startswith("lcb.part.jsonl")
        and "\n" not in str(error.value)
        and str(error.value).endswith(".")
    )


def test_a_pickle_that_would_run_a_command_is_refused_unrun(tmp_path):
    mark = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {mark}",)

    for value in (Hostile(), ["[]", Hostile()], {"a": Hostile()}):
        for protocol in range(6):
            data = base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()
            file = write(tmp_path / "lcb.part.jsonl", [program(1) | {"private_test_cases": data}])
            with pytest.raises(ValueError, match="pickle that is no text"):
                loading.load("livecodebench", file)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_s_text_is_read(protocol):
    for text in ("", "[]", "é\n\ud800", "x" * 70_000):
        assert livecodebench_tests.text_of_pickle(pickle.dumps(text, protocol)) == text


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(livecodebench_tests, "LARGEST", 10**6)
    file = write(
        tmp_path / "lcb.part.jsonl", [program(1) | {"private_test_cases": packed("0" * 10**8)}]
    )
    with pytest.raises(ValueError, match="larger than 1000000 bytes"):
        loading.load("livecodebench", file)


@pytest.mark.parametrize(
    ("task_id", "answer", "outcome", "public"),
    [
        ("part/abc1_a", "a, b = map(int, input().split())\nprint(a + b)", "correct", "correct"),
        (
            "part/abc1_a",
            "def f():\n    print(sum(int(x) for x in stdin.read().split()))\nif __name__ == "
            "'__main__':\n    f()",
            "correct",
            "correct",
        ),
        ("part/abc1_a", "print('3.0  ')", "wrong", "correct"),  # the public test alone, by decimals
        ("part/abc1_a", "print(4)", "wrong", "wrong"),
        ("part/abc1_a", "while True: pass", "timeout", "timeout"),
        ("part/abc1_a", "def f(:", "wrong", "wrong"),
        ("part/abc1_a", "raise SystemExit", "wrong", "wrong"),
        ("part/3600", SWAP + "[b, a]", "correct", "correct"),
        ("part/3600", SWAP + "(b, a)", "correct", "correct"),
        (
            "part/3600",
            SWAP + "[b, a] if gcd(4, 6) == 2 and deque([1]) and math.inf == inf else 0",
            "correct",
            "correct",
        ),
        ("part/3600", "def swapPair(a, b):\n    return [b, a]", "correct", "correct"),
        ("part/3600", SWAP + "[b, 1]", "wrong", "correct"),
        ("part/3600", SWAP + "[a, b]", "wrong", "wrong"),
        ("part/3600", "class Solution:\n    def another(self): pass", "no_answer", "no_answer"),
    ],
)
def test_answers_are_graded_in_the_sandbox(task_id, answer, outcome, public, part, monkeypatch):
    monkeypatch.setattr(livecodebench_tests, "SECONDS", 1.0)
    task = next(t for t in loading.load("livecodebench", part) if t.task_id == task_id)
    found = grade(task, f"<think>{code('print(1)')}</think>\n{code(answer)}")
    assert (found.outcome, found.second_outcome) == (outcome, public), found.detail


def test_no_code_is_no_answer_and_the_lenient_reading_takes_an_open_block(part):
    tasks = loading.load("livecodebench", part)
    grades = grade_code_all("livecodebench", [t.task_id for t in tasks], [""] * 4, file=part)
    assert {g.outcome for g in grades} == {"no_answer"}
    program = "import sys\nprint(sum(map(int, sys.stdin.read().split())))"
    for task_id, answer in (("part/3600", SWAP + "[b, a]"), ("part/abc1_a", program)):
        found = grade_code(
            "livecodebench", task_id, f"So:\n```python\n{answer}", "length", file=part
        )
        assert (found.outcome, found.lenient_outcome) == ("truncated", "correct")


def test_a_changed_test_changes_the_task(tmp_path, part):
    other = write(tmp_path / "other.part.jsonl", [program(1, private=(("10 -4", "7"),))])
    one, two = (
        next(t for t in loading.load("livecodebench", f) if "abc1" in t.task_id)
        for f in (part, other)
    )
    assert one.prompt == two.prompt and one.tests != two.tests and sources.PART == "part/"
