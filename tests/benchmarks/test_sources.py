"""Files of benchmarks are read as strictly as those of training data."""

import gzip
import json

import pytest

from distill_nb.benchmarks import loading
from distill_nb.study import tiny as fixtures
from distill_nb.traces.decontamination import evaluation_sets

TEXTS = {  # benchmark → a text of its rows that is asked
    "math500": "problem",
    "aime": "problem",
    "livecodebench": "question_content",
    "humaneval_plus": "prompt",
    "mbpp_plus": "prompt",
}


@pytest.fixture(params=sorted(TEXTS))
def benchmark(request):
    if request.param.endswith("_plus"):
        pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    return request.param


def test_a_mark_and_windows_line_ends_change_nothing(benchmark, tmp_path):
    file = fixtures.write(benchmark, tmp_path)
    before = loading.load(benchmark, str(file))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    after = loading.load(benchmark, str(file))
    assert [task.prompt for task in after] == [task.prompt for task in before] and len(after) == 2
    assert len(evaluation_sets.problems(benchmark, str(file))) == 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda row, key: json.dumps(row | {key: "half \ud83d"}), "line 2 has half a surrogate"),
        (lambda row, key: json.dumps(row | {"more": {"a": ["\ud83d"]}}), r"in 'more\.a\[0\]'"),
        (
            lambda row, key: json.dumps(row)[:-1] + f', "{key}": "x"}}',
            "line 2 has the key .* twice",
        ),
        (lambda row, key: json.dumps(row) + "\0\0", "line 2 has NUL bytes"),
        (lambda row, key: json.dumps(row)[:-9], "line 2 is not JSON"),
        (lambda row, key: json.dumps(row | {key: None}), "line 2"),
        (lambda row, key: json.dumps(row | {key: "\n"}), "line 2"),
        (lambda row, key: json.dumps([row]), "line 2 is no mapping"),
    ],
)
def test_a_bad_line_is_named(benchmark, spoil, words, tmp_path):
    first, second = fixtures.rows(benchmark)
    file = fixtures.file_of(benchmark, tmp_path)
    file.write_text(json.dumps(first) + "\n" + spoil(second, TEXTS[benchmark]) + "\n")
    for read in (loading.load, evaluation_sets.problems):
        with pytest.raises(ValueError, match=words) as error:
            read(benchmark, str(file))
        said = str(error.value)
        assert said.startswith(file.name) and said.endswith(".") and "\n" not in said


def test_a_file_of_another_kind_says_what_to_do(benchmark, tmp_path):
    file = fixtures.write(benchmark, tmp_path)
    data, rows = file.read_bytes(), fixtures.rows(benchmark)
    for content, words in (
        (data.decode().encode("utf-16"), "is UTF-16, not UTF-8; save it"),
        (gzip.compress(data), "is packed with gzip; unpack it"),
        (json.dumps(rows).encode(), "is one JSON array; write one object a line"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"{file.name} {words}"):
            loading.load(benchmark, str(file))


def test_further_columns_may_stand(benchmark, tmp_path):
    file = fixtures.write(benchmark, tmp_path)
    before = loading.load(benchmark, str(file))
    rows = [row | {"system": "a", "year": 2024} for row in fixtures.rows(benchmark)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [t.prompt for t in loading.load(benchmark, str(file))] == [t.prompt for t in before]


def test_half_a_pair_within_a_test_of_a_contest_is_refused(tmp_path):
    first, second = fixtures.livecodebench_rows()
    second |= {"public_test_cases": fixtures.cases([("1 2\ud83d", "3")], "stdin")}
    file = fixtures.file_of("livecodebench", tmp_path)
    file.write_text(json.dumps(first) + "\n" + json.dumps(second))
    with pytest.raises(ValueError, match=r"line 2: public_test_cases has half a surrogate pair"):
        loading.load("livecodebench", str(file))
