"""Claude as a teacher: what is sent to the Messages and Message Batches APIs, and what is read from
a response.

Facts are those of the SDK, anthropic 2.12.0, and of
https://platform.claude.com/docs/en/build-with-claude/batch-processing and …/extended-thinking. The
SDK speaks API version 2026-10-21, which takes no temperature any more, not even 1; a temperature
other than 1, the default, is sent under the version before it, to models that still take one. Which
thinking.type a model takes: https://platform.claude.com/docs/en/models/sonnet-5-5/migration-guide"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from distill_nb.traces.teacher.settings import Settings

if TYPE_CHECKING:
    from anthropic import Anthropic
    from anthropic.types import Message
    from anthropic.types.messages import MessageBatchIndividualResponse

KEY = "ANTHROPIC_API_KEY"
BEFORE = {"anthropic-version": "2023-06-01"}  # https://platform.claude.com/docs/en/api/versioning
TIMEOUT = 600.0  # seconds for one request, the SDK's own
BATCH_BYTES = 256_000_000  # the API's limit for one batch


def client(settings: Settings) -> Anthropic:
    """The SDK's client, without retries: they would pay twice for a lost answer (send.py)."""
    import anthropic

    headers = BEFORE if settings.teacher_temperature != 1.0 else None
    return anthropic.Anthropic(
        api_key=os.environ[KEY],
        base_url=settings.teacher_url or None,
        max_retries=0,
        timeout=TIMEOUT,
        default_headers=headers,
    )


def body(settings: Settings, prompt: str) -> dict:
    """The parameters of one request, the same for both APIs."""
    made: dict = {
        "model": settings.teacher_model,
        "max_tokens": settings.teacher_max_tokens,
        "messages": [{"role": "user", "content": prompt}],
    }
    if settings.teacher_system:
        made["system"] = settings.teacher_system
    if settings.thinking_budget:
        made["thinking"] = {"type": "enabled", "budget_tokens": settings.thinking_budget}
    if settings.teacher_thinking != "default":
        made["thinking"] = {"type": settings.teacher_thinking}
    if settings.teacher_thinking == "adaptive":  # else Claude 5.5 leaves its text out
        made["thinking"]["display"] = "summarized"
    if settings.teacher_effort != "default":
        made["output_config"] = {"effort": settings.teacher_effort}
    if settings.teacher_temperature != 1.0:
        made["temperature"] = settings.teacher_temperature
    return made


def ask(api: Anthropic, settings: Settings, prompt: str) -> Message:
    """One plain request; its response, for `failures.answer` and `read`."""
    made = body(settings, prompt)
    extra = None
    if "temperature" in made:  # no argument of the SDK any more
        extra = {"temperature": made.pop("temperature")}
    return api.messages.create(**made, extra_body=extra, timeout=TIMEOUT)


def thinking_kind(model: str, thinking: str) -> str:
    """full, summarised or none; unknown for a name that is no Claude's.

    Claude Sonnet 3.7 returns its thinking in full, Claude 4 models and later ones a summary by
    another model (…/extended-thinking#summarized-thinking)."""
    if not thinking.strip():
        return "none"
    if "claude-3-7-" in model:
        return "full"
    summarised = re.search(r"claude-(?:[a-z]+-)?(?:[4-9]|\d\d)(?:-|$|@)", model)
    return "summarised" if summarised else "unknown"


def read(message: Message) -> dict:
    """What is stored of a Message. thinking_tokens is None where the API does not say."""
    thoughts = [b.thinking for b in message.content if b.type == "thinking"]
    thinking = "\n\n".join(thought for thought in thoughts if thought)
    usage = message.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    details = usage.output_tokens_details
    return {
        "status": "succeeded",
        "error": "",
        "model": message.model,
        "stop_reason": message.stop_reason or "",
        "thinking": thinking,
        "text": "".join(b.text for b in message.content if b.type == "text"),
        "thinking_kind": thinking_kind(message.model, thinking),
        "redacted_blocks": sum(b.type == "redacted_thinking" for b in message.content),
        "input_tokens": usage.input_tokens + cached,
        "output_tokens": usage.output_tokens,
        "thinking_tokens": details.thinking_tokens if details else None,
        "usage": usage.model_dump(mode="json", exclude_none=True),
        "message_id": message.id,
        "request_id": getattr(message, "_request_id", None) or "",
    }


def read_result(item: MessageBatchIndividualResponse) -> dict:
    """What is stored of a line of a batch's results. Only what succeeded is charged for."""
    result = item.result
    if result.type == "succeeded":
        return {"custom_id": item.custom_id, **read(result.message)}
    made = {"custom_id": item.custom_id, "status": result.type, "error": ""}
    made |= {"input_tokens": 0, "output_tokens": 0}
    if result.type == "errored":
        error = result.error.error
        details = getattr(error, "details", None)
        code = details.get("error_code") if isinstance(details, dict) else None
        made["error"] = f"{code or error.type}: {error.message}"
        made["request_id"] = result.error.request_id or ""
    return made
