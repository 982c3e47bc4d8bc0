"""Message Batches: created once, found again after a crash, their results stored as they stream in.

A batch is written down as an intent before it is sent, and under its id before anything waits for
it. Between the two, a kill or a broken connection leaves an intent without an id. Then the
account's batches newer than the intent are looked through: one of the same size, whose results
carry the intent's token in their custom_ids, is it. Results exist only once a batch has ended, so
one that is still in progress is waited for rather than paid for again."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from datetime import datetime, timedelta

from distill_nb.traces.teacher import anthropic
from distill_nb.traces.teacher.records import Intent, Request, now
from distill_nb.traces.teacher.send import (
    TRIES,
    UNREADABLE,
    errors_of,
    failed,
    fate,
    pause,
    reading,
    stop_for,
    tidy,
    unreadable,
    words,
)
from distill_nb.traces.teacher.store import Store

GROUP = 64  # results stored and synced together
# a batch older than its intent by more than this cannot be it, whoever's clock is wrong
CLOCKS = timedelta(hours=25)


def chunks(settings, todo: list[Request], prompts: dict[str, str]):
    """The requests in parts of at most batch_size and of less than the API's size for one batch."""
    part, size = [], 0
    for request in todo:
        own = len(json.dumps(anthropic.body(settings, prompts[request.id]))) + 200
        if part and (len(part) == settings.batch_size or size + own > anthropic.BYTES // 2):
            yield part
            part, size = [], 0
        part.append(request)
        size += own
    if part:
        yield part


def send_batches(settings, store: Store, api, todo: list[Request], prompts: dict[str, str]) -> None:
    """Create the batches of a round. One whose fate is unknown stays an open intent, for
    `await_batches` to settle."""
    for part in chunks(settings, todo, prompts):
        newest = reading(
            settings, lambda: next(iter(api.messages.batches.list(limit=1).data), None)
        )
        intent = store.intend("batch", part, after=newest.id if newest else "")
        bodies = [
            {"custom_id": custom_id, "params": anthropic.body(settings, prompts[request.id])}
            for custom_id, request in zip(intent.custom_ids(), part, strict=True)
        ]
        _create(settings, store, api, intent, bodies)


def _create(settings, store: Store, api, intent: Intent, bodies: list[dict]) -> None:
    for n in range(TRIES):
        try:
            batch = api.messages.batches.create(requests=bodies)
        except errors_of(settings) as error:
            kind = fate(error)
            if kind == "unknown":
                print(
                    f"A batch of {len(bodies)} requests was sent, and the answer did not come "
                    f"({words(error)}): looking "
                    "for it among the account's batches."
                )
                return
            if kind != "refused" or n + 1 == TRIES:
                store.refused(intent, words(error))
                raise stop_for(settings, error) from None
            time.sleep(pause(settings, n, error))
        else:
            store.accepted(intent, batch.id)
            print(f"Batch {batch.id}: {len(bodies)} requests sent.")
            return


def await_batches(settings, store: Store, api) -> None:
    """Until every batch has ended and its results are stored; open intents without an id are
    settled on the way."""
    strangers: dict[str, set] = {}
    while store.open_intents("batch"):
        for intent in store.open_intents("batch"):
            if not intent.batch_id:
                _settle(settings, store, api, intent, strangers.setdefault(intent.token, set()))
            if intent.batch_id:
                batch = reading(
                    settings, lambda i=intent: api.messages.batches.retrieve(i.batch_id)
                )
                if batch.processing_status == "ended" and batch.results_url:
                    _fetch(settings, store, api, intent)
                elif batch.processing_status == "ended":  # the API keeps results for 29 days
                    most = (0, settings.teacher_max_tokens)
                    store.keep(
                        [
                            tidy(
                                settings,
                                {
                                    "custom_id": i,
                                    **failed("lost", "the API has no results any more", most),
                                },
                            )
                            for i in intent.custom_ids()
                            if i not in store.answers
                        ]
                    )
                    store.done(intent)
        if store.open_intents("batch"):
            time.sleep(settings.poll_seconds)


def _settle(settings, store: Store, api, intent: Intent, strangers: set) -> None:
    """Find the batch of an intent without an id, or find out that there is none and nothing was
    paid for."""
    # before looking: what is there then, counts
    age = datetime.fromisoformat(now()) - datetime.fromisoformat(intent.at)
    candidates = [b for b in _newer(settings, api, intent) if b.id not in strangers]
    known = {i.batch_id for i in store.intents.values()}
    for batch in candidates:
        if batch.id in known or _size(batch) != len(intent.requests):
            strangers.add(batch.id)
        elif batch.processing_status == "ended":
            if _is_it(settings, api, intent, batch):
                print(f"Batch {batch.id}: found again, {len(intent.requests)} requests.")
                store.accepted(intent, batch.id)
                return
            strangers.add(batch.id)
    # A batch that was just taken may be a moment late in the list, so a young intent is looked for
    # again.
    if not any(b.id not in strangers for b in candidates) and age > timedelta(
        seconds=2 * settings.poll_seconds
    ):
        store.refused(intent, "no such batch in the account")


def _newer(settings, api, intent: Intent) -> list:
    oldest = datetime.fromisoformat(intent.at) - CLOCKS
    return reading(
        settings,
        lambda: list(
            itertools.takewhile(
                lambda b: b.id != intent.after and b.created_at > oldest,
                api.messages.batches.list(limit=100),
            )
        ),
    )


def _size(batch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def _is_it(settings, api, intent: Intent, batch) -> bool:
    if not batch.results_url:  # archived: nothing could be had from it anyway
        return False

    def first() -> str:
        with contextlib.closing(api.messages.batches.results(batch.id)) as stream:
            return next((item.custom_id for item in stream), "")

    return reading(settings, first).startswith(f"{intent.token}-")


def _fetch(settings, store: Store, api, intent: Intent) -> None:
    """Store the results that are not stored yet, until all are. A stream that breaks is read again.
    What two whole streams do not hold is `missing`."""
    wanted, clean_reads, broken = set(intent.custom_ids()), 0, 0
    while missing := [i for i in intent.custom_ids() if i not in store.answers]:
        if clean_reads == 2:
            store.keep([tidy(settings, {"custom_id": i, **failed("missing", "")}) for i in missing])
            break
        try:
            _stream(settings, store, api, intent, wanted)
            clean_reads += 1
        except errors_of(settings) as error:
            if fate(error) in ("fatal", "rejected") or broken + 1 == TRIES:
                raise stop_for(settings, error) from None
            progress = any(i in store.answers for i in missing)
            broken = 0 if progress else broken + 1
            time.sleep(pause(settings, broken, error))
    store.done(intent)
    own = [store.answers[i] for i in intent.custom_ids()]
    counts = {s: sum(a.status == s for a in own) for s in dict.fromkeys(a.status for a in own)}
    print(
        f"Batch {intent.batch_id}: "
        + ", ".join(f"{n} {status}" for status, n in counts.items())
        + "."
    )


def _stream(settings, store: Store, api, intent: Intent, wanted: set[str]) -> None:
    group: dict[str, dict] = {}
    try:
        with contextlib.closing(api.messages.batches.results(intent.batch_id)) as stream:
            for item in stream:
                if item.custom_id not in wanted or item.custom_id in store.answers:
                    continue  # a line twice, or of a stream that broke before
                try:
                    found = anthropic.read_result(item)
                except UNREADABLE as error:
                    found = {
                        "custom_id": item.custom_id,
                        **unreadable(error, (0, settings.teacher_max_tokens)),
                    }
                group[item.custom_id] = tidy(settings, found)
                if len(group) == GROUP:
                    store.keep(list(group.values()))
                    group = {}
    finally:  # what came before a break is worth keeping
        if group:
            store.keep(list(group.values()))
