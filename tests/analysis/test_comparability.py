"""Results that were not made alike are shown in one table, and it is said."""

import json

import pytest
from helpers import best, tiny

from distill_nb.analysis import comparability
from distill_nb.evaluation import evaluate
from distill_nb.report import index_page
from distill_nb.runtime import paths
from distill_nb.training import train

A, B = "sonnet_math_llama_4k", "faster"


@pytest.fixture(scope="module")
def scale(tmp_path_factory):
    """runs/tiny with two runs that share everything but a learning rate."""
    best()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(tmp_path_factory.mktemp("runs")))
        for p in (
            tiny(benchmark_limit=2, max_steps=1, save_every=1),
            tiny(benchmark_limit=2, max_steps=1, save_every=1, run_name=B, learning_rate=0.01),
        ):
            train.train(p)
            evaluate.evaluate(p)
        return paths.runs() / "tiny"


@pytest.fixture
def change(scale):
    """Change the record of a stage of A, for one test."""
    before = {f: f.read_text() for f in scale.rglob("provenance_*.json")}

    def edit(stage, **values):
        file = scale / A / f"provenance_{stage}.json"
        record = json.loads(file.read_text())
        for key, value in values.items():
            record[key] = {**record[key], **value} if isinstance(value, dict) else value
        file.write_text(json.dumps(record))

    yield edit
    for file, text in before.items():
        file.write_text(text)


def test_what_was_made_alike_is_said_to_be(scale, tmp_path):
    assert comparability.differences(scale) == []
    assert comparability.summary(scale).startswith(
        "As far as is recorded, all of these results were made by the same code"
    )
    assert comparability.summary(tmp_path) == ""
    assert "made alike" not in index_page.html(scale)
    record = json.loads((scale / B / "provenance_eval.json").read_text())
    assert (
        len(record["base"]["pocket_math"]) == 1
        and record["code"]["distill_nb/evaluation/collect.py"]
    )
    assert "distill_nb/report/tables.py" not in record["code"]


OLD = {"distill_nb/students/chat.py": "0" * 16}


@pytest.mark.parametrize(
    ("stage", "values", "says"),
    [
        (
            "train",
            {"code": OLD},
            f"{A} was trained by another version of distill_nb/students/chat.py than {B}.",
        ),
        (
            "eval",
            {"code": OLD},
            f"{A} was evaluated by another version of distill_nb/students/chat.py than {B}.",
        ),
        (
            "train",
            {"packages": {"torch": "1.0"}},
            f"{A} was trained with other versions of torch than {B}.",
        ),
        (
            "train",
            {"data_sha256": "0"},
            f"{A} was trained on other data called pocket, by its rows than {B}.",
        ),
        ("eval", {"grader": "0"}, f"{A} was graded by another version of the grader than {B}."),
        (
            "eval",
            {"settings": {"temperature": 1.0}},
            f"{A} was evaluated with other values of temperature than {B}.",
        ),
        (
            "eval",
            {"settings": {"tasks_sha256": {"pocket_math": "0"}}},
            f"{A} was evaluated on other tasks of pocket_math than {B}.",
        ),
        (
            "eval",
            {"sessions": [{"code": OLD}]},
            f"{A} was evaluated in several sessions, and between them distill_nb/students/chat.py "
            "changed.",
        ),
        (
            "eval",
            {"base": {"pocket_math": [{"code": OLD}]}},
            f"The base student's answers in {A} were made by another version of "
            "distill_nb/students/chat.py than those of its checkpoints.",
        ),
        (
            "train",
            {"student_version": "0"},
            f"{A} was trained with another student_version than {B}.",
        ),
        ("train", {"template": "0"}, f"{A} was trained with another template than {B}."),
        (
            "eval",
            {"settings": {"student_version": "0"}},
            f"{A} was evaluated with another student_version than {B}.",
        ),
        (
            "train",
            {"sessions": [{"packages": {"torch": "1.0"}}]},
            f"{A} was trained in several sessions, and between them torch changed.",
        ),
        (
            "train",
            {"sessions": [{"device": {"kind": "cuda"}}]},
            f"{A} was trained in several sessions, and between them the device changed.",
        ),
        (
            "eval",
            {"base": {"pocket_math": [{"packages": {"vllm": "0"}}]}},
            f"The base student's answers in {A} were made by another version of vllm than those of "
            "its checkpoints.",
        ),
    ],
)
def test_what_was_not_made_alike_is_named(stage, values, says, scale, change):
    if "code" in values:
        values = {
            "code": json.loads((scale / A / f"provenance_{stage}.json").read_text())["code"] | OLD
        }
    for session in [*values.get("sessions", []), *values.get("base", {}).get("pocket_math", [])]:
        record = json.loads((scale / A / f"provenance_{stage}.json").read_text())
        for key in session.keys() & {"code", "packages"}:
            session[key] = record[key] | session[key]
    change(stage, **values)
    expected = {says}
    if (
        stage == "eval" and "code" in values
    ):  # then the base student's answers are another version's too
        expected |= {
            f"The base student's answers in {A} were made by another version of "
            "distill_nb/students/chat.py than those of its checkpoints."
        }
    found = comparability.differences(scale)
    assert set(found) == expected
    assert comparability.summary(scale).startswith("Not all of these results were made alike:\n- ")
    assert "Not all of these results were made alike" in index_page.html(scale)


def test_a_damaged_record_is_named(scale, change):
    (scale / A / "provenance_train.json").write_text("{")
    assert comparability.differences(scale)[0].startswith(
        f"provenance_train.json in {A} is damaged"
    )


# Before the modules moved into folders, their names were these.
OLD_NAMES = {"distill_nb/train.py": "0" * 16, "distill_nb/evaluate.py": "1" * 16}


def test_finished_runs_of_earlier_code_are_kept_and_named(scale, change, monkeypatch):
    """A was made when modules had other names, B when one hash over all of them was recorded."""
    monkeypatch.setenv("DISTILL_NB_RUNS", str(scale.parent))
    for folder in (A, B):
        for file in (scale / folder).glob("provenance_*.json"):
            record = json.loads(file.read_text())
            record |= {"code": OLD_NAMES} if folder == A else {"code_sha256": "2" * 64}
            if folder == B:
                del record["code"]
            file.write_text(json.dumps(record))
    said = {
        f"{A} was {done} by earlier code: its modules had other names."
        for done in ("trained", "evaluated")
    } | {
        f"{B} was {done} by earlier code: only one hash over all of it is recorded."
        for done in ("trained", "evaluated")
    }
    assert said <= set(comparability.differences(scale))
    assert not [s for s in comparability.differences(scale) if "distill_nb/" in s]
    results_of = {
        file: file.read_bytes()
        for file in scale.rglob("*")
        if file.suffix in (".safetensors", ".jsonl")
    }
    p = tiny(benchmark_limit=2, max_steps=1, save_every=1)
    assert train.train(p)["code"] == OLD_NAMES
    evaluate.evaluate(p)
    assert {file: file.read_bytes() for file in results_of} == results_of
    assert f"{A} was trained by earlier code" in comparability.summary(scale)


def test_a_folder_written_by_earlier_code_is_read(tmp_path):
    """Two runs of one earlier version are alike; a third differs from them in one module."""
    old = {"parameters": {"student": "s"}, "packages": {"torch": "2"}, "code": OLD_NAMES}
    new = {**old, "code": {"distill_nb/training/train.py": "0" * 16}}
    changed = {**old, "code": OLD_NAMES | {"distill_nb/train.py": "3" * 16}}
    for folder, record in {"a": old, "b": old, "c": changed, "d": new}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "provenance_train.json").write_text(json.dumps(record))
    assert comparability.differences(tmp_path) == [
        "a, b, c were trained by earlier code: its modules had other names.",
        "c was trained by another version of distill_nb/train.py than a, b.",
    ]
    resumed = {**new, "sessions": [{"code": OLD_NAMES}, {"code_sha256": "2" * 64}]}
    (tmp_path / "d" / "provenance_train.json").write_text(json.dumps(resumed))
    assert comparability.differences(tmp_path)[-1] == (
        "d was trained in several sessions, and between them the code changed."
    )
