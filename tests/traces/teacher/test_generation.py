"""API teachers: the real SDKs against a server of our own, which counts what it executed."""

import os
import sys

import pytest
from conftest import KEY
from fake_teacher import FakeTeacher
from teacher_cases import ALL, ASKED, MARKS, PROBLEMS, TEXTS, boxed, made, right, settings, stored

from distill_nb.runtime import jsonl, lock
from distill_nb.traces.teacher import audit, batches, generation
from distill_nb.traces.teacher.settings import Settings

pytestmark = MARKS


def test_a_round_of_batches_becomes_rows(tmp_path):
    with FakeTeacher(right, shuffle=True, twice=True) as server:
        s = settings(server, teacher_system="Be brief.")
        g = generation.generate(s, PROBLEMS, tmp_path / "t", verify=boxed)
        rows = list(g.rows())
        assert (len(g), g.rejected) == (6, []) and [r["id"] for r in rows] == ALL
        assert set(server.paid.values()) == {1} and len(server.batches) == 2
        assert server.bodies[0]["requests"][0]["params"] == {
            "model": "claude-sonnet-4-5-20250929",
            "max_tokens": 1000,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": TEXTS[0]}],
        }
        assert rows[1] == {
            "id": "p1",
            "problem": TEXTS[1],
            "answer": "1",
            "trace": r"So it is \boxed{1}.",
            "prompt": TEXTS[1],
            "outcome": "correct",
            "thinking": "",
            "text": r"So it is \boxed{1}.",
            "thinking_kind": "none",
            "model": "claude-sonnet-4-5-20250929",
            "attempt": 1,
            "stop_reason": "end_turn",
            "output_tokens": 50,
        }
        (first, *_) = stored(tmp_path / "t")
        assert first["batch_id"] == "msgbatch_0000" and first["usage"]["input_tokens"] == 100
        ids = [r["custom_id"] for b in server.batches.values() for r in b["requests"]]
        assert len(set(ids)) == 6 and all(
            len(i) <= 64 and i.replace("-", "").isalnum() for i in ids
        )
        calls = sum(server.calls.values())
        # nothing is asked again
        assert made(s, tmp_path / "t") == (ALL, []) and sum(server.calls.values()) == calls


def test_a_batch_is_on_disk_before_it_is_waited_for(tmp_path, monkeypatch):
    seen = []

    def look(s, store, api):
        seen.append([e["event"] for e in jsonl.read(tmp_path / "t" / "batches.jsonl")])
        return real(s, store, api)

    real = batches.await_batches
    monkeypatch.setattr(batches, "await_batches", look)
    with FakeTeacher(right) as server:
        made(settings(server), tmp_path / "t")
    assert seen == [["intent", "batch", "intent", "batch"]]


def test_attempts_are_paid_for_only_where_they_are_needed(tmp_path):
    def answer(prompt, n):
        return right(prompt, n) if prompt != TEXTS[2] or n == 3 else "wrong"

    with FakeTeacher(answer) as server:
        assert made(settings(server, attempts=1), tmp_path / "t") == (
            ["p0", "p1", "p3", "p4", "p5"],
            [("p2", "wrong")],
        )
        # more attempts later: the folder goes on
        assert made(settings(server, attempts=4), tmp_path / "t") == (ALL, [])
        assert server.paid == {t: 3 if t == TEXTS[2] else 1 for t in TEXTS}
    table = audit.audit(tmp_path / "t").set_index(["part", "name"])["value"]
    assert table["requests"].to_dict() == {
        "succeeded": 8,
        "attempt 1": 6,
        "attempt 2": 1,
        "attempt 3": 1,
    }
    assert table["kept"].to_dict() == {"correct": 6, "attempt 1": 5, "attempt 3": 1}
    assert table["rejected"].to_dict() == {"wrong": 2} and table["problems"].to_dict() == {
        "asked": 6,
        "kept": 6,
    }
    assert table["tokens"].to_dict() == {
        "thinking": 0,
        "thinking tokens known": 0,
        "input": 800,
        "output": 400,
    }
    assert table["cost", "total"] == pytest.approx(8 * (100 * 3 + 50 * 15) / 1e6 / 2)
    assert table["characters", "visible"] == 6 * len(r"So it is \boxed{1}.") + 2 * len("wrong")


def test_thinking_and_text_are_both_stored_and_it_is_said_what_the_thinking_is(tmp_path):
    def answer(prompt, n):
        return {"text": right(prompt, n), "thinking": "Hm \ud83d."} | [
            {},
            {"redacted": 1},
            {"thinking": ""},
            {"stop_reason": "max_tokens"},
            {"stop_reason": "refusal"},
            {"text": "a </think> b"},
        ][int(prompt.split()[1])]

    with FakeTeacher(answer) as server:
        s = settings(
            server, thinking_budget=1024, teacher_max_tokens=2000, trace_from="thinking_and_text"
        )
        g = generation.generate(s, PROBLEMS, tmp_path / "t", verify=boxed)
        assert server.bodies[0]["requests"][0]["params"]["thinking"] == {
            "type": "enabled",
            "budget_tokens": 1024,
        }
        (row,) = g.rows()
        assert (
            row["trace"] == "<think>\nHm \ufffd.\n</think>\n\nSo it is \\boxed{0}."
            and row["thinking_kind"] == "summarised"
        )
        assert g.rejected == [
            ("p1", "redacted_thinking"),
            ("p2", "no_thinking"),
            ("p3", "max_tokens"),
            ("p4", "refusal"),
            ("p5", "think_tag"),
        ]
        # text alone, nothing sent
        assert made(
            settings(server, thinking_budget=1024, teacher_max_tokens=2000), tmp_path / "t"
        ) == (["p0", "p1", "p2"], [("p3", "max_tokens"), ("p4", "refusal"), ("p5", "think_tag")])
        assert set(server.paid.values()) == {1}
        assert stored(tmp_path / "t")[0]["thinking_tokens"] == 30


@pytest.mark.parametrize(
    "model, kind",
    [
        ("claude-3-7-sonnet-20250219", "full"),
        ("claude-sonnet-4-5-20250929", "summarised"),
        ("claude-opus-4-20250514", "summarised"),
        ("claude-haiku-4-5", "summarised"),
        ("claude-sonnet-5", "summarised"),
        ("claude-3-5-sonnet-20241022", "unknown"),
        ("something", "unknown"),
    ],
)
def test_which_models_return_summarised_thinking(model, kind):
    from distill_nb.traces.teacher import anthropic

    assert (
        anthropic.thinking_kind(model, "Hm.") == kind
        and anthropic.thinking_kind(model, " ") == "none"
    )


def test_the_default_verification_is_the_graders(tmp_path):
    block = "```python\n{}\n```"
    cases = [
        ({"answer": r"\frac{1}{2}"}, r"\boxed{0.5}", "correct"),
        ({"answer": "3"}, r"\boxed{4}", "wrong"),
        ({"answer": "3"}, "three", "no_answer"),
        ({"tests": "assert f(1) == 2"}, block.format("def f(x):\n    return x + 1"), "correct"),
        ({"tests": "assert f(1) == 2"}, block.format("def f(x):\n    return x"), "wrong"),
        (
            {"tests": {"inputs": ["1 2\n"], "outputs": ["3\n"]}},
            block.format("print(sum(map(int, input().split())))"),
            "correct",
        ),
        (
            {"tests": {"inputs": [[1, 2]], "outputs": [3], "fn_name": "add"}},
            block.format("class Solution:\n    def add(self, a, b):\n        return a + b"),
            "correct",
        ),
        ({}, block.format("print(1)"), "unverified"),
        ({}, block.format("print(1"), "does_not_compile"),
        ({}, "print(1)", "no_answer"),
    ]
    problems = [
        {"id": f"p{i}", "problem": f"Problem {i}", **case[0]} for i, case in enumerate(cases)
    ]
    with FakeTeacher(lambda prompt, n: cases[int(prompt.split()[1])][1]) as server:
        g = generation.generate(settings(server), problems, tmp_path / "t", allow_unsafe=True)
    found = {r["id"]: r["outcome"] for r in g.rows()} | dict(g.rejected)
    assert found == {f"p{i}": case[2] for i, case in enumerate(cases)}
    assert (
        "Put the final answer in \\boxed{}." in next(iter(server.paid))
        and "one Python code block" in list(server.paid)[3]
    )


def test_a_model_other_than_the_one_asked_for_is_recorded(tmp_path):
    with FakeTeacher(
        lambda p, n: {"text": right(p, n), "model": "claude-sonnet-4-5-other"}
    ) as server:
        g = generation.generate(settings(server), PROBLEMS[:1], tmp_path / "t", verify=boxed)
    assert next(g.rows())["model"] == "claude-sonnet-4-5-other"
    table = audit.audit(tmp_path / "t").set_index(["part", "name"])["value"]
    assert table["model"].to_dict() == {"claude-sonnet-4-5-20250929 → claude-sonnet-4-5-other": 1}


def test_what_is_refused_before_anything_is_sent(tmp_path, monkeypatch):
    with FakeTeacher(right) as server:
        s, t = settings(server), tmp_path / "t"
        for problems, says in (
            ([{"id": "a"}], "row 1 has no text problem"),
            ([*PROBLEMS, PROBLEMS[0]], "id p0 is there twice"),
            ([{"id": "a", "problem": "\ud83d"}], "half a surrogate pair"),
        ):
            with pytest.raises(ValueError, match=says):
                made(s, t, problems)
        with pytest.raises(ValueError, match="problem a: its tests cannot be run"):
            generation.generate(s, [{"id": "a", "problem": "f", "tests": "print(1)"}], t)
        with pytest.raises(ValueError, match="verify: it returned True for problem p0"):
            generation.generate(s, PROBLEMS[:1], tmp_path / "v", verify=lambda problem, trace: True)
        server.calls.clear()
        with (
            lock.locked(t, doing="held"),
            pytest.raises(ValueError, match=rf"folder: t is held by process {os.getpid()} on "),
        ):
            made(s, t)
        monkeypatch.delenv("ANTHROPIC_API_KEY")
        with pytest.raises(ValueError, match=r"^ANTHROPIC_API_KEY: it is not set; put the key"):
            made(s, t)
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(ValueError, match=r"^OPENAI_API_KEY: it is not set"):
            made(Settings(teacher_api="openai", teacher_model="m", teacher_mode="messages"), t)
        for api, mode in (("anthropic", "batch"), ("openai", "messages")):
            monkeypatch.setitem(sys.modules, api, None)  # as where it is not installed
            with pytest.raises(ValueError, match=rf"^teacher_api: {api} needs the package {api}, "):
                made(settings(server, teacher_api=api, teacher_mode=mode), t)
        assert sum(server.calls.values()) == 0


def test_the_key_goes_nowhere_but_into_requests(tmp_path, capfd, monkeypatch, caplog):
    import traceback

    caplog.set_level("DEBUG")
    said = []
    with FakeTeacher(right, echo_key=True) as server:
        for mode, where in (
            ("batch", "POST /v1/messages/batches"),
            ("messages", "POST /v1/messages"),
        ):
            server.faults = {where: [529, 400]}
            s = settings(server, teacher_mode=mode, concurrency=1)
            try:
                g = generation.generate(s, PROBLEMS, tmp_path / mode, verify=boxed)
                said += [repr(g), repr(g.rejected), repr(list(g.rows()))]
            except ValueError:
                said.append(traceback.format_exc())
            server.faults = {where: [401]}
            with pytest.raises(
                ValueError, match="authentication_error: no: Bearer <ANTHROPIC_API_KEY>"
            ) as error:
                made(s, tmp_path / mode, [{"id": "new", "problem": "Say 7", "answer": "7"}])
            said += [
                "".join(traceback.format_exception(error.value)),
                repr(s),
                repr(error.value.__dict__),
            ]
        assert any(KEY in str(h) for h in server.headers)  # it does go into requests
    said += [capfd.readouterr().out, capfd.readouterr().err, caplog.text]
    said += [f.read_text() for f in tmp_path.rglob("*") if f.is_file()]
    assert len(said) > 15 and not [text for text in said if KEY in text]
    for url in (f"http://user:{KEY}@localhost/", f"http://localhost/?key={KEY}"):
        with pytest.raises(ValueError, match="teacher_url holds a user") as error:
            Settings(**ASKED | {"teacher_url": url})
        assert KEY not in str(error.value)
