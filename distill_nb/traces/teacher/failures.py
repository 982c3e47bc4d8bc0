"""What a failure of an API teacher concerns, decided here alone and for every API and mode.

account   The account, the key, the settings or the address: every request would fail like it. The
          set stops with one sentence, and every problem stays open.
passing   The server or the way to it: rate limits, 408, 409, 425, 429, 5xx, time-outs, broken
          connections, bodies that are no answer, what a batch did not get to (expired, canceled).
          Waited for, up to send.TRIES times in a row; then the set stops likewise.
request   This request alone: too long, refused content. It is the problem's own failure.
unclear   Any other 4xx, such as a 400 in unknown words: `Refusals` decides by what else came.

Statuses and types are those of the SDKs (anthropic 2.12.0, openai 3.54.0) and of
https://platform.claude.com/docs/en/api/errors and
https://platform.openai.com/docs/guides/error-codes. Several of the account's failures have no
status or code of their own (400 "credit balance is too low", "specified API usage limits"), so
words decide first, then the status, or in a batch's results and in stored failures the type."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from distill_nb.runtime.text import clean, one_line
from distill_nb.traces.teacher import anthropic, openai
from distill_nb.traces.teacher.settings import Settings

ACCOUNT, PASSING, REQUEST, UNCLEAR = "account", "passing", "request", "unclear"
SECRETS = (anthropic.KEY, openai.KEY, "ANTHROPIC_AUTH_TOKEN")
# Raised by a response that is not as the API's documents have it.
UNREADABLE = (TypeError, AttributeError, IndexError, KeyError, ValueError)
# Different problems that meet one error in a row, with no answer between: then it is not theirs.
ALIKE = 3

_USAGE = "raise the account's limit of usage or wait until it ends"
_ACCOUNT_WORDS = (  # (what an error says, what is to be done)
    (
        r"credit balance|insufficient[ _](quota|balance|credit|fund)|exceeded your current quota"
        r"|billing_(error|hard_limit|not_active)|billing hard limit|requires more credits",
        "add credit to the account or raise its limit",
    ),
    (r"(usage|spend|spending|budget)[ _]limit|budget (has been )?exceeded", _USAGE),
    (
        r"organization_on_hold|account_deactivated|account is not active"
        r"|(organi[sz]ation|account|workspace)\b.{0,40}\b(is|been|was) "
        r"(disabled|deactivated|suspended|terminated|blocked|flagged|on hold)",
        "ask the API's support about the account or use the key of another",
    ),
    (r"invalid_api_key|incorrect api key", "put a valid key into {key}"),
    (r"model_not_found", "correct teacher_model"),
)
_REQUEST_WORDS = re.compile(
    r"request_too_large|request too large|context_length_exceeded|string_above_max_length"
    r"|(prompt|input|request|message)s? (is|are) too long|maximum context length"
    r"|context (window|limit)|too many (input )?tokens"
    r"|content[ _](filter|management|policy)|invalid_prompt|flagged|safety system|usage polic"
)
_ACCOUNT_STATUS = {
    401: "put a valid key into {key}",
    402: "add credit to the account or raise its limit",
    403: "give the account of {key} the right to use teacher_model or use another key",
    404: "correct teacher_model or teacher_url",
    405: "correct teacher_url",
    407: "correct the proxy's name and password",
    410: "correct teacher_model or teacher_url",
}
_OF_A_REQUEST = (400, 403, 413, 422)  # what may be said of one request alone
_UNCLEAR_REMEDY = "correct the settings of the teacher or the account"
_STATUS_OF = {  # of a type that stands alone, in a batch's results or in a body of status 200
    "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "conflict_error": 409, "request_too_large": 413,
    "rate_limit_error": 429, "rate_limit_exceeded": 429, "api_error": 500, "server_error": 500,
    "internal_server_error": 500, "service_unavailable": 503, "timeout_error": 504,
    "overloaded_error": 529, "ThrottlingException": 429, "NotFoundError": 404,
    "InternalServerError": 500,
}  # fmt: skip
_TYPE_OF = {400: "invalid_request_error", 413: "request_too_large", 422: "invalid_request_error"}
_EARLIER = (408, 409, 425, 429)  # of 4xx: the same request may be taken later
_NOT_TAKEN = (409, 425, 429, 529)  # the API says that it did not begin


class NoAnswer(Exception):
    """A body of status 200 that is no answer. paid: whether one may have been made all the same."""

    def __init__(self, body: Any, paid: bool):
        super().__init__(f"no answer in the response: {one_line(body, 200)}")
        self.body, self.paid = body, paid


@dataclass(frozen=True)
class Failure:
    """kind: account | passing | request | unclear. error: "type: message". taken: whether the API
    may have begun; paid: whether it may charge for it. wait: seconds that it asks to wait."""

    kind: str
    error: str
    remedy: str = _UNCLEAR_REMEDY
    status: int | None = None
    taken: bool = False
    paid: bool = False
    wait: float = 0.0


def expected(settings: Settings) -> tuple[type[Exception], ...]:
    """What a request raises, or the reading of its response, when it fails."""
    import httpx2

    if settings.teacher_api == "anthropic":
        from anthropic import AnthropicError as Error
    else:
        from openai import OpenAIError as Error
    return Error, httpx2.HTTPError, httpx2.StreamError, NoAnswer, *UNREADABLE


def answer(reply: Any) -> Any:
    """What an SDK made of a response of status 200, where it is an answer. Raises NoAnswer for an
    error in its body, and for a page or a text (the SDKs hand on what is not JSON as it is)."""
    if isinstance(reply, (str, bytes)):
        raise NoAnswer(reply, paid=not str(reply).lstrip().startswith("<"))
    if error := getattr(reply, "error", None):
        raise NoAnswer({"error": error}, paid=False)
    for choice in getattr(reply, "choices", None) or []:
        if choice.finish_reason == "error":  # how some servers end an answer that broke off
            error = getattr(choice, "error", None) or "the answer broke off"
            raise NoAnswer({"error": error}, paid=True)
    return reply


def of(error: Exception) -> Failure:
    """What a failed request's exception means."""
    status = getattr(error, "status_code", None)
    code = _inner(error).get("code") if isinstance(error, NoAnswer) else None
    if isinstance(code, int) and 400 <= code < 600:
        status = code  # some servers put the status of another into a body of status 200
    if isinstance(error, UNREADABLE):
        text = scrubbed(f"unreadable response: {type(error).__name__}: {error}")
        return Failure(PASSING, text, taken=True, paid=True)
    text = _text(error, status)
    if isinstance(error, NoAnswer):
        if not _inner(error):
            return Failure(PASSING, text, taken=True, paid=error.paid)
        kind, remedy = _kind(text, status)
        kind = PASSING if kind == UNCLEAR else kind
        taken = kind == PASSING
        return Failure(kind, text, remedy, status, taken, taken and error.paid)
    if status is None or status < 400:  # no response, or one that is not as documented
        cause = type(error.__cause__ or error).__name__
        begun = cause not in ("ConnectError", "ConnectTimeout", "PoolTimeout")
        return Failure(PASSING, text, taken=begun, paid=begun)
    (kind, remedy), wait = _kind(text, status), _retry_after(error)
    if status == 429 and remedy == _USAGE and wait >= 1:  # a limit that says when it ends
        kind = PASSING
    taken = kind == PASSING and status not in _NOT_TAKEN
    return Failure(kind, text, remedy, status, taken, taken and status != 503, wait)


def of_stored(status: str, error: str) -> Failure:
    """What a stored response means that is no answer: its status and "type: message"."""
    if status != "errored":  # lost, missing, expired, canceled
        return Failure(PASSING, error or status)
    kind, remedy = _kind(error, None)
    return Failure(kind, error, remedy)


def _kind(text: str, status: int | None) -> tuple[str, str]:
    """(kind, remedy) of "type: message", with the status or without."""
    words = text.lower()
    for pattern, remedy in _ACCOUNT_WORDS:
        if re.search(pattern, words):
            return ACCOUNT, remedy
    if status is None:
        status = _STATUS_OF.get(text.partition(":")[0], 400)
    # a server that is busy also speaks of too many tokens
    if status in _OF_A_REQUEST and _REQUEST_WORDS.search(words):
        return REQUEST, _UNCLEAR_REMEDY
    if status in _ACCOUNT_STATUS:
        return ACCOUNT, _ACCOUNT_STATUS[status]
    if status == 413:
        return REQUEST, _UNCLEAR_REMEDY
    if status in _EARLIER or status >= 500:
        return PASSING, ""
    return UNCLEAR, _UNCLEAR_REMEDY


def _inner(error: Exception) -> dict:
    """The error object of a body: Anthropic's and NoAnswer's stand in `error`, OpenAI's alone."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else {}
    return inner if isinstance(inner, dict) else {"message": str(inner)}


def _text(error: Exception, status: int | None) -> str:
    """The error as "type: message": the code where the API gave one, else its type."""
    inner = _inner(error)
    details = inner.get("details")
    codes = (details.get("error_code") if isinstance(details, dict) else None, inner.get("code"))
    named = next((c for c in codes if isinstance(c, str) and not c.isdigit()), None)
    default = _TYPE_OF.get(status or 0, type(error).__name__)
    kind = named or inner.get("type") or default
    return scrubbed(f"{kind}: {inner.get('message') or error}")


def _retry_after(error: Exception) -> float:
    """Seconds that a response asks to wait: a number of them, or a date."""
    response = getattr(error, "response", None)
    asked = response.headers.get("retry-after", "") if response is not None else ""
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def scrubbed(text: str) -> str:
    """The first 500 characters of a text, without the keys that servers sometimes quote."""
    for name in SECRETS:
        if os.environ.get(name):
            text = text.replace(os.environ[name], f"<{name}>")
    return clean(text)[:500]


@dataclass
class Refusals:
    """Which stored failures are their problem's own, of those that may be. They are shown in the
    order in which they came, so a new start comes to the same result.

    A failure of kind `request` is the problem's own. One of kind `unclear` is so only when the
    problem meets the same error a second time, and another problem was answered meanwhile, or
    fewer than ALIKE problems have met it since the last answer. ALIKE or more in a row are the
    account's or the settings' failure; so are failures of kind `request` before any answer, such
    as a teacher_max_tokens that no context has room for."""

    own: set[str] = field(default_factory=set)  # custom_ids
    # ids of problems that met one: they are asked after the others, which shows whose it is
    met: set[str] = field(default_factory=set)
    others: set[str] = field(
        default_factory=set
    )  # custom_ids that ALIKE in a row showed as not own
    answered: int = 0
    stuck: str = ""  # the error that ALIKE problems in a row met
    _run: dict[str, dict[str, str]] = field(default_factory=dict)  # error → problem → custom_id
    _first: dict[tuple[str, str], int] = field(default_factory=dict)  # → `answered` at that time

    def answer(self) -> None:
        """A request was answered: the account and the settings are good."""
        self.answered += 1
        self.stuck = ""
        self._run.clear()

    def failure(self, problem: str, custom_id: str, status: str, error: str) -> None:
        """A request failed."""
        kind = of_stored(status, error).kind
        if kind not in (REQUEST, UNCLEAR):
            return
        self.met.add(problem)
        alike = re.sub(r"\w*\d\w*", "#", error)  # without its numbers and ids
        again = (problem, alike) in self._first
        before = self._first.setdefault((problem, alike), self.answered)
        if (kind == REQUEST and self.answered) or (again and self.answered > before):
            self.own.add(custom_id)
            return
        run = self._run.setdefault(alike, {})
        run[problem] = custom_id
        if len(run) >= ALIKE:
            self.stuck = error
            shown = set(run.values()) if len(run) == ALIKE else {custom_id}
            self.others |= shown
            self.own -= shown
        elif kind == REQUEST or (again and self.answered):
            self.own.add(custom_id)
