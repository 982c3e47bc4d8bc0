"""What is killed at any moment goes on without paying twice."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from conftest import KEY
from fake_teacher import FakeTeacher
from teacher_cases import ALL, MARKS, PROBLEMS, TEXTS, boxed, made, right, settings, stored

from distill_nb.runtime import jsonl, paths
from distill_nb.traces.teacher import generation, store
from distill_nb.traces.teacher.records import Request

pytestmark = MARKS


KILLS = {
    "after the intent, before sending": "wrap(teacher_store.Store, 'intend', after=True)",
    "after sending, before the id is written": "wrap(teacher_store.Store, 'accepted')",
    "after the id is written": "wrap(teacher_store.Store, 'accepted', after=True)",
    "while awaiting": "wrap(teacher_batches, '_fetch')",
    "after some results are stored": "wrap(teacher_store.Store, 'keep', after=True)",
    "in the middle of a line": "torn()",
    "before all is marked as stored": "wrap(teacher_store.Store, 'done')",
    "while verifying": "wrap(teacher_store.Store, 'judge')",
}
# Started once, for the imports take seconds; it forks for every line it reads, and says how the
# fork ended.
PARENT = """
    import json, os, signal, sys
    from pathlib import Path
    sys.path.insert(0, "tests")
    import anthropic, teacher_cases
    from distill_nb.runtime import jsonl as records
    from distill_nb.traces.teacher import batches as teacher_batches, store as teacher_store

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def wrap(owner, name, after=False):
        real = getattr(owner, name)
        def dying(*args, **more):
            if after:
                real(*args, **more)
            die()
        setattr(owner, name, dying)

    def torn():
        real = records.append
        def append(file, lines):
            real(file, lines)
            if file.name == "responses.jsonl":
                os.truncate(file, file.stat().st_size - 40)
                die()
        records.append = append

    for line in sys.stdin:
        kill, url, folder, changes = json.loads(line)
        child = os.fork()
        if not child:
            os.dup2(2, 1)
            teacher_batches.GROUP = 2
            exec(kill)
            server = type("Server", (), {"url": url})
            teacher_cases.made(teacher_cases.settings(server, **changes), Path(folder))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def killed():
    """Calls generate in a process of its own that kills itself: killed(one of KILLS, server,
    folder, other settings)."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT)],
        cwd=paths.ROOT,
        text=True,
        env=paths.child_environment() | {"ANTHROPIC_API_KEY": KEY},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def kill(how, server, folder, **changes):
        process.stdin.write(json.dumps([how, server.url, str(folder), changes]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"{-signal.SIGKILL}\n"

    with process:
        yield kill
        process.stdin.close()


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
def test_killed_at_any_moment_it_goes_on_without_paying_twice(tmp_path, kill, killed):
    with FakeTeacher(right, polls=2, shuffle=True) as server:
        killed(kill, server, tmp_path / "t")
        g = generation.generate(settings(server), PROBLEMS, tmp_path / "t", verify=boxed)
        assert server.paid == dict.fromkeys(TEXTS, 1) and g.rejected == []
        assert sorted(r["id"] for r in stored(tmp_path / "t")) == ALL
        with FakeTeacher(right) as other:
            reference = generation.generate(
                settings(other), PROBLEMS, tmp_path / "reference", verify=boxed
            )
        assert list(g.rows()) == list(reference.rows())


def test_a_lost_batch_is_told_from_others_of_the_account(tmp_path, killed):
    with FakeTeacher(right, polls=3) as server:
        killed(KILLS["after sending, before the id is written"], server, tmp_path / "t")
        elsewhere = [
            {"id": f"q{i}", "problem": f"Say {i} elsewhere in \\boxed{{}}.", "answer": str(i)}
            for i in range(3)
        ]
        # same size, later
        assert made(settings(server), tmp_path / "other", elsewhere) == (["q0", "q1", "q2"], [])
        assert made(settings(server), tmp_path / "t") == (ALL, [])
        assert (
            set(server.paid.values()) == {1} and len(server.paid) == 9 and len(server.batches) == 3
        )


def test_plain_requests_under_way_when_killed_count_as_paid(tmp_path, killed):
    with FakeTeacher(right) as server:
        killed(
            KILLS["after the intent, before sending"],
            server,
            tmp_path / "t",
            teacher_mode="messages",
            concurrency=1,
        )
        s = settings(server, teacher_mode="messages", concurrency=2)
        assert made(s, tmp_path / "t") == (ALL, [])
        lost, *rest = stored(tmp_path / "t")
        assert (lost["status"], lost["output_tokens"], lost["id"]) == ("lost", 1000, "p0") and len(
            rest
        ) == 6
        killed(
            "wrap(teacher_store.Store, 'judge')", server, tmp_path / "u", teacher_mode="messages"
        )
        assert made(s, tmp_path / "u") == (ALL, []) and set(server.paid.values()) == {2}


def test_a_folder_holds_the_answers_to_one_question_only(tmp_path):
    with FakeTeacher(right) as server:
        made(settings(server), tmp_path / "t")
        with pytest.raises(
            ValueError,
            match=r"t/settings\.json: .* teacher_system \(.*, now Hm\), .* \(\d+, now 2000\);",
        ):
            made(settings(server, teacher_system="Hm", teacher_max_tokens=2000), tmp_path / "t")
        with pytest.raises(ValueError, match="problem p0 reads otherwise than when it was asked"):
            made(settings(server), tmp_path / "t", [PROBLEMS[0] | {"problem": "Say 0."}])


def test_lines_are_read_one_at_a_time_and_a_torn_one_is_cut(tmp_path, caplog):
    caplog.set_level("INFO", "distill_nb")
    file = tmp_path / "x.jsonl"
    jsonl.append(file, [{"a": "ä" * 70_000}, {"b": 1}])
    whole = file.stat().st_size
    with open(file, "a") as f:
        f.write(json.dumps({"c": "x" * 200_000})[:-1])
    assert [(o, list(r)) for o, r in jsonl.lines(file)] == [(0, ["a"]), (whole - 9, ["b"])]
    jsonl.cut_torn_line(file)
    assert file.stat().st_size == whole and "dropped a torn last line" in caplog.text
    file.write_text("torn")
    jsonl.cut_torn_line(file)
    assert file.stat().st_size == 0 and os.path.exists(file)


def test_answers_under_other_ids_are_not_asked_for_again(tmp_path):
    fixed = {"teacher_model": "m"}
    store.open_store(tmp_path / "t", fixed, "g", None)
    assert store.open_store(tmp_path / "t", fixed, "g", None).folder == tmp_path / "t"
    file = tmp_path / "t" / "settings.json"
    now = json.loads(file.read_text())
    for said, words in (({"ids": "statements-1"}, "statements-1"), ({}, "an earlier version")):
        file.write_text(json.dumps({k: v for k, v in now.items() if k != "ids"} | said))
        with pytest.raises(
            ValueError, match=rf"^t/settings.json: .* ids of {words}, and this version gives"
        ):
            store.open_store(tmp_path / "t", fixed, "g", None)


def test_half_a_surrogate_pair_anywhere_in_a_response_loses_nothing(tmp_path):
    found = store.open_store(tmp_path, {}, "grader", None)
    asked = [Request(i, 1, "0" * 16) for i in "abc"]
    intent = found.intend("batch", asked)
    blank = {"status": "succeeded", "error": "", "input_tokens": 1, "output_tokens": 1}
    odd = [{"model": "m \ud83d"}, {"usage": {"a": ["\ude00"]}}, {"message_id": "é"}]
    found.keep(
        [{"custom_id": c, **blank, **o} for c, o in zip(intent.custom_ids(), odd, strict=True)]
    )
    for again in (found, store.open_store(tmp_path, {}, "grader", None)):
        a, b, c = (again.response(answer) for answer in again.answers.values())
        assert (a["model"], b["usage"], c["message_id"]) == ("m \ufffd", {"a": ["\ufffd"]}, "é")
