"""Requests that fail: refused, broken off, lost, unreadable."""

import pytest
from fake_teacher import FakeTeacher
from teacher_cases import ALL, MARKS, PROBLEMS, TEXTS, made, right, settings, stored

from distill_nb.traces.teacher import audit, send

pytestmark = MARKS


def test_refusals_and_broken_connections_are_survived(tmp_path):
    with FakeTeacher(right, polls=2) as server:
        server.faults = {
            "GET /v1/messages/batches": ["drop", 529],
            "POST /v1/messages/batches": [429, 529, "drop", "drop after"],
            "GET /v1/messages/batches/*": [500, "drop", 429],
            "GET /v1/messages/batches/*/results": [503, "cut", "drop", "cut", "short"],
        }
        assert made(settings(server), tmp_path / "t") == (ALL, [])
        assert server.paid == dict.fromkeys(TEXTS, 1)
        assert not any(server.faults.values())
        assert sorted(r["id"] for r in stored(tmp_path / "t")) == ALL


def test_results_that_the_stream_never_holds_are_asked_for_again(tmp_path):
    with FakeTeacher(right) as server:
        server.faults = {"GET /v1/messages/batches/*/results": ["short", "short"]}
        assert made(settings(server, batch_size=6), tmp_path / "t") == (ALL, [])
        assert [r["status"] for r in stored(tmp_path / "t")] == ["succeeded"] * 3 + [
            "missing"
        ] * 3 + ["succeeded"] * 3


def test_plain_requests_survive_refusals_and_count_what_is_lost(tmp_path):
    with FakeTeacher(right) as server:
        server.faults = {"POST /v1/messages": [429, 503, 529, "drop", "drop after", 500, 400]}
        s = settings(server, teacher_mode="messages", concurrency=1)
        assert made(s, tmp_path / "t") == (ALL, [])
        # a 400 in unknown words is asked about once more
        assert [r["status"] for r in stored(tmp_path / "t")] == ["lost"] * 3 + ["errored"] + [
            "succeeded"
        ] * 6
        # the answer that broke off was executed, and is counted at the highest price
        assert sum(server.paid.values()) == 7
        table = audit.audit(tmp_path / "t").set_index(["part", "name"])["value"]
        assert (
            table["failed", "invalid_request_error"] == 1
            and table["tokens", "output"] == 3 * 1000 + 6 * 50
        )


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
        assert made(settings(server, teacher_mode="messages", concurrency=1), tmp_path / "u") == (
            ALL,
            [],
        )
    for folder, i in (("t", "p0"), ("u", "p1")):
        lost, good = [r for r in stored(tmp_path / folder) if r["id"] == i]
        assert (lost["status"], lost["output_tokens"], good["status"]) == (
            "lost",
            1000,
            "succeeded",
        )
        assert lost["error"].startswith("unreadable response: TypeError")


def test_failed_items_of_a_batch_are_sent_again_a_bounded_number_of_times_in_a_start(tmp_path):
    fails = [2, 2, 2, 3, 1000, 0]

    def answer(prompt, n):
        i = int(prompt.split()[1])
        if n > fails[i]:
            return right(prompt, n)
        if i == 4:
            return {"status": "errored", "error": "invalid_request_error"}
        return {"status": ("expired", "errored", "canceled", "errored")[i]}

    with FakeTeacher(answer) as server:
        s = settings(server, max_requeues=2)
        with pytest.raises(
            send.Unavailable,
            match=r"problem p3 was asked 3 times without an answer \(api_error: it failed\); start "
            "again later",
        ):
            made(s, tmp_path / "t")
        assert [server.asked[t] for t in TEXTS] == [3, 3, 3, 3, 2, 1]
        assert made(s, tmp_path / "t") == (
            ["p0", "p1", "p2", "p3", "p5"],
            [("p4", "invalid_request_error: it failed")],
        )
        assert [server.asked[t] for t in TEXTS] == [3, 3, 3, 4, 2, 1]
        assert [server.paid[t] for t in TEXTS] == [1, 1, 1, 1, 0, 1]


def test_an_api_that_is_down_is_given_up_and_gone_on_with_later(tmp_path, monkeypatch):
    monkeypatch.setattr(send, "TRIES", 2)
    with FakeTeacher(right) as server:
        server.faults = {"POST /v1/messages/batches": [529, 529], "POST /v1/messages": [429, 429]}
        with pytest.raises(send.Unavailable, match=r"2 tries failed \(overloaded_error: no: \)"):
            made(settings(server), tmp_path / "t")
        with pytest.raises(send.Unavailable, match="rate_limit_error"):
            made(settings(server, teacher_mode="messages", concurrency=1), tmp_path / "t")
        assert made(settings(server), tmp_path / "t") == (ALL, []) and server.paid == dict.fromkeys(
            TEXTS, 1
        )


def test_a_temperature_goes_out_under_the_api_version_that_knows_it(tmp_path):
    with FakeTeacher(right) as server:
        made(settings(server, teacher_temperature=0.5), tmp_path / "t")
        made(
            settings(server, teacher_temperature=0.5, teacher_mode="messages"),
            tmp_path / "u",
            PROBLEMS[:1],
        )
        made(settings(server, teacher_mode="messages"), tmp_path / "v", PROBLEMS[:1])
    batch, _, plain, default = server.bodies
    assert (
        batch["requests"][0]["params"]["temperature"] == plain["temperature"] == 0.5
        and "temperature" not in default
    )
    versions = [{k.lower(): v for k, v in h.items()}["anthropic-version"] for h in server.headers]
    assert versions == ["2023-06-01", "2023-06-01", "2023-06-01", "2026-10-21"]
