"""The students on the hub, as `doctor --online` asks for them: access, config, tokenizer, chat
template, and the size of the weights, which are not downloaded."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.plan import architectures
from distill_nb.students import chat, sources, student
from distill_nb.students.chat import Template
from distill_nb.study import online_hub
from distill_nb.study.doctor import Finding
from distill_nb.study.online_hub import Needs, size_text

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

CONVERSATION = [
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "2 + 2 = 4, so \\boxed{4}."},
    {"role": "user", "content": "And 3 + 3?"},
]
# What Llama 3.1's own template puts first, and ours leaves out (students/chat.py).
DATED = re.compile(
    r"<\|start_header_id\|>system<\|end_header_id\|>\s*Cutting Knowledge Date: [^\n]*\n"
    r"Today Date: [^\n]*\s*<\|eot_id\|>"
)
INSTEAD = "set student to a folder with a copy of it"
TOLERANCE = 0.02  # of the size of the weights: the files' headers
_counting = threading.Lock()  # building a model sets torch's default dtype


def look(p: Params, needs: Needs) -> Iterator[Finding]:
    """Yield what is found of a student."""
    try:
        about = online_hub.repository(p.student, None, "model", INSTEAD)
        commit = sources.check_student(p)
    except ValueError as error:
        yield Finding("access", "none", str(error))
        return
    gated = "gated, and opens to your token; " if about.gated else ""
    yield Finding("access", f"{gated}main is {commit[:8]}")
    config = student.config(p)
    yield _config(p, config)
    yield from _tokenizer(p)
    yield _weights(p, config, about, needs)


def _config(p: Params, config: PretrainedConfig) -> Finding:
    """The sizes that the plan counts with, where it knows the student."""
    known = architectures.KNOWN.get(p.student)
    if known is None:
        return Finding("config", f"{config.model_type}; the plan has no other to compare it with")
    other = [
        f"{key} {getattr(config, key, None)} for {value}"
        for key, value in known.items()
        if getattr(config, key, None) != value
    ]
    lack = "correct plan/architectures.py, and plan again" if other else ""
    return Finding("config", "; ".join(other) or f"{config.model_type}, as the plan has it", lack)


def _tokenizer(p: Params) -> Iterator[Finding]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sources.source(p))
    template = chat.template_for(p.student, p.chat_template)
    own_end = tokenizer.eos_token
    ends = (template.turn_end, template.also_stop)
    try:
        chat.set_special_tokens(tokenizer, template)
        for token in (template.turn_start, template.turn_middle, template.bos):
            if token:
                chat.token_id(tokenizer, token)
    except ValueError as error:
        yield Finding("special tokens", "are others", str(error))
        return
    lack = ""
    if own_end not in ends:
        lack = (
            f"its own end token is {own_end}, at which our answers do not stop: set chat_template "
            "to the one that fits"
        )
    yield Finding("special tokens", f"end {' or '.join(ends)}, padding {template.pad}", lack)
    yield _chat_template(tokenizer, template)


def _chat_template(tokenizer: PreTrainedTokenizerBase, template: Template) -> Finding:
    """One conversation by the student's own template and by ours, compared by token ids."""
    if not tokenizer.chat_template:
        return Finding("chat template", f"it has none; ours is {template.name}")
    text = tokenizer.apply_chat_template(CONVERSATION, tokenize=False, add_generation_prompt=True)
    plain = DATED.sub("", text)
    theirs = tokenizer(plain, add_special_tokens=False)["input_ids"]
    ours = chat.prompt_ids(tokenizer, template, CONVERSATION)
    if theirs == ours:
        dated = ", without its dated system header" if plain != text else ""
        return Finding("chat template", f"as {template.name}{dated}: {len(ours)} token ids agree")
    pairs = zip([*theirs, None], [*ours, None], strict=False)
    place = next(i for i, (a, b) in enumerate(pairs) if a != b)
    after, instead = (_words(tokenizer, ids[place : place + 6]) for ids in (theirs, ours))
    lack = (
        f"ours ({template.name}) has {instead}: set chat_template to the one that fits, or mend "
        "students/chat.py"
    )
    return Finding("chat template", f"at token {place} it has {after}", lack)


def _words(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return repr(tokenizer.decode(ids)) if ids else "its end"


def _weights(p: Params, config: PretrainedConfig, about: ModelInfo, needs: Needs) -> Finding:
    """The size of the files of the weights, by the hub's listing, beside the plan's."""
    found = online_hub.sizes(about)
    names = sources.weight_names(p.student, about.sha)
    if missing := [name for name in names if name not in found]:
        lack = "the student cannot be loaded: name a folder with all of it as student"
        return Finding("weights", f"{missing[0]} is not there", lack)
    needs[p.student] = online_hub.to_download(about, "model", names)
    size = sum(found[name] for name in names)
    planned = plan_counts(p, config)["parameters"] * student.bytes_of_number(p)
    lack = ""
    if abs(size - planned) > TOLERANCE * planned:
        lack = (
            f"the plan has {size_text(planned)}: the files are of other numbers, or incomplete; "
            "look at the model's page"
        )
    return Finding("weights", f"{size_text(size)} in {len(names)} files", lack)


def plan_counts(p: Params, config: PretrainedConfig) -> dict[str, int]:
    """As architectures.count, in one thread at a time."""
    with _counting:
        return architectures.count(config, p)
