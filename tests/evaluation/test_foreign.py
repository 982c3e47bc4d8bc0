"""Logs that Inspect and the lm-evaluation-harness wrote, read into our records, and what is stored
of them as a run."""

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from distill_nb.__main__ import main
from distill_nb.analysis import results
from distill_nb.evaluation import foreign, imported
from distill_nb.report import index_page

LOGS = Path(__file__).with_name("logs")
HARNESS = next(LOGS.glob("samples_*.jsonl"))
EPOCHS = LOGS / "inspect_two_epochs.json"


def test_a_log_of_inspect_with_two_epochs():
    (log,) = foreign.read(EPOCHS)
    assert (log.tool, log.model) == ("inspect_ai 0.3.285", "mockllm/model")
    assert (log.benchmark, log.score) == ("double", "pattern")
    by_key = {(r["task_id"], r["sample"]): r for r in log.records}
    assert len(by_key) == len(log.records) == 8
    assert {key: r["outcome"] for key, r in by_key.items()} == {
        ("double/1", 0): "correct", ("double/2", 0): "wrong",
        ("double/3", 0): "wrong", ("double/4", 0): "wrong",
        ("double/1", 1): "no_answer", ("double/2", 1): "wrong",
        ("double/3", 1): "truncated", ("double/4", 1): "correct",
    }  # fmt: skip
    thought = by_key["double/3", 0]
    assert thought["completion"] == "<think>two and two</think>ANSWER: 4"
    assert thought["answer"] == "4" and thought["prompt_tokens"] == 5
    assert by_key["double/3", 1]["finish_reason"] == "length"
    assert len({r["problem"] for r in log.records}) == 4
    assert "a second grader" in log.lacks and "the length of the answers" not in log.lacks


def test_a_packed_log_of_inspect():
    (log,) = foreign.read(LOGS / "inspect_tiny_student.eval")
    assert log.model == "hf/smollm2-135m-instruct" and log.benchmark == "sums"
    assert {r["task_id"] for r in log.records} == {f"sum-{i}" for i in range(12)}
    assert all(r["outcome"] == "no_answer" and r["completion_tokens"] == 24 for r in log.records)
    assert all(len(r["completion"]) > 40 for r in log.records)


def test_samples_of_the_harness_with_two_filters():
    (log,) = foreign.read(HARNESS)
    assert (log.tool, log.model, log.score) == ("lm_eval 0.4.13", "smol", "strict-match")
    assert [r["task_id"] for r in log.records if r["outcome"] == "correct"] == ["3", "10"]
    five = log.records[5]  # " 30 + 32 = 62."
    assert (five["outcome"], five["lenient_outcome"]) == ("no_answer", "correct")
    assert five["answer"] == "" and five["completion"] == " 30 + 32 = 62."
    assert log.records[1]["outcome"] == "wrong" and log.records[1]["answer"] == "119"
    (lenient,) = foreign.read(HARNESS, "flexible-extract")
    right = [r["task_id"] for r in lenient.records if r["outcome"] == "correct"]
    assert right == ["3", "5", "10"] and lenient.records[5]["lenient_outcome"] == ""


def test_a_score_must_be_there_and_be_right_or_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"no score 'match', only pattern"):
        foreign.read(EPOCHS, "match")
    with pytest.raises(ValueError, match=r"no filter 'loose', only strict-match, flexible"):
        foreign.read(HARNESS, "loose")
    log = json.loads(EPOCHS.read_text())
    log["samples"][2]["scores"]["pattern"]["value"] = 0.5
    (tmp_path / "half.json").write_text(json.dumps(log))
    with pytest.raises(ValueError, match=r"has the value 0.5, neither right nor wrong: name ano"):
        foreign.read(tmp_path / "half.json")


@pytest.mark.parametrize(
    "value, outcome",
    [("C", "correct"), ("I", "wrong"), (1, "correct"), (1.0, "correct"), (0.0, "wrong"),
     (True, "correct"), (False, "wrong"), ("N", "wrong")],
)  # fmt: skip
def test_values_of_scores(value, outcome):
    assert foreign.outcome_of(value, "it", answered=True) == outcome


def test_other_files_are_refused_in_one_sentence(tmp_path):
    def said(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError) as refused:
            foreign.read(tmp_path / name)
        return str(refused.value)

    assert "is no log: give one of Inspect" in said("log.txt", b"")
    assert "is no log of Inspect" in said("a.json", b'{"a": 1}')
    assert "is no log of Inspect" in said("a.eval", b"PK no archive")
    assert "is no file of samples" in said("a.jsonl", b'{"task_id": "x"}\n')
    assert "line 1" in said("b.jsonl", b"{\n")
    assert "has no answers" in said("c.jsonl", b"")
    begun = tmp_path / "begun.eval"
    with zipfile.ZipFile(begun, "w") as archive:
        archive.writestr("_journal/start.json", json.dumps({"eval": {"model": "m", "task": "t"}}))
    with pytest.raises(ValueError, match="has no answers: it was stopped early"):
        foreign.read(begun)
    with pytest.raises(ValueError, match="does not exist"):
        foreign.read(tmp_path / "none.eval")


def command(*words):
    return CliRunner().invoke(main, ["import", *map(str, words)], catch_exceptions=False)


def test_imported_answers_are_a_run_of_the_analysis(runs_dir):
    base = command(HARNESS, "--run", "sft", "--student", "smol")
    assert base.exit_code == 0, base.output
    assert "sums, 2 of 12 right by 'strict-match', lm_eval 0.4.13" in base.output
    assert "They do not say: a second grader." in base.output
    tuned = command(HARNESS, "--run", "sft", "--step", 100, "--score", "flexible-extract")
    assert tuned.exit_code == 0
    records = results.load_records(runs_dir / "full")
    table = results.accuracy_of(records).set_index("step")
    assert table["accuracy"].round(2).to_dict() == {0: 16.67, 100: 25.0}
    assert set(records["student"]) == {"smol"} and set(records["folder"]) == {"sft"}
    lacks = imported.lacks(runs_dir / "full" / "sft")
    assert "a second grader" in lacks and len(lacks) >= 3
    again = command(HARNESS, "--run", "sft")
    assert again.exit_code == 0  # the same file
    other = command(HARNESS, "--run", "sft", "--score", "flexible-extract")
    assert "has answers to sums from samples_sums" in other.output and other.exit_code == 1
    page = index_page.index(runs_dir / "full").read_text()
    assert "imported" in page and "smol" in page


def test_a_run_of_ours_is_no_place_to_import_into(runs_dir):
    (runs_dir / "full" / "mine" / "eval").mkdir(parents=True)
    assert "answers that were made here" in command(EPOCHS, "--run", "mine").output
