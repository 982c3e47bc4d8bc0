"""Message Batches: created once, found again after a crash, their results stored as they stream in.

A batch is written down as an intent before it is sent, and under its id before anything waits for
it. Between the two, a kill or a broken connection leaves an intent without an id. Then its batch is
looked for among the account's batches that are newer: it has the same size, and its results carry
the intent's token in their custom_ids. Results exist only once a batch has ended, so a batch that
is still in progress is waited for rather than paid for again."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from distill_nb.traces.teacher import anthropic, failures, send
from distill_nb.traces.teacher.records import Intent, Request, now
from distill_nb.traces.teacher.settings import Settings
from distill_nb.traces.teacher.store import Store

if TYPE_CHECKING:
    from anthropic import Anthropic
    from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

log = logging.getLogger(__name__)

GROUP = 64  # results stored and synced together
# A batch that is older than its intent by more than this is another, whichever clock is wrong.
CLOCKS = timedelta(hours=25)


def chunks(
    settings: Settings, todo: list[Request], prompts: dict[str, str]
) -> Iterator[list[Request]]:
    """The requests in parts of at most batch_size and well below the API's size for a batch."""
    part: list[Request] = []
    size = 0
    for request in todo:
        own = len(json.dumps(anthropic.body(settings, prompts[request.id]))) + 200
        if part and (len(part) == settings.batch_size or size + own > anthropic.BATCH_BYTES // 2):
            yield part
            part, size = [], 0
        part.append(request)
        size += own
    if part:
        yield part


def send_batches(
    settings: Settings, store: Store, api: Anthropic, todo: list[Request], prompts: dict[str, str]
) -> None:
    """Create the batches of a round. One whose fate is unknown stays an open intent."""
    for part in chunks(settings, todo, prompts):

        def newest_batch() -> MessageBatch | None:
            page = failures.answer(api.messages.batches.list(limit=1))
            return next(iter(page.data), None)

        newest = send.reading(settings, newest_batch)
        intent = store.intend("batch", part, after=newest.id if newest else "")
        bodies = [
            {"custom_id": custom_id, "params": anthropic.body(settings, prompts[request.id])}
            for custom_id, request in zip(intent.custom_ids(), part, strict=True)
        ]
        _create(settings, store, api, intent, bodies)


def _create(
    settings: Settings, store: Store, api: Anthropic, intent: Intent, bodies: list[dict]
) -> None:
    for n in range(send.TRIES):
        try:
            batch_id = failures.answer(api.messages.batches.create(requests=bodies)).id
        except failures.expected(settings) as error:
            failure = failures.of(error)
            if failure.taken:
                log.info(
                    f"A batch of {len(bodies)} requests was sent, and the answer did not come "
                    f"({failure.error}): looking for it among the account's batches."
                )
                return
            try:
                send.wait_or_stop(settings, failure, n)
            except (ValueError, send.Unavailable):
                store.refused(intent, failure.error)
                raise
        else:
            store.accepted(intent, batch_id)
            log.info(f"Batch {batch_id}: {len(bodies)} requests sent.")
            return


def await_batches(settings: Settings, store: Store, api: Anthropic) -> None:
    """Wait until every batch has ended and its results are stored."""
    strangers: dict[str, set[str]] = {}
    while store.open_intents("batch"):
        for intent in store.open_intents("batch"):
            if not intent.batch_id:
                _settle(settings, store, api, intent, strangers.setdefault(intent.token, set()))
            if intent.batch_id:
                look = partial(_retrieve, api, intent.batch_id)
                batch = send.reading(settings, look, _not_found(intent))
                if batch.processing_status == "ended" and batch.results_url:
                    _fetch(settings, store, api, intent)
                elif batch.processing_status == "ended":  # the API keeps results for 29 days
                    most = (0, settings.teacher_max_tokens)
                    lost = send.failed("lost", "the API has no results any more", most)
                    _keep_without_result(settings, store, intent, lost)
                    store.done(intent)
        if store.open_intents("batch"):
            time.sleep(settings.poll_seconds)


def _retrieve(api: Anthropic, batch_id: str) -> MessageBatch:
    batch = failures.answer(api.messages.batches.retrieve(batch_id))
    _size(batch)  # a body that is no batch has no counts
    return batch


def _not_found(intent: Intent) -> str:
    """What to do where a batch is not found again and again."""
    return f"use the {{key}} of the workspace in which batch {intent.batch_id} was sent"


def _keep_without_result(settings: Settings, store: Store, intent: Intent, response: dict) -> None:
    """Store the response of every request of an intent that has no result."""
    missing = [i for i in intent.custom_ids() if i not in store.answers]
    store.keep([send.tidy(settings, {"custom_id": i, **response}) for i in missing])


def _settle(
    settings: Settings, store: Store, api: Anthropic, intent: Intent, strangers: set[str]
) -> None:
    """Find the batch of an intent without an id, or find out that there is none."""
    # taken before looking, for only what was there then is sure to be found
    age = datetime.fromisoformat(now()) - datetime.fromisoformat(intent.at)
    candidates = [b for b in _newer(settings, api, intent) if b.id not in strangers]
    known = {i.batch_id for i in store.intents.values()}
    for batch in candidates:
        if batch.id in known or _size(batch) != len(intent.requests):
            strangers.add(batch.id)
        elif batch.processing_status == "ended":
            if _is_it(settings, api, intent, batch):
                log.info(f"Batch {batch.id}: found again, {len(intent.requests)} requests.")
                store.accepted(intent, batch.id)
                return
            strangers.add(batch.id)
    # A batch that was just taken may be late in the list: a young intent is looked for again.
    late = timedelta(seconds=2 * settings.poll_seconds)
    if not any(b.id not in strangers for b in candidates) and age > late:
        store.refused(intent, "no such batch in the account")


def _newer(settings: Settings, api: Anthropic, intent: Intent) -> list[MessageBatch]:
    oldest = datetime.fromisoformat(intent.at) - CLOCKS

    def is_newer(batch: MessageBatch) -> bool:
        return batch.id != intent.after and batch.created_at > oldest

    def newer() -> list[MessageBatch]:
        pages = failures.answer(api.messages.batches.list(limit=100))
        return list(itertools.takewhile(is_newer, pages))

    return send.reading(settings, newer)


def _size(batch: MessageBatch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def _is_it(settings: Settings, api: Anthropic, intent: Intent, batch: MessageBatch) -> bool:
    if not batch.results_url:  # archived: nothing could be had from it anyway
        return False

    def first() -> str:
        return next((item.custom_id for item in _results(api, batch.id)), "")

    return send.reading(settings, first).startswith(f"{intent.token}-")


def _results(api: Anthropic, batch_id: str) -> Iterator[MessageBatchIndividualResponse]:
    """Yield the lines of a batch's results."""
    with contextlib.closing(api.messages.batches.results(batch_id)) as stream:
        for line in stream:
            item = failures.answer(line)
            if not isinstance(getattr(item, "custom_id", None), str):
                raise failures.NoAnswer(item, paid=True)
            yield item


def _fetch(settings: Settings, store: Store, api: Anthropic, intent: Intent) -> None:
    """Store all results. A broken stream is read again; what two do not hold is `missing`."""
    clean_reads, broken = 0, 0
    while missing := [i for i in intent.custom_ids() if i not in store.answers]:
        if clean_reads == 2:
            _keep_without_result(settings, store, intent, send.failed("missing", ""))
            break
        try:
            _stream(settings, store, api, intent)
            clean_reads += 1
        except failures.expected(settings) as error:
            if any(i in store.answers for i in missing):  # it broke later than the last time
                broken = 0
            failure = failures.of(error)
            remedy = _not_found(intent) if failure.status == 404 else ""
            send.wait_or_stop(settings, failure, broken, remedy)
            broken += 1
    store.done(intent)
    counts = Counter(store.answers[i].status for i in intent.custom_ids())
    said = ", ".join(f"{n} {status}" for status, n in counts.items())
    log.info(f"Batch {intent.batch_id}: {said}.")


def _stream(settings: Settings, store: Store, api: Anthropic, intent: Intent) -> None:
    wanted = set(intent.custom_ids())
    group: dict[str, dict] = {}
    try:
        for item in _results(api, intent.batch_id):
            if item.custom_id not in wanted or item.custom_id in store.answers:
                continue  # a line twice, or of a stream that broke before
            try:
                found = anthropic.read_result(item)
            except failures.UNREADABLE as error:
                lost = send.unreadable(error, (0, settings.teacher_max_tokens))
                found = {"custom_id": item.custom_id, **lost}
            group[item.custom_id] = send.tidy(settings, found)
            if len(group) == GROUP:
                store.keep(list(group.values()))
                group = {}
    finally:  # what came before a break is worth keeping
        if group:
            store.keep(list(group.values()))
