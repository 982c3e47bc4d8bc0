"""A row of a local file as a trace to train on, read strictly: docs/data.md has the format.

What is read is learnt, and what is not read cannot change what is learnt. So a key is one that is
read, or known bookkeeping, or refused; a key whose value is null or empty counts as absent."""

import math
from typing import Any

from distill_nb.grading.extract import closes_its_thinking, visible_text
from distill_nb.students import chat
from distill_nb.traces.decontamination import statements

REASONING = ("reasoning_content", "reasoning", "thinking")
PROBLEM_AND_TRACE = ("problem", "trace", "answer", "id", *REASONING)
WITH_MESSAGES = ("messages", "answer", "id")
MESSAGE = ("role", "content", *REASONING)
# Keys that may stand in rows and messages and are not read, beside all that begin with meta_.
BOOKKEEPING = {
    # which row it is
    "id", "uuid", "idx", "index", "order", "row_id", "source_id", "problem_id", "trace_id",
    "sample_id", "message_id", "conversation_id", "prompt_id", "__index_level_0__",
    # where it is from, and what it is about
    "source", "dataset", "subset", "config", "split", "url", "license", "author", "year", "domain",
    "subject", "topic", "category", "problem_type", "question_type", "level", "difficulty", "tags",
    "language", "metadata", "meta", "info", "problem_source", "expected_answer",
    # what made it
    "teacher", "teacher_model", "model", "generator", "generation_model", "inference_mode",
    "temperature", "seed", "attempt",
    # what it was found to be worth, and what it took
    "score", "scores", "reward", "rating", "tokens", "n_tokens", "num_tokens", "total_tokens",
    "prompt_tokens", "completion_tokens", "output_tokens", "reasoning_tokens", "cost", "seconds",
    "timestamp", "date", "created", "created_at", "updated_at",
    # of all of a problem's generations, which are not bookkeeping themselves
    "finish_reasons", "is_reasoning_complete", "correctness_math_verify", "correctness_llama",
    "correctness_count",
}  # fmt: skip
ROLES = ("system", "user", "assistant")

# What to do about other keys. Those that say what is asked or learnt get a new name, unless a key
# has it.
_ASKED = ("prompt", "question", "instruction", "input")
_LEARNT = ("completion", "response", "output", "solution", "generation")
_TRAJECTORIES = tuple(f"{of}thinking_trajectory" for of in ("", "deepseek_", "gemini_"))
_TOOLS = "conversations with tools are not trained on; take the row out"
_WEIGHTS = "take out what is not to be trained on, and the key"
_BAD = "take out the rows that it says are wrong or cut off, and the key"
_IMAGES = "only text is trained on; take the row out"
_OTHER = "take it out, or put meta_ before its name"
IN_A_MESSAGE = {
    **dict.fromkeys(("tools", "tool_calls", "tool_call_id", "tool_choice"), _TOOLS),
    **dict.fromkeys(("functions", "function_call"), _TOOLS),
    **dict.fromkeys(("weight", "weights", "train", "mask", "loss", "loss_mask"), _WEIGHTS),
    **dict.fromkeys(("correct", "is_correct", "finish_reason"), _BAD),
    **dict.fromkeys(("image", "images", "audio", "video", "videos"), _IMAGES),
}
BESIDE_MESSAGES = IN_A_MESSAGE | {
    "system": "make it the first of the messages, with the role system",
    **dict.fromkeys(("problem", "trace"), "give the row problem and trace, or messages, not both"),
}
IN_A_ROW = IN_A_MESSAGE | {
    "conversations": "write them as messages, with from as role (human as user, gpt as assistant), "
    "value as content, and system as the first message",
    "system": "write the row as messages, the first of them with the role system",
    "generations": "write a row with problem and trace for each that is to be learnt",
    **dict.fromkeys(_ASKED, "call what the student is asked problem"),
    **dict.fromkeys(_LEARNT, "call what the student learns to say trace"),
    **dict.fromkeys(
        (*_TRAJECTORIES, "thinking_trajectories"),
        "call the reasoning thinking, as one text, and what follows it trace",
    ),
}
IN_A_SOURCE = {
    **dict.fromkeys(_ASKED, "call it problem"),
    **dict.fromkeys(("image", "images", "audio", "video", "videos"), _IMAGES),
}
MOST_NAMED = 30  # keys in one sentence


def trace_of(row: dict, where: str) -> dict:
    """{"id", "problem", "trace", "answer"} or {"id", "messages"} of a row. where: file and line.
    Raises ValueError that names it and the key."""
    answer = answer_of(row, where)
    if not is_absent(row.get("messages")):
        refuse_unknown(row, where, WITH_MESSAGES, BESIDE_MESSAGES)
        messages = _conversation(row["messages"], where)
        return {"id": _id_of(row, where, messages[-2]["content"]), "messages": messages}
    refuse_unknown(row, where, PROBLEM_AND_TRACE, IN_A_ROW)
    remedy = "give every row problem and trace, or messages"
    problem, trace = (text_of(row, key, where, remedy) for key in ("problem", "trace"))
    trace = _whole(_reasoning(row, where), trace, f"{where}: trace")
    row_id = _id_of(row, where, problem)
    return {"id": row_id, "problem": problem, "trace": trace, "answer": answer}


def is_absent(value: Any) -> bool:
    """Whether a key's value says nothing. 0 and false do say something."""
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it is empty, or white space and signs without a width."""
    return not any(sign.isprintable() and not sign.isspace() for sign in text)


def refuse_unknown(row: dict, where: str, known: tuple[str, ...], remedies: dict[str, str]) -> None:
    """Raise ValueError that names the keys that are neither `known` nor bookkeeping, and what to do
    about the first: of `conversations`, else of one with a remedy of its own."""
    found = {
        key: _remedy(key, row, remedies)
        for key, value in row.items()
        if not (key in known or key in BOOKKEEPING or key.startswith("meta_") or is_absent(value))
    }
    if not found:
        return
    first, *others = sorted(found, key=lambda k: (k != "conversations", found[k] == _OTHER))
    rest = ", ".join(f"{key[:50]!r}" for key in others[:MOST_NAMED])
    rest += f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    rest = rest and f"; nor {'are' if len(others) > 1 else 'is'} {rest}"
    raise ValueError(f"{where}: {first[:50]!r} is not read here: {found[first]}{rest}.")


def _remedy(key: str, row: dict, remedies: dict[str, str]) -> str:
    """What to do about an unknown key, given what else the row has."""
    there = (key in _ASKED and not is_absent(row.get("problem"))) or (
        key in _LEARNT and not is_absent(row.get("trace"))
    )
    # a reference solution beside what a teacher wrote
    written = ("generations", "thinking_trajectories", *_TRAJECTORIES)
    there = there or (key == "solution" and not all(is_absent(row.get(k)) for k in written))
    return _OTHER if there else remedies.get(key, _OTHER)


def text_of(row: dict, key: str, where: str, remedy: str) -> str:
    """A text that must be there. Raises ValueError where it is not, or shows nothing."""
    value = row.get(key)
    if value is None or (isinstance(value, str) and is_blank(value)):
        raise ValueError(f"{where}: {key} is missing or empty; {remedy}.")
    if not isinstance(value, str):
        raise ValueError(f"{where}: {key} is no text; {remedy}.")
    return value


def answer_of(row: dict, where: str) -> str:
    """The known answer, a text or a number; "" where there is none."""
    value = row.get("answer")
    if value is None:
        return ""
    whole = isinstance(value, int) and not isinstance(value, bool)
    finite = isinstance(value, float) and math.isfinite(value)
    if not (isinstance(value, str) or whole or finite):
        raise ValueError(f"{where}: answer is no text or number; write it as text.")
    return str(value)


def _id_of(row: dict, where: str, asked: str) -> str:
    value = row.get("id")
    if is_absent(value):
        return statements.problem_id(asked)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # as pandas writes whole numbers beside missing ones
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"{where}: id is no text or whole number; write it as text.")
    return str(value)


# ---- conversations


def _conversation(messages: Any, where: str) -> list[dict]:
    """The messages with role and content alone, without an empty system message."""
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise ValueError(
            f"{where}: messages must be a list of mappings with role and content; correct or "
            "remove the row."
        )
    for i, message in enumerate(messages, 1):
        weight = message.get("weight")
        known = (*MESSAGE, "weight") if type(weight) in (int, float) and weight == 1 else MESSAGE
        refuse_unknown(message, f"{where}, message {i}", known, IN_A_MESSAGE)
        if message.get("role") not in ROLES:
            raise ValueError(
                f"{where}, message {i}: role {message.get('role')!r} is not system, user or "
                "assistant; correct it or remove the row."
            )
    _refuse_order([m["role"] for m in messages], where)
    last, numbered = len(messages), list(enumerate(messages, 1))
    system = messages[0]
    if system["role"] == "system" and all(is_absent(system.get(k)) for k in MESSAGE[1:]):
        del numbered[0]
    return [_message(m, f"{where}, message {i}", i == last) for i, m in numbered]


def _refuse_order(roles: list[str], where: str) -> None:
    """Raise ValueError unless, after the system's, user and assistant take turns to the end."""
    start = 1 if roles[0] == "system" else 0
    if "user" not in roles:
        raise ValueError(f"{where}: messages has no turn of the user's; add it or remove the row.")
    for i, role in enumerate(roles[start:]):
        if role != ("user", "assistant")[i % 2]:
            raise ValueError(
                f"{where}, message {start + i + 1}: role {role!r} is out of turn; after one system "
                "message at most, user and assistant take turns, the user first."
            )
    if roles[-1] != "assistant":
        raise ValueError(
            f"{where}: messages must end with the assistant's turn, which is what is learnt; "
            "correct or remove the row."
        )


def _message(message: dict, where: str, last: bool) -> dict:
    """A message with its thinking in its content. last: it is the one that is trained on."""
    thinking, text = _content(message.get("content"), where)
    field = _reasoning(message, where)
    if field and thinking:
        raise ValueError(
            f"{where}: its reasoning is there as a key and in content; take one of them out."
        )
    thinking, role = field or thinking, message["role"]
    if is_blank(text):
        raise ValueError(
            f"{where}: content is missing or empty; write it, or remove the message or the row."
        )
    if last:
        return {"role": role, "content": _whole(thinking, text, f"{where}: content")}
    if thinking or (role == "assistant" and any(tag in text for tag in chat.THINKING)):
        raise ValueError(
            f"{where}: reasoning is read in the assistant's last message alone, as no student is "
            "shown its earlier thinking; take it out."
        )
    return {"role": role, "content": text}


def _content(content: Any, where: str) -> tuple[str, str]:
    """(thinking, text) of a content: a text, or a list of parts, all text but perhaps the first."""
    if content is None or isinstance(content, str):
        return "", content or ""
    parts = content if isinstance(content, list) else [content]
    thinking, texts = "", []
    for i, part in enumerate(parts, 1):
        kind = part.get("type") if isinstance(part, dict) else None
        at = f"{where}, part {i} of content"
        if kind not in ("text", "thinking") or (kind == "thinking" and i > 1):
            raise ValueError(
                f'{at} is not {{"type": "text", "text": …}}; only text is trained on, with one '
                "part of thinking before it: correct or remove the row."
            )
        refuse_unknown(part, at, ("type", kind, "signature"), IN_A_MESSAGE)
        text = part.get(kind)
        if not isinstance(text, str):
            raise ValueError(f"{at} has no text under {kind!r}; correct or remove the row.")
        if kind == "thinking":
            thinking = "" if is_blank(text) else text
        else:
            texts.append(text)
    return thinking, "".join(texts)


# ---- thinking


def _reasoning(row: dict, where: str) -> str:
    """The reasoning under one of REASONING, or under several that say the same; "" for none."""
    found = []
    for key in REASONING:
        value = row.get(key)
        if is_absent(value):
            continue
        if not isinstance(value, str):
            raise ValueError(f"{where}: {key} is no text; write the reasoning as one text.")
        if not is_blank(value) and value not in found:
            found.append(value)
    if len(found) > 1:
        raise ValueError(
            f"{where}: {', '.join(REASONING)} do not say the same; leave the one that is to be "
            "learnt."
        )
    return found[0] if found else ""


def _whole(thinking: str, text: str, where: str) -> str:
    """What is trained on: the thinking, and the text that follows it."""
    if thinking and any(tag in part for part in (thinking, text) for tag in chat.THINKING):
        raise ValueError(
            f"{where} has a <think> tag and there is reasoning beside it, which would be there "
            "twice; take one of them out."
        )
    if is_blank(visible_text(text)) or not closes_its_thinking(text):
        raise ValueError(
            f"{where} says nothing after its thinking, or does not end it; complete or remove the "
            "row."
        )
    return chat.with_thinking(thinking, text) if thinking else text
