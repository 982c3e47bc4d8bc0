import json
import os
import random
import re
import shutil
import tracemalloc

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trace_rows import (
    ASKED,
    CODE,
    CODE_1,
    GOOD,
    MATH,
    PROGRAM,
    code,
    math,
    rows_of,
    settings,
    write_source,
)

from distill_nb import benchmarks
from distill_nb.runtime import provenance
from distill_nb.traces import build, files, funnel, load, selection, show
from distill_nb.traces.decontamination import statements
from distill_nb.traces.decontamination.match import VERSION


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path)


def test_every_row_is_in_the_set_or_rejected_with_its_reason(source, runs_dir):
    p = settings(source)
    counts = build.build(p)
    assert counts == {
        "rows": 66,
        "kept": 40,
        "rejected": {
            "no_problem": 1,
            "incomplete": 1,
            "not_verified": 1,
            "contaminated": 1,
            "same_problem": 1,
            "near_duplicate": 1,
            "not_needed": 20,
        },
    }
    folder = files.folder_of("r1_math", "pocket")
    rejected = pd.read_parquet(folder / "rejected.parquet").set_index("id")
    kept = files.read(
        "r1_math", "pocket", ["source_id", "id", "problem", "prompt", "trace", "answer"]
    )
    ids = {r["source_id"] for r in kept}
    assert (
        len(ids) == 40 and ids.isdisjoint(rejected.index) and len(ids | set(rejected.index)) == 66
    )
    assert rejected.loc["asked", "detail"].startswith(f"pocket_math {ASKED.task_id} (")
    assert set(rejected[rejected["reason"] == "same_problem"].index) <= {"again", "u3"}
    pair = {"near", "u4"}
    assert set(rejected[rejected["reason"] == "near_duplicate"].index) <= pair
    for row in kept:
        assert row["id"] == statements.problem_id(row["problem"]) and row["trace"] == GOOD
        assert row["prompt"] == f"{row['problem']}\n\n{benchmarks.BOXED}"
    record = json.loads((folder / "provenance.json").read_text())
    assert (
        record["funnel"] == counts
        and record["source"]["rows"] == 66
        and len(record["source"]["sha256"]) == 2
    )
    assert [e["benchmark"] for e in record["evaluation"]] == ["pocket_math", "pocket_code"]
    assert record["decontamination"] == VERSION
    assert not os.path.isabs(record["notebook"] or "x")


def test_the_order_depends_on_seed_and_problem_alone(source, tmp_path, runs_dir):
    first = [r["id"] for r in _build(settings(source))]
    shuffled = tmp_path / "shuffled.parquet"
    table = pa.concat_tables([pq.read_table(f) for f in sorted(source.glob("*.parquet"))])
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), shuffled, row_group_size=7)
    again = [r["id"] for r in _build(settings(shuffled, overwrite=True))]
    near = {statements.problem_id(m["problem"]) for m in (rows_of()[0][4], rows_of()[1][5])}
    assert [i for i in first if i not in near] == [i for i in again if i not in near]
    assert sorted(first, key=lambda i: selection.rank(0, i)) == first
    assert [r["id"] for r in _build(settings(source, overwrite=True, seed=1))] != first


def _build(p):
    build.build(p)
    return files.read(p.dataset, p.scale, ["id"])


def test_the_set_is_what_a_run_trains_on(source, runs_dir):
    build.build(settings(source, spare=5))
    rows, spare = load.traces_and_spare("r1_math", "r1", "math", 40, 3, "pocket")
    assert (len(rows), len(spare)) == (40, 5) and rows[0]["problem"].endswith(benchmarks.BOXED)
    ordered = [r["id"] for r in files.read("r1_math", "pocket", ["id"])]
    assert {r["id"] for r in rows} == set(ordered[:40]) and [r["id"] for r in spare] == ordered[40:]
    with pytest.raises(ValueError, match=r"it has 45 traces.*n_examples"):
        load.traces_and_spare("r1_math", "r1", "math", 46, 0, "pocket")


def test_a_finished_set_is_left_alone_and_another_is_refused(source, runs_dir, caplog):
    caplog.set_level("INFO", "distill_nb")
    build.build(settings(source))
    file = files.folder_of("r1_math", "pocket") / "train.parquet"
    stamp = file.stat().st_mtime_ns
    assert (
        build.build(settings(source, max_length=99))["kept"] == 40
        and file.stat().st_mtime_ns == stamp
    )
    assert "r1_math is there (40 traces)" in caplog.text
    with pytest.raises(
        ValueError, match=r"other values of per_problem \(1, now 2\); set overwrite"
    ):
        build.build(settings(source, per_problem=2))
    assert (
        build.build(settings(source, per_problem=2, overwrite=True))["rejected"]["not_needed"] == 21
    )


def test_a_set_that_is_made_again_is_not_finished_until_it_is(source, runs_dir, monkeypatch):
    build.build(settings(source))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "write_rejected", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        build.build(settings(source, seed=5, overwrite=True))
    before = _build(settings(source))
    assert before == sorted(before, key=lambda r: selection.rank(0, r["id"]))


def test_traces_can_be_graded_again(source, runs_dir):
    counts = build.build(settings(source, verify="regrade"))  # every trace says 4
    assert counts["kept"] == 1 and counts["rejected"]["regraded_wrong"] == 59
    (row,) = files.read("r1_math", "pocket", ["answer"])
    assert row["answer"] == "4"


def test_evaluation_problems_with_other_numbers_are_kept_and_counted_or_removed(tmp_path, runs_dir):
    text = ASKED.prompt.removesuffix(benchmarks.BOXED)
    other = "".join(c if not c.isdigit() else str((int(c) + 5) % 10 or 9) for c in text)
    pq.write_table(
        pa.Table.from_pylist(
            [math(other, uuid="other"), math("What is the name of the rose?")], schema=MATH
        ),
        tmp_path / "a.parquet",
    )
    assert build.build(settings(tmp_path / "a.parquet"))["kept"] == 2
    table = show.contamination("r1_math", "pocket")
    assert table["rows"].tolist() == [1] and table["reason"].tolist() == [
        "same template, in the set"
    ]
    counts = build.build(settings(tmp_path / "a.parquet", same_template="remove", overwrite=True))
    assert (counts["kept"], counts["rejected"]) == (1, {"same_template": 1})


def test_code_rows_become_programs_that_read_standard_input(tmp_path, runs_dir):
    problems = [
        f"Read a line of {i} words and print the {w} of them."
        for i, w in enumerate(("first", "last", "longest"))
    ]
    rows = [
        code(t, id=f"c{i}{k}", output=PROGRAM + f"{k}")
        for i, t in enumerate(problems)
        for k in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=CODE), tmp_path / "a.parquet")
    p = settings(tmp_path / "a.parquet", dataset="r1_code", config="split_0", per_problem=2)
    assert build.build(p) == {"rows": 9, "kept": 6, "rejected": {"same_problem": 3}}
    found = files.read("r1_code", "pocket", ["problem", "prompt", "trace", "source_id"])
    assert {r["source_id"][-1] for r in found} == {"0", "1"}  # the first two as stored
    assert all("standard input" in r["prompt"] and r["problem"] in r["prompt"] for r in found)


def test_problems_with_starter_code_ask_for_the_function(tmp_path, runs_dir):
    starter = "class Solution:\n    def last(self, words):\n        pass"
    questions = pd.DataFrame(
        {"question": ["Find the last word of a list."], "starter_code": [starter]}
    )
    questions.to_parquet(tmp_path / "taco.parquet")
    rows = [
        code("-", id="c0", dataset="taco", split="train", index="0"),
        code(f"Find the first word.\n\n{starter}", id="c1"),
        code("Print the middle word of a line.", id="c2"),
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=CODE_1), tmp_path / "a.parquet")
    build.build(
        settings(
            tmp_path / "a.parquet",
            dataset="r1_code",
            config="all",
            statements={"taco/train": str(tmp_path / "taco.parquet")},
        )
    )
    prompts = {
        r["source_id"]: r["prompt"]
        for r in files.read("r1_code", "pocket", ["source_id", "prompt"])
    }
    for i in ("c0", "c1"):
        assert f"```python\n{starter}\n```" in prompts[i] and prompts[i].count("def ") == 1
        assert "standard input" not in prompts[i]
    assert "standard input" in prompts["c2"] and len(prompts) == 3


def test_provenance_has_every_module_that_decides_and_a_change_is_said(source, runs_dir, caplog):
    caplog.set_level("INFO", "distill_nb")
    build.build(settings(source))
    folder = files.folder_of("r1_math", "pocket")
    file, stamp = folder / "provenance.json", (folder / "train.parquet").stat().st_mtime_ns
    record = json.loads(file.read_text())
    names = ("build", "scan", "hub", "selection", "prompts", "decontamination/match")
    deciding = {f"distill_nb/traces/{name}.py" for name in names}
    assert deciding | {"distill_nb/grading/extract.py"} <= set(record["code"])
    statements_file = "distill_nb/traces/decontamination/statements.py"
    assert record["code"][statements_file] == provenance.sha256_of_file(statements.__file__)[:16]
    assert "modules" not in record
    build.build(settings(source))
    assert "other versions" not in caplog.text
    changed = record | {"code": record["code"] | {statements_file: "other"}}
    file.write_text(json.dumps(changed))
    build.build(settings(source))
    assert f"r1_math was made by other versions of {statements_file}." in caplog.text
    # a record of before, by names that files no longer have
    old = {k: v for k, v in record.items() if k != "code"} | {"modules": {"match.py": "0" * 64}}
    file.write_text(json.dumps(old))
    assert build.build(settings(source))["kept"] == 40
    assert re.search(r"r1_math was made by other versions of .* and \d+ other files\.", caplog.text)
    assert (folder / "train.parquet").stat().st_mtime_ns == stamp


def test_a_local_source_that_has_changed_is_noticed(source, runs_dir):
    build.build(settings(source))
    (source / "train-1.parquet").unlink()
    with pytest.raises(
        ValueError, match=r"was made from \S+, which is another now; set overwrite: true"
    ):
        build.build(settings(source))
    assert build.build(settings(source, overwrite=True))["rows"] == 33
    shutil.rmtree(source)


def test_several_processes_find_the_same(source, runs_dir):
    one = _build(settings(source))
    counts = build.build(settings(source, processes=2, overwrite=True))
    assert counts["kept"] == 40 and files.read("r1_math", "pocket", ["id"]) == one


def test_a_missing_evaluation_set_stops_before_any_row_is_read(source, runs_dir, tmp_path):
    gone = tmp_path / "math500.jsonl"
    gone.touch()
    p = settings(source, decontaminate=["math500"], benchmark_files={"math500": str(gone)})
    gone.unlink()
    with pytest.raises(ValueError, match=r"there is no file .*math500\.jsonl for math500"):
        build.build(p)
    assert not list(runs_dir.rglob("*.parquet"))


def test_counts_that_do_not_add_up_are_an_error():
    with pytest.raises(RuntimeError, match="does not add up"):
        funnel.funnel_of(10, {"incomplete": 3}, 6)


def test_the_report_shows_ledger_overlap_and_examples(source, runs_dir):
    p = settings(source, students=["smollm2-135m-instruct"])
    build.build(p)
    books = show.ledgers(p)
    assert books["HuggingFaceTB/SmolLM2-135M-Instruct"]["with_boxed_answer"] == 40
    assert json.loads((files.folder_of("r1_math", "pocket") / "ledger.json").read_text()) == books
    assert show.overlap("pocket").loc["r1_math", "r1_math"] == 40
    page = show.examples("r1_math", "pocket", 3)
    assert page.count("<details") == 3 and "&lt;think&gt;" in page and "<think>" not in page
    assert funnel.explained(show.funnel("r1_math", "pocket"))["rows"].tolist()[-2:] == [40, 66]


def test_a_set_is_read_a_few_rows_at_a_time(runs_dir, monkeypatch):
    n, size = 1200, 10_000
    folder = files.folder_of("r1_math", "pocket")
    folder.mkdir(parents=True)
    monkeypatch.setattr(files, "GROUP", 100)

    def row(i):
        text = f"t{i:04d} " + "word " * (size // 5)
        own = {"id": f"i{i}", "order": (i * 7) % n, "trace": text}
        return dict.fromkeys([name for name, _ in files.SCHEMA], "x") | own

    assert files.write(folder / "train.parquet", map(row, range(n))) == n
    show.examples("r1_math", "pocket", 1)  # imports
    order = [r["trace"][:5] for r in files.read("r1_math", "pocket", ["trace"])]

    def walk():
        stored = files.StoredTraces("r1_math", "pocket", ["trace"], 1100)
        return [r["trace"][:5] for r in stored]

    peaks = {}
    for name, step in (
        ("all", lambda: files.read("r1_math", "pocket", ["trace"])),
        ("ids", lambda: files.read("r1_math", "pocket", ["id"])),
        ("examples", lambda: show.examples("r1_math", "pocket", 3, seed=1)),
        (
            "a walk",
            lambda: [
                r["trace"][:5] for r in files.StoredTraces("r1_math", "pocket", ["trace"], 1100)
            ],
        ),
    ):
        tracemalloc.start()
        found = step()
        peaks[name] = tracemalloc.get_traced_memory()[1] / (n * size)
        tracemalloc.stop()
        if name == "examples":
            drawn = random.Random(1).sample(range(n), 3)
            assert [found.index(order[k]) for k in drawn] == sorted(
                found.index(order[k]) for k in drawn
            )
        elif name == "a walk":
            assert set(found) == set(order[:1100]) and len(found) == 1100
    assert peaks["all"] > 1 and max(peaks[k] for k in ("ids", "examples", "a walk")) < 0.1
    assert order == [f"t{i:04d}" for i in sorted(range(n), key=lambda i: (i * 7) % n)]


def test_real_traces_of_r1_go_through(data_dir, tmp_path, runs_dir):
    rows = json.loads(
        (data_dir / "traces" / "r1_math" / "sample_openrouter_outputs.json").read_text()
    )
    made = [
        math(
            r["problem"],
            [f"<think>\n{r['message_thinking']}\n</think>\n\n{r['message_content']}"],
            uuid=f"r{i}",
            answer=r["gtruth_answer"],
        )
        for i, r in enumerate(rows)
    ]
    asked = json.loads((data_dir / "math500" / "math500.jsonl").read_text().splitlines()[7])
    made.append(math(asked["problem"].replace(" ", "  "), uuid="asked", answer=asked["answer"]))
    pq.write_table(pa.Table.from_pylist(made, schema=MATH), tmp_path / "a.parquet")
    p = settings(
        tmp_path / "a.parquet",
        verify="regrade",
        decontaminate=["math500"],
        benchmark_files={"math500": str(data_dir / "math500" / "math500.jsonl")},
    )
    assert build.build(p) == {"rows": 6, "kept": 5, "rejected": {"contaminated": 1}}
    rejected = pd.read_parquet(files.folder_of("r1_math", "pocket") / "rejected.parquet")
    assert rejected["detail"][0].startswith(f"math500 {asked['unique_id']} (")
    book = show.ledgers(p)["HuggingFaceTB/SmolLM2-135M-Instruct"]
    # at 512 tokens
    assert book["with_think"] == 5 and book["lost_closing_think"] == book["over_max_length"] == 5


def test_a_table_is_what_pyarrow_would_make_of_the_rows():
    schema = [("n", "int32"), ("m", "int64"), ("s", "string"), ("b", "binary")]
    rows = [
        {
            "n": i - 3,
            "m": 2**40 + i,
            "s": None if i == 4 else "é\U0001d54f" * i,
            "b": None if i % 3 else bytes([i, 0]),
        }
        for i in range(11)
    ]
    expected = pa.Table.from_pylist(
        rows, schema=pa.schema([(n, getattr(pa, kind)()) for n, kind in schema])
    )
    made = files.table_of(rows, schema)
    made.validate(full=True)
    assert made.equals(expected) and files.table_of([], schema).equals(expected.slice(0, 0))
