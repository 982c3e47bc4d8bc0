"""A teacher behind an OpenAI-compatible API, such as DeepSeek-R1 served by vLLM: one chat
completion a request.

vLLM with a reasoning parser gives the thinking as message.reasoning, which older versions and
DeepSeek's own API call reasoning_content
(https://docs.vllm.ai/en/latest/features/reasoning_outputs/); without one it is in the content,
between <think> and </think>, or before </think> where the chat template has opened it already."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from distill_nb.traces.teacher.settings import Settings

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

KEY = "OPENAI_API_KEY"
TIMEOUT = 3600.0  # seconds for one request; a machine of one's own takes its time
# Models that show all they think.
OPEN_MODELS = re.compile(r"deepseek|qwq|qwen|r1-distill|magistral|gpt-oss", re.IGNORECASE)


def client(settings: Settings) -> OpenAI:
    """The SDK's client, without retries. One's own server needs no key, the SDK does."""
    import openai

    return openai.OpenAI(
        api_key=os.environ.get(KEY) or "none",
        base_url=settings.teacher_url or None,
        max_retries=0,
        timeout=TIMEOUT,
    )


def body(settings: Settings, prompt: str) -> dict:
    """The parameters of a request. OpenAI's own models want max_completion_tokens."""
    messages = [{"role": "user", "content": prompt}]
    if settings.teacher_system:
        messages.insert(0, {"role": "system", "content": settings.teacher_system})
    limit = "max_tokens" if settings.teacher_url else "max_completion_tokens"
    return {
        "model": settings.teacher_model,
        "messages": messages,
        limit: settings.teacher_max_tokens,
        "temperature": settings.teacher_temperature,
    }


def ask(api: OpenAI, settings: Settings, prompt: str) -> ChatCompletion:
    """One request; its response, for `failures.answer` and `read`."""
    return api.chat.completions.create(**body(settings, prompt))


def split(content: str) -> tuple[str, str]:
    """(thinking, visible text) of a content. A <think> that is never closed is all thinking."""
    start = content.lstrip()
    if start.startswith("<think>"):
        thinking, _, text = start.removeprefix("<think>").partition("</think>")
    elif "</think>" in content:
        thinking, _, text = content.partition("</think>")
    else:
        return "", content
    return thinking.strip("\n"), text.lstrip("\n")


def read(completion: ChatCompletion) -> dict:
    """What is stored of a chat completion; tokens are None where the server counts none."""
    choice = completion.choices[0]
    message = choice.message
    own = [getattr(message, name, None) for name in ("reasoning", "reasoning_content")]
    thinking = next((t for t in own if isinstance(t, str) and t.strip()), "")
    text = message.content or ""
    if not thinking:
        thinking, text = split(text)
    kind = "full" if OPEN_MODELS.search(completion.model or "") else "unknown"
    usage = completion.usage
    details = usage and usage.completion_tokens_details
    return {
        "status": "succeeded",
        "error": "",
        "model": completion.model or "",
        "stop_reason": "refusal" if message.refusal else choice.finish_reason or "",
        "thinking": thinking,
        "text": text,
        "thinking_kind": kind if thinking.strip() else "none",
        "input_tokens": usage.prompt_tokens if usage else None,
        "output_tokens": usage.completion_tokens if usage else None,
        "thinking_tokens": details.reasoning_tokens if details else None,
        "usage": usage.model_dump(mode="json", exclude_none=True) if usage else {},
        "message_id": completion.id or "",
        "request_id": getattr(completion, "_request_id", None) or "",
    }
