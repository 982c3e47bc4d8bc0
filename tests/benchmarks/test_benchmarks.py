import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from distill_nb import benchmarks
from distill_nb.analysis import results, slices
from distill_nb.benchmarks import (
    aime,
    humaneval_plus,
    livecodebench,
    loading,
    math500,
    pocket_problems,
)
from distill_nb.evaluation import evaluate
from distill_nb.grading.graders import grade
from distill_nb.params import names
from distill_nb.runtime import hub as hub_module
from distill_nb.runtime import provenance
from distill_nb.study import tiny as fixtures
from distill_nb.traces import pocket

PROMPTS = {
    "math-1": "02dedff517b0",
    "humaneval_plus-1": "6906b2291dd5",
    "mbpp_plus-1": "6ac3f2f38ca8",
    "livecodebench-1": "4c97b47c545e",
}
FIRST_OF_OURS = ["HumanEval/0", "HumanEval/1", "HumanEval/2", "HumanEval/4", "HumanEval/6"]


def test_pocket_math_has_an_untrained_template_and_right_answers():
    tasks = loading.load("pocket_math")
    count = Counter(t.task_id.split("/")[1] for t in tasks)
    assert (
        len(tasks) == 56
        and set(count.values()) == {8}
        and pocket_problems.HELD_OUT_TEMPLATE in count
        and len(count) >= 6
    )
    assert len({t.prompt for t in tasks}) == 56
    ticket = next(t for t in tasks if "/tickets/" in t.task_id)
    bought, price, drink = (int(w) for w in ticket.prompt.split() if w.isdigit())
    assert int(ticket.gold) == price * bought + drink
    trained = " ".join(t["problem"] for t in pocket.pocket_traces("sonnet", "math", 2000, 0))
    assert "ticket" not in trained


def test_a_subset_is_seeded():
    ids = [[t.task_id for t in loading.load("pocket_code", limit=5, seed=s)] for s in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2] and len(set(ids[0])) == 5


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("pocket_code/add", "return a + b"),
        ("pocket_code/count_vowels", "return sum(c in 'aeiou' for c in s)"),
        ("pocket_code/factorial", "return 1 if n < 2 else n * factorial(n - 1)"),
    ],
)
def test_code_tasks_tell_right_from_wrong(name, good):
    task = next(t for t in loading.load("pocket_code") if t.task_id == name)
    head = f"def {task.prompt.split('`')[1]}:\n    "
    assert grade(task, f"```python\n{head}{good}\n```", "stop").outcome == "correct"
    assert grade(task, f"```python\n{head}return None\n```", "stop").outcome == "wrong"


WEAK = [
    "None",
    "0",
    "1",
    "True",
    "False",
    "''",
    "[]",
    "FIRST",
    "len(FIRST)",
    "FIRST[0]",
    "FIRST[-1]",
    "-FIRST",
    "FIRST > 0",
]


def test_no_code_task_is_passed_by_a_trivial_body():
    for task in loading.load("pocket_code"):
        assert task.tests.count("assert ") >= 3
        head = task.prompt.split("`")[1]
        first = head.split("(")[1].rstrip(")").split(",")[0]
        bodies = [w.replace("FIRST", first) for w in WEAK]
        passing = {
            "string_length": "len(s)",
            "count_items": "len(items)",
            "first_item": "items[0]",
            "last_item": "items[-1]",
            "is_positive": "n > 0",
        }.get(task.entry_point)
        for body in bodies:
            namespace = {}
            exec(f"def {head}:\n    return {body}", namespace)
            try:
                exec(task.tests, namespace)
            except Exception:
                assert body != passing, (task.task_id, body)
            else:
                assert body == passing, (task.task_id, body)


def test_a_math500_file_that_is_not_whole_is_refused(tmp_path):
    file = tmp_path / "math500.jsonl"
    file.write_text(json.dumps({"problem": "p", "answer": "1", "unique_id": "a"}) + "\n")
    with pytest.raises(ValueError, match="1 rows"):
        loading.load("math500", str(file))
    file.write_text(json.dumps({"problem": "p", "unique_id": "a"}) + "\n")
    with pytest.raises(ValueError, match="line 1 has no text 'answer'"):
        loading.load("math500", str(file))


def test_the_real_math500(data_dir):
    tasks = loading.load("math500", str(data_dir / "math500" / "math500.jsonl"))
    assert len(tasks) == 500
    wrong = [
        t.task_id
        for t in tasks
        if grade(t, rf"So \boxed{{{t.gold}}}.", "stop").outcome != "correct"
    ]
    assert wrong == []


PROBLEM = fixtures.TWICE | {"task_id": "HumanEval/0"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("humaneval_plus", "{", "line 1 is not JSON .*; use evalplus's release"),
        (
            "mbpp_plus",
            '{"task_id": "Mbpp/2", "base_input": [], "plus_input": []}\n',
            "line 1 has no 'prompt'",
        ),
        (
            "mbpp_plus",
            json.dumps(PROBLEM | {"task_id": "Mbpp/3"}),
            "1 rows are not the 378 problems",
        ),
        (
            "mbpp_plus",
            json.dumps(PROBLEM | {"task_id": "Mbpp/2"}),
            "line 1 has other inputs than Mbpp/2",
        ),
        ("mbpp_plus", json.dumps(PROBLEM), "'HumanEval/0', which is not mbpp_plus's"),
        (
            "humaneval_plus",
            json.dumps(PROBLEM) + "\n" + json.dumps(PROBLEM),
            "HumanEval/0 more than once",
        ),
        (
            "humaneval_plus",
            "\n".join(json.dumps(PROBLEM | {"task_id": f"HumanEval/{i}"}) for i in range(164)),
            "these 164 rows are not the problems of humaneval_plus; use evalplus's release v0.1.10",
        ),
    ],
)
def test_a_file_that_is_not_evalplus_s_is_refused(name, text, words, tmp_path):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    file = tmp_path / "problems.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        loading.load(name, str(file))
    with pytest.raises(ValueError, match="no file"):
        loading.load(name, str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("name", "file", "size"),
    [("humaneval_plus", "HumanEvalPlus", 164), ("mbpp_plus", "MbppPlus", 378)],
)
def test_the_real_evalplus_files(name, file, size, data_dir):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    tasks = loading.load(name, str(data_dir / "evalplus" / f"{file}.jsonl.gz"))
    assert len(tasks) == len({t.task_id for t in tasks}) == size
    assert all(
        t.entry_point in t.prompt and "```" not in t.prompt.split("code block")[0] for t in tasks
    )


def aime_rows():
    return [
        {
            "problem": f"p {y} {p} {n}",
            "answer": "033" if n == 3 else str(n),
            "url": f"https://example.org/{y}_AIME_{p}_Problems/Problem_{n}",
        }
        for y in (2024, 2022, 2023)
        for p in ("II", "I")
        for n in range(1, 16)
    ]


def test_aime_is_ninety_problems_by_year_paper_and_number(tmp_path):
    file = tmp_path / "aime.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in aime_rows()))
    tasks = loading.load("aime", str(file))
    assert [t.task_id for t in tasks[:2]] == ["2022-I-1", "2022-I-2"] and tasks[
        -1
    ].task_id == "2024-II-15"
    golds = {t.task_id: t.gold for t in tasks}
    assert golds["2023-II-3"] == "33" and golds["2024-I-12"] == "385" and golds["2022-I-12"] == "12"
    for broken, words in (
        (aime_rows()[:89], "89 rows are not the 90"),
        ([{**aime_rows()[0], "answer": "x"}], "line 1 is no AIME"),
        ([{"answer": "1", "url": "x"}], "line 1 is no AIME"),
        ([{**aime_rows()[0], "problem": " "}], "line 1 is no AIME"),
        ([{"answer": 1}], "has no text 'url'"),
        ([{**aime_rows()[0], "url": "/2021_AIME_I_Problems/Problem_1"}], "2021-I-1 is not of"),
        ([*aime_rows()[:89], aime_rows()[0]], "more than once"),
    ):
        file.write_text("".join(json.dumps(r) + "\n" for r in broken))
        with pytest.raises(ValueError, match=words):
            loading.load("aime", str(file))


def test_the_real_aime(data_dir):
    tasks = loading.load("aime", str(data_dir / "aime" / "aimo-validation-aime.jsonl"))
    assert len(tasks) == 90 and {t.gold for t in tasks if t.task_id == "2024-I-12"} == {"385"}
    assert [
        t.task_id for t in tasks if grade(t, rf"\boxed{{{t.gold}}}", "stop").outcome != "correct"
    ] == []
    assert {grade(t, "", "stop").outcome for t in tasks} == {"no_answer"}


def test_the_evalplus_source_is_known_by_its_content(data_dir, tmp_path):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    file = data_dir / "evalplus" / "HumanEvalPlus.jsonl.gz"
    source = loading.describe("humaneval_plus", str(file), limit=100)
    assert (
        source["whole"]
        and source["as_published"]
        and source["sha256"] == {file.name: provenance.sha256_of_file(file)}
    )
    assert set(source["ids"]) == humaneval_plus.OUR_100 and len(humaneval_plus.OUR_100) == 100
    assert (
        source["label"] == "100 of 164, a seeded subset of ours" and source["version"] == "v0.1.10"
    )


def test_without_a_file_evalplus_s_own_is_read(data_dir, monkeypatch, tmp_path):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    from evalplus.data import mbpp, utils

    monkeypatch.setattr(
        mbpp, "MBPP_OVERRIDE_PATH", str(data_dir / "evalplus" / "MbppPlus.jsonl.gz")
    )
    source = loading.describe("mbpp_plus")
    assert (
        source["source"] == "evalplus 0.3.1: MbppPlus.jsonl.gz"
        and source["whole"]
        and source["taken"] == 378
    )
    monkeypatch.setattr(mbpp, "MBPP_OVERRIDE_PATH", None)
    monkeypatch.setattr(utils, "CACHE_DIR", str(tmp_path))
    torn = tmp_path / "MbppPlus-v0.2.0.jsonl"
    torn.write_text(json.dumps(PROBLEM | {"task_id": "Mbpp/3"}))
    with pytest.raises(
        ValueError,
        match=rf"1 rows are not the 378 problems of mbpp_plus; .*, or delete {torn} where",
    ):
        loading.load("mbpp_plus")


def part_of(name, folder):
    """A file of the hub's shape with two problems, and for each an answer that is right and one
    that is wrong."""
    good = {
        "math500": r"\boxed{7}",
        "aime": r"\boxed{7}",
        "livecodebench": "```python\nprint(sum(map(int, input().split())))\n```",
    }.get(name, "```python\ndef twice(n): return 2 * n\n```")
    bad = good.replace("7", "8").replace("sum", "max").replace("2 * n", "n + 1")
    return str(fixtures.write(name, folder)), good, bad


@pytest.mark.parametrize(
    "name", ["math500", "aime", "humaneval_plus", "mbpp_plus", "livecodebench"]
)
def test_a_part_of_each_benchmark_is_labelled_and_graded(name, tmp_path, caplog):
    if name.endswith("_plus"):
        pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    caplog.set_level("INFO", "distill_nb")
    file, good, bad = part_of(name, tmp_path)
    tasks = loading.load(name, file)
    assert len(tasks) == 2 and all(t.task_id.startswith("part/") for t in tasks)
    assert {t.kind == "code" for t in tasks} == {name in names.CODE}
    assert f"has 2 of the {loading.describe(name, file)['size']} problems of {name}" in caplog.text
    assert [grade(tasks[0], text).outcome for text in (good, bad, "")] == [
        "correct",
        "wrong",
        "no_answer",
    ]
    source = loading.describe(name, file, limit=1)
    assert (source["whole"], source["as_published"], source["found"], source["taken"]) == (
        False,
        False,
        2,
        1,
    )
    assert (
        source["source"] == file
        and list(source["sha256"]) == [Path(file).name]
        and source["prompt_version"]
    )
    assert source["ids"] == [t.task_id for t in loading.load(name, file, limit=1)]
    assert source["label"].endswith("a part: not the benchmark")
    unnamed = shutil.copy(file, tmp_path / "whole.jsonl")
    with pytest.raises(
        ValueError, match=r"2 rows are not the \d+ problems of .*or call the file \*\.part\.\*"
    ):
        loading.load(name, str(unnamed))


def hub(monkeypatch, give):
    """The hub's download, replaced; `give` gets repository and file and returns a path or
    raises."""
    import huggingface_hub

    calls = []

    def download(repo_id, filename, repo_type, revision):
        calls.append((repo_id, filename, repo_type, revision))
        return str(give(repo_id, filename))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(hub_module, "reach", lambda *_: None)
    return calls


def test_math500_and_aime_come_from_the_hub_at_a_pinned_revision(monkeypatch, tmp_path):
    from pyarrow import Table, parquet

    rows = [{"problem": f"p{i}", "answer": "1", "unique_id": f"u{i}"} for i in range(500)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    parquet.write_table(Table.from_pylist(aime_rows()), tmp_path / "train-00000-of-00001.parquet")
    calls = hub(monkeypatch, lambda repo, name: tmp_path / Path(name).name)
    for name, module, size in (("math500", math500, 500), ("aime", aime, 90)):
        with pytest.raises(
            ValueError,
            match=rf"{name} from .*@{module.REVISION} is damaged: \S+ has another sha256",
        ):
            loading.load(name)
        (remote,) = module.FILES
        monkeypatch.setattr(
            module, "FILES", {remote: provenance.sha256_of_file(tmp_path / Path(remote).name)}
        )
        assert len(loading.load(name)) == size
        assert (
            calls[-1] == (module.HUB_ID, remote, "dataset", module.REVISION)
            and len(module.REVISION) == 40
        )
        source = loading.describe(name, limit=10)
        assert (
            source["source"] == f"{module.HUB_ID}@{module.REVISION}"
            and source["as_published"]
            and source["whole"]
        )
    local = loading.describe("aime", str(tmp_path / "train-00000-of-00001.parquet"))
    assert (
        local["whole"]
        and local["as_published"]
        and local["label"] == "all 90"
        and local["source"].endswith(".parquet")
    )
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"broken\.parquet: not a Parquet file"):
        loading.load("aime", str(tmp_path / "broken.parquet"))


def failing(kind):
    """An exception of the hub's library as it raises it."""
    import httpx
    from huggingface_hub import errors

    response = httpx.Response(404, request=httpx.Request("GET", "https://example.org/x"))
    return {
        "gated": lambda: errors.GatedRepoError("gated", response=response),
        "missing": lambda: errors.RepositoryNotFoundError("404", response=response),
        "revision": lambda: errors.RevisionNotFoundError("404", response=response),
        "entry": lambda: errors.RemoteEntryNotFoundError("404", response=response),
        "cache": lambda: errors.LocalEntryNotFoundError("no connection, and not in the cache"),
        "offline": lambda: errors.OfflineModeIsEnabled("HF_HUB_OFFLINE is set\nhint"),
        "server": lambda: errors.HfHubHTTPError("502 Bad Gateway\nmore", response=response),
        "network": lambda: httpx.ConnectTimeout("timed out"),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("gated", "is gated: ask for access"),
        ("missing", "is not there, or is private"),
        ("revision", "no longer has the revision"),
        ("entry", "has no test.jsonl at"),
        ("cache", "could not be reached"),
        ("offline", "OfflineModeIsEnabled: HF_HUB_OFFLINE is"),
        ("server", "HfHubHTTPError: 502 Bad Gateway"),
        ("network", "could not be reached"),
    ],
)
def test_a_hub_that_fails_is_one_sentence_with_the_remedy(kind, words, monkeypatch):
    def give(repo, name):
        raise failing(kind)

    hub(monkeypatch, give)
    for name, module in (("math500", math500), ("livecodebench", livecodebench)):
        with pytest.raises(ValueError, match=words) as error:
            loading.load(name)
        assert f"benchmarks: {name}: the hub's data set {module.HUB_ID}" in str(
            error.value
        ) and "\n" not in str(error.value)
        end = (
            "test.jsonl}."
            if name == "math500"
            else "test.jsonl, with test2.jsonl … test5.jsonl beside it}."
        )
        assert str(error.value).endswith(
            f"or set benchmark_files to {{{name}: a local copy of {end}"
        )


def test_the_published_math500_and_aime_are_the_known_bytes(data_dir):
    file = str(data_dir / "math500" / "math500.jsonl")
    source = loading.describe("math500", file)
    assert (
        source["as_published"]
        and source["whole"]
        and source["label"] == "all 500"
        and len(source["ids"]) == 500
    )
    source = loading.describe("aime", str(data_dir / "aime" / "aimo-validation-aime.jsonl"))
    assert source["whole"] and not source["as_published"]  # a copy in another format


def test_a_subset_depends_on_seed_and_ids_alone():
    ids = [f"t{i}" for i in range(50)]
    chosen = loading.subset(ids, 10, 0)
    assert chosen == [i for i in ids if i in chosen] and len(chosen) == 10
    assert set(chosen) == set(loading.subset(ids[::-1], 10, 0)) > set(loading.subset(ids, 4, 0))
    assert set(chosen) != set(loading.subset(ids, 10, 1)) and loading.subset(ids, 99, 0) == ids
    assert sorted(humaneval_plus.OUR_100, key=lambda i: int(i[10:]))[:5] == FIRST_OF_OURS


def test_a_changed_prompt_has_a_new_version():
    """Where this fails, give the prompt a new PROMPT_VERSION, and write its hash here."""
    from distill_nb.benchmarks import mbpp_plus

    texts = {
        benchmarks.MATH_PROMPT_VERSION: benchmarks.BOXED,
        humaneval_plus.PROMPT_VERSION: humaneval_plus.PROMPT,
        mbpp_plus.PROMPT_VERSION: mbpp_plus.PROMPT,
        livecodebench.PROMPT_VERSION: livecodebench.PROMPT
        + livecodebench.WITH_STARTER
        + livecodebench.WITHOUT_STARTER,
    }
    assert {
        version: provenance.sha256_of_json(text)[:12] for version, text in texts.items()
    } == PROMPTS


def test_no_benchmark_of_another_name():
    with pytest.raises(ValueError, match="there is no gsm8k; choose from math500, aime"):
        loading.load("gsm8k")


def test_parts_of_all_five_go_through_an_evaluation(runs_dir, tmp_path):
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    from helpers import tiny

    names = ["math500", "aime", "humaneval_plus", "mbpp_plus", "livecodebench"]
    p = tiny(
        run_name="baseline",
        teacher="none",
        domain="none",
        dataset="none",
        n_examples=0,
        max_steps=0,
        benchmarks=names,
        benchmark_files={name: part_of(name, tmp_path)[0] for name in names},
        benchmark_limit=0,
    )
    evaluate.evaluate(p)
    table = results.accuracy_table(runs_dir / "tiny")
    assert dict(zip(table["benchmark"], table["n"], strict=True)) == dict.fromkeys(names, 2)
    assert table[["sampling_error", "grader_error"]].to_numpy().sum() == 0
    shown = slices.table(results.load_records(runs_dir / "tiny"))
    assert set(shown["slice"]) == {f"{name} (part)" for name in names} | {"aime 2024 (part)"}
