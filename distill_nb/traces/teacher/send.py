"""Sending requests to an API teacher so that nothing is lost, and nothing is paid for twice.

`failures` says what a failure concerns. What is passing is waited for: TRIES times in a row, with
pauses that double, vary by a quarter and are never shorter than what the API asks for. After that,
and at once for what concerns the account or the settings, the work ends with an exception, every
problem without an answer stays open, and a new start goes on.

A request that was not taken (429, 503, 529, no connection made) is sent again. One of unknown fate
(another 5xx, a time-out, a broken connection) may be paid for. A batch of that kind is looked for
among the account's batches. A plain request cannot be looked for: it is stored as `lost`, at the
highest price, and the next round asks again. The SDKs' own retries treat both alike, so they are
off."""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from distill_nb.runtime import imports
from distill_nb.runtime.text import clean
from distill_nb.traces.teacher import anthropic, failures, openai
from distill_nb.traces.teacher.failures import PASSING, Failure
from distill_nb.traces.teacher.records import Answer, Intent, Request
from distill_nb.traces.teacher.settings import Settings
from distill_nb.traces.teacher.store import GIVE_UP, Store

if TYPE_CHECKING:
    from anthropic import Anthropic
    from openai import OpenAI
Found = TypeVar("Found")

log = logging.getLogger(__name__)

# In a row, without an answer between. The pauses between them add up to about half an hour.
TRIES = 12
LONGEST_PAUSE = 300  # seconds, of what is not asked for by the API
LONGEST_WAIT = 1800  # seconds, of what the API asks for; the work ends where it is more
LOOKS = 5  # of a batch that is answered with 404, which may pass, before that is believed

OPEN = "every problem without an answer stays open, and what is paid for is kept."


class Unavailable(RuntimeError):
    """The API could not be reached, or refused for too long; a new start goes on."""


def api_of(settings: Settings) -> ModuleType:
    """The module of an API: client, ask, body, read."""
    return {"anthropic": anthropic, "openai": openai}[settings.teacher_api]


def lacking(settings: Settings) -> tuple[str, str]:
    """What is not here of what asking an API takes: ("package", its name), ("key", its environment
    variable) or ("", ""). One's own server needs no key."""
    if importlib.util.find_spec(settings.teacher_api) is None:  # packages have the APIs' names
        return "package", settings.teacher_api
    key, own = api_of(settings).KEY, settings.teacher_api == "openai" and settings.teacher_url
    return ("", "") if own or os.environ.get(key) else ("key", key)


def check(settings: Settings) -> None:
    """Raises ValueError where the SDK's package or the API's key is not here."""
    what, name = lacking(settings)
    if what == "package":
        raise ValueError(
            f"teacher_api: {name} needs the package {name}, which is not installed; install it "
            f"with `{imports.install('full')}`."
        )
    if what == "key":
        raise ValueError(
            f"{name}: it is not set; put the key of the {settings.teacher_api} API into this "
            "environment variable."
        )


def pause(settings: Settings, n: int, failure: Failure | None = None) -> float:
    """Seconds before try n + 1: min(2 s, poll_seconds) × 2^n, give or take a quarter, and not less
    than what the API asks for."""
    own = min(LONGEST_PAUSE, min(settings.poll_seconds, 2.0) * 2**n)
    return max(own * random.uniform(0.75, 1.25), failure.wait if failure else 0.0)


def stop_for(settings: Settings, failure: Failure, remedy: str = "") -> Exception:
    """The exception that ends the work, for a failure that stays or that lasted."""
    if failure.kind == PASSING:
        why = f"{TRIES} tries failed"
        if failure.wait > LONGEST_WAIT:
            why = f"the API asks to wait {failure.wait:,.0f} seconds"
        return Unavailable(
            f"teacher_api {settings.teacher_api}: {why} ({failure.error}); start again later: "
            f"{OPEN}"
        )
    remedy = (remedy or failure.remedy).replace("{key}", api_of(settings).KEY)
    return ValueError(
        f"teacher_api {settings.teacher_api}: the API refused ({failure.error}); {remedy}, and "
        f"start again: {OPEN}"
    )


def stop_for_refusals(settings: Settings, store: Store, failure: Failure) -> Exception:
    """The exception that ends the work where several problems in a row met an unclear refusal."""
    remedy = failure.remedy
    if store.refusals.answered:  # so the settings were good once
        remedy += f", or write the ids of such problems into {_give_up(store)}"
    return stop_for(settings, failure, remedy)


def stop_for_problem(
    settings: Settings, store: Store, answer: Answer, times: int, why: str
) -> Exception:
    """The exception that ends the work where one problem gets no answer again and again."""
    return Unavailable(
        f"teacher_api {settings.teacher_api}: problem {answer.id} was asked {times} times without "
        f"an answer ({why}); start again later, raise max_requeues, or write its id into "
        f"{_give_up(store)} to go on without it: {OPEN}"
    )


def _give_up(store: Store) -> str:
    return f"{store.folder.parent.name}/{store.folder.name}/{GIVE_UP}"


def wait_or_stop(settings: Settings, failure: Failure, n: int, remedy: str = "") -> None:
    """Wait before try n + 1 of what may be repeated. Raises what ends the work."""
    passing = failure.kind == PASSING or (failure.status == 404 and n + 1 < LOOKS)
    if not passing or n + 1 >= TRIES or failure.wait > LONGEST_WAIT:
        raise stop_for(settings, failure, remedy) from None  # the API's own may quote the key
    seconds = pause(settings, n, failure)
    log.info(f"The API gives no answer ({failure.error}): asked again in {seconds:,.0f} s.")
    time.sleep(seconds)


def reading(settings: Settings, work: Callable[[], Found], remedy: str = "") -> Found:
    """What work() returns, which only reads and may be repeated. remedy: what to do about a 404
    that lasts. Raises ValueError or Unavailable."""
    n = 0
    while True:
        try:
            return work()
        except failures.expected(settings) as error:
            failure = failures.of(error)
            wait_or_stop(settings, failure, n, remedy if failure.status == 404 else "")
        n += 1


def failed(status: str, error: str, tokens: tuple[int, int] = (0, 0)) -> dict:
    """A response that is none."""
    return {"status": status, "error": error, "input_tokens": tokens[0], "output_tokens": tokens[1]}


def unreadable(error: Exception, most: tuple[int, int]) -> dict:
    """A response that came, and was paid for, but is not as the API's documents have it."""
    return failed("lost", failures.of(error).error, most)


def _ask(
    settings: Settings, api: Anthropic | OpenAI, prompt: str, most: tuple[int, int]
) -> dict | Failure:
    """One plain request: its response, or what became of it."""
    module = api_of(settings)
    try:
        response = module.read(failures.answer(module.ask(api, settings, prompt)))
    except failures.expected(settings) as error:
        return failures.of(error)
    for name, bound in zip(("input_tokens", "output_tokens"), most, strict=True):
        if response[name] is None:  # not counted by the server: it may have been all
            response[name] = bound
    return response


def tidy(settings: Settings, response: dict) -> dict:
    """A response as it is stored: what every line has, in texts that a file can hold."""
    blank = {
        "requested_model": settings.teacher_model,
        "model": "",
        "stop_reason": "",
        "thinking": "",
        "text": "",
        "thinking_kind": "none",
        "redacted_blocks": 0,
        "thinking_tokens": None,
        "usage": {},
        "message_id": "",
        "request_id": "",
    }
    made = blank | response
    texts = {name: clean(made[name]) for name in ("thinking", "text")}
    return made | texts | {"error": failures.scrubbed(made["error"])}


class _Sent(NamedTuple):
    """A plain request under way, and how many tries in a row had failed when it was sent."""

    intent: Intent
    failed_before: int


def send_messages(
    settings: Settings,
    store: Store,
    api: Anthropic | OpenAI,
    todo: list[Request],
    prompts: dict[str, str],
    most: dict[str, tuple],
) -> None:
    """Send plain requests, `concurrency` at a time, and store each response as it comes. While the
    API fails, all wait together, and after two failures in a row it is tried with one request at a
    time. Those under way are always waited for: they are paid for."""
    queue, waiting = deque(todo), dict[Future, _Sent]()
    failing, resume = 0, 0.0  # tries that failed in a row; when the next may be sent
    ended: Exception | None = None

    def keep(future: Future) -> Exception | None:
        """Store what became of a request; what ends the work, where it does."""
        nonlocal failing, resume
        intent, failed_before = waiting.pop(future)
        request, made = intent.requests[0], future.result()
        if isinstance(made, Failure):
            if made.kind == failures.ACCOUNT:
                store.refused(intent, made.error)
                return stop_for(settings, made)
            if made.kind != PASSING:
                _store(settings, store, intent, failed("errored", made.error))
                if store.refusals.stuck == made.error:
                    return stop_for_refusals(settings, store, made)
                return None
            if made.paid:
                _store(settings, store, intent, failed("lost", made.error, most[request.id]))
            else:
                store.refused(intent, made.error)
                queue.appendleft(request)
            seconds = pause(settings, failed_before, made)
            if failed_before == failing:  # not one that was sent before the last failure
                failing += 1
                log.info(f"The API gives no answer ({made.error}): on in {seconds:,.0f} s.")
            resume = max(resume, time.monotonic() + seconds)
            if failing >= TRIES or made.wait > LONGEST_WAIT:
                return stop_for(settings, made)
            return None
        failing = 0
        _store(settings, store, intent, made)
        return None

    with ThreadPoolExecutor(settings.concurrency) as pool:
        try:
            while (queue or waiting) and ended is None:
                room = settings.concurrency if failing < 2 else 1
                while queue and len(waiting) < room and time.monotonic() >= resume:
                    request = queue.popleft()
                    intent = store.intend("messages", [request])
                    prompt, tokens = prompts[request.id], most[request.id]
                    future = pool.submit(_ask, settings, api, prompt, tokens)
                    waiting[future] = _Sent(intent, failing)
                left = max(0.0, resume - time.monotonic())
                if not waiting:
                    time.sleep(left)
                    continue
                held = left if queue and left else None
                for future in wait(waiting, held, FIRST_COMPLETED).done:
                    ended = keep(future) or ended
        finally:
            for future in list(waiting):
                ended = keep(future) or ended
    if ended is not None:
        raise ended


def _store(settings: Settings, store: Store, intent: Intent, response: dict) -> None:
    store.keep([tidy(settings, {"custom_id": intent.custom_ids()[0], **response})])
    store.done(intent)


def settle_messages(settings: Settings, store: Store, most: dict[str, tuple]) -> None:
    """Store as lost the plain requests that were under way at a kill: they may have been paid."""
    for intent in store.open_intents("messages"):
        tokens = most.get(intent.requests[0].id, (0, settings.teacher_max_tokens))
        _store(settings, store, intent, failed("lost", "killed while it was under way", tokens))
