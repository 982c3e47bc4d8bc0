"""API teachers: the real SDKs against a server of our own, which counts what it executed."""
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from fake_teacher import FakeTeacher

from distill_nb import lock, paths, records, teacher, teacher_audit, teacher_batches, teacher_send, teacher_store
from distill_nb.teacher import Settings

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")  # Sonnet 4.5 is
KEY = "sk-fake-0123456789-never-to-be-seen"
PROBLEMS = [{"id": f"p{i}", "problem": f"Say {i} in \\boxed{{}}.", "answer": str(i)} for i in range(6)]
TEXTS = [p["problem"] for p in PROBLEMS]


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(teacher_batches, "GROUP", 2)


def right(prompt, n):
    return rf"So it is \boxed{{{prompt.split()[1]}}}."


def boxed(problem, trace):
    """Verification without the graders' processes, which take seconds to start."""
    return "correct" if rf"\boxed{{{problem['answer']}}}" in trace else "wrong"


def settings(server, **changes):
    return Settings(**{"teacher_url": server.url, "max_cost": 100.0, "poll_seconds": 0.05, "batch_size": 3,
                       "teacher_max_tokens": 1000} | changes)


def made(s, folder, problems=PROBLEMS, **more):
    g = teacher.generate(s, problems, folder, verify=boxed, **more)
    return [r["id"] for r in g.rows()], g.rejected


def stored(folder):
    return records.read(folder / "responses.jsonl")


ALL = [p["id"] for p in PROBLEMS]
MESSAGE = FakeTeacher.message


def test_a_round_of_batches_becomes_rows(tmp_path):
    with FakeTeacher(right, shuffle=True, twice=True) as server:
        s = settings(server, teacher_system="Be brief.")
        g = teacher.generate(s, PROBLEMS, tmp_path / "t", verify=boxed)
        rows = list(g.rows())
        assert (len(g), g.rejected) == (6, []) and [r["id"] for r in rows] == ALL
        assert set(server.paid.values()) == {1} and len(server.batches) == 2
        assert server.bodies[0]["requests"][0]["params"] == {
            "model": "claude-sonnet-4-5-20250929", "max_tokens": 1000, "system": "Be brief.",
            "messages": [{"role": "user", "content": TEXTS[0]}]}
        assert rows[1] == {
            "id": "p1", "problem": TEXTS[1], "answer": "1", "trace": r"So it is \boxed{1}.", "prompt": TEXTS[1],
            "outcome": "correct", "thinking": "", "text": r"So it is \boxed{1}.", "thinking_kind": "none",
            "model": "claude-sonnet-4-5-20250929", "attempt": 1, "stop_reason": "end_turn", "output_tokens": 50}
        (first, *_) = stored(tmp_path / "t")
        assert first["batch_id"] == "msgbatch_0000" and first["usage"]["input_tokens"] == 100
        ids = [r["custom_id"] for b in server.batches.values() for r in b["requests"]]
        assert len(set(ids)) == 6 and all(len(i) <= 64 and i.replace("-", "").isalnum() for i in ids)
        calls = sum(server.calls.values())
        assert made(s, tmp_path / "t") == (ALL, []) and sum(server.calls.values()) == calls  # nothing is asked again


def test_a_batch_is_on_disk_before_it_is_waited_for(tmp_path, monkeypatch):
    seen = []

    def look(s, store, api):
        seen.append([e["event"] for e in records.read(tmp_path / "t" / "batches.jsonl")])
        return real(s, store, api)

    real = teacher_batches.await_batches
    monkeypatch.setattr(teacher_batches, "await_batches", look)
    with FakeTeacher(right) as server:
        made(settings(server), tmp_path / "t")
    assert seen == [["intent", "batch", "intent", "batch"]]


def test_attempts_are_paid_for_only_where_they_are_needed(tmp_path):
    def answer(prompt, n):
        return right(prompt, n) if prompt != TEXTS[2] or n == 3 else "wrong"

    with FakeTeacher(answer) as server:
        assert made(settings(server, attempts=1), tmp_path / "t") == (["p0", "p1", "p3", "p4", "p5"], [("p2", "wrong")])
        assert made(settings(server, attempts=4), tmp_path / "t") == (ALL, [])  # more attempts later: the folder goes on
        assert server.paid == {t: 3 if t == TEXTS[2] else 1 for t in TEXTS}
    table = teacher_audit.audit(tmp_path / "t").set_index(["part", "name"])["value"]
    assert table["requests"].to_dict() == {"succeeded": 8, "attempt 1": 6, "attempt 2": 1, "attempt 3": 1}
    assert table["kept"].to_dict() == {"correct": 6, "attempt 1": 5, "attempt 3": 1}
    assert table["rejected"].to_dict() == {"wrong": 2} and table["problems"].to_dict() == {"asked": 6, "kept": 6}
    assert table["tokens"].to_dict() == {"thinking": 0, "thinking tokens known": 0, "input": 800, "output": 400}
    assert table["cost", "total"] == pytest.approx(8 * (100 * 3 + 50 * 15) / 1e6 / 2)
    assert table["characters", "visible"] == 6 * len(r"So it is \boxed{1}.") + 2 * len("wrong")


# ── what is killed at any moment goes on without paying twice ──

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
# Started once, for the imports take seconds; it forks for every line it reads, and says how the fork ended.
PARENT = """
    import json, os, signal, sys
    from pathlib import Path
    sys.path.insert(0, "tests")
    import anthropic, test_teacher
    from distill_nb import records, teacher_batches, teacher_store

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
            test_teacher.made(test_teacher.settings(server, **changes), Path(folder))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def killed():
    """Calls generate in a process of its own that kills itself: killed(one of KILLS, server, folder, other settings)."""
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT)], cwd=paths.ROOT, text=True,
                               env=paths.child_environment() | {"ANTHROPIC_API_KEY": KEY}, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)

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
        g = teacher.generate(settings(server), PROBLEMS, tmp_path / "t", verify=boxed)
        assert server.paid == dict.fromkeys(TEXTS, 1) and g.rejected == []
        assert sorted(r["id"] for r in stored(tmp_path / "t")) == ALL
        with FakeTeacher(right) as other:
            reference = teacher.generate(settings(other), PROBLEMS, tmp_path / "reference", verify=boxed)
        assert list(g.rows()) == list(reference.rows())


def test_a_lost_batch_is_told_from_others_of_the_account(tmp_path, killed):
    with FakeTeacher(right, polls=3) as server:
        killed(KILLS["after sending, before the id is written"], server, tmp_path / "t")
        elsewhere = [{"id": f"q{i}", "problem": f"Say {i} elsewhere in \\boxed{{}}.", "answer": str(i)} for i in range(3)]
        assert made(settings(server), tmp_path / "other", elsewhere) == (["q0", "q1", "q2"], [])  # same size, later
        assert made(settings(server), tmp_path / "t") == (ALL, [])
        assert set(server.paid.values()) == {1} and len(server.paid) == 9 and len(server.batches) == 3


def test_plain_requests_under_way_when_killed_count_as_paid(tmp_path, killed):
    with FakeTeacher(right) as server:
        killed(KILLS["after the intent, before sending"], server, tmp_path / "t", teacher_mode="messages", concurrency=1)
        s = settings(server, teacher_mode="messages", concurrency=2)
        assert made(s, tmp_path / "t") == (ALL, [])
        lost, *rest = stored(tmp_path / "t")
        assert (lost["status"], lost["output_tokens"], lost["id"]) == ("lost", 1000, "p0") and len(rest) == 6
        killed("wrap(teacher_store.Store, 'judge')", server, tmp_path / "u", teacher_mode="messages")
        assert made(s, tmp_path / "u") == (ALL, []) and set(server.paid.values()) == {2}


# ── faults ──

def test_refusals_and_broken_connections_are_survived(tmp_path):
    with FakeTeacher(right, polls=2) as server:
        server.faults = {
            "GET /v1/messages/batches": ["drop", 529], "POST /v1/messages/batches": [429, 529, "drop", "drop after"],
            "GET /v1/messages/batches/*": [500, "drop", 429],
            "GET /v1/messages/batches/*/results": [503, "cut", "drop", "cut", "short"]}
        assert made(settings(server), tmp_path / "t") == (ALL, [])
        assert server.paid == dict.fromkeys(TEXTS, 1)
        assert not any(server.faults.values())
        assert sorted(r["id"] for r in stored(tmp_path / "t")) == ALL


def test_results_that_the_stream_never_holds_are_asked_for_again(tmp_path):
    with FakeTeacher(right) as server:
        server.faults = {"GET /v1/messages/batches/*/results": ["short", "short"]}
        assert made(settings(server, batch_size=6), tmp_path / "t") == (ALL, [])
        assert [r["status"] for r in stored(tmp_path / "t")] == ["succeeded"] * 3 + ["missing"] * 3 + ["succeeded"] * 3


def test_plain_requests_survive_refusals_and_count_what_is_lost(tmp_path):
    with FakeTeacher(right) as server:
        server.faults = {"POST /v1/messages": [429, 529, "drop", "drop after", 500, 400]}
        s = settings(server, teacher_mode="messages", concurrency=1)
        assert made(s, tmp_path / "t") == (["p0", "p1", "p2", "p4", "p5"],
                                           [("p3", "invalid_request_error: no: ")])
        assert [r["status"] for r in stored(tmp_path / "t")] == [
            "lost", "lost", "lost", "errored", "succeeded", "succeeded", "succeeded", "succeeded", "succeeded"]
        assert sum(server.paid.values()) == 6  # the answer that broke off was executed, and is counted at the highest price
        table = teacher_audit.audit(tmp_path / "t").set_index(["part", "name"])["value"]
        assert table["failed", "invalid_request_error"] == 1 and table["tokens", "output"] == 3 * 1000 + 5 * 50


def test_a_response_that_cannot_be_read_is_lost_and_stops_nothing(tmp_path):
    with FakeTeacher(right) as server:
        real, odd = server.message, [TEXTS[0]]

        def message(body, found):
            made = real(body, found)
            if body["messages"][-1]["content"] in odd:
                odd.clear()
                made["content"] = None
            return made

        server.message = message
        assert made(settings(server), tmp_path / "t") == (ALL, [])
        odd.append(TEXTS[1])
        assert made(settings(server, teacher_mode="messages", concurrency=1), tmp_path / "u") == (ALL, [])
    for folder, i in (("t", "p0"), ("u", "p1")):
        lost, good = [r for r in stored(tmp_path / folder) if r["id"] == i]
        assert (lost["status"], lost["output_tokens"], good["status"]) == ("lost", 1000, "succeeded")
        assert lost["error"].startswith("unreadable response: TypeError")


def test_failed_items_are_sent_again_a_bounded_number_of_times(tmp_path):
    def answer(prompt, n):
        i = int(prompt.split()[1])
        if (i < 3 and n <= 2) or i == 3:
            return {"text": "", "status": ("expired", "errored", "canceled", "errored")[i]}
        return {"text": "", "status": "errored", "error": "invalid_request_error"} if i == 4 else right(prompt, n)

    with FakeTeacher(answer) as server:
        assert made(settings(server, max_requeues=2), tmp_path / "t") == (
            ["p0", "p1", "p2", "p5"], [("p3", "api_error: it failed"), ("p4", "invalid_request_error: it failed")])
        assert [server.asked[t] for t in TEXTS] == [3, 3, 3, 3, 1, 1]
        assert [server.paid[t] for t in TEXTS] == [1, 1, 1, 0, 0, 1]


def test_an_api_that_is_down_is_given_up_and_gone_on_with_later(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_send, "TRIES", 2)
    monkeypatch.setattr(teacher_batches, "TRIES", 2)
    with FakeTeacher(right) as server:
        server.faults = {"POST /v1/messages/batches": [529, 529], "POST /v1/messages": [429, 429]}
        with pytest.raises(teacher_send.Unavailable, match=r"2 tries failed \(overloaded_error: no: \)"):
            made(settings(server), tmp_path / "t")
        with pytest.raises(teacher_send.Unavailable, match="rate_limit_error"):
            made(settings(server, teacher_mode="messages", concurrency=1), tmp_path / "t")
        assert made(settings(server), tmp_path / "t") == (ALL, []) and server.paid == dict.fromkeys(TEXTS, 1)


# ── what is a trace ──

def test_thinking_and_text_are_both_stored_and_it_is_said_what_the_thinking_is(tmp_path):
    def answer(prompt, n):
        return {"text": right(prompt, n), "thinking": "Hm \ud83d."} | [
            {}, {"redacted": 1}, {"thinking": ""}, {"stop_reason": "max_tokens"}, {"stop_reason": "refusal"},
            {"text": "a </think> b"}][int(prompt.split()[1])]

    with FakeTeacher(answer) as server:
        s = settings(server, thinking_budget=1024, teacher_max_tokens=2000, trace_from="thinking_and_text")
        g = teacher.generate(s, PROBLEMS, tmp_path / "t", verify=boxed)
        assert server.bodies[0]["requests"][0]["params"]["thinking"] == {"type": "enabled", "budget_tokens": 1024}
        (row,) = g.rows()
        assert row["trace"] == "<think>\nHm \ufffd.\n</think>\n\nSo it is \\boxed{0}." and row["thinking_kind"] == "summarised"
        assert g.rejected == [("p1", "redacted_thinking"), ("p2", "no_thinking"), ("p3", "max_tokens"), ("p4", "refusal"),
                              ("p5", "think_tag")]
        assert made(settings(server, thinking_budget=1024, teacher_max_tokens=2000), tmp_path / "t") == (
            ["p0", "p1", "p2"], [("p3", "max_tokens"), ("p4", "refusal"), ("p5", "think_tag")])  # text alone, nothing sent
        assert set(server.paid.values()) == {1}
        assert stored(tmp_path / "t")[0]["thinking_tokens"] == 30


@pytest.mark.parametrize("model, kind", [
    ("claude-3-7-sonnet-20250219", "full"), ("claude-sonnet-4-5-20250929", "summarised"),
    ("claude-opus-4-20250514", "summarised"), ("claude-haiku-4-5", "summarised"),
    ("claude-sonnet-5", "summarised"), ("claude-3-5-sonnet-20241022", "unknown"),
    ("something", "unknown")])
def test_which_models_return_summarised_thinking(model, kind):
    from distill_nb import teacher_anthropic

    assert teacher_anthropic.thinking_kind(model, "Hm.") == kind and teacher_anthropic.thinking_kind(model, " ") == "none"


def test_the_default_verification_is_the_graders(tmp_path):
    block = "```python\n{}\n```"
    cases = [
        ({"answer": r"\frac{1}{2}"}, r"\boxed{0.5}", "correct"),
        ({"answer": "3"}, r"\boxed{4}", "wrong"),
        ({"answer": "3"}, "three", "no_answer"),
        ({"tests": "assert f(1) == 2"}, block.format("def f(x):\n    return x + 1"), "correct"),
        ({"tests": "assert f(1) == 2"}, block.format("def f(x):\n    return x"), "wrong"),
        ({"tests": {"inputs": ["1 2\n"], "outputs": ["3\n"]}}, block.format("print(sum(map(int, input().split())))"),
         "correct"),
        ({"tests": {"inputs": [[1, 2]], "outputs": [3], "fn_name": "add"}},
         block.format("class Solution:\n    def add(self, a, b):\n        return a + b"), "correct"),
        ({}, block.format("print(1)"), "unverified"),
        ({}, block.format("print(1"), "does_not_compile"),
        ({}, "print(1)", "no_answer"),
    ]
    problems = [{"id": f"p{i}", "problem": f"Problem {i}", **case[0]} for i, case in enumerate(cases)]
    with FakeTeacher(lambda prompt, n: cases[int(prompt.split()[1])][1]) as server:
        g = teacher.generate(settings(server), problems, tmp_path / "t", allow_unsafe=True)
    found = {r["id"]: r["outcome"] for r in g.rows()} | dict(g.rejected)
    assert found == {f"p{i}": case[2] for i, case in enumerate(cases)}
    assert "Put the final answer in \\boxed{}." in next(iter(server.paid)) and "one Python code block" in list(server.paid)[3]


def test_a_model_other_than_the_one_asked_for_is_recorded(tmp_path):
    with FakeTeacher(lambda p, n: {"text": right(p, n), "model": "claude-sonnet-4-5-other"}) as server:
        g = teacher.generate(settings(server), PROBLEMS[:1], tmp_path / "t", verify=boxed)
    assert next(g.rows())["model"] == "claude-sonnet-4-5-other"
    table = teacher_audit.audit(tmp_path / "t").set_index(["part", "name"])["value"]
    assert table["model"].to_dict() == {"claude-sonnet-4-5-20250929 → claude-sonnet-4-5-other": 1}


# ── money ──

def test_the_estimate_is_what_is_then_asked_for(tmp_path):
    with FakeTeacher(lambda p, n: right(p, n) if p != TEXTS[0] else "wrong") as server:
        s = settings(server, attempts=2)
        before = teacher.estimate(s, PROBLEMS, tmp_path / "t")
        assert not (tmp_path / "t").exists() and sum(server.calls.values()) == 0
        most_in = sum(len(t) + 200 for t in TEXTS)
        assert (before.next_requests, before.all_requests, before.most_output_tokens) == (6, 12, 6000)
        assert before.most_cost == pytest.approx((most_in * 3 + 6000 * 15) / 2e6) and before.likely_cost is None
        assert before.most_cost_of_all == pytest.approx(2 * before.most_cost) and before.spent == 0
        made(settings(server), tmp_path / "t")
        after = teacher.estimate(settings(server, attempts=2, teacher_mode="messages"), PROBLEMS, tmp_path / "t", verify=boxed)
        assert (after.solved, after.next_requests, after.likely_output_tokens) == (5, 1, 50)
        assert after.most_cost == pytest.approx(((len(TEXTS[0]) + 200) * 3 + 1000 * 15) / 1e6)  # full price
        assert after.spent == pytest.approx(6 * (100 * 3 + 50 * 15) / 2e6)
        assert "6 problems, 5 of them solved" in after.text() and "1 requests (full price)" in after.text()


def test_max_cost_stops_before_anything_is_sent_and_between_rounds(tmp_path, capsys):
    with FakeTeacher(lambda p, n: "wrong") as server:
        for max_cost in (0.0, 0.007):
            with pytest.raises(ValueError, match=r"max_cost is \$0\.0\d, \$0\.00 are spent, and the next 6 requests may cost "
                                                 r"up to \$0\.05, and not even one fits; raise max_cost"):
                made(settings(server, max_cost=max_cost), tmp_path / "t")
        assert sum(server.calls.values()) == 0


def full(self, body, found):
    """A message that is as long as it may be."""
    made = MESSAGE(self, body, found)
    most_in = len(body["messages"][-1]["content"]) + 200
    return made | {"usage": made["usage"] | {"input_tokens": most_in, "output_tokens": 1000}}


@pytest.mark.parametrize("mode", ["batch", "messages"])
def test_the_part_that_max_cost_allows_is_sent_in_the_problems_order(tmp_path, capsys, monkeypatch, mode):
    monkeypatch.setattr(FakeTeacher, "message", full)
    one = ((len(TEXTS[0]) + 200) * 3 + 1000 * 15) / (2e6 if mode == "batch" else 1e6)
    with FakeTeacher(right) as server:
        s = settings(server, max_cost=4.5 * one, teacher_mode=mode)
        assert teacher.estimate(s, PROBLEMS, tmp_path / "t").next_affordable == 4
        assert "enough for 4 of the next" in teacher.estimate(s, PROBLEMS, tmp_path / "t").text()
        assert made(s, tmp_path / "t") == (ALL[:4], [(i, "max_cost") for i in ALL[4:]])
        assert server.paid == dict.fromkeys(TEXTS[:4], 1)
        said = capsys.readouterr().out
        assert "4 of them are sent now, and 2 wait for what these leave" in said and "Stopped with 2 requests left" in said
        assert teacher.estimate(s, PROBLEMS, tmp_path / "t").spent == pytest.approx(4 * one)
        assert made(settings(server, max_cost=6.01 * one, teacher_mode=mode), tmp_path / "t") == (ALL, [])
        assert server.paid == dict.fromkeys(TEXTS, 1)


def test_what_short_answers_leave_is_spent_and_first_attempts_come_first(tmp_path):
    sent = []

    def answer(prompt, n):
        sent.append((prompt, n))
        return "wrong"

    with FakeTeacher(answer) as server:  # an answer costs a fifteenth of what it may
        s = settings(server, max_cost=0.025, attempts=2, teacher_mode="messages", concurrency=1)
        assert made(s, tmp_path / "t") == ([], [(t, "wrong") for t in ALL[:3]] + [(t, "max_cost") for t in ALL[3:]])
        assert sent == [(t, 1) for t in TEXTS] + [(t, 2) for t in TEXTS[:3]]
        most, spent = ((len(TEXTS[0]) + 200) * 3 + 1000 * 15) / 1e6, teacher.estimate(s, PROBLEMS, tmp_path / "t").spent
        assert spent == pytest.approx(9 * 0.00105) and spent + most > 0.025 > spent - 0.00105 + most


def test_a_model_without_a_price_is_refused_unless_one_is_given(tmp_path):
    with FakeTeacher(right) as server:
        s = settings(server, teacher_model="claude-next", teacher_mode="messages")
        with pytest.raises(ValueError, match=r"prices\.yaml: teacher_model claude-next has no price there"):
            made(s, tmp_path / "t")
        assert sum(server.calls.values()) == 0
        assert made(s, tmp_path / "t", prices={"claude-next": {"input": 1, "output": 2}}) == (ALL, [])
        with pytest.raises(ValueError, match="prices: output of claude-next is 'two'"):
            made(s, tmp_path / "u", prices={"claude-next": {"input": 1, "output": "two"}})


# ── what is refused ──

@pytest.mark.parametrize("changes, says", [
    ({"thinking_budget": 1000}, "thinking_budget is 1000, and the Anthropic API takes at least 1024"),
    ({"thinking_budget": 2000, "teacher_max_tokens": 2000}, "not less than teacher_max_tokens 2000"),
    ({"thinking_budget": 2000, "teacher_temperature": 0.5}, "takes only 1: write 1"),
    ({"trace_from": "thinking"}, "trace_from is 'thinking' but thinking_budget is 0"),
    ({"teacher_api": "openai"}, "teacher_mode is 'batch' but teacher_api is openai"),
    ({"teacher_api": "openai", "teacher_mode": "messages", "thinking_budget": 2000}, "write 0"),
    ({"teacher_mode": "messages", "teacher_max_tokens": 30000}, "write at most 21333"),
    ({"teacher_url": "localhost:8000"}, "which is no URL"),
    ({"teacher_mode": "bulk"}, "teacher_mode is 'bulk': choose from batch, messages"),
    ({"batch_size": 100_001}, "at most 100000"),
    ({"max_cost": "5"}, "max_cost is the text '5' and not a number"),
    ({"teacher_temperature": 1.5}, "takes at most 1"),
])
def test_settings_that_cannot_stand(changes, says):
    with pytest.raises(ValueError) as error:
        Settings(**changes)
    assert says in str(error.value) and str(error.value).startswith("teacher settings: ") and str(error.value)[-1] == "."


def test_what_is_refused_before_anything_is_sent(tmp_path, monkeypatch):
    with FakeTeacher(right) as server:
        s, t = settings(server), tmp_path / "t"
        for problems, says in (([{"id": "a"}], "row 1 has no text problem"),
                               ([*PROBLEMS, PROBLEMS[0]], "id p0 is there twice"),
                               ([{"id": "a", "problem": "\ud83d"}], "half a surrogate pair")):
            with pytest.raises(ValueError, match=says):
                made(s, t, problems)
        with pytest.raises(ValueError, match="problem a: its tests cannot be run"):
            teacher.generate(s, [{"id": "a", "problem": "f", "tests": "print(1)"}], t)
        with pytest.raises(ValueError, match="verify: it returned True for problem p0"):
            teacher.generate(s, PROBLEMS[:1], tmp_path / "v", verify=lambda problem, trace: True)
        server.calls.clear()
        with lock.locked(t, doing="held"), pytest.raises(ValueError, match=rf"folder: t is held by process {os.getpid()} on "):
            made(s, t)
        monkeypatch.delenv("ANTHROPIC_API_KEY")
        with pytest.raises(ValueError, match=r"^ANTHROPIC_API_KEY: it is not set; put the key"):
            made(s, t)
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(ValueError, match=r"^OPENAI_API_KEY: it is not set"):
            made(Settings(teacher_api="openai", teacher_mode="messages"), t)
        assert sum(server.calls.values()) == 0


def test_a_folder_holds_the_answers_to_one_question_only(tmp_path):
    with FakeTeacher(right) as server:
        made(settings(server), tmp_path / "t")
        with pytest.raises(ValueError, match=r"t/settings\.json: .* other values of teacher_system, teacher_max_tokens;"):
            made(settings(server, teacher_system="Hm", teacher_max_tokens=2000), tmp_path / "t")
        with pytest.raises(ValueError, match="problem p0 reads otherwise than when it was asked"):
            made(settings(server), tmp_path / "t", [PROBLEMS[0] | {"problem": "Say 0."}])


def test_a_temperature_goes_out_under_the_api_version_that_knows_it(tmp_path):
    with FakeTeacher(right) as server:
        made(settings(server, teacher_temperature=0.5), tmp_path / "t")
        made(settings(server, teacher_temperature=0.5, teacher_mode="messages"), tmp_path / "u", PROBLEMS[:1])
        made(settings(server, teacher_mode="messages"), tmp_path / "v", PROBLEMS[:1])
    batch, _, plain, default = server.bodies
    assert batch["requests"][0]["params"]["temperature"] == plain["temperature"] == 0.5 and "temperature" not in default
    versions = [{k.lower(): v for k, v in h.items()}["anthropic-version"] for h in server.headers]
    assert versions == ["2023-06-01", "2023-06-01", "2023-06-01", "2026-10-21"]


# ── the key ──

def test_the_key_goes_nowhere_but_into_requests(tmp_path, capfd, monkeypatch, caplog):
    import traceback

    caplog.set_level("DEBUG")
    said = []
    with FakeTeacher(right, echo_key=True) as server:
        for mode, where in (("batch", "POST /v1/messages/batches"), ("messages", "POST /v1/messages")):
            server.faults = {where: [529, 400]}
            s = settings(server, teacher_mode=mode, concurrency=1)
            try:
                g = teacher.generate(s, PROBLEMS, tmp_path / mode, verify=boxed)
                said += [repr(g), repr(g.rejected), repr(list(g.rows()))]
            except ValueError:
                said.append(traceback.format_exc())
            server.faults = {where: [401]}
            with pytest.raises(ValueError, match="authentication_error: no: Bearer <ANTHROPIC_API_KEY>") as error:
                made(s, tmp_path / mode, [{"id": "new", "problem": "Say 7", "answer": "7"}])
            said += ["".join(traceback.format_exception(error.value)), repr(s), repr(error.value.__dict__)]
        assert any(KEY in str(h) for h in server.headers)  # it does go into requests
    said += [capfd.readouterr().out, capfd.readouterr().err, caplog.text]
    said += [f.read_text() for f in tmp_path.rglob("*") if f.is_file()]
    assert len(said) > 15 and not [text for text in said if KEY in text]
    for url in (f"http://user:{KEY}@localhost/", f"http://localhost/?key={KEY}"):
        with pytest.raises(ValueError, match="teacher_url holds a user") as error:
            Settings(teacher_url=url)
        assert KEY not in str(error.value)


# ── an OpenAI-compatible teacher ──

def test_an_openai_compatible_teacher(tmp_path, monkeypatch):
    ok = r"So \boxed{5}."
    forms = [
        {"text": ok, "extra": {"reasoning_content": "Hm."}}, {"text": ok, "extra": {"reasoning": "Hm."}},
        {"text": f"<think>\nHm.\n</think>\n\n{ok}"}, {"text": f"Hm.\n</think>\n\n{ok}"},
        {"text": ok}, {"text": "<think>\nHm. and then", "stop_reason": "length"},
        {"text": "no", "extra": {"refusal": "no"}}, {"text": f"<think>\nHm.\n</think>\n\n{ok}", "no_usage": True}]
    problems = [{"id": f"p{i}", "problem": f"Say {i} in \\boxed{{}}.", "answer": "5"} for i in range(len(forms))]
    monkeypatch.delenv("OPENAI_API_KEY")  # a server of one's own needs none
    with FakeTeacher(lambda p, n: forms[int(p.split()[1])]) as server:
        server.faults = {"POST /v1/chat/completions": [429]}
        s = settings(server, teacher_api="openai", teacher_mode="messages", teacher_url=f"{server.url}/v1",
                     teacher_model="deepseek-ai/DeepSeek-R1", trace_from="thinking_and_text", teacher_temperature=0.6)
        g = teacher.generate(s, problems, tmp_path / "t", verify=boxed)
        with pytest.raises(ValueError, match=r"max_cost is \$0\.00"):  # 0 sends nothing, even where it costs nothing
            made(settings(server, teacher_api="openai", teacher_mode="messages", max_cost=0.0,
                          teacher_model="deepseek-ai/DeepSeek-R1"), tmp_path / "u")
    rows = list(g.rows())
    assert [r["id"] for r in rows] == ["p0", "p1", "p2", "p3", "p7"]
    assert {r["trace"] for r in rows} == {f"<think>\nHm.\n</think>\n\n{ok}"} and {r["thinking_kind"] for r in rows} == {"full"}
    assert g.rejected == [("p4", "no_thinking"), ("p5", "max_tokens"), ("p6", "refusal")]
    assert server.bodies[-1] | {"messages": 0} == {"model": "deepseek-ai/DeepSeek-R1", "messages": 0, "max_tokens": 1000,
                                                   "temperature": 0.6}
    uncounted = next(r for r in stored(tmp_path / "t") if r["id"] == "p7")
    assert uncounted["usage"] == {} and uncounted["output_tokens"] == 1000  # the bound, where the server counts nothing
    assert stored(tmp_path / "t")[0]["mode"] == "messages"


# ── the store ──

def test_lines_are_read_one_at_a_time_and_a_torn_one_is_cut(tmp_path, capsys):
    file = tmp_path / "x.jsonl"
    records.append(file, [{"a": "ä" * 70_000}, {"b": 1}])
    whole = file.stat().st_size
    with open(file, "a") as f:
        f.write(json.dumps({"c": "x" * 200_000})[:-1])
    assert [(o, list(r)) for o, r in teacher_store.lines(file)] == [(0, ["a"]), (whole - 9, ["b"])]
    teacher_store._cut_torn_line(file)
    assert file.stat().st_size == whole and "dropped a torn last line" in capsys.readouterr().out
    file.write_text("torn")
    teacher_store._cut_torn_line(file)
    assert file.stat().st_size == 0 and os.path.exists(file)
