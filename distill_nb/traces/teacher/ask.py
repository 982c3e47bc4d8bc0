"""Generating traces with an API teacher: sent in batches, resumable, verified, and costed before
anything is sent.

    s = teacher.Settings(teacher_api="anthropic", teacher_model="claude-sonnet-4-5-20250929",
    trace_from="text", max_cost=50.0) problems = [{"id": "a1", "problem": "What is 2 + 3?",
    "answer": "5"}]
    print(teacher.estimate(s, problems, folder).text())     # asks nobody
    made = teacher.generate(s, problems, folder)            # resumes where it was stopped, whenever that was
    rows, rejected = list(made.rows()), made.rejected
    teacher_audit.audit(folder)

The key is the SDK's own variable, ANTHROPIC_API_KEY or OPENAI_API_KEY, and goes nowhere but into
requests. Whether a teacher's outputs may be used for training is for the user to check with the
teacher's licence and terms.

Files: store.py says what is in the folder, send.py what becomes of failures, batches.py how batches
are found again, verify.py what is kept, costs.py what it costs."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distill_nb import grading
from distill_nb.runtime import lock
from distill_nb.traces.teacher import batches, send
from distill_nb.traces.teacher import costs as teacher_costs
from distill_nb.traces.teacher import verify as teacher_verify
from distill_nb.traces.teacher.records import Answer, Request, State
from distill_nb.traces.teacher.settings import FIXED, Settings
from distill_nb.traces.teacher.store import Store, open_store

GRADED = 64  # responses read and graded together


@dataclass(frozen=True)
class Generated:
    """What `generate` made. rejected: (problem id, reason) of every problem without a trace, in the
    problems' order."""

    rejected: list[tuple[str, str]]
    _kept: list[tuple[dict, Answer]]
    _store: Store
    _trace_from: str

    def __len__(self) -> int:
        return len(self._kept)

    def rows(self) -> Iterator[dict]:
        """The kept traces in the problems' order, read from the folder one at a time: id, problem,
        answer, trace, prompt (what was asked), thinking, text, thinking_kind, model, attempt,
        outcome, stop_reason, output_tokens."""
        for problem, answer in self._kept:
            response = self._store.response(answer)
            yield {
                "id": problem["id"],
                "problem": problem["problem"],
                "answer": str(problem.get("answer") or ""),
                "trace": teacher_verify.trace_of(response, self._trace_from),
                "prompt": teacher_verify.prompt_of(problem),
                "outcome": answer.outcome,
                **{
                    k: response[k]
                    for k in (
                        "thinking",
                        "text",
                        "thinking_kind",
                        "model",
                        "attempt",
                        "stop_reason",
                        "output_tokens",
                    )
                },
            }


def _check_problems(problems: list[dict]) -> None:
    seen = set()
    for number, problem in enumerate(problems, 1):
        for key in ("id", "problem"):
            if not isinstance(problem.get(key), str) or not problem[key].strip():
                raise ValueError(
                    f"problems: row {number} has no text {key}; give every problem an id and its "
                    "text."
                )
        if problem["id"] in seen:
            raise ValueError(f"problems: id {problem['id']} is there twice; remove one of them.")
        if send.clean(text := teacher_verify.prompt_of(problem)) != text:
            raise ValueError(
                f"problems: the text of {problem['id']} holds half a surrogate pair; correct it."
            )
        seen.add(problem["id"])


def _sha(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


def _open(
    s: Settings, problems: list[dict], folder: Path, verify, price: dict, repair: bool
) -> tuple[Store, dict]:
    """The folder's store and the prompt of each problem's id. Raises ValueError where a problem has
    changed since."""
    grader = (
        f"{grading.GRADER_VERSION}"
        if verify is None
        else f"{verify.__module__}.{verify.__qualname__}"
    )
    store = open_store(
        folder, {k: getattr(s, k) for k in FIXED}, f"{grader} of {s.trace_from}", price, repair
    )
    prompts = {p["id"]: teacher_verify.prompt_of(p) for p in problems}
    for problem_id, prompt in prompts.items():
        if store.prompts.get(problem_id, _sha(prompt)) != _sha(prompt):
            raise ValueError(
                f"{folder.name}: problem {problem_id} reads otherwise than when it was asked; "
                "choose another "
                "folder, or give the changed problem another id."
            )
    return store, prompts


def _states(s: Settings, store: Store, problems: list[dict]) -> dict[str, State]:
    return {p["id"]: store.state(p["id"], s.attempts, s.max_requeues) for p in problems}


def _most(s: Settings, prompts: dict[str, str]) -> dict[str, tuple[int, int]]:
    """id → the most tokens (in, out) that one request can be charged for."""
    return {
        i: (teacher_costs.most_input_tokens(s.teacher_system, t), s.teacher_max_tokens)
        for i, t in prompts.items()
    }


def estimate(
    s: Settings,
    problems: list[dict],
    folder: Path,
    prices: dict | None = None,
    verify: Callable | None = None,
) -> teacher_costs.Estimate:
    """What `generate` with the same arguments would send and cost. Asks nobody, needs no key, and
    changes nothing.

    Responses that are stored but not verified yet count as not solved. Raises ValueError as
    `generate` does."""
    price = teacher_costs.price_of(s.teacher_model, prices)
    _check_problems(problems)
    store, prompts = _open(s, problems, folder, verify, price, repair=False)
    states = _states(s, store, problems)
    todo, most = [i for i, state in states.items() if state.attempt], _most(s, prompts)
    answered = [a.output_tokens for a in store.answers.values() if a.status == "succeeded"]
    mean = sum(answered) / len(answered) if answered else None
    costs = {i: teacher_costs.cost(price, s.teacher_mode, *most[i]) for i in todo}
    likely_in = sum(teacher_costs.likely_input_tokens(s.teacher_system, prompts[i]) for i in todo)
    left = {i: s.attempts - states[i].attempt + 1 for i in todo}
    fitting = _affordable(
        s, store, price, [Request(i, states[i].attempt, _sha(prompts[i])) for i in todo], most
    )
    return teacher_costs.Estimate(
        problems=len(problems),
        solved=sum(state.kept is not None for state in states.values()),
        mode=s.teacher_mode,
        next_requests=len(todo),
        next_affordable=len(fitting),
        all_requests=sum(left.values()),
        likely_input_tokens=likely_in,
        most_output_tokens=len(todo) * s.teacher_max_tokens,
        likely_output_tokens=None if mean is None else round(mean * len(todo)),
        most_cost=sum(costs.values()),
        likely_cost=None
        if mean is None
        else teacher_costs.cost(price, s.teacher_mode, likely_in, mean * len(todo)),
        most_cost_of_all=sum(costs[i] * left[i] for i in todo),
        spent=teacher_costs.spent(price, store.tokens()),
        max_cost=s.max_cost,
    )


def _verify(s: Settings, store: Store, by_id: dict[str, dict], verify, allow_unsafe: bool) -> None:
    """Give every stored answer to these problems its outcome, some at a time."""
    waiting = [a for a in store.unjudged() if a.id in by_id]
    for start in range(0, len(waiting), GRADED):
        group = waiting[start : start + GRADED]
        responses = [store.response(a) for a in group]
        outcomes = [teacher_verify.unfit(r, s.trace_from) for r in responses]
        fit = [i for i, outcome in enumerate(outcomes) if not outcome]
        if verify is None:
            found = teacher_verify.default_outcomes(
                [by_id[group[i].id] for i in fit], [responses[i]["text"] for i in fit], allow_unsafe
            )
        else:
            found = [
                verify(by_id[group[i].id], teacher_verify.trace_of(responses[i], s.trace_from))
                for i in fit
            ]
        for i, outcome in zip(fit, found, strict=True):
            if not isinstance(outcome, str) or not outcome:
                raise ValueError(
                    f"verify: it returned {outcome!r} for problem {group[i].id}; return a word "
                    "such as correct "
                    "or wrong."
                )
            outcomes[i] = outcome
        store.judge(group, outcomes)


def _affordable(
    s: Settings, store: Store, price: dict, todo: list[Request], most: dict
) -> list[Request]:
    """Those of the requests that max_cost allows now, with every answer as long as it may be: first
    attempts before second ones, in the problems' order, up to the first that would go beyond."""
    left, found = s.max_cost - teacher_costs.spent(price, store.tokens()), []
    for request in sorted(todo, key=lambda r: r.attempt) if s.max_cost > 0 else ():
        left -= teacher_costs.cost(price, s.teacher_mode, *most[request.id])
        if left < 0:
            break
        found.append(request)
    return found


def _say_what_waits(
    s: Settings, store: Store, price: dict, todo: list[Request], now: list[Request], most: dict
) -> None:
    """Print how many requests max_cost leaves out. Raises ValueError where it allows none and
    nobody was ever asked."""
    spent = teacher_costs.spent(price, store.tokens())
    bound = sum(teacher_costs.cost(price, s.teacher_mode, *most[r.id]) for r in todo)
    sentence = (
        f"max_cost is {teacher_costs.dollars(s.max_cost)}, {teacher_costs.dollars(spent)} are "
        "spent, and the next "
        f"{len(todo):,} requests may cost up to {teacher_costs.dollars(bound)}"
    )
    if now:
        print(
            f"{sentence}: {len(now):,} of them are sent now, and {len(todo) - len(now):,} wait for "
            "what these leave."
        )
        return
    remedy = "raise max_cost, lower teacher_max_tokens, or ask fewer problems."
    if not store.answers:
        raise ValueError(f"{sentence}, and not even one fits; {remedy}")
    print(f"Stopped with {len(todo):,} requests left: {sentence}, and not one more fits; {remedy}")


def generate(
    s: Settings,
    problems: list[dict],
    folder: Path,
    verify: Callable[[dict, str], str] | None = None,
    prices: dict | None = None,
    allow_unsafe: bool = False,
) -> Generated:
    """Ask the teacher until every problem has a correct trace or has run out of attempts; go on
    where it was stopped.

    problems: id, problem (its text), and answer (math) or tests (code, see teacher_verify.tests_of)
    or neither (code); `prompt` if the teacher is to be asked in other words. verify(problem, trace)
    returns an outcome, of which correct and unverified are kept; by default the graders of this
    package. prices: as in teacher_costs.price_of.

    Where max_cost does not allow all requests of a round with every answer at its full length,
    those are sent that it does allow (`_affordable`), and so on with what they leave; problems that
    are left have the reason max_cost.

    Raises ValueError, before anything is sent, for a missing key or price, problems or tests that
    cannot be used, another process at work in the folder, or where max_cost does not allow a single
    request. Raises teacher_send.Unavailable where the API cannot be reached for long."""
    module, folder = send.api_of(s), Path(folder)
    if not os.environ.get(module.KEY) and not (s.teacher_api == "openai" and s.teacher_url):
        raise ValueError(
            f"{module.KEY}: it is not set; put the key of the {s.teacher_api} API into this "
            "environment "
            "variable."
        )
    price = teacher_costs.price_of(s.teacher_model, prices)
    _check_problems(problems)
    if verify is None:
        teacher_verify.prepare(problems, allow_unsafe)
    with lock.alone(folder, "being filled with traces", "folder"):
        store, prompts = _open(s, problems, folder, verify, price, repair=True)
        by_id, most = {p["id"]: p for p in problems}, _most(s, prompts)
        states, stopped = _rounds(
            s, store, module.client(s), by_id, prompts, most, price, verify, allow_unsafe
        )
    rejected = [
        (i, "max_cost" if stopped and state.attempt else state.reason)
        for i, state in states.items()
        if state.kept is None
    ]
    kept = [(by_id[i], state.kept) for i, state in states.items() if state.kept]
    return Generated(rejected, kept, store, s.trace_from)


def _rounds(
    s, store, api, by_id, prompts, most, price, verify, allow_unsafe
) -> tuple[dict[str, State], bool]:
    """Rounds of asking and verifying, until nothing is left to ask or max_cost stops it (True)."""
    send.settle_messages(s, store, most)
    idle = 0
    while True:
        if store.open_intents("batch"):
            batches.await_batches(s, store, api)
        _verify(s, store, by_id, verify, allow_unsafe)
        states = _states(s, store, list(by_id.values()))
        todo = [
            Request(i, state.attempt, _sha(prompts[i]))
            for i, state in states.items()
            if state.attempt
        ]
        if not todo:
            return states, False
        now = _affordable(s, store, price, todo, most)
        if len(now) < len(todo):
            _say_what_waits(s, store, price, todo, now, most)
            if not now:
                return states, True
            todo = now
        failures = max(states[r.id].failures for r in todo) + idle
        if failures:
            print(f"{len(todo)} requests are sent; some of them failed before.")
            time.sleep(send.pause(s, failures - 1))
        before = len(store.answers)
        if s.teacher_mode == "batch":
            batches.send_batches(s, store, api, todo, prompts)
            batches.await_batches(s, store, api)
        else:
            send.send_messages(s, store, api, todo, prompts, most)
        idle = idle + 1 if len(store.answers) == before else 0
        if idle == send.TRIES:
            raise send.Unavailable(
                f"teacher_api {s.teacher_api}: the API took nothing in {idle} tries; start again "
                "later."
            )
