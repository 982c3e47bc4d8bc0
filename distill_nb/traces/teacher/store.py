"""What is on disk of an API teacher: a folder in which nothing that was paid for is lost or paid
for again.

    settings.json    what decides the answers (model, prompt, limits), and the price
    batches.jsonl    a journal: an intent before it is sent, the batch's id, that all is stored
    responses.jsonl  each response as it came, failed ones too
    verdicts.jsonl   what each response was found to be worth, and by which grader
    give_up.txt      written by the user: ids, one a line, of problems that are asked no more
    clients/         stores of processes that ask at the same time (clients.py)
    .lock            one process at a time

All but settings.json is only ever appended to and synced (jsonl.append). Only an index is in
memory: 25,000 responses of 20 kB stay on disk. A custom_id is <the intent's token>-<place in the
intent>, so each result tells whose it is."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill_nb.runtime import jsonl, provenance
from distill_nb.runtime.files import write_json
from distill_nb.runtime.jsonl import cut_torn_line, lines
from distill_nb.traces.decontamination import statements
from distill_nb.traces.teacher import failures
from distill_nb.traces.teacher.records import KEPT, Answer, Intent, Request, State, now

GIVE_UP = "give_up.txt"
LINES = ("batches.jsonl", "responses.jsonl", "verdicts.jsonl")
# What decided the answers of a store from before these settings were there.
ASKED_BEFORE = {"teacher_thinking": "default", "teacher_effort": "default"}
# The fields of an Answer that its response has.
STORED = (
    "custom_id", "id", "attempt", "status", "error", "mode", "input_tokens", "output_tokens",
)  # fmt: skip


@dataclass
class Store:
    """A teacher's folder, from `open_store`; only the process that holds its lock writes."""

    folder: Path
    grader: str
    intents: dict[str, Intent] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    by_id: dict[str, list[Answer]] = field(default_factory=dict)
    # problem id → prompt_sha256 of what was asked
    prompts: dict[str, str] = field(default_factory=dict)
    refusals: failures.Refusals = field(default_factory=failures.Refusals)
    given_up: set[str] = field(default_factory=set)  # ids in give_up.txt

    def intend(self, mode: str, requests: list[Request], after: str = "") -> Intent:
        """Write down what is about to be sent."""
        intent = Intent(secrets.token_hex(8), mode, after, now(), requests)
        about = {"token": intent.token, "mode": mode, "after": after, "at": intent.at}
        self._journal("intent", **about, requests=requests)
        self._know(intent)
        return intent

    def accepted(self, intent: Intent, batch_id: str) -> None:
        """The API took the intent as this batch."""
        self._journal("batch", token=intent.token, batch_id=batch_id, at=now())
        intent.batch_id = batch_id

    def refused(self, intent: Intent, why: str) -> None:
        """The API did not take the intent: nothing of it was paid for."""
        self._journal("refused", token=intent.token, why=why, at=now())
        intent.open = False

    def done(self, intent: Intent) -> None:
        """Every request of the intent has its response stored."""
        if intent.mode == "batch":  # of a single request the response itself says so
            self._journal("done", token=intent.token, at=now())
        intent.open = False

    def open_intents(self, mode: str) -> list[Intent]:
        """The intents whose end is not known yet, oldest first."""
        return [i for i in self.intents.values() if i.open and i.mode == mode]

    def keep(self, responses: list[dict]) -> None:
        """Store responses as of send.tidy."""
        file = self.folder / "responses.jsonl"
        offset = file.stat().st_size if file.exists() else 0
        made = []
        for response in responses:
            token, _, place = response["custom_id"].rpartition("-")
            intent = self.intents[token]
            asked = intent.requests[int(place)]._asdict()
            about = {**asked, "mode": intent.mode, "batch_id": intent.batch_id}
            made.append({"custom_id": response["custom_id"], **about, **response, "at": now()})
        jsonl.append(file, made)
        for record in made:
            self._index(offset, record)
            offset += len(jsonl.encoded([record]))

    def judge(self, answers: list[Answer], outcomes: list[str]) -> None:
        """Store what responses are worth, but not a grader's own failure: it is graded again."""
        for answer, outcome in zip(answers, outcomes, strict=True):
            answer.outcome = outcome
        names = ("custom_id", "id", "attempt", "outcome")
        kept = [
            {name: getattr(a, name) for name in names} | {"grader": self.grader}
            for a in answers
            if a.outcome != "grader_error"
        ]
        if kept:
            jsonl.append(self.folder / "verdicts.jsonl", kept)

    def response(self, answer: Answer) -> dict:
        """The whole stored response of an index entry."""
        with open(self.folder / "responses.jsonl", "rb") as f:
            f.seek(answer.offset)
            return json.loads(f.readline())

    def unjudged(self) -> list[Answer]:
        """The answers that have no outcome yet."""
        return [a for a in self.answers.values() if a.status == "succeeded" and not a.outcome]

    def state(self, problem_id: str, attempts: int) -> State:
        """Where a problem stands: the first correct attempt is kept, and the next is sent only
        where there is none. Of its failures only those count that are its own (failures.py)."""
        own = self.by_id.get(problem_id, [])
        good = [a for a in own if a.outcome in KEPT]
        if good:
            return State(min(good, key=lambda a: a.attempt), 0, "")
        if own and own[-1].outcome == "grader_error":
            return State(None, 0, "grader_error")
        reason = ""
        for attempt in range(1, attempts + 1):
            tries = [a for a in own if a.attempt == attempt]
            answered = [a for a in tries if a.status == "succeeded"]
            if answered:
                reason = answered[0].outcome
                continue
            if final := [a for a in tries if a.custom_id in self.refusals.own]:
                return State(None, 0, final[0].error)
            if tries:
                reason = tries[-1].error or tries[-1].status
            if problem_id in self.given_up:
                return State(None, 0, f"given up: {reason}")
            return State(None, attempt, reason)
        return State(None, 0, reason)

    def open_again(self, problem_ids: Iterable[str], attempts: int) -> list[Answer]:
        """The last failures of those problems that are to be asked again because these were, for
        certain, not their own. An earlier version may have counted them as theirs."""
        found = []
        for problem_id in problem_ids:
            own = self.by_id.get(problem_id, [])
            if own and own[-1].status != "succeeded" and self.state(problem_id, attempts).attempt:
                kind = failures.of_stored(own[-1].status, own[-1].error).kind
                shown = own[-1].custom_id in self.refusals.others
                if kind in (failures.ACCOUNT, failures.PASSING) or shown:
                    found.append(own[-1])
        return found

    def tokens(self, status: str = "") -> dict[str, list[int]]:
        """mode → [input tokens, output tokens] of all that was paid for, or may have been; of one
        status alone where it is given."""
        total = {"batch": [0, 0], "messages": [0, 0]}
        for answer in self.answers.values():
            if status not in ("", answer.status):
                continue
            total[answer.mode][0] += answer.input_tokens
            total[answer.mode][1] += answer.output_tokens
        return total

    def _journal(self, event: str, **about: Any) -> None:
        jsonl.append(self.folder / "batches.jsonl", [{"event": event, **about}])

    def _know(self, intent: Intent) -> None:
        self.intents[intent.token] = intent
        for request in intent.requests:
            self.prompts[request.id] = request.prompt_sha256

    def _index(self, offset: int, record: dict) -> None:
        answer = Answer(offset=offset, **{name: record[name] for name in STORED})
        self.answers[answer.custom_id] = answer
        self.by_id.setdefault(answer.id, []).append(answer)
        if answer.status == "succeeded":
            self.refusals.answer()
        else:
            self.refusals.failure(answer.id, answer.custom_id, answer.status, answer.error)

    def _read(self) -> None:
        self.given_up = given_up(self.folder)
        for _, event in lines(self.folder / "batches.jsonl"):
            if event["event"] == "intent":
                requests = [Request(*r) for r in event["requests"]]
                at = (event["token"], event["mode"], event["after"], event["at"])
                self._know(Intent(*at, requests))
            elif event["event"] == "batch":
                self.intents[event["token"]].batch_id = event["batch_id"]
            else:
                self.intents[event["token"]].open = False
        for offset, record in lines(self.folder / "responses.jsonl"):
            self._index(offset, record)
        for intent in self.open_intents("messages"):
            intent.open = f"{intent.token}-0" not in self.answers
        for _, verdict in lines(self.folder / "verdicts.jsonl"):
            if verdict["grader"] == self.grader and verdict["custom_id"] in self.answers:
                self.answers[verdict["custom_id"]].outcome = verdict["outcome"]


def given_up(folder: Path) -> set[str]:
    """The ids in give_up.txt, which the user may have written."""
    file = folder / GIVE_UP
    named = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {line.strip() for line in named} - {""}


def opened_again(folder: Path, problem_ids: Iterable[str], attempts: int) -> list[Answer]:
    """Store.open_again of a folder, which is only read."""
    store = Store(folder, "")
    store._read()
    return store.open_again(problem_ids, attempts)


def differing_settings(before: dict, fixed: dict) -> list[str]:
    """What decides the answers, and differs from a store's settings.json, with both values."""
    return provenance.differing(ASKED_BEFORE | before["settings"], fixed, fixed)


def open_store(
    folder: Path, fixed: dict, grader: str, price: dict | None, repair: bool = True
) -> Store:
    """The store of a folder, which need not exist yet. fixed: the settings that decide the answers;
    repair: cut off torn last lines and write settings.json, as only the holder of the lock may.
    Raises ValueError where what is there was made with other settings."""
    file = folder / "settings.json"
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        if differing := differing_settings(before, fixed):
            raise ValueError(
                f"{folder.name}/settings.json: the responses there were made with other values of "
                f"{', '.join(differing)}; choose another folder, or those values again."
            )
        ids = before.get("ids", "an earlier version")
        if ids != statements.VERSION:  # else all would be asked and paid for again
            raise ValueError(
                f"{folder.name}/settings.json: the responses there are of problems with ids of "
                f"{ids}, and this version gives ids of {statements.VERSION}; go on with the "
                "version that asked them, or choose another folder."
            )
    if repair:
        made_by = {"settings": fixed, "price": price, "grader": grader, "ids": statements.VERSION}
        write_json(file, made_by)
        for name in LINES:
            cut_torn_line(folder / name)
    store = Store(folder, grader)
    store._read()
    return store
