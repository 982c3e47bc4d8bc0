"""One explicit chat template per student: token ids and loss mask, the same in training and
evaluation.

Every prompt is built here as token ids and handed on as ids, so that no engine can add a second
beginning-of-text token. Special tokens are placed by id; the text between them is encoded as plain
text, so a trace that happens to contain "<|im_end|>" cannot end a turn.

Sources of the templates: Llama 3.1 prompt format (Meta's model card, without its dated system
header), ChatML as in Qwen3's tokenizer_config (no system message), SmolLM2's chat_template (default
system message)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

IGNORE = -100  # the label that torch's cross_entropy skips


@dataclass(frozen=True)
class Template:
    """How a conversation becomes tokens. All fields but `name`, `system` and the separators are
    special tokens."""

    name: str
    bos: str  # "" where the format has none
    turn_start: str  # before the role
    # between role and text: a special token, or "" (then `separator` alone stands there)
    turn_middle: str
    separator: str  # plain text between role and content
    turn_end: str  # ends every turn; trained on at the end of an assistant's turn
    after_turn: str  # plain text after turn_end
    also_stop: str  # the second token on which generation stops
    pad: str  # distinct from both end tokens, or the student would never learn to stop
    system: str  # default system message, "" for none

    @property
    def hash(self) -> str:
        """First 16 hex digits of the sha256 of all fields; part of what identifies a baseline's
        records."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


TEMPLATES = {
    "llama3": Template(
        name="llama3",
        bos="<|begin_of_text|>",
        turn_start="<|start_header_id|>",
        turn_middle="<|end_header_id|>",
        separator="\n\n",
        turn_end="<|eot_id|>",
        after_turn="",
        also_stop="<|end_of_text|>",
        pad="<|finetune_right_pad_id|>",
        system="",
    ),
    "qwen3": Template(
        name="qwen3",
        bos="",
        turn_start="<|im_start|>",
        turn_middle="",
        separator="\n",
        turn_end="<|im_end|>",
        after_turn="\n",
        also_stop="<|endoftext|>",
        pad="<|fim_pad|>",
        system="",
    ),
    "smollm2": Template(
        name="smollm2",
        bos="",
        turn_start="<|im_start|>",
        turn_middle="",
        separator="\n",
        turn_end="<|im_end|>",
        after_turn="\n",
        also_stop="<|endoftext|>",
        pad="<empty_output>",
        system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    ),
}


def template_for(student: str, chat_template: str = "auto") -> Template:
    """The template of a student; `auto` reads it off the student's name (hub id or folder).

    Raises ValueError where the name tells nothing."""
    if chat_template != "auto":
        return TEMPLATES[chat_template]
    name = student.lower()
    for word, template in (
        ("smollm2", "smollm2"),
        ("qwen3", "qwen3"),
        ("llama-3", "llama3"),
        ("llama3", "llama3"),
    ):
        if word in name:
            return TEMPLATES[template]
    raise ValueError(
        f"chat_template: auto cannot tell the template of {student!r}; set chat_template to one of "
        f"{', '.join(TEMPLATES)}."
    )


def token_id(tokenizer, token: str) -> int:
    """The id of one special token. Raises ValueError if the tokenizer does not have it."""
    i = tokenizer.convert_tokens_to_ids(token)
    if (
        i is None or tokenizer.convert_ids_to_tokens(i) != token
    ):  # an unknown token may come back as another's id
        raise ValueError(
            f"chat_template: the student's tokenizer has no token {token!r}; choose the template "
            "that fits the student."
        )
    return i


def stop_ids(tokenizer, template: Template) -> list[int]:
    """Both tokens that end an answer."""
    return [token_id(tokenizer, template.turn_end), token_id(tokenizer, template.also_stop)]


def set_special_tokens(tokenizer, template: Template) -> None:
    """Give the tokenizer the template's end and pad tokens, whatever its files say (SmolLM2's GGUF
    names `<|im_start|>` as its end)."""
    stops = stop_ids(tokenizer, template)
    tokenizer.eos_token, tokenizer.pad_token = template.turn_end, template.pad
    # else decoding would take spaces away before punctuation
    tokenizer.clean_up_tokenization_spaces = False
    if token_id(tokenizer, template.pad) in stops:
        raise ValueError(
            f"chat_template: pad token {template.pad!r} of {template.name} also ends a turn."
        )


def _ids(tokenizer, parts: list) -> list[int]:
    """Token ids of parts, each a token id or plain text."""
    ids = []
    for part in parts:
        ids += [part] if isinstance(part, int) else _texts(tokenizer, [part])[0]
    return ids


def _texts(tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of texts, in which special tokens are plain text; a fast tokenizer uses all
    cores."""
    return tokenizer(
        texts, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
    )["input_ids"]


def _header(tokenizer, t: Template, role: str, content: str) -> list:
    """`<start>role<middle>separator content`, the content tokenised together with the separator as
    the reference templates have it."""
    start = [token_id(tokenizer, t.turn_start)]
    if t.turn_middle:
        return [*start, role, token_id(tokenizer, t.turn_middle), t.separator + content]
    return [*start, role + t.separator + content]


def _prompt_parts(tokenizer, t: Template, messages: list[dict]) -> list:
    parts = [token_id(tokenizer, t.bos)] if t.bos else []
    if t.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": t.system}, *messages]
    for m in messages:
        parts += _header(tokenizer, t, m["role"], m["content"].strip())
        parts += [token_id(tokenizer, t.turn_end), *([t.after_turn] if t.after_turn else [])]
    return parts + _header(tokenizer, t, "assistant", "")


def prompt_ids(tokenizer, t: Template, messages: list[dict]) -> list[int]:
    """Token ids of a conversation up to where the assistant's answer begins.

    messages: [{"role": "system" | "user" | "assistant", "content": str}, …], the last from the
    user."""
    return _ids(tokenizer, _prompt_parts(tokenizer, t, messages))


def encode_example(tokenizer, t: Template, messages: list[dict]) -> dict:
    """One training example: {"input_ids": [L], "labels": [L]}.

    The loss falls on the last message (the trace) and on its end token; everything before is
    IGNORE. The prompt's ids are exactly those of `prompt_ids`, which evaluation uses."""
    ((ids, n_prompt),) = encode_many(tokenizer, t, [messages])
    return {"input_ids": ids, "labels": [IGNORE] * n_prompt + ids[n_prompt:]}


def encode_many(
    tokenizer, t: Template, conversations: list[list[dict]]
) -> list[tuple[list[int], int]]:
    """(token ids, how many of them are the prompt) of each conversation, all of them tokenised
    together."""
    if any(messages[-1]["role"] != "assistant" for messages in conversations):
        raise ValueError("dataset: the last message of every example must be the assistant's.")
    parts, texts = [], []
    for messages in conversations:
        prompt = _prompt_parts(tokenizer, t, messages[:-1])
        parts.append((prompt, [messages[-1]["content"].strip(), token_id(tokenizer, t.turn_end)]))
        texts += [part for part in prompt + parts[-1][1] if isinstance(part, str)]
    known = iter(_texts(tokenizer, texts))
    encoded = []
    for prompt, answer in parts:
        first, second = (
            [i for part in side for i in ([part] if isinstance(part, int) else next(known))]
            for side in (prompt, answer)
        )
        encoded.append((first + second, len(first)))
    return encoded


def messages_of(trace: dict) -> list[dict]:
    """A trace as messages: itself if it has them, else problem and trace as one exchange."""
    return trace.get("messages") or [
        {"role": "user", "content": trace["problem"]},
        {"role": "assistant", "content": trace["trace"]},
    ]
