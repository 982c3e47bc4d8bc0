"""How an API teacher is asked: flat keys with types, limits and help, as in a parameter file."""
from __future__ import annotations

from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from . import teacher_anthropic
from .params import key
from .params_checks import check_range, check_type

# What decides the answers: responses made with other values do not belong in the same folder.
FIXED = ("teacher_api", "teacher_model", "teacher_url", "teacher_system", "teacher_max_tokens", "teacher_temperature",
         "thinking_budget")


@dataclass(frozen=True)
class Settings:
    """How an API teacher is asked; flat keys, as in a parameter file. Raises ValueError for values that cannot stand."""

    teacher_api: str = key("whose API", default="anthropic", choices=("anthropic", "openai"))
    teacher_model: str = key("model id, as the API knows it", default="claude-sonnet-4-5-20250929")
    teacher_url: str = key("base URL of the API; empty = the SDK's default", default="")
    teacher_mode: str = key("batch = Message Batches, half the price; openai has messages only", default="batch",
                             choices=("batch", "messages"))
    teacher_system: str = key("system prompt; empty = none", default="")
    teacher_max_tokens: int = key("most tokens of one answer, thinking included", default=16384, low=1)
    teacher_temperature: float = key("of sampling; 1 = the API's default, and with thinking the only one", default=1.0, low=0,
                                     high=2)
    thinking_budget: int = key("most tokens of extended thinking (anthropic); 0 = none", default=0, low=0)
    trace_from: str = key("what students learn from", default="text", choices=("thinking_and_text", "text", "thinking"))
    attempts: int = key("most attempts at a problem; the first correct one is kept", default=1, low=1)
    batch_size: int = key("most requests in one batch", default=10000, low=1, high=teacher_anthropic.REQUESTS)
    max_requeues: int = key("how often a request that failed is sent again", default=2, low=0)
    max_cost: float = key("dollars that may be spent in this folder; 0 = nothing may be sent", default=0.0, low=0)
    poll_seconds: float = key("between two looks at a batch", default=60.0, above=0)
    concurrency: int = key("plain requests under way at once", default=8, low=1, high=256)

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
        for name, problem in _contradictions(self):
            raise ValueError(f"teacher settings: {name} is {getattr(self, name)!r}{problem}.")


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
