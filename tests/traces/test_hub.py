from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trace_rows import CODE, CODE_1, GOOD, MATH, PROGRAM, code, math

from distill_nb.runtime import hub
from distill_nb.traces import hub as hub_traces
from distill_nb.traces import hub_rows, scan


def judged(row_list, dataset="r1_math", pick="first", statements=None, schema=None):
    schema = schema or (MATH if dataset == "r1_math" else CODE)
    batch = pa.RecordBatch.from_pylist(row_list, schema=schema)
    return list(hub_rows.rows(batch, dataset, pick, statements or {}))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (math(), ""),
        (math(problem=None), "no_problem"),
        (math(problem=" \r\n"), "no_problem"),
        (math(generations=None, complete=None, correct=None), "no_trace"),
        (math(generations=[], complete=[], correct=[]), "no_trace"),
        (math(complete=None), "incomplete"),
        (math(complete=[False]), "incomplete"),
        (math(correct=None), "not_verified"),
        (math(correct=[False]), "not_verified"),
        (math(correct=[None]), "not_verified"),
        (math(generations=["<think>\nSo \\boxed{4}"]), "incomplete"),
        (math(generations=["<think>\nSo \\boxed{4}\n</think>\n  "]), "incomplete"),
        (math(generations=[None]), "incomplete"),
        (
            math(generations=[GOOD, GOOD], complete=[True, False], correct=[False, True]),
            "not_verified",
        ),
        (math(generations=[GOOD, GOOD], complete=[False, True], correct=[False, True]), ""),
        (math(generations=["Hm.\n</think>\nIt is \\boxed{4}."]), ""),
    ],
)
def test_which_math_rows_are_good(row, reason):
    assert [r.reason for r in judged([row])] == [reason]


def test_the_first_good_generation_is_taken_or_the_shortest():
    long, short = "<think>long\n</think>\nalso " + GOOD, "<think></think>\\boxed{4}"
    row = math(
        generations=["<think>open", long, short, GOOD],
        complete=[True, True, True, True],
        correct=[True, True, True, True],
    )
    assert [(r.choice, r.trace) for r in judged([row])] == [(1, long)]
    assert [(r.choice, r.trace) for r in judged([row], pick="shortest")] == [(2, short)]


def test_line_ends_and_other_alphabets_are_kept_as_text():
    row = math(
        problem="Wie groß ist\r\n$x²$?\r",
        generations=["<think>\r\n数学\r\n</think>\r\nσ \\boxed{4}\r\n"],
    )
    (found,) = judged([row])
    assert (found.problem, found.trace) == (
        "Wie groß ist\n$x²$?",
        "<think>\n数学\n</think>\nσ \\boxed{4}",
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (code(), ""),
        (code(problem=None), "no_problem"),
        (code(output=None), "no_trace"),
        (code(output=""), "no_trace"),
        (code(output="<think>\n```python\nprint(1)\n```"), "incomplete"),
        (code(output="<think>\n```python\nprint(1)\n```\n</think>\nDone."), "no_code"),
        (code(output="<think>x</think>\n```python\nprint(1)"), "no_code"),
        (code(output="<think>x</think>\n```python\n\n```"), "no_code"),
        (code(output="<think>x</think>\n```python\nprint 1\n```"), "does_not_compile"),
        (code(output="<think>x</think>\n```python\nreturn 1\n```"), "does_not_compile"),
        (code(output="<think>x</think>\n```python\nx = '\0'\n```"), "does_not_compile"),
        (
            code(output="<think>x</think>\n```python\nx = " + "(" * 5000 + "\n```"),
            "does_not_compile",
        ),
        (
            code(
                output="<think>x</think>\n```\nprint 1\n```\nor\n```python\nimport "
                "re\nre.compile('\\d')\n```"
            ),
            "",
        ),
        (code(problem="-"), "no_statement"),
    ],
)
def test_which_code_rows_are_good(row, reason):
    assert [r.reason for r in judged([row], "r1_code")] == [reason]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_statements_of_split_1_are_looked_up(suffix, tmp_path):
    file = tmp_path / f"taco.{suffix}"
    table = pd.DataFrame(
        {"question": ["first", "second"], "starter_code": [None, "def f(x):\r\n    "]}
    )
    table.to_parquet(file) if suffix == "parquet" else table.to_json(
        file, orient="records", lines=True
    )
    places = [
        ("taco", "train", "1"),
        ("taco", "test", "1"),
        ("apps", "train", "0"),
        ("taco", "train", "2"),
        ("taco", "train", None),
    ]
    rows = [code("-", dataset=d, split=s, index=i) for d, s, i in places]
    found = judged(rows, "r1_code", statements={"taco/train": str(file)}, schema=CODE_1)
    assert [(r.reason, r.problem, r.starter) for r in found] == [
        ("", "second", "def f(x):\n    ")
    ] + [("no_statement", "", "")] * 4


def test_statements_without_starter_code_are_looked_up_too(tmp_path):
    pd.DataFrame({"question": ["first"], "name": ["a"]}).to_parquet(tmp_path / "apps.parquet")
    rows = [code("-", dataset="apps", split="test", index="0")]
    (found,) = judged(
        rows, "r1_code", statements={"apps/test": str(tmp_path / "apps.parquet")}, schema=CODE_1
    )
    assert (found.problem, found.starter) == ("first", "")


@pytest.mark.parametrize(("dataset", "schema"), [("r1_math", MATH), ("r1_code", CODE)])
def test_chosen_rows_are_read_as_they_were_judged(dataset, schema):
    if dataset == "r1_math":
        made = [
            math(
                f"p{i}\r\n",
                [None, f" <think>\r\n{i}</think>x "],
                answer=f"{i} ",
                uuid=None if i == 2 else f"u{i}",
                complete=[False, True],
                correct=[False, True],
            )
            for i in range(6)
        ]
    else:
        made = [code(f"p{i}\r\n", PROGRAM + f" {i} ", id=f"c{i}") for i in range(6)]
    batch = pa.RecordBatch.from_pylist(made, schema=schema)
    rows = list(hub_rows.rows(batch, dataset, "first", {}))
    assert all(r.trace and not r.reason for r in rows)
    for wanted in (
        {1: rows[1].choice, 2: rows[2].choice, 5: rows[5].choice},
        {i: r.choice for i, r in enumerate(rows)},
        {},
    ):
        assert list(hub_rows.taken(batch, wanted, dataset, {})) == [(i, rows[i]) for i in wanted]


def test_a_file_of_another_shape_is_named(tmp_path):
    pq.write_table(pa.table({"problem": ["x"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("none")
    pq.write_table(
        pa.table({n: ["x"] for n in hub_rows.COLUMNS["r1_math"]}), tmp_path / "c.parquet"
    )
    for name, words in (
        ("a", "a.parquet has no column 'uuid'"),
        ("b", "b.parquet is not a Parquet file"),
        ("c", "'is_reasoning_complete' of type string"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            scan.row_groups([tmp_path / f"{name}.parquet"], "r1_math")
        assert "open-r1/OpenR1-Math-220k" in str(error.value)


@pytest.mark.parametrize(
    ("dataset", "column"),
    [
        ("r1_math", "problem"),
        ("r1_math", "uuid"),
        ("r1_code", "output"),
        ("r1_code", "index"),
        ("r1_math", "generations"),
    ],
)
def test_a_column_of_another_type_is_named(dataset, column, tmp_path):
    fields = MATH if dataset == "r1_math" else CODE_1
    schema = pa.schema([f.with_type(pa.int64()) if f.name == column else f for f in fields])
    with pytest.raises(
        ValueError, match=f"a.parquet has '{column}' of type int64; use files in the shape of"
    ):
        hub_traces.columns(schema, "a.parquet", dataset)


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.null()]
)
def test_a_text_may_be_stored_in_several_ways(kind):
    schema = pa.schema([f.with_type(kind) if f.name == "answer" else f for f in MATH])
    assert hub_traces.columns(schema, "a.parquet", "r1_math") == hub_rows.COLUMNS["r1_math"]


def test_a_damaged_row_group_is_named(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(
        pa.Table.from_pylist([math(problem=f"What is {i}?") for i in range(400)], MATH), file
    )
    start = pq.read_metadata(file).row_group(0).column(0).dictionary_page_offset
    whole = file.read_bytes()
    file.write_bytes(whole[:start] + bytes(200) + whole[start + 200 :])
    with pytest.raises(
        ValueError, match=r"row group 0 of a.parquet cannot be read \(.+\); fetch the file again"
    ):
        list(hub_rows.batches(file, 0, ["problem"]))


def test_a_row_group_with_text_that_is_not_utf_8_is_named(tmp_path):
    texts = pa.array([b"a", b"half a pair: \xed\xa0\xbd"]).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"problem": texts}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"row group 0 of a.parquet cannot be read \(.*UTF8"):
        list(hub_rows.batches(tmp_path / "a.parquet", 0, ["problem"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"question": "half \\ud83d"}', "line 1 has half a surrogate pair in 'question'"),
        ('{"questions": "a"}', "line 1 has no text question; give TACO's or APPS's split"),
        ('{"question": ["a"]}', "line 1 has no text question"),
    ],
)
def test_statements_are_read_as_strictly(text, words, tmp_path):
    file = tmp_path / "apps.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        hub_rows.look_up({"apps/train": str(file)}, "apps", "train", "0")
    file.write_text('\ufeff{"question": "a", "starter_code": null, "input_output": "{}"}\r\n')
    hub_rows._questions.cache_clear()
    assert hub_rows.look_up({"apps/train": str(file)}, "apps", "train", "0") == ("a", "")


class Hub:
    """The hub's API, without a network."""

    def repo_info(self, hub_id, repo_type, revision, timeout):
        assert (
            (hub_id, repo_type) == ("open-r1/OpenR1-Math-220k", "dataset")
            and len(revision) == 40
            and timeout == 10
        )
        names = [
            "README.md",
            "extended/train-00000.parquet",
            "data/train-00001.parquet",
            "data/train-00000.parquet",
        ]
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])


def test_the_hub_is_asked_for_one_part_at_a_pinned_revision(tmp_path, monkeypatch):
    import huggingface_hub

    def download(hub_id, name, repo_type, revision):
        asked.append((name, revision))
        return tmp_path / name

    asked = []
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(hub, "reach", lambda *_: None)
    revision = hub_traces.HUB["r1_math"][1]
    files, where = hub_traces.files("r1_math", "hub", "default")
    assert [f.name for f in files] == [
        "train-00000.parquet",
        "train-00001.parquet",
    ] and where.endswith(revision)
    assert asked == [("data/train-00000.parquet", revision), ("data/train-00001.parquet", revision)]
    assert len(hub_traces.files("r1_math", "hub", "all")[0]) == 3
    monkeypatch.setattr(Hub, "repo_info", lambda *a, **k: 1 / 0)
    with pytest.raises(ValueError, match=r"could not be downloaded \(ZeroDivisionError.*folder"):
        hub_traces.files("r1_math", "hub", "default")


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no \.parquet file"):
        hub_traces.files("r1_math", str(tmp_path), "default")


def test_a_copy_of_the_hubs_folders_is_read_by_config_and_any_other_folder_whole(tmp_path):
    def names(dataset, config):
        return [
            f.relative_to(tmp_path).as_posix()
            for f in hub_traces.files(dataset, str(tmp_path), config)[0]
        ]

    for name in ("split_0/a.parquet", "split_1/b.parquet", "split_1/c.parquet", "c.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names("r1_code", "split_0") == ["split_0/a.parquet"]
    assert names("r1_code", "split_1") == ["split_1/b.parquet", "split_1/c.parquet"]
    assert names("r1_code", "all") == [
        "split_0/a.parquet",
        "split_1/b.parquet",
        "split_1/c.parquet",
    ]
    assert len(names("r1_math", "extended")) == 4  # these are not the subfolders of that data set
    (tmp_path / "data").mkdir()
    for config in ("extended", "all"):
        with pytest.raises(
            ValueError,
            match=rf"config: {config} of open-r1/\S+ has its .* and .* has none there; fetch them",
        ):
            names("r1_math", config)
