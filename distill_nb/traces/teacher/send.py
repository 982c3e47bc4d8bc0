"""Sending requests to an API teacher so that nothing is lost, and nothing is paid for twice.

What became of a request that failed decides what may be done (`fate`):

refused   The API did not take it (429, 529, no connection made): send it again after a while.
rejected  It is wrong (400 and the like) and would be again: stored with the reason, never repeated.
fatal     None can succeed (key, rights, account, no such model): stop.
unknown   The connection broke, or the server failed: it may have been taken, and is paid for then.

A batch whose fate is unknown is looked for among the account's batches. A plain request cannot be
looked for: it counts as `lost`, at the highest price, and the next round may ask again. The SDKs'
own retries treat unknown like refused, so they are off."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from distill_nb.runtime.text import clean
from distill_nb.traces.teacher import anthropic, openai
from distill_nb.traces.teacher.records import Intent, Request
from distill_nb.traces.teacher.settings import Settings
from distill_nb.traces.teacher.store import Store

if TYPE_CHECKING:
    from anthropic import Anthropic
    from openai import OpenAI
Found = TypeVar("Found")

# Of what is refused, or of reading. The pauses between them add up to about half an hour.
TRIES = 12
LONGEST_PAUSE = 300  # seconds
SECRETS = (anthropic.KEY, openai.KEY, "ANTHROPIC_AUTH_TOKEN")
# Raised by a response that is not as the API's documents have it.
UNREADABLE = (TypeError, AttributeError, IndexError, KeyError, ValueError)
FATAL, REJECTED, REFUSED = (401, 402, 403, 404), (400, 413, 422), (429, 529)


class Unavailable(RuntimeError):
    """The API could not be reached, or refused for too long; a new start goes on."""


def api_of(settings: Settings) -> ModuleType:
    """The module of an API: client, ask, body."""
    return {"anthropic": anthropic, "openai": openai}[settings.teacher_api]


def errors_of(settings: Settings) -> tuple[type[Exception], ...]:
    """What the SDK and the library below it raise when a request or a stream fails."""
    import httpx2

    if settings.teacher_api == "anthropic":
        from anthropic import AnthropicError as Error
    else:
        from openai import OpenAIError as Error
    return Error, httpx2.HTTPError, httpx2.StreamError, json.JSONDecodeError


def scrubbed(text: str) -> str:
    """The first 500 characters of a text, without the keys that servers sometimes quote."""
    for name in SECRETS:
        if os.environ.get(name):
            text = text.replace(os.environ[name], f"<{name}>")
    return clean(text)[:500]


def fate(error: Exception) -> str:
    """refused, rejected, fatal or unknown; see the module."""
    status = getattr(error, "status_code", None)
    if status is None and type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):
        return "refused"
    for statuses, name in ((FATAL, "fatal"), (REJECTED, "rejected"), (REFUSED, "refused")):
        if status in statuses:
            return name
    return "unknown"


def error_text(error: Exception) -> str:
    """The error as "type: message", the type being the API's own where it gave one."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    default = {400: "invalid_request_error", 413: "request_too_large", 422: "invalid_request_error"}
    status = getattr(error, "status_code", 0)
    kind = default.get(status) or inner.get("type") or type(error).__name__
    return scrubbed(f"{kind}: {inner.get('message') or error}")


def pause(settings: Settings, n: int, error: Exception | None = None) -> float:
    """Seconds before try n + 1: what the API asks for, else min(2 s, poll_seconds) × 2^n."""
    response = getattr(error, "response", None)
    try:
        asked = float(response.headers.get("retry-after", "")) if response is not None else 0.0
    except ValueError:
        asked = 0.0
    return min(LONGEST_PAUSE, max(asked, min(settings.poll_seconds, 2.0) * 2**n))


def stop_for(settings: Settings, error: Exception) -> Exception:
    """The exception that ends the work, for an error that is fatal or that lasted."""
    if fate(error) in ("fatal", "rejected"):
        return ValueError(
            f"teacher_api {settings.teacher_api}: the API refused ({error_text(error)}); correct "
            f"the key in {api_of(settings).KEY}, teacher_model or teacher_url, and start again: "
            "what is there stays."
        )
    return Unavailable(
        f"teacher_api {settings.teacher_api}: {TRIES} tries failed ({error_text(error)}); start "
        "again later, nothing that was paid for is lost."
    )


def reading(settings: Settings, work: Callable[[], Found]) -> Found:
    """What work() returns, which only reads and may be repeated; ValueError or Unavailable."""
    n = 0
    while True:
        try:
            return work()
        except errors_of(settings) as error:
            if fate(error) in ("fatal", "rejected") or n + 1 == TRIES:
                raise stop_for(settings, error) from None
            time.sleep(pause(settings, n, error))
        n += 1


def failed(status: str, error: str, tokens: tuple[int, int] = (0, 0)) -> dict:
    """A response that is none."""
    return {"status": status, "error": error, "input_tokens": tokens[0], "output_tokens": tokens[1]}


def unreadable(error: Exception, most: tuple[int, int]) -> dict:
    """A response that came, and was paid for, but is not as the API's documents have it."""
    return failed("lost", f"unreadable response: {type(error).__name__}: {error}", most)


def _ask(
    settings: Settings,
    api: Anthropic | OpenAI,
    prompt: str,
    most: tuple[int, int],
    stop: threading.Event,
) -> dict | Exception:
    """One plain request, sent again while it is refused: the response, or what ends the work."""
    n = 0
    while True:
        try:
            response = api_of(settings).ask(api, settings, prompt)
        except errors_of(settings) as error:
            kind = fate(error)
            if kind == "rejected":
                return failed("errored", error_text(error))
            if kind == "unknown":
                return failed("lost", error_text(error), most)
            if kind == "fatal" or n + 1 == TRIES or stop.wait(pause(settings, n, error)):
                return stop_for(settings, error)
            n += 1
        except UNREADABLE as error:
            return unreadable(error, most)
        else:
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
    texts = {"thinking": clean(made["thinking"]), "text": clean(made["text"])}
    return made | texts | {"error": scrubbed(made["error"])}


def send_messages(
    settings: Settings,
    store: Store,
    api: Anthropic | OpenAI,
    todo: list[Request],
    prompts: dict[str, str],
    most: dict[str, tuple],
) -> None:
    """Send plain requests, `concurrency` at a time, and store each response as it comes. Those
    under way are always waited for: they are paid for."""
    waiting: dict[Future, Intent] = {}
    stop = threading.Event()
    ended: Exception | None = None

    def keep(future: Future) -> Exception | None:
        intent = waiting.pop(future)
        made = future.result()
        if isinstance(made, Exception):
            store.refused(intent, str(made))
            return made
        store.keep([tidy(settings, {"custom_id": intent.custom_ids()[0], **made})])
        store.done(intent)
        return None

    with ThreadPoolExecutor(settings.concurrency) as pool:
        queue = iter(todo)
        try:
            while ended is None:
                while len(waiting) < settings.concurrency and (request := next(queue, None)):
                    intent = store.intend("messages", [request])
                    prompt, tokens = prompts[request.id], most[request.id]
                    waiting[pool.submit(_ask, settings, api, prompt, tokens, stop)] = intent
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    ended = keep(future) or ended
        finally:
            stop.set()
            for future in list(waiting):
                ended = keep(future) or ended
    raise ended


def settle_messages(settings: Settings, store: Store, most: dict[str, tuple]) -> None:
    """Store as lost the plain requests that were under way at a kill: they may have been paid."""
    for intent in store.open_intents("messages"):
        tokens = most.get(intent.requests[0].id, (0, settings.teacher_max_tokens))
        lost = failed("lost", "killed while it was under way", tokens)
        store.keep([tidy(settings, {"custom_id": intent.custom_ids()[0], **lost})])
        store.done(intent)
