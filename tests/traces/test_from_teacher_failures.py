"""Sets from an API teacher whose account or server failed: stopped, gone on with, opened again."""

import json

import pytest
from fake_teacher import FakeTeacher
from helpers import needs_teachers
from teacher_sets import settings, solved, write_problems

from distill_nb.runtime import jsonl
from distill_nb.runtime.files import write_json
from distill_nb.traces import build, files

pytestmark = [
    needs_teachers,
    pytest.mark.usefixtures("teacher_keys"),
    pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning"),
]


@pytest.fixture
def source(tmp_path):
    return write_problems(tmp_path)


CREDIT = "invalid_request_error: Your credit balance is too low to access the API."


@pytest.mark.parametrize("mode", ["batch", "messages"])
def test_an_account_without_credit_stops_the_set_and_spends_no_reserve(source, runs_dir, mode):
    empty = [True]

    def answer(prompt, n):
        if not empty:
            return solved(prompt, n)
        kind, _, message = CREDIT.partition(": ")
        body = {"type": "error", "error": {"type": kind, "message": message}}
        fault = {"status": 400, "body": body}
        in_batch = {"status": "errored", "error": kind, "message": message}
        return {"fault": fault} if mode == "messages" else in_batch

    with FakeTeacher(answer) as server:
        p = settings(server, source, teacher_mode=mode, concurrency=1, n_examples=3)
        with pytest.raises(ValueError, match="add credit to the account or raise its limit"):
            build.build(p)
        assert len(server.asked) <= 3  # of 8: no other problem took the place of one
        assert not (files.folder_of("sonnet_math", "pocket") / "provenance.json").exists()
        empty.clear()
        counts = build.build(p)
        assert counts == {"rows": 8, "kept": 3, "rejected": {"not_needed": 5}}
        assert server.paid.total() == 3


def test_a_set_that_an_earlier_version_finished_without_credit_is_opened_again(
    source, runs_dir, caplog
):
    """As it was written: each problem, the reserve too, with the account's failure as its own."""
    caplog.set_level("INFO", "distill_nb")
    folder = files.folder_of("sonnet_math", "pocket")
    with FakeTeacher(solved) as server:
        p = settings(server, source, n_examples=3)
        build.build(settings(server, source, n_examples=8))
        teacher = folder / "teacher"
        failed = [
            r | {"status": "errored", "error": CREDIT, "input_tokens": 0, "output_tokens": 0}
            for r in jsonl.read(teacher / "responses.jsonl")
        ]
        (teacher / "responses.jsonl").write_text("".join(json.dumps(r) + "\n" for r in failed))
        (teacher / "verdicts.jsonl").unlink()
        files.write(folder / "train.parquet", [])
        rejected = [
            {"id": r["id"], "problem_id": r["id"], "reason": "failed", "detail": CREDIT}
            for r in failed
        ]
        counts = files.write_rejected(folder, rejected)
        write_json(folder / "funnel.json", {"rows": 8, "rejected": counts, "kept": 0})
        record = json.loads((folder / "provenance.json").read_text())
        record["parameters"]["n_examples"] = 3
        write_json(folder / "provenance.json", record)
        server.paid.clear()
        # without a limit of cost nothing may be sent, and the set stays as it is
        assert build.build(settings(server, source, n_examples=3, max_cost=0.0))["kept"] == 0
        assert (folder / "provenance.json").exists() and not server.paid
        counts = build.build(p)
        assert counts == {"rows": 8, "kept": 3, "rejected": {"not_needed": 5}}
        assert server.paid.total() == 3 and build.build(p) == counts
    assert "8 of its problems failed for a reason that was not theirs" in caplog.text


def test_a_given_up_problem_is_replaced_from_the_reserve_and_must_be_known(source, runs_dir):
    first = []

    def answer(prompt, n):
        first.append(prompt)
        return {"status": "errored"} if prompt == first[0] else solved(prompt, n)

    with FakeTeacher(answer) as server:
        p = settings(server, source, n_examples=3, max_requeues=0)
        with pytest.raises(RuntimeError, match=r"its id into sonnet_math/teacher/give_up\.txt"):
            build.build(p)
        file = files.folder_of("sonnet_math", "pocket") / "teacher" / "give_up.txt"
        file.write_text("nobody\n")
        with pytest.raises(ValueError, match=r"give_up\.txt: nobody is the id of no problem of "):
            build.build(p)
        (failed,) = [
            r for r in jsonl.read(file.parent / "responses.jsonl") if r["status"] == "errored"
        ]
        file.write_text(failed["id"])
        counts = build.build(p)
        assert counts == {"rows": 8, "kept": 3, "rejected": {"failed": 1, "not_needed": 4}}
        assert build.build(p) == counts and server.paid.total() == 3
