"""One explicit chat template per student: token ids and loss mask, in training and evaluation.

Every prompt is passed on as token ids, so that no engine can add a second beginning-of-text token.
Special tokens are placed by id. The text between them is encoded as plain text, so a trace that
contains "<|im_end|>" cannot end a turn.

Sources: Meta's model card of Llama 3.1 (without its dated system header), Qwen3's tokenizer_config
(ChatML, no system message), SmolLM2's chat_template (default system message)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE = -100  # the label that torch's cross_entropy skips
Parts = list[int | str]  # of a conversation: the id of a special token, or plain text


@dataclass(frozen=True)
class Template:
    """How a conversation becomes tokens: special tokens, or text if so said; "" for none."""

    name: str
    turn_start: str  # before the role
    separator: str  # plain text between role and content
    turn_end: str  # ends every turn; trained on at the end of an assistant's turn
    also_stop: str  # the second token on which generation stops
    pad: str  # distinct from both end tokens, or the student would never learn to stop
    bos: str = ""
    turn_middle: str = ""  # between role and separator
    after_turn: str = ""  # plain text after turn_end
    system: str = ""  # default system message

    @property
    def hash(self) -> str:
        """First 16 hex digits of the sha256 of all fields; it helps to identify a baseline."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


LLAMA3 = Template(
    name="llama3",
    bos="<|begin_of_text|>",
    turn_start="<|start_header_id|>",
    turn_middle="<|end_header_id|>",
    separator="\n\n",
    turn_end="<|eot_id|>",
    also_stop="<|end_of_text|>",
    pad="<|finetune_right_pad_id|>",
)
QWEN3 = Template(
    name="qwen3",
    turn_start="<|im_start|>",
    separator="\n",
    turn_end="<|im_end|>",
    after_turn="\n",
    also_stop="<|endoftext|>",
    pad="<|fim_pad|>",
)
SMOLLM2 = replace(
    QWEN3,
    name="smollm2",
    pad="<empty_output>",
    system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
)
TEMPLATES = {template.name: template for template in (LLAMA3, QWEN3, SMOLLM2)}
# a word in a student's name → its template
WORDS = {"smollm2": SMOLLM2, "qwen3": QWEN3, "llama-3": LLAMA3, "llama3": LLAMA3}


def template_for(student: str, chat_template: str = "auto") -> Template:
    """The template of a student; `auto` finds it by a word in the name, or raises ValueError."""
    if chat_template != "auto":
        return TEMPLATES[chat_template]
    for word, template in WORDS.items():
        if word in student.lower():
            return template
    raise ValueError(
        f"chat_template: auto cannot tell the template of {student!r}; set chat_template to one of "
        f"{', '.join(TEMPLATES)}."
    )


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of one special token. Raises ValueError if the tokenizer does not have it."""
    i = tokenizer.convert_tokens_to_ids(token)
    # an unknown token may get another token's id
    if i is None or tokenizer.convert_ids_to_tokens(i) != token:
        raise ValueError(
            f"chat_template: the student's tokenizer has no token {token!r}; choose the template "
            "that fits the student."
        )
    return i


def stop_ids(tokenizer: PreTrainedTokenizerBase, template: Template) -> list[int]:
    """Both tokens that end an answer."""
    return [token_id(tokenizer, template.turn_end), token_id(tokenizer, template.also_stop)]


def set_special_tokens(tokenizer: PreTrainedTokenizerBase, template: Template) -> None:
    """Set the template's end and pad tokens: SmolLM2's GGUF has `<|im_start|>` as its end token."""
    stops = stop_ids(tokenizer, template)
    tokenizer.eos_token, tokenizer.pad_token = template.turn_end, template.pad
    # else decoding would remove spaces before punctuation
    tokenizer.clean_up_tokenization_spaces = False
    if token_id(tokenizer, template.pad) in stops:
        raise ValueError(
            f"chat_template: pad token {template.pad!r} of {template.name} also ends a turn."
        )


def _texts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Token ids of texts; special tokens in them are plain text."""
    return tokenizer(
        texts, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
    )["input_ids"]


def _header(tokenizer: PreTrainedTokenizerBase, t: Template, role: str, content: str) -> Parts:
    """`<start>role<middle>separator content`; separator and content are tokenised together."""
    start = [token_id(tokenizer, t.turn_start)]
    if t.turn_middle:
        return [*start, role, token_id(tokenizer, t.turn_middle), t.separator + content]
    return [*start, role + t.separator + content]


def _prompt_parts(tokenizer: PreTrainedTokenizerBase, t: Template, messages: list[dict]) -> Parts:
    parts: Parts = [token_id(tokenizer, t.bos)] if t.bos else []
    if t.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": t.system}, *messages]
    for m in messages:
        parts += _header(tokenizer, t, m["role"], m["content"].strip())
        parts += [token_id(tokenizer, t.turn_end), *([t.after_turn] if t.after_turn else [])]
    return parts + _header(tokenizer, t, "assistant", "")


def prompt_ids(tokenizer: PreTrainedTokenizerBase, t: Template, messages: list[dict]) -> list[int]:
    """Token ids of a conversation up to where the assistant's answer begins.

    messages: [{"role": "system" | "user" | "assistant", "content": str}, …], the user's last."""
    ids = []
    for part in _prompt_parts(tokenizer, t, messages):
        ids += [part] if isinstance(part, int) else _texts(tokenizer, [part])[0]
    return ids


def encode_many(
    tokenizer: PreTrainedTokenizerBase, t: Template, conversations: list[list[dict]]
) -> list[tuple[list[int], int]]:
    """(token ids, length of the prompt) of each conversation, tokenised together. A prompt's ids
    are those of `prompt_ids`; the last message (the trace) and its end token follow."""
    if any(messages[-1]["role"] != "assistant" for messages in conversations):
        raise ValueError("dataset: the last message of every example must be the assistant's.")
    end, texts = token_id(tokenizer, t.turn_end), []
    prompts = [_prompt_parts(tokenizer, t, messages[:-1]) for messages in conversations]
    for prompt, messages in zip(prompts, conversations, strict=True):
        texts += [part for part in prompt if isinstance(part, str)]
        texts.append(messages[-1]["content"].strip())
    tokenised = iter(_texts(tokenizer, texts))
    encoded = []
    for prompt in prompts:
        ids: list[int] = []
        for part in prompt:
            ids += [part] if isinstance(part, int) else next(tokenised)
        encoded.append(([*ids, *next(tokenised), end], len(ids)))
    return encoded


THINKING = ("<think>", "</think>")  # what stands around it


def with_thinking(thinking: str, answer: str) -> str:
    """An answer after its thinking, as Qwen3's chat template and DeepSeek-R1 write them.

    Llama 3.1's and SmolLM2's templates have no form for thinking, so it is the same for all:
    evaluation takes it away from every student's answer (grading.extract.visible_text)."""
    start, end = THINKING
    return f"{start}\n{thinking.strip()}\n{end}\n\n{answer.strip()}"


def messages_of(trace: dict) -> list[dict]:
    """A trace as messages: itself if it has them, else problem and trace as one exchange."""
    return trace.get("messages") or [
        {"role": "user", "content": trace["problem"]},
        {"role": "assistant", "content": trace["trace"]},
    ]
