"""Faults of the account and of the server, for each API and mode: the set stops with one sentence,
every problem stays open, and the next start ends with the traces that were wanted."""

import pytest
from fake_teacher import FakeTeacher
from teacher_cases import ALL, MARKS, PROBLEMS, TEXTS, made, right, settings, stored

from distill_nb.runtime import jsonl
from distill_nb.traces.teacher import generation, send

pytestmark = MARKS
WAYS = {
    "anthropic": {"teacher_mode": "messages"},
    "batch": {"teacher_mode": "batch"},
    "openai": {"teacher_api": "openai", "teacher_mode": "messages"},
}
CREDIT = "Your credit balance is too low to access the API."
ODD = "Field 7 of your order is odd."


def fault(status, kind, message, code=None):
    """An error as both APIs write it."""
    inner = {"type": kind, "message": message} | ({"code": code} if code else {})
    return {"status": status, "body": {"type": "error", "error": inner}}


FOR_GOOD = {
    "credit": (fault(400, "invalid_request_error", CREDIT), "add credit"),
    "quota": (fault(429, "insufficient_quota", "No."), "add credit"),
    "hard limit": (fault(400, "invalid", "No.", "billing_hard_limit_reached"), "add credit"),
    "usage limit": (fault(400, "invalid_request_error", "You reached your usage limits."), "raise"),
    "disabled": (fault(400, "invalid_request_error", "This organization is disabled."), "support"),
    "key": (fault(401, "authentication_error", "No."), "put a valid key into [A-Z]+_API_KEY, and"),
    "rights": (fault(403, "permission_error", "No."), "the right to use teacher_model"),
    "model": (fault(404, "not_found_error", "model: x"), "correct teacher_model or teacher_url"),
    "error in a body of 200": (fault(200, "invalid_request_error", CREDIT), "add credit"),
    "unknown words": (fault(400, "invalid_request_error", ODD), "correct the settings of the"),
}


def asked(server, way, **changes):
    url = f"{server.url}/v1" if way == "openai" else server.url
    return settings(server, **{"teacher_url": url} | WAYS[way] | changes)


def spent(s, folder):
    return generation.estimate(s, PROBLEMS, folder).spent


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FOR_GOOD)
def test_what_concerns_the_account_stops_the_set_and_costs_no_problem(tmp_path, way, name):
    met, remedy = FOR_GOOD[name]
    with FakeTeacher(right) as server:
        s = asked(server, way, concurrency=2)
        server.down = met
        words = (
            rf"the API refused \(.*\); .*{remedy}.* start again: every problem without an answer"
        )
        with pytest.raises(ValueError, match=words):
            made(s, tmp_path / "t")
        assert spent(s, tmp_path / "t") == 0 and not server.paid
        server.down = None
        assert made(s, tmp_path / "t") == (ALL, [])
        assert server.paid == dict.fromkeys(TEXTS, 1)
        assert spent(s, tmp_path / "t") == pytest.approx(
            6 * (100 * 3 + 50 * 15) / (2e6 if way == "batch" else 1e6)
        )


@pytest.mark.parametrize("way", ["anthropic", "openai"])
@pytest.mark.parametrize("name", ["credit", "key", "unknown words"])
def test_what_was_answered_before_the_account_failed_is_kept(tmp_path, way, name):
    met, remedy = FOR_GOOD[name]
    empty = [True]

    def answer(prompt, n):
        return {"fault": met} if empty and prompt in TEXTS[2:] else right(prompt, n)

    with FakeTeacher(answer) as server:
        s = asked(server, way, concurrency=1)
        with pytest.raises(ValueError, match=remedy):
            made(s, tmp_path / "t")
        empty.clear()
        assert made(s, tmp_path / "t") == (ALL, []) and server.paid == dict.fromkeys(TEXTS, 1)


@pytest.mark.parametrize(
    ("kind", "message", "remedy"),
    [
        ("invalid_request_error", CREDIT, "add credit to the account"),
        ("billing_error", "Pay.", "add credit to the account"),
        ("authentication_error", "No.", "put a valid key into ANTHROPIC_API_KEY"),
        ("not_found_error", "model: x", "correct teacher_model"),
        ("invalid_request_error", ODD, "correct the settings of the teacher or the account"),
    ],
)
@pytest.mark.parametrize("bad", [3, 6])
def test_what_concerns_the_account_inside_a_batch_stops_the_set(
    tmp_path, caplog, kind, message, remedy, bad
):
    caplog.set_level("INFO", "distill_nb")
    empty = [True]

    def answer(prompt, n):
        if empty and prompt in TEXTS[6 - bad :]:
            return {"status": "errored", "error": kind, "message": message}
        return right(prompt, n)

    with FakeTeacher(answer) as server:
        s = settings(server)
        with pytest.raises(ValueError, match=rf"the API refused \({kind}.*\); {remedy}"):
            made(s, tmp_path / "t")
        assert server.paid == dict.fromkeys(TEXTS[: 6 - bad], 1)
        empty.clear()
        assert made(s, tmp_path / "t") == (ALL, []) and server.paid == dict.fromkeys(TEXTS, 1)
    assert f"{bad} problems failed before for a reason that was not theirs ({kind}" in caplog.text


PASSING = {
    "429": 429,
    "503": 503,
    "529": 529,
    "500": 500,
    "a page": {"body": "<html>Be right back</html>"},
    "an error in a body of 200": fault(200, "overloaded_error", "Overloaded"),
    "no answer in a body of 200": {"body": {}},
    "broken JSON": {"body": '{"id"', "headers": {"content-type": "application/json"}},
    "a broken connection": "drop",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_waited_for_up_to_a_limit_and_costs_no_problem(
    tmp_path, monkeypatch, way, name
):
    monkeypatch.setattr(send, "TRIES", 3)
    with FakeTeacher(right) as server:
        s = asked(server, way, max_requeues=1)
        server.down = PASSING[name]
        with pytest.raises(
            send.Unavailable, match=r"start again later.*stays open, and what is paid"
        ):
            made(s, tmp_path / "t")
        assert sum(server.calls.values()) > 1 and not server.paid
        lost = [r for r in stored(tmp_path / "t") if r["status"] == "lost"]
        assert len(lost) <= 12 and not (lost and name in ("429", "503", "529", "a page"))
        server.down = None
        assert made(s, tmp_path / "t") == (ALL, []) and server.paid == dict.fromkeys(TEXTS, 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PASSING)
def test_what_passes_soon_is_survived_wherever_it_comes(tmp_path, way, name):
    with FakeTeacher(right) as server:
        s, met = asked(server, way, concurrency=1), PASSING[name]
        for place in ("/v1/messages", "/v1/chat/completions", "/v1/messages/batches"):
            server.faults[f"POST {place}"] = [met, met]
        for place in ("", "/*", "/*/results"):
            server.faults[f"GET /v1/messages/batches{place}"] = [met, met]
        assert made(s, tmp_path / "t") == (ALL, []) and server.paid == dict.fromkeys(TEXTS, 1)


@pytest.mark.parametrize("way", WAYS)
def test_a_problems_own_failure_among_good_ones_is_recorded_and_the_others_go_on(tmp_path, way):
    long = fault(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")
    odd = fault(400, "invalid_request_error", "messages.0: a letter is odd")

    def answer(prompt, n):
        met = {TEXTS[1]: long, TEXTS[3]: odd}.get(prompt)
        if met and way == "batch":
            error = met["body"]["error"]
            return {"status": "errored", "error": error["type"], "message": error["message"]}
        return {"fault": met} if met else right(prompt, n)

    with FakeTeacher(answer) as server:
        s = asked(server, way)
        wanted = (
            ["p0", "p2", "p4", "p5"],
            [
                ("p1", "invalid_request_error: prompt is too long: 9 tokens > 8 maximum"),
                ("p3", "invalid_request_error: messages.0: a letter is odd"),
            ],
        )
        assert made(s, tmp_path / "t") == wanted
        # what is unclear is asked once more; then nothing is
        assert [server.asked[t] for t in TEXTS] == [1, 1, 1, 2, 1, 1]
        assert made(s, tmp_path / "t") == wanted and server.asked.total() == 7
        assert server.paid.total() == 4


@pytest.mark.parametrize("way", ["anthropic", "openai"])
def test_problems_that_are_refused_first_of_all_are_told_from_settings_by_the_others(tmp_path, way):
    odd = fault(400, "invalid_request_error", ODD)

    def answer(prompt, n):
        return {"fault": odd} if prompt in TEXTS[:3] else right(prompt, n)

    with FakeTeacher(answer) as server:
        s = asked(server, way, concurrency=1)
        with pytest.raises(ValueError, match="correct the settings of the teacher or the account"):
            made(s, tmp_path / "t")
        assert server.asked == dict.fromkeys(TEXTS[:3], 1)  # the set stopped at the third
        error = f"invalid_request_error: {ODD}"
        assert made(s, tmp_path / "t") == (ALL[3:], [(i, error) for i in ALL[:3]])


def test_one_404_of_a_batch_is_asked_again_before_it_is_believed(tmp_path, monkeypatch):
    with FakeTeacher(right, polls=2) as server:
        one, results = "GET /v1/messages/batches/*", "GET /v1/messages/batches/*/results"
        server.faults = {one: [404, 404], results: [404]}
        assert made(settings(server), tmp_path / "t") == (ALL, [])
        server.faults = {one: [404] * send.LOOKS}
        with pytest.raises(
            ValueError,
            match=r"use the ANTHROPIC_API_KEY of the workspace in which batch msgbatch_0002 was",
        ):
            made(settings(server), tmp_path / "u")
        assert not server.faults[one]
        assert made(settings(server), tmp_path / "u") == (ALL, [])
        assert server.paid == dict.fromkeys(TEXTS, 2)


def test_while_the_api_fails_only_one_request_at_a_time_tries_it(tmp_path, monkeypatch):
    monkeypatch.setattr(send, "TRIES", 5)
    with FakeTeacher(right) as server:
        server.down = 500  # each may be paid for
        s = settings(server, teacher_mode="messages", concurrency=2)
        with pytest.raises(send.Unavailable, match="5 tries failed"):
            made(s, tmp_path / "t", more(20))
        tried = server.calls["POST /v1/messages"]
        assert 5 <= tried <= 7  # two, two, and then one by one
        assert len(stored(tmp_path / "t")) == tried


def more(n):
    return [{"id": f"q{i}", "problem": f"Say {i} please.", "answer": str(i)} for i in range(n)]


def test_the_api_is_left_alone_for_as_long_as_it_asks(tmp_path):
    times = []

    def answer(prompt, n):
        times.append(generation.time.monotonic())
        if len(times) == 1:
            return {"fault": {"status": 429, "headers": {"retry-after": "1.5"}}}
        return right(prompt, n)

    with FakeTeacher(answer) as server:
        s = settings(server, teacher_mode="messages", concurrency=1)
        assert made(s, tmp_path / "t", PROBLEMS[:2]) == (["p0", "p1"], [])
    assert times[1] - times[0] >= 1.5


def test_a_problem_that_never_gets_an_answer_can_be_given_up(tmp_path):
    def answer(prompt, n):
        return {"status": "errored"} if prompt == TEXTS[2] else right(prompt, n)

    with FakeTeacher(answer) as server:
        s = settings(server, max_requeues=1)
        for _ in range(2):
            with pytest.raises(
                send.Unavailable, match=r"problem p2 was asked 2 times .* into .*/t/give_up\.txt"
            ):
                made(s, tmp_path / "t")
        (tmp_path / "t" / "give_up.txt").write_text("p2\n")
        wanted = (["p0", "p1", "p3", "p4", "p5"], [("p2", "given up: api_error: it failed")])
        assert made(s, tmp_path / "t") == wanted
        assert server.paid == dict.fromkeys([t for t in TEXTS if t != TEXTS[2]], 1)
        (tmp_path / "t" / "give_up.txt").unlink()
        with pytest.raises(send.Unavailable):  # it is open again
            made(s, tmp_path / "t")


def test_what_an_earlier_version_recorded_is_opened_again(tmp_path, caplog):
    """As it was written: errored for a 400, lost for a 503, each final."""
    caplog.set_level("INFO", "distill_nb")
    credit = f"invalid_request_error: {CREDIT}"
    past = {"p0": [credit], "p1": [credit], "p2": ["InternalServerError: no"] * 4, "p3": [credit]}
    with FakeTeacher(right) as server:
        s = settings(server, teacher_mode="messages")
        made(s, tmp_path / "t", PROBLEMS[4:5])
        (kept,) = stored(tmp_path / "t")
        (intent,) = jsonl.read(tmp_path / "t" / "batches.jsonl")
        events, responses = [], []
        for i, errors in past.items():
            for n, error in enumerate(errors):
                lost = error.startswith("Internal")
                token = f"{i}{n:015d}"
                events.append(intent | {"token": token, "requests": [[i, 1, prompt_sha256(i)]]})
                responses.append(
                    kept
                    | {"custom_id": f"{token}-0", "id": i, "prompt_sha256": prompt_sha256(i)}
                    | {"status": "lost" if lost else "errored", "error": error, "text": ""}
                    | {"input_tokens": 225 if lost else 0, "output_tokens": 1000 if lost else 0}
                )
        jsonl.append(tmp_path / "t" / "batches.jsonl", events)
        jsonl.append(tmp_path / "t" / "responses.jsonl", responses)
        before = spent(s, tmp_path / "t")
        assert made(s, tmp_path / "t") == (ALL, []) and server.paid == dict.fromkeys(TEXTS, 1)
        # what may have been paid for stays in the sum
        assert spent(s, tmp_path / "t") - before == pytest.approx(5 * (100 * 3 + 50 * 15) / 1e6)
    assert "4 problems failed before for a reason that was not theirs" in caplog.text


def prompt_sha256(problem_id):
    from distill_nb.traces.teacher import work

    return work._sha(TEXTS[ALL.index(problem_id)])
