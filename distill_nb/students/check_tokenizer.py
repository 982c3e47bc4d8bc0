"""Whether a student's tokenizer is whole: a damaged one may load, and lack tokens or text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.students import chat, integrity, student

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# what a tokenizer is read from: one of the first, and any of the others; .json holds a mapping
VOCABULARIES = ("tokenizer.json", "vocab.json", "tokenizer.model")
TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
SENTENCE = "In 12 steps, x + 7 = 19; so it is \\boxed{12}."  # must come back from a tokenizer


def check_files(where: Path) -> None:
    """Raises ValueError where a folder has no tokenizer, or a file of it is damaged."""
    if not any((where / name).is_file() for name in VOCABULARIES):
        raise ValueError(
            f"student: {paths.movable(where)} has no tokenizer: {VOCABULARIES[0]}; copy it from "
            "where the folder came from."
        )
    for name in (*VOCABULARIES, *TOKENIZER):
        if (where / name).is_file():
            read = integrity.mapping if name.endswith(".json") else integrity.refuse_empty
            read("student", where / name)


def check(p: Params, config: PretrainedConfig) -> None:
    """Raises ValueError where the tokenizer lacks a token of the chat template or text, or has
    tokens that the model has no row for."""
    template = chat.template_for(p.student, p.chat_template)
    try:
        tokenizer = student.load_tokenizer(p)
        used = [template.bos, template.turn_start, template.turn_middle, template.pad]
        ids = [chat.token_id(tokenizer, token) for token in used if token]
        ids += chat.stop_ids(tokenizer, template)
        back = tokenizer.decode(tokenizer(SENTENCE, add_special_tokens=False)["input_ids"])
    except ValueError as error:
        if str(error).startswith("chat_template: "):
            raise
        raise ValueError(_unreadable(p, error)) from None
    except Exception as error:  # damaged files fail in many ways
        raise ValueError(_unreadable(p, error)) from None
    if "".join(back.split()) != "".join(SENTENCE.split()):
        raise ValueError(
            f"student: the tokenizer of {p.student} turns {SENTENCE!r} into {back!r}, so its files "
            "are incomplete; copy all of them again from where they came from."
        )
    rows = config.get_text_config().vocab_size
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    beyond = {
        token
        for token, i in tokenizer.get_vocab().items()
        if i >= rows and (i not in special or i in ids)
    }
    if beyond:
        raise ValueError(
            f"student: the tokenizer of {p.student} has {integrity.listed(beyond)} beyond the "
            f"{rows} tokens of config.json's vocab_size; take the tokenizer that belongs to the "
            "weights."
        )


def _unreadable(p: Params, error: Exception) -> str:
    return (
        f"student: the tokenizer of {p.student} cannot be read ({integrity.first_line(error)}); "
        f"copy {VOCABULARIES[0]} and {TOKENIZER[0]} again from where they came from."
    )
