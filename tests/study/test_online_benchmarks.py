import gzip
import io
import json

from online_world import jsonl, livecodebench_files, math500_rows, sha256

from distill_nb.benchmarks import livecodebench, math500
from distill_nb.study import online_benchmarks
from distill_nb.study import tiny as fixtures

FILES = ("run07.yaml",)
HUMANEVAL = "/evalplus/HumanEvalPlus.jsonl.gz"


def of(world, module=math500):
    return world.hub.repositories["dataset", module.HUB_ID]


def test_a_file_with_another_sha256(world):
    (name,) = of(world).files
    of(world).files[name] = jsonl(math500_rows()[::-1])
    found, lack = world.ask("math500", *FILES)["files"]
    assert found.startswith("test.jsonl has the sha256 ") and lack.startswith("expected ")
    assert "set benchmark_files to a copy of its files" in lack
    # a small file has no sha256 in the hub's listing: it is compared when it is read
    of(world).listed[name] = "0" * 64
    assert "0" * 64 in world.ask("math500", *FILES)["files"][0]


def test_a_damaged_download(world):
    (name,) = of(world).files
    listing = jsonl(math500_rows())
    of(world).files[name] = jsonl(math500_rows()[::-1])
    of(world).listed[name] = sha256(listing)
    found, lack = world.ask("math500", *FILES)["problems"]
    assert found == "are not the benchmark's" and "test.jsonl has another sha256 than" in lack


def test_another_number_of_problems(world):
    begin = """
from distill_nb.benchmarks import math500
math500.FILES = {"test.jsonl": %r}
"""
    fewer = jsonl(math500_rows()[:499])
    (name,) = of(world).files
    of(world).files[name] = fewer
    kept = world.run("from distill_nb.benchmarks import math500\nresult = math500.FILES")
    begin %= sha256(fewer)
    _, lack = world.ask("math500", *FILES, begin=begin)["problems"]
    world.run(f"from distill_nb.benchmarks import math500\nmath500.FILES = {kept!r}\nresult = 1")
    assert "499 rows are not the 500 problems of math500" in lack


def test_a_revision_or_a_file_that_is_gone(world):
    of(world).files = {"README.md": b""}
    found, lack = world.ask("math500", *FILES)["files"]
    assert found == "test.jsonl is not there" and "set benchmark_files" in lack
    of(world).commit = "f" * 40
    found, lack = world.ask("math500", *FILES)["revision"]
    assert f"no longer has the revision {math500.REVISION}, or set benchmark_files" in lack


def test_livecodebench_is_compared_by_its_listing_and_its_first_rows(world):
    repository, files = of(world, livecodebench), livecodebench_files()
    repository.listed["test5.jsonl"] = "1" * 64
    found, lack = world.ask("livecodebench", *FILES)["files"]
    assert found == f"test5.jsonl has the sha256 {'1' * 64}" and "expected " in lack
    repository.listed.clear()
    row = json.loads(files["test.jsonl"].splitlines()[0])
    broken = jsonl([row, row | {"private_test_cases": "no"}, row])
    first = sha256(files["test.jsonl"])
    repository.listed["test.jsonl"] = first
    repository.files["test.jsonl"] = broken
    found, lack = world.ask("livecodebench", *FILES)["first rows"]
    assert found == "cannot be read" and lack.startswith("test.jsonl: line 2: private_test_cases")
    repository.files["test.jsonl"] = jsonl([row | {"contest_date": 5}])
    found, lack = world.ask("livecodebench", *FILES)["first rows"]
    assert "test.jsonl: line 1: no text 'contest_date'" in lack


def test_first_lines_are_whole_and_bounded(monkeypatch):
    monkeypatch.setattr(online_benchmarks, "PIECE", 4)
    assert online_benchmarks.first_lines(io.BytesIO(b"ab\ncd\nefgh"), 3, 100) == [b"ab", b"cd"]
    assert online_benchmarks.first_lines(io.BytesIO(b"ab\ncd\nef\ngh\n"), 2, 100) == [b"ab", b"cd"]
    long = io.BytesIO(b"x" * 50)
    assert online_benchmarks.first_lines(long, 1, 12) == [] and long.tell() == 12


def test_evalplus_releases(world):
    rows = [fixtures.TWICE | {"task_id": f"HumanEval/{i}"} for i in range(164)]
    world.hub.plain[HUMANEVAL] = gzip.compress(jsonl(rows))
    found, lack = world.ask("humaneval_plus", *FILES)["problems"]
    assert "these 164 rows are not the problems of humaneval_plus" in lack
    world.hub.plain[HUMANEVAL] = gzip.compress(jsonl(rows[:100]))
    found, lack = world.ask("humaneval_plus", *FILES)["problems"]
    assert "100 rows are not the 164 problems of humaneval_plus" in lack
    del world.hub.plain[HUMANEVAL]
    found, lack = world.ask("humaneval_plus", *FILES)["file"]
    assert "cannot be had" in found and "404" in found and "try again with a connection" in lack


def test_a_local_file_is_read_and_no_hub_asked(world, tmp_path):
    file = tmp_path / "math500.jsonl"
    file.write_bytes(jsonl(math500_rows()))
    begin = f"""
import yaml
from distill_nb import params
values = params.read_files("run07.yaml") | {{"benchmark_files": {{"math500": {str(file)!r}}}}}
open({str(tmp_path / "run.yaml")!r}, "w").write(yaml.safe_dump(values))
"""
    found = world.ask("math500", str(tmp_path / "run.yaml"), begin=begin)
    assert list(found) == ["problems"]
    assert found["problems"][0].startswith("500 of 500, MATH-500, from ")
    assert world.hub.served == 0
