"""The APIs of teachers, as `doctor --online` asks them: one request of a few tokens, and its price;
of one that is to be sent batches, whether the key may list them, which costs nothing.

Nothing is sent where its cost cannot be said before, or without a key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from distill_nb.study.doctor import Finding
from distill_nb.traces.params import TraceParams
from distill_nb.traces.teacher import costs, send, settings
from distill_nb.traces.teacher.settings import Settings

PROMPT, TOKENS = "Answer with one word: what colour is the sky?", 16
# What to do about an HTTP status.
REMEDIES = {
    401: "the key in {key} is not known there: correct it",
    402: "the account has no credit: add some",
    403: "the key in {key} may not use {model}: ask for access, or use another key",
    404: "there is no {model} at that address: correct teacher_model or teacher_url",
    429: "too many requests, or a limit of the account is reached: wait, or raise the limit",
}
NO_CREDIT = ("credit", "quota", "billing")


def question(p: TraceParams) -> Settings:
    """How the set's teacher is asked here: as in the set, but for a few tokens and no thinking."""
    return replace(
        settings.settings(p),
        teacher_mode="messages",
        teacher_max_tokens=TOKENS,
        thinking_budget=0,
        trace_from="text",
    )


def name(p: TraceParams) -> str:
    """A teacher's name in the table."""
    where = "" if p.teacher_url == "none" else f" at {p.teacher_url}"
    return f"{p.teacher_model}{where}"


def announcement(p: TraceParams) -> str:
    """What asking will cost at the most, before it is done; "" where nothing will be sent."""
    s = question(p)
    if _lacks_key(s):
        return ""
    try:
        price = costs.price_of(s.teacher_model)
    except ValueError:
        return ""
    most = costs.cost(price, "messages", costs.most_input_tokens(s.teacher_system, PROMPT), TOKENS)
    return (
        f"{name(p)} is sent one request of at most {TOKENS} output tokens: at most "
        f"{costs.dollars(most)}."
    )


def look(p: TraceParams) -> Iterator[Finding]:
    """Yield the price, and what came of one request."""
    s = question(p)
    try:
        price = costs.price_of(s.teacher_model)
    except ValueError as error:
        yield Finding("price", "none that can be used; nothing is sent", str(error))
        return
    yield Finding(
        "price",
        f"${price['input']:,.2f} and ${price['output']:,.2f} a million tokens of input and output",
    )
    if key := _lacks_key(s):
        yield Finding("answer", "not asked, without a key", f"no new traces from it: set {key}")
        return
    yield from _ask(s, price, p.teacher_mode == "batch")


def _lacks_key(s: Settings) -> str:
    """The name of the key that is not there; one's own server needs none."""
    key = send.api_of(s).KEY
    own = s.teacher_api == "openai" and s.teacher_url
    return "" if own or os.environ.get(key) else key


def _ask(s: Settings, price: dict, in_batches: bool) -> Iterator[Finding]:
    api, what = send.api_of(s), "answer"
    client = api.client(s)
    try:
        yield _answer(s, price, api.ask(client, s, PROMPT))
        if in_batches:
            what = "batches"
            client.messages.batches.list(limit=1)
            yield Finding(what, "open to the key")
    except send.errors_of(s) as error:
        yield Finding(what, send.error_text(error), _remedy(error, s))
    except send.UNREADABLE as error:
        lack = "what answers is not this API: correct teacher_api or teacher_url"
        yield Finding(what, f"cannot be read ({type(error).__name__}: {error})", lack)


def _answer(s: Settings, price: dict, answer: dict) -> Finding:
    """Which model answered, and what it cost."""
    tokens = answer["input_tokens"] or 0, answer["output_tokens"] or 0
    paid = costs.dollars(costs.cost(price, "messages", *tokens))
    found = f"from {answer['model']}: {tokens[0]} tokens of input, {tokens[1]} of output, {paid}"
    lack = ""
    if not answer["model"].startswith(s.teacher_model):  # a name without a date gets one
        lack = f"{s.teacher_model} was asked: correct teacher_model"
    return Finding("answer", found, lack)


def _remedy(error: Exception, s: Settings) -> str:
    status = getattr(error, "status_code", 0) or 0
    if any(word in str(error).lower() for word in NO_CREDIT):
        status = 402
    if status >= 500 or not status:
        return "the API could not be reached or has an error of its own: try again later"
    general = "the request is refused: correct the teacher's keys in the parameter file"
    key = send.api_of(s).KEY
    return REMEDIES.get(status, general).format(key=key, model=s.teacher_model)
