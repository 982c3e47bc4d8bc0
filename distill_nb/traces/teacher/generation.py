"""Generating traces with an API teacher: sent in batches, resumable, verified, and costed before
anything is sent.

    s = Settings(teacher_api="anthropic", teacher_model="claude-sonnet-4-5-20250929",
                 trace_from="text", max_cost=50.0)
    problems = [{"id": "a1", "problem": "What is 2 + 3?", "answer": "5"}]
    print(generation.estimate(s, problems, folder).text())  # asks nobody
    made = generation.generate(s, problems, folder)         # goes on where it was stopped
    rows, rejected = list(made.rows()), made.rejected
    audit.audit(folder)

The key is the SDK's own variable, ANTHROPIC_API_KEY or OPENAI_API_KEY, and goes nowhere but into
requests. Whether a teacher's outputs may be used for training is for the user to check with the
teacher's licence and terms."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.runtime import lock
from distill_nb.traces.teacher import batches, costs, failures, send
from distill_nb.traces.teacher.records import Answer, State
from distill_nb.traces.teacher.settings import Settings
from distill_nb.traces.teacher.store import Store
from distill_nb.traces.teacher.verify import prepare, prompt_of, trace_of
from distill_nb.traces.teacher.work import Verify, Work, check_problems

if TYPE_CHECKING:
    from anthropic import Anthropic
    from openai import OpenAI

log = logging.getLogger(__name__)

OF_RESPONSE = (
    "thinking", "text", "thinking_kind", "model", "attempt", "stop_reason", "output_tokens",
)  # fmt: skip


@dataclass(frozen=True)
class Generated:
    """What `generate` made. rejected: (problem id, reason) of those without a trace, in order."""

    rejected: list[tuple[str, str]]
    _kept: list[tuple[dict, Answer]]
    _store: Store
    _trace_from: str

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def stopped_by_cost(self) -> bool:
        """Whether max_cost left problems unasked."""
        return any(reason == "max_cost" for _, reason in self.rejected)

    def rows(self) -> Iterator[dict]:
        """The kept traces in the problems' order, read one at a time: id, problem, answer, trace,
        prompt (what was asked), outcome, and OF_RESPONSE."""
        for problem, answer in self._kept:
            response = self._store.response(answer)
            yield {
                "id": problem["id"],
                "problem": problem["problem"],
                "answer": str(problem.get("answer") or ""),
                "trace": trace_of(response, self._trace_from),
                "prompt": prompt_of(problem),
                "outcome": answer.outcome,
                **{k: response[k] for k in OF_RESPONSE},
            }


def estimate(
    s: Settings,
    problems: list[dict],
    folder: Path,
    prices: dict | None = None,
    verify: Verify | None = None,
) -> costs.Estimate:
    """What `generate` with the same arguments would send and cost. Asks nobody, needs no key,
    changes nothing. Responses that are not verified yet count as not solved. Raises ValueError as
    `generate` does."""
    price = costs.price_of(s.teacher_model, prices)
    check_problems(problems)
    work = Work(s, problems, folder, verify, price, repair=False)
    states = work.states()
    todo = work.todo(states)
    left = {r.id: s.attempts - r.attempt + 1 for r in todo}
    likely_in = sum(costs.likely_input_tokens(s.teacher_system, work.prompts[r.id]) for r in todo)
    likely_out, likely_cost = None, None
    answers = work.store.answers.values()
    if answered := [a.output_tokens for a in answers if a.status == "succeeded"]:
        expected = sum(answered) / len(answered) * len(todo)
        likely_out = round(expected)
        likely_cost = costs.cost(price, s.teacher_mode, likely_in, expected)
    return costs.Estimate(
        problems=len(problems),
        solved=sum(state.kept is not None for state in states.values()),
        mode=s.teacher_mode,
        next_requests=len(todo),
        next_affordable=len(work.affordable(todo)),
        all_requests=sum(left.values()),
        likely_input_tokens=likely_in,
        most_output_tokens=len(todo) * s.teacher_max_tokens,
        likely_output_tokens=likely_out,
        most_cost=sum(map(work.most_cost, todo)),
        likely_cost=likely_cost,
        most_cost_of_all=sum(work.most_cost(r) * left[r.id] for r in todo),
        spent=work.spent(),
        max_cost=s.max_cost,
    )


def generate(
    s: Settings,
    problems: list[dict],
    folder: Path,
    verify: Verify | None = None,
    prices: dict | None = None,
    allow_unsafe: bool = False,
) -> Generated:
    """Ask the teacher until every problem has a correct trace or has run out of attempts; go on
    where it was stopped.

    problems: id, problem (its text), and answer (math) or tests (code, see verify.tests_of) or
    neither (code); `prompt` if the teacher is to be asked in other words. verify(problem, trace)
    returns an outcome, of which correct and unverified are kept; by default the graders of this
    package. prices: as in costs.price_of.

    Where max_cost does not allow all requests of a round, with every answer at its full length, the
    ones that it does allow are sent (`Work.affordable`), and so on with what they leave. Problems
    that are left have the reason max_cost.

    Raises ValueError, before anything is sent, for a missing package, key or price, problems or
    tests that cannot be used, another process at work in the folder, or where max_cost does not
    allow a single request. Raises ValueError for what concerns the account or the settings, and
    send.Unavailable for a server that fails for long (failures.py): every problem without an answer
    stays open."""
    send.check(s)
    module, folder = send.api_of(s), Path(folder)
    price = costs.price_of(s.teacher_model, prices)
    check_problems(problems)
    if verify is None:
        prepare(problems, allow_unsafe)
    with lock.alone(folder, "being filled with traces", "folder"):
        work = Work(s, problems, folder, verify, price, repair=True)
        if failed := work.store.open_again(work.problems, s.attempts):
            log.info(
                f"{len(failed):,} problems failed before for a reason that was not theirs "
                f"({failed[-1].error or failed[-1].status}): they are asked again."
            )
        states, stopped = _rounds(work, module.client(s), allow_unsafe)
    kept, rejected = [], []
    for i, state in states.items():
        if state.kept is not None:
            kept.append((work.problems[i], state.kept))
        else:
            rejected.append((i, "max_cost" if stopped and state.attempt else state.reason))
    return Generated(rejected, kept, work.store, s.trace_from)


def _rounds(
    work: Work, api: Anthropic | OpenAI, allow_unsafe: bool
) -> tuple[dict[str, State], bool]:
    """Rounds of asking and verifying, until nothing is left to ask or max_cost stops it (True)."""
    s, store = work.s, work.store
    send.settle_messages(s, store, work.most)
    idle, failed = 0, Counter[str]()  # rounds without a response; a problem's passing failures
    while True:
        if store.open_intents("batch"):
            batches.await_batches(s, store, api)
        work.verify_answers(allow_unsafe)
        states = work.states()
        todo = work.todo(states)
        if not todo:
            return states, False
        now = work.affordable(todo)
        if len(now) < len(todo):
            work.say_what_waits(todo, now)
            if not now:
                return states, True
            todo = now
        if waits := max(failed[r.id] for r in todo) + idle:
            log.info(f"{len(todo)} requests are sent; some of them failed before.")
            time.sleep(send.pause(s, waits))
        before = len(store.answers)
        if s.teacher_mode == "batch":
            batches.send_batches(s, store, api, todo, work.prompts)
            batches.await_batches(s, store, api)
        else:
            send.send_messages(s, store, api, todo, work.prompts, work.most)
        new = list(store.answers.values())[before:]
        _stop_where_it_is_useless(s, store, new, failed)
        idle = 0 if new else idle + 1
        if idle == send.TRIES:
            raise send.Unavailable(
                f"teacher_api {s.teacher_api}: the API took nothing in {idle} tries; start again "
                f"later: {send.OPEN}"
            )


def _stop_where_it_is_useless(
    s: Settings, store: Store, new: list[Answer], failed: Counter[str]
) -> None:
    """Raises what ends the work after a round, by its responses. `failed` counts passing failures
    of each problem; one that failed more than max_requeues times ends the work too."""
    met = [failures.of_stored(a.status, a.error) for a in new if a.status != "succeeded"]
    for failure in met:
        if failure.kind == failures.ACCOUNT:
            raise send.stop_for(s, failure)
    refused = [f for f in met if f.kind in (failures.REQUEST, failures.UNCLEAR)]
    unclear = any(f.kind == failures.UNCLEAR for f in refused)
    if refused and (store.refusals.stuck or (unclear and not store.refusals.answered)):
        raise send.stop_for_refusals(s, store, refused[-1])
    for answer in new:
        failure = failures.of_stored(answer.status, answer.error)
        if answer.status == "succeeded" or failure.kind != failures.PASSING:
            del failed[answer.id]
            continue
        failed[answer.id] += 1
        if failed[answer.id] > s.max_requeues:
            raise send.stop_for_problem(s, store, answer, failed[answer.id], failure.error)
