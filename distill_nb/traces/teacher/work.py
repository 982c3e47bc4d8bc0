"""Problems to ask an API teacher about, and the folder with its answers: what is to be sent next,
what of it max_cost allows, which answers are right."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from distill_nb import grading
from distill_nb.runtime.text import clean
from distill_nb.traces.teacher import costs
from distill_nb.traces.teacher.records import Request, State
from distill_nb.traces.teacher.settings import FIXED, Settings
from distill_nb.traces.teacher.store import open_store
from distill_nb.traces.teacher.verify import default_outcomes, prompt_of, trace_of, unfit

log = logging.getLogger(__name__)

GRADED = 64  # responses read and graded together
Verify = Callable[[dict, str], str]  # (problem, trace) → outcome


def check_problems(problems: list[dict]) -> None:
    """Raises ValueError for a problem that cannot be asked."""
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
        if clean(text := prompt_of(problem)) != text:
            raise ValueError(
                f"problems: the text of {problem['id']} holds half a surrogate pair; correct it."
            )
        seen.add(problem["id"])


class Work:
    """Problems to ask about, and the folder in which their answers are."""

    def __init__(
        self,
        s: Settings,
        problems: list[dict],
        folder: Path,
        verify: Verify | None,
        price: dict,
        repair: bool,
    ):
        """repair: as of open_store. ValueError where a problem has changed since it was asked."""
        self.s, self.price, self.verify = s, price, verify
        self.problems = {p["id"]: p for p in problems}
        self.prompts = {p["id"]: prompt_of(p) for p in problems}
        self.most = {  # id → the most tokens (in, out) that one request can be charged for
            i: (costs.most_input_tokens(s.teacher_system, prompt), s.teacher_max_tokens)
            for i, prompt in self.prompts.items()
        }
        grader = str(grading.GRADER_VERSION)
        if verify is not None:
            grader = f"{verify.__module__}.{verify.__qualname__}"
        fixed = {k: getattr(s, k) for k in FIXED}
        self.store = open_store(folder, fixed, f"{grader} of {s.trace_from}", price, repair)
        for problem_id, prompt in self.prompts.items():
            if self.store.prompts.get(problem_id, _sha(prompt)) != _sha(prompt):
                raise ValueError(
                    f"{folder.name}: problem {problem_id} reads otherwise than when it was asked; "
                    "choose another folder, or give the changed problem another id."
                )

    def states(self) -> dict[str, State]:
        """Where each problem stands."""
        s = self.s
        return {i: self.store.state(i, s.attempts) for i in self.problems}

    def todo(self, states: dict[str, State]) -> list[Request]:
        """The requests that are to be sent next. Problems that met a refusal come last: answers to
        others then show whether it was theirs."""
        found = [
            Request(i, state.attempt, _sha(self.prompts[i]))
            for i, state in states.items()
            if state.attempt
        ]
        return sorted(found, key=lambda request: request.id in self.store.refusals.met)

    def spent(self, lost: bool = False) -> float:
        """Dollars so far. lost: only of requests without an answer that may have been paid for."""
        return costs.spent(self.price, self.store.tokens("lost" if lost else ""))

    def most_cost(self, request: Request) -> float:
        """Dollars that a request costs where its answer is as long as it may be."""
        return costs.cost(self.price, self.s.teacher_mode, *self.most[request.id])

    def affordable(self, todo: list[Request]) -> list[Request]:
        """Those that max_cost allows, with every answer as long as it may be: first attempts before
        second ones, in the problems' order, up to the first that would go beyond."""
        left, found = self.s.max_cost - self.spent(), []
        for request in sorted(todo, key=lambda r: r.attempt) if self.s.max_cost > 0 else ():
            left -= self.most_cost(request)
            if left < 0:
                break
            found.append(request)
        return found

    def say_what_waits(self, todo: list[Request], now: list[Request]) -> None:
        """Say what max_cost leaves out. ValueError where it allows none and none was ever sent, or
        where it would allow all but for requests that the API may charge for without an answer."""
        bound = sum(map(self.most_cost, todo))
        sentence = (
            f"max_cost is {costs.dollars(self.s.max_cost)}, {costs.dollars(self.spent())} are "
            f"spent, and the next {len(todo):,} requests may cost up to {costs.dollars(bound)}"
        )
        if now:
            log.info(
                f"{sentence}: {len(now):,} of them are sent now, and {len(todo) - len(now):,} wait "
                "for what these leave."
            )
            return
        remedy = "raise max_cost, lower teacher_max_tokens, or ask fewer problems."
        if not self.store.answers:
            raise ValueError(f"{sentence}, and not even one fits; {remedy}")
        lost = self.spent(lost=True)
        if lost and self.spent() - lost + bound <= self.s.max_cost:
            raise ValueError(
                f"{sentence}: {costs.dollars(lost)} count for requests that got no answer and that "
                "the API may charge for; raise max_cost and start again: every problem without an "
                "answer stays open."
            )
        log.info(
            f"Stopped with {len(todo):,} requests left: {sentence}, and not one more fits; {remedy}"
        )

    def verify_answers(self, allow_unsafe: bool) -> None:
        """Give every stored answer to these problems its outcome, some at a time."""
        waiting = [a for a in self.store.unjudged() if a.id in self.problems]
        for start in range(0, len(waiting), GRADED):
            group = waiting[start : start + GRADED]
            responses = [self.store.response(a) for a in group]
            outcomes = [unfit(r, self.s.trace_from) for r in responses]
            fit = [i for i, outcome in enumerate(outcomes) if not outcome]
            problems = [self.problems[group[i].id] for i in fit]
            if self.verify is None:
                texts = [responses[i]["text"] for i in fit]
                found = default_outcomes(problems, texts, allow_unsafe)
            else:
                traces = [trace_of(responses[i], self.s.trace_from) for i in fit]
                found = list(map(self.verify, problems, traces))
            for i, outcome in zip(fit, found, strict=True):
                if not isinstance(outcome, str) or not outcome:
                    raise ValueError(
                        f"verify: it returned {outcome!r} for problem {group[i].id}; return a word "
                        "such as correct or wrong."
                    )
                outcomes[i] = outcome
            self.store.judge(group, outcomes)


def _sha(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]
