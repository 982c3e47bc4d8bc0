import pytest

from distill_nb.evaluation import records
from distill_nb.runtime import jsonl


def test_a_reader_leaves_a_writers_file_alone(tmp_path, caplog):
    caplog.set_level("INFO", "distill_nb")
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1}\n{"a"')
    assert jsonl.read(file) == [{"a": 1}] and len(file.read_text()) == 13
    assert not caplog.text
    assert jsonl.read(file, repair=True) == [{"a": 1}] and len(file.read_text()) == 9
    assert caplog.messages == [f"{tmp_path.name}/x.jsonl: dropped a torn last line."]
    assert jsonl.read(tmp_path / "none.jsonl", repair=True) == []


def test_failed_requests_are_taken_out_to_be_tried_again(tmp_path, caplog):
    caplog.set_level("INFO", "distill_nb")
    file = tmp_path / "x.jsonl"
    assert records.unfinished(file) == []
    rows = [
        {"task_id": str(i), "outcome": o}
        for i, o in enumerate(["correct", "sampling_error", "grader_error", "wrong"])
    ]
    jsonl.append(file, rows)
    assert records.unfinished(file) == jsonl.read(file) == [rows[0], *rows[2:]]
    assert "1 requests had failed and are tried again" in caplog.text
    before = file.stat().st_mtime_ns
    assert records.unfinished(file) == [rows[0], *rows[2:]] and file.stat().st_mtime_ns == before


def test_an_answer_that_is_there_twice_counts_once(tmp_path):
    rows = [
        {"task_id": t, "sample": s, "outcome": o}
        for t, s, o in (
            ("a", 0, "correct"),
            ("a", 1, "wrong"),
            ("a", 0, "wrong"),
            ("b", 0, "sampling_error"),
            ("b", 0, "sampling_error"),
        )
    ]
    jsonl.append(tmp_path / "x.jsonl", rows)
    assert records.once(rows) == [*rows[:2], rows[3]]
    assert records.state({tmp_path / "x.jsonl": 4, tmp_path / "y.jsonl": 2}) == (3, rows[3:])
    assert records.unfinished(tmp_path / "x.jsonl") == jsonl.read(tmp_path / "x.jsonl") == rows[:2]


def test_a_file_is_replaced_whole(tmp_path):
    file = tmp_path / "a" / "x.jsonl"
    jsonl.write(file, [{"a": "ä\u2028"}])
    jsonl.write(file, [{"b": 1}])
    assert jsonl.read(file) == [{"b": 1}] and [f.name for f in file.parent.iterdir()] == ["x.jsonl"]


def test_half_a_surrogate_pair_loses_no_record(tmp_path):
    file = tmp_path / "x.jsonl"
    jsonl.append(
        file, [{"a": "half \ud83d", "b": ["\ud83d", "\ude00"], "c\ude00": 1}, {"a": "😀é"}]
    )
    jsonl.append(file, [{"a": "\ud83d" + "\ude00"}])
    expected = [
        {"a": "half \ufffd", "b": ["\ufffd", "\ufffd"], "c\ufffd": 1},
        {"a": "😀é"},
        {"a": "😀"},
    ]
    assert jsonl.read(file) == expected
    jsonl.write(file, [{"a": "\udc00"}])
    assert file.read_text(encoding="utf-8") == '{"a": "\ufffd"}\n'


@pytest.mark.parametrize("line", [b'{"a": ', b'{"a": "\xff"}', b"\0\0\0\0"])
def test_a_damaged_line_of_a_record_is_named(line, tmp_path):
    file = tmp_path / "step_00004" / "x.jsonl"
    jsonl.append(file, [{"a": 1}])
    with open(file, "ab") as stream:
        stream.write(line + b"\n" + b'{"a": 2}\n')
    with pytest.raises(ValueError, match=r"^step_00004/x\.jsonl: line 2 is damaged; put a copy"):
        jsonl.read(file)
