import pyarrow as pa
from fake_hub import GATED
from online_world import code_rows, math_rows, parquet
from trace_rows import CODE, MATH

from distill_nb.traces import hub as traces_hub

MATH_FILE, CODE_FILE = "traces_r1_math.yaml", "traces_r1_code.yaml"
FIRST, SECOND = (f"data/train-0000{i}-of-00002.parquet" for i in (0, 1))


def of(world, dataset="r1_math"):
    return world.hub.repositories["dataset", traces_hub.HUB[dataset][0]]


def test_a_revision_that_is_gone(world):
    of(world).commit = "f" * 40
    (found,) = world.ask("r1_math", MATH_FILE).values()
    assert found == (
        "e4e141ec of open-r1/OpenR1-Math-220k cannot be had",
        "the hub's data set open-r1/OpenR1-Math-220k no longer has the revision "
        "e4e141ec9dea9f8326f4d347be56105859b2bd68, or set source to a folder with copies of its "
        ".parquet files",
    )


def test_files_that_are_gone(world):
    of(world).files = {"README.md": b""}
    (found,) = world.ask("r1_math", MATH_FILE).values()
    assert "has no .parquet files in data/" in found[1]


def test_another_schema(world):
    rows = [{k: v for k, v in row.items() if k != "generations"} for row in math_rows()]
    without = pa.schema([field for field in MATH if field.name != "generations"])
    of(world).files[SECOND] = parquet(rows, without)
    found, lack = world.ask("r1_math", MATH_FILE)["default: columns"]
    assert found == f"{SECOND} is no such file"
    assert "has no column 'generations'" in lack
    retyped = MATH.set(MATH.get_field_index("problem"), pa.field("problem", pa.int64()))
    rows = [row | {"problem": 1} for row in math_rows()]
    of(world).files[SECOND] = parquet(rows, retyped)
    found, lack = world.ask("r1_math", MATH_FILE)["default: columns"]
    assert "has 'problem' of type int64; use files in the shape of" in lack


def test_another_number_of_rows(world):
    of(world, "r1_code").files["split_0/a.parquet"] = parquet(code_rows(24), CODE)
    found, lack = world.ask("r1_code", CODE_FILE)["split_0: rows"]
    assert found == "24" and lack.startswith("expected 25: the study was planned with other files")


def test_rows_that_the_code_cannot_read(world):
    whole = of(world).files[FIRST]
    at = whole.index(b"PAR1") + 4
    of(world).files[FIRST] = whole[:at] + b"\xff" * 400 + whole[at + 400 :]
    found, lack = world.ask("r1_math", MATH_FILE)["default: 20 rows"]
    assert found == "cannot be read" and "row group 0 of train-00000-of-00002.parquet" in lack
    of(world).files[FIRST] = b"<html>no</html>"
    found, lack = world.ask("r1_math", MATH_FILE)["default: columns"]
    assert "train-00000-of-00002.parquet is not a Parquet file" in lack


def test_rows_of_which_none_is_good(world):
    rows = [row | {"is_reasoning_complete": [False]} for row in math_rows()]
    of(world).files[FIRST] = parquet(rows, MATH)
    found, lack = world.ask("r1_math", MATH_FILE)["default: 20 rows"]
    assert found.endswith("20 incomplete") and lack.startswith("none is good")
    mixed = rows[:5] + math_rows()
    of(world).files[FIRST] = parquet(mixed, MATH)
    found = world.ask("r1_math", MATH_FILE)["default: 20 rows"]
    assert found == ("read by the code that reads all: 15 good, 5 incomplete", "")


def test_little_of_large_files_is_read(world):
    long = [f"<think>\n{i}{'x' * 40_000}{i * 7919}\n</think>\n\\boxed{{4}}" for i in range(2000)]
    rows = [row | {"generations": [t]} for row, t in zip(math_rows(2000), long, strict=True)]
    plain = pa.BufferOutputStream()
    pa.parquet.write_table(
        pa.Table.from_pylist(rows, schema=MATH),
        plain,
        row_group_size=2000,
        compression="none",
        use_dictionary=False,
        write_batch_size=16,
    )
    of(world).files[FIRST] = plain.getvalue().to_pybytes()
    assert len(of(world).files[FIRST]) > 80_000_000
    found = world.ask("r1_math", MATH_FILE)
    assert found["default: 20 rows"][0].endswith("20 good")
    assert world.hub.served < 4_000_000


def test_files_that_the_hub_does_not_give(world):
    of(world).refuses = GATED
    _, lack = world.ask("r1_math", MATH_FILE)["default: columns"]
    assert lack == (
        "the hub's data set open-r1/OpenR1-Math-220k is gated: ask for access on its page and log "
        "in with `hf auth login`, or set source to a folder with copies of its .parquet files"
    )


def test_both_parts_of_opencodereasoning(world, tmp_path):
    text = f"""
import yaml
from distill_nb import params
from distill_nb.runtime import paths
values = params.read_files("{CODE_FILE}") | {{"config": "all"}}
file = {str(tmp_path / "all.yaml")!r}
open(file, "w").write(yaml.safe_dump(values))
"""
    schema = CODE.append(pa.field("index", pa.string()))
    rows = [row | {"input": "-", "dataset": "taco", "split": "train"} for row in code_rows()]
    of(world, "r1_code").files["split_1/a.parquet"] = parquet(rows, schema)
    found = world.ask("r1_code", str(tmp_path / "all.yaml"), begin=text)
    assert found["split_0: rows"] == ("25", "")
    assert "index" in found["split_1: columns"][0]
    assert found["split_1: 20 rows"][0].endswith("20 no_statement")
