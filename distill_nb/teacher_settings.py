"""How an API teacher is asked: flat keys with types, limits and help, as in a parameter file."""
from __future__ import annotations

from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from . import teacher_anthropic
from .params_checks import check_range, check_type

# What decides the answers: responses made with other values do not belong in the same folder.
FIXED = ("teacher_api", "teacher_model", "teacher_url", "teacher_system", "teacher_max_tokens", "teacher_temperature",
         "thinking_budget")


def _key(default, help_text, *, choices=None, low=None, high=None, above=None, below=None):
    limits = dict(choices=choices, low=low, high=high, above=above, below=below)
    return field(default=default, metadata={"help": help_text, **limits})


@dataclass(frozen=True)
class Settings:
    """How an API teacher is asked; flat keys, as in a parameter file. Raises ValueError for values that cannot stand."""

    teacher_api: str = _key("anthropic", "whose API", choices=("anthropic", "openai"))
    teacher_model: str = _key("claude-sonnet-4-5-20250929", "model id, as the API knows it")
    teacher_url: str = _key("", "base URL of the API; empty = the SDK's default")
    teacher_mode: str = _key("batch", "batch = Message Batches, half the price; openai has messages only",
                             choices=("batch", "messages"))
    teacher_system: str = _key("", "system prompt; empty = none")
    teacher_max_tokens: int = _key(16384, "most tokens of one answer, thinking included", low=1)
    teacher_temperature: float = _key(1.0, "of sampling; 1 = the API's default, and with thinking the only one", low=0, high=2)
    thinking_budget: int = _key(0, "most tokens of extended thinking (anthropic); 0 = none", low=0)
    trace_from: str = _key("text", "what students learn from", choices=("thinking_and_text", "text", "thinking"))
    attempts: int = _key(1, "most attempts at a problem; the first correct one is kept", low=1)
    batch_size: int = _key(10000, "most requests in one batch", low=1, high=teacher_anthropic.REQUESTS)
    max_requeues: int = _key(2, "how often a request that failed is sent again", low=0)
    max_cost: float = _key(0.0, "dollars that may be spent in this folder; 0 = nothing may be sent", low=0)
    poll_seconds: float = _key(60.0, "between two looks at a batch", above=0)
    concurrency: int = _key(8, "plain requests under way at once", low=1, high=256)

    def __post_init__(self):
        for f in fields(self):
            value = getattr(self, f.name)
            try:
                if f.name in ("teacher_url", "teacher_system"):
                    value = "" if value in ("", "none") else check_type(f.type, value)
                object.__setattr__(self, f.name, value if value == "" else check_type(f.type, value))
                check_range(f.metadata, getattr(self, f.name))
            except TypeError as error:
                raise ValueError(f"teacher settings: {f.name} {error}.") from None
        for key, problem in _contradictions(self):
            raise ValueError(f"teacher settings: {key} is {getattr(self, key)!r}{problem}.")


def _contradictions(s: Settings):
    """Yield (key, rest of the sentence)."""
    url = urlsplit(s.teacher_url)
    if s.teacher_url and (url.scheme not in ("http", "https") or not url.hostname):
        yield "teacher_url", ", which is no URL: write one such as http://localhost:8000/v1, or leave it empty"
    if url.username or url.password or url.query:  # not shown: it may be a secret, and the URL is stored
        raise ValueError("teacher settings: teacher_url holds a user, a password or a query; give the key in the environment "
                         "and the URL without it.")
    if s.teacher_api == "openai":
        if s.teacher_mode == "batch":
            yield "teacher_mode", " but teacher_api is openai, which has only messages here: write messages"
        if s.thinking_budget:
            yield "thinking_budget", " but teacher_api is openai: write 0 (such a teacher thinks as its server lets it)"
        return
    if s.teacher_temperature > 1:
        yield "teacher_temperature", " but the Anthropic API takes at most 1: lower it"
    if s.thinking_budget:
        if s.thinking_budget < 1024:
            yield "thinking_budget", ", and the Anthropic API takes at least 1024: raise it, or write 0 for no thinking"
        if s.thinking_budget >= s.teacher_max_tokens:
            yield "thinking_budget", f", not less than teacher_max_tokens {s.teacher_max_tokens}, which counts it: lower it"
        if s.teacher_temperature != 1:
            yield "teacher_temperature", " but with thinking_budget the Anthropic API takes only 1: write 1"
    elif s.trace_from != "text":
        yield "trace_from", " but thinking_budget is 0: write text, or a budget of at least 1024"
    if s.teacher_mode == "messages" and s.teacher_max_tokens > teacher_anthropic.LONGEST:
        yield "teacher_max_tokens", (f", which a plain request may not finish in time: write at most "
                                     f"{teacher_anthropic.LONGEST}, or set teacher_mode to batch")
