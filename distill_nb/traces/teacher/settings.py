"""How an API teacher is asked: flat keys with types, limits and help, as in a parameter file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from distill_nb.params.checks import check_range, check_type, key

BATCH_REQUESTS = 100_000  # the Message Batches API's limit for one batch
# Tokens of a plain request to Anthropic: above, the SDK expects it to last longer than its timeout
# of 600 s (3600 s for 128,000 tokens), and wants streaming.
LONGEST = 21_333
# What decides the answers: responses made with other values do not belong in the same folder.
FIXED = (
    "teacher_api", "teacher_model", "teacher_url", "teacher_system", "teacher_max_tokens",
    "teacher_temperature", "thinking_budget", "teacher_thinking", "teacher_effort",
)  # fmt: skip
THINKING = ("default", "disabled", "between_tools", "adaptive")
EFFORTS = ("default", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, kw_only=True)
class TeacherKeys:
    """The teacher's keys of a set of traces; defaults are the pocket set's."""

    teacher_api: str = key(
        "none = traces come from the hub", default="none", choices=("none", "anthropic", "openai")
    )
    teacher_model: str = key("the model's id; none = no API teacher", default="none")
    teacher_url: str = key("where the API is; none = the SDK's own address", default="none")
    teacher_mode: str = key(
        "batch = Message Batches, half the price; messages = one request after another",
        default="batch",
        choices=("batch", "messages"),
    )
    teacher_system: str = key("system prompt; none = without", default="none")
    teacher_max_tokens: int = key("tokens of one answer, thinking included", default=4096, low=1)
    teacher_temperature: float = key(
        "of sampling; must be 1 with thinking", default=1.0, low=0, high=2
    )
    thinking_budget: int = key("tokens of extended thinking; 0 = without", default=0, low=0)
    teacher_thinking: str = key(
        "thinking.type of a model that takes no budget; default = not sent: Claude 5 then thinks",
        default="default",
        choices=THINKING,
    )
    teacher_effort: str = key(
        "output_config.effort; default = not sent", default="default", choices=EFFORTS
    )
    trace_from: str = key(
        "what becomes the trace",
        default="thinking_and_text",
        choices=("thinking_and_text", "text", "thinking"),
    )
    attempts: int = key("of each problem at most; the first correct one is kept", default=1, low=1)
    batch_size: int = key("requests in one batch", default=1000, low=1, high=BATCH_REQUESTS)
    max_requeues: int = key(
        "how often a request without an answer is sent again; then the set stops", default=3, low=0
    )
    max_cost: float = key("dollars that may be spent in all; 0 = only estimate", default=0.0, low=0)
    poll_seconds: float = key(
        "between two questions whether a batch has ended", default=60.0, above=0
    )
    concurrency: int = key(
        "requests at once with teacher_mode: messages", default=8, low=1, high=256
    )


@dataclass(frozen=True, kw_only=True)
class Settings(TeacherKeys):
    """TeacherKeys with an API; a url or system prompt of none is "". Raises ValueError for values
    that cannot stand."""

    def __post_init__(self):
        for f in fields(self):
            value = getattr(self, f.name)
            try:
                if f.name in ("teacher_url", "teacher_system") and value in ("", "none"):
                    value = ""
                else:
                    value = check_type(f.type, value)
                    check_range(f.metadata, value)
            except TypeError as error:
                raise ValueError(f"teacher settings: {f.name} {error}.") from None
            object.__setattr__(self, f.name, value)
        for name, problem in _contradictions(self):
            raise ValueError(f"teacher settings: {name} is {getattr(self, name)!r}{problem}.")


def _contradictions(s: Settings) -> Iterator[tuple[str, str]]:
    """Yield (key, rest of the sentence)."""
    for name in ("teacher_api", "teacher_model"):
        if getattr(s, name) == "none":
            yield name, ": name it"
    url = urlsplit(s.teacher_url)
    if s.teacher_url and (url.scheme not in ("http", "https") or not url.hostname):
        remedy = "write one such as http://localhost:8000/v1, or leave it empty"
        yield "teacher_url", f", which is no URL: {remedy}"
    if url.username or url.password or url.query:  # not shown: it may be a secret
        raise ValueError(
            "teacher settings: teacher_url holds a user, a password or a query; give the key in "
            "the environment and the URL without it."
        )
    if s.teacher_api == "openai":
        if s.teacher_mode == "batch":
            why = "which has only messages here: write messages"
            yield "teacher_mode", f" but teacher_api is openai, {why}"
        if s.thinking_budget:
            remedy = "write 0 (such a teacher thinks as its server lets it)"
            yield "thinking_budget", f" but teacher_api is openai: {remedy}"
        for name in ("teacher_thinking", "teacher_effort"):
            if getattr(s, name) != "default":
                yield name, ", which the OpenAI-compatible APIs do not take: write default"
        return
    if s.teacher_temperature > 1:
        yield "teacher_temperature", " but the Anthropic API takes at most 1: lower it"
    if s.teacher_thinking == "between_tools" and s.teacher_effort in ("xhigh", "max"):
        yield "teacher_effort", " but teacher_thinking is between_tools: write at most high"
    if s.teacher_thinking == "adaptive" and s.teacher_temperature != 1:
        yield (
            "teacher_temperature",
            " but teacher_thinking is adaptive, which takes only 1: write 1",
        )
    if s.thinking_budget:
        if s.teacher_thinking != "default":
            why = f"which excludes {s.teacher_thinking}: write default, or thinking_budget: 0"
            yield "teacher_thinking", f" but there is a thinking_budget, {why}"
        if s.thinking_budget < 1024:
            remedy = "raise it, or write 0 for no thinking"
            yield "thinking_budget", f", and the Anthropic API takes at least 1024: {remedy}"
        if s.thinking_budget >= s.teacher_max_tokens:
            limit = f"teacher_max_tokens {s.teacher_max_tokens}"
            yield "thinking_budget", f", not less than {limit}, which counts it: lower it"
        if s.teacher_temperature != 1:
            why = "with thinking_budget the Anthropic API takes only 1: write 1"
            yield "teacher_temperature", f" but {why}"
    elif s.trace_from != "text" and s.teacher_thinking != "adaptive":
        remedy = "write text, a budget of at least 1024, or teacher_thinking: adaptive"
        yield "trace_from", f" but thinking_budget is 0: {remedy}"
    if s.teacher_mode == "messages" and s.teacher_max_tokens > LONGEST:
        remedy = f"write at most {LONGEST}, or set teacher_mode to batch"
        yield "teacher_max_tokens", f", which a plain request may not finish in time: {remedy}"


def settings(p: TeacherKeys) -> Settings:
    """The teacher's part of TraceParams. Raises ValueError for values that cannot stand."""
    return Settings(**{f.name: getattr(p, f.name) for f in fields(Settings)})
