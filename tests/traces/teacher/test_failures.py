"""What a failure concerns, told from the exceptions of the real SDKs and from stored failures."""

import time
from email.utils import formatdate

import pytest
from fake_teacher import FakeTeacher
from teacher_cases import MARKS, settings

from distill_nb.traces.teacher import anthropic, failures, openai, send

pytestmark = MARKS


def claude(kind, message, **more):
    return {"type": "error", "error": {"type": kind, "message": message} | more}


def gpt(kind, message, code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.fixture(scope="module")
def failure_of():
    """Calls failures.of with what a fault raises, met by a plain request of an API's real client:
    failure_of(api, fault)."""
    clients = {}  # each takes a while to make

    def find(api, fault):
        server.down = fault
        url = f"{server.url}/v1" if api == "openai" else server.url
        s = settings(server, teacher_api=api, teacher_mode="messages", teacher_url=url)
        module = {"anthropic": anthropic, "openai": openai}[api]
        if api not in clients:
            clients[api] = module.client(s)
        try:
            module.read(failures.answer(module.ask(clients[api], s, "Say 5")))
        except failures.expected(s) as error:
            return failures.of(error)
        raise AssertionError("it was answered")

    with FakeTeacher(lambda prompt, n: "5") as server:
        yield find


INVALID, LIMIT = "invalid_request_error", "rate_limit_error"


def coded(kind, code):
    return claude(kind, "No.", details={"error_code": code})


@pytest.mark.parametrize(
    ("api", "status", "body", "kind", "remedy"),
    [
        ("anthropic", 400, claude(INVALID, "Your credit balance is low."), "account", "credit"),
        ("anthropic", 400, claude(INVALID, "API usage limits are reached."), "account", "limit"),
        ("anthropic", 400, claude(INVALID, "Organization has been disabled"), "account", "support"),
        ("anthropic", 400, coded(INVALID, "organization_on_hold"), "account", "support"),
        ("anthropic", 429, coded(LIMIT, "contract_spend_limit_reached"), "account", "limit"),
        ("anthropic", 429, coded(LIMIT, "ramp_limit_exceeded"), "passing", ""),
        ("anthropic", 401, claude("authentication_error", "invalid x-api-key"), "account", "{key}"),
        ("anthropic", 402, claude("billing_error", "Pay."), "account", "credit"),
        ("anthropic", 403, claude("permission_error", "No."), "account", "right"),
        ("anthropic", 404, claude("not_found_error", "model: x"), "account", "teacher_model"),
        ("anthropic", 403, claude("x", "Your account has been flagged"), "account", "support"),
        ("anthropic", 413, claude("request_too_large", "Too big."), "request", None),
        ("anthropic", 400, claude(INVALID, "prompt is too long: 9 > 8"), "request", None),
        ("anthropic", 400, claude(INVALID, "blocked by content filtering policy"), "request", None),
        ("anthropic", 400, claude(INVALID, "Never met before."), "unclear", None),
        ("anthropic", 200, claude("overloaded_error", "Overloaded"), "passing", None),
        ("anthropic", 200, claude(INVALID, "Your credit balance is low."), "account", "credit"),
        ("anthropic", 504, "the request took too long", "passing", ""),
        ("openai", 429, gpt("insufficient_quota", "No."), "account", "credit"),
        ("openai", 429, gpt("x", "No.", "billing_not_active"), "account", "credit"),
        ("openai", 400, gpt(INVALID, "Stop.", "billing_hard_limit_reached"), "account", "credit"),
        ("openai", 402, gpt("unknown_error", "Insufficient Balance"), "account", "credit"),
        ("openai", 401, gpt(INVALID, "Wrong.", "invalid_api_key"), "account", "{key}"),
        ("openai", 404, gpt(INVALID, "No such.", "model_not_found"), "account", "teacher_model"),
        ("openai", 404, gpt("NotFoundError", "No such.", 404), "account", "teacher_model"),
        ("openai", 429, gpt("requests", "Slower.", "rate_limit_exceeded"), "passing", ""),
        ("openai", 400, gpt(INVALID, "Long.", "context_length_exceeded"), "request", None),
        ("openai", 400, gpt(INVALID, "No.", "content_filter"), "request", None),
        ("openai", 403, gpt(None, "Your input was flagged."), "request", None),
        ("openai", 400, gpt("BadRequestError", "maximum context length 8"), "request", None),
        ("openai", 400, gpt("BadRequestError", "Never met before.", 400), "unclear", None),
        ("openai", 422, {"detail": "Never met before."}, "unclear", None),
        ("openai", 200, {"error": {"message": "No more.", "code": 402}}, "account", "credit"),
        ("openai", 200, {"error": {"message": "Down.", "code": 503}}, "passing", None),
        ("openai", 200, {"error": "Something went wrong."}, "passing", None),
    ],
)  # fmt: skip
def test_what_an_answer_of_the_api_means(failure_of, api, status, body, kind, remedy):
    found = failure_of(api, {"status": status, "body": body})
    assert found.kind == kind and (remedy is None or remedy in found.remedy)
    assert not found.paid or status == 504
    if kind != "passing" and status != 422:  # the stored text says the same without the status
        stored = failures.of_stored("errored", found.error)
        assert stored.kind == kind or (kind, status) in (("account", 200), ("account", 402))


@pytest.mark.parametrize("api", ["anthropic", "openai"])
@pytest.mark.parametrize(
    ("fault", "taken", "paid"),
    [
        (429, False, False),
        (529, False, False),
        (503, True, False),  # a batch may have begun all the same: it is looked for
        (500, True, True),
        (502, True, True),
        (408, True, True),
        ("drop", True, True),
        ({"body": "<html>Sign in</html>"}, True, False),
        ({"body": "no JSON"}, True, True),
        ({"body": {}}, True, True),
        ({"body": []}, True, True),
        ({"body": '{"id": "ms', "headers": {"content-type": "application/json"}}, True, True),
    ],
)
def test_what_passes_and_whether_it_may_cost(failure_of, api, fault, taken, paid):
    found = failure_of(api, fault)
    assert (found.kind, found.taken, found.paid) == ("passing", taken, paid)


def test_a_server_that_is_not_there_passes_and_costs_nothing():
    with FakeTeacher(lambda prompt, n: "5") as server:
        s = settings(server, teacher_mode="messages", teacher_url="http://127.0.0.1:9")
    for module in (anthropic, openai):
        with pytest.raises(Exception) as error:
            module.ask(module.client(s), s, "Say 5")
        found = failures.of(error.value)
        assert (found.kind, found.taken, found.paid) == ("passing", False, False)


def test_an_answer_that_the_server_broke_off_passes():
    answer = {"text": "So it", "stop_reason": "error"}
    with FakeTeacher(lambda prompt, n: answer) as server:
        s = settings(
            server, teacher_api="openai", teacher_mode="messages", teacher_url=f"{server.url}/v1"
        )
        with pytest.raises(failures.NoAnswer, match="the answer broke off") as error:
            failures.answer(openai.ask(openai.client(s), s, "Say 5"))
    found = failures.of(error.value)
    assert (found.kind, found.paid) == ("passing", True)


def test_what_the_api_asks_to_wait_is_read_and_waited(failure_of):
    for asked, low, high in (("7", 7, 7), (formatdate(time.time() + 100), 90, 100), ("soon", 0, 0)):
        found = failure_of("anthropic", {"status": 429, "headers": {"retry-after": asked}})
        assert low <= found.wait <= high
    with FakeTeacher(lambda prompt, n: "5") as server:
        s = settings(server)
    asks = failures.Failure("passing", "x", wait=7)
    assert send.pause(s, 0, asks) == 7 and 0.75 * 0.2 <= send.pause(s, 2) <= 1.25 * 0.2
    with pytest.raises(send.Unavailable, match="the API asks to wait 9,999 seconds"):
        send.wait_or_stop(s, failures.Failure("passing", "x", wait=9999), 0)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        ("errored", "invalid_request_error: Your credit balance is too low", "account"),
        ("errored", "not_found_error: model: x", "account"),
        ("errored", "overloaded_error: Overloaded", "passing"),
        ("errored", "invalid_request_error: prompt is too long: 9 > 8", "request"),
        ("errored", "invalid_request_error: Never met before", "unclear"),
        ("lost", "InternalServerError: no", "passing"),
        ("expired", "", "passing"),
        ("canceled", "", "passing"),
        ("missing", "", "passing"),
    ],
)
def test_stored_failures_are_told_apart(status, error, kind):
    assert failures.of_stored(status, error).kind == kind


def shown(*events):
    """Refusals that were shown events: "ok", or (problem, error)."""
    refusals = failures.Refusals()
    for n, event in enumerate(events):
        if event == "ok":
            refusals.answer()
        else:
            refusals.failure(event[0], str(n), "errored", event[1])
    return refusals


ODD, LONG = "invalid_request_error: Field 7 is odd", "request_too_large: too big"
ODD_9 = ODD.replace("7", "9")


@pytest.mark.parametrize(
    ("events", "own", "stuck"),
    [
        (["ok", ("a", LONG)], {"1"}, ""),
        ([("a", LONG), "ok"], {"0"}, ""),
        # before any answer it may be a setting, such as teacher_max_tokens
        ([("a", LONG), ("b", LONG), ("c", LONG)], set(), LONG),
        (["ok", ("a", LONG), ("b", LONG), ("c", LONG)], {"1", "2", "3"}, ""),
        (["ok", ("a", ODD)], set(), ""),  # asked once more
        (["ok", ("a", ODD), ("a", ODD)], {"2"}, ""),
        ([("a", ODD), ("a", ODD)], set(), ""),  # nothing was ever answered
        ([("a", ODD), "ok", ("a", ODD)], {"2"}, ""),
        ([("a", ODD), "ok", ("a", ODD_9)], {"2"}, ""),
        (["ok", ("a", ODD), ("b", ODD), ("c", ODD_9)], set(), ODD_9),
        # believed of two, until a third shows that it was none of theirs
        (["ok", ("a", ODD), ("a", ODD), ("b", ODD), ("c", ODD)], set(), ODD),
        (["ok", ("a", ODD), ("b", ODD), ("c", ODD), "ok", ("a", ODD)], {"5"}, ""),
        # the fourth of a row, and one of the row again
        (["ok", *((i, ODD) for i in "abcda")], set(), ODD),
        (["ok", ("a", ODD), "ok", ("b", ODD), "ok", ("c", ODD)], set(), ""),
    ],
)  # fmt: skip
def test_whose_an_unclear_refusal_is(events, own, stuck):
    refusals = shown(*events)
    assert (refusals.own, refusals.stuck) == (own, stuck)
