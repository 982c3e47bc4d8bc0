"""What is known of an API teacher's requests and answers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

KEPT = ("correct", "unverified")  # outcomes of a trace that may be trained on


class Request(NamedTuple):
    """One question: the problem's id, which attempt, 16 digits of the sha256 of its prompt."""

    id: str
    attempt: int
    prompt_sha256: str


@dataclass
class Intent:
    """What was about to be sent together. `after` is the newest batch of the account before it."""

    token: str
    mode: str  # batch | messages
    after: str
    at: str
    requests: list[Request]
    batch_id: str = ""
    open: bool = True

    def custom_ids(self) -> list[str]:
        """The custom_id of each request, in order: ^[a-zA-Z0-9_-]{1,64}$, as the API wants it."""
        return [f"{self.token}-{i}" for i in range(len(self.requests))]


@dataclass
class Answer:
    """The index entry of a stored response."""

    custom_id: str
    id: str
    attempt: int
    status: str  # succeeded | errored | expired | canceled | missing | lost
    error: str  # "type: message" of an error, "" otherwise
    offset: int  # where its line begins in responses.jsonl
    mode: str
    input_tokens: int
    output_tokens: int
    outcome: str = ""


class State(NamedTuple):
    """Where a problem stands. attempt > 0 is to be sent next; 0: nothing is."""

    kept: Answer | None
    attempt: int
    reason: str  # why no trace is kept so far


def now() -> str:
    """The time, UTC, as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
