"""The APIs of teachers, as `doctor --online` asks them: one request of a few tokens, and its price;
of one that is to be sent batches, whether the key may list them, which costs nothing.

Nothing is sent where its cost cannot be said before, or without a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from distill_nb.study.doctor import Finding
from distill_nb.traces.params import TraceParams
from distill_nb.traces.teacher import costs, failures, retired, send, settings
from distill_nb.traces.teacher.failures import Failure
from distill_nb.traces.teacher.settings import Settings

PROMPT, TOKENS = "Answer with one word: what colour is the sky?", 16


def question(p: TraceParams) -> Settings:
    """How the set's teacher is asked here: as in the set, but for a few tokens and no thinking."""
    s = settings.settings(p)
    return replace(
        s,
        teacher_thinking="default" if s.teacher_thinking == "adaptive" else s.teacher_thinking,
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
    if send.lacking(s)[0] or retired.sentence(p.teacher_model, p.teacher_url, p.dataset):
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
    if why := retired.sentence(p.teacher_model, p.teacher_url, p.dataset):
        yield Finding("model", "retired; nothing is sent", why)
        return
    try:
        price = costs.price_of(s.teacher_model)
    except ValueError as error:
        yield Finding("price", "none that can be used; nothing is sent", str(error))
        return
    yield Finding(
        "price",
        f"${price['input']:,.2f} and ${price['output']:,.2f} a million tokens of input and output",
    )
    what, name = send.lacking(s)
    if what:
        remedy = f"set {name}" if what == "key" else f"install {name} (make setup-study)"
        yield Finding("answer", f"not asked, without a {what}", f"no new traces from it: {remedy}")
        return
    yield from _ask(s, price, p.teacher_mode == "batch")


def _ask(s: Settings, price: dict, in_batches: bool) -> Iterator[Finding]:
    api, what = send.api_of(s), "answer"
    client = api.client(s)
    try:
        yield _answer(s, price, api.read(failures.answer(api.ask(client, s, PROMPT))))
        if in_batches:
            what = "batches"
            client.messages.batches.list(limit=1)
            yield Finding(what, "open to the key")
    except failures.expected(s) as error:
        failure = failures.of(error)
        yield Finding(what, failure.error, _remedy(failure, s))


def _answer(s: Settings, price: dict, answer: dict) -> Finding:
    """Which model answered, and what it cost."""
    tokens = answer["input_tokens"] or 0, answer["output_tokens"] or 0
    paid = costs.dollars(costs.cost(price, "messages", *tokens))
    found = f"from {answer['model']}: {tokens[0]} tokens of input, {tokens[1]} of output, {paid}"
    lack = ""
    if not answer["model"].startswith(s.teacher_model):  # a name without a date gets one
        lack = f"{s.teacher_model} was asked: correct teacher_model"
    return Finding("answer", found, lack)


def _remedy(failure: Failure, s: Settings) -> str:
    if failure.kind == failures.PASSING:
        return "try again later; if it stays, correct teacher_url, or look at the account's limits"
    if failure.kind == failures.ACCOUNT:
        return failure.remedy.format(key=send.api_of(s).KEY)
    return "the request is refused: correct the teacher's keys in the parameter file"
