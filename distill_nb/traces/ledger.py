"""The length ledger: traces as tokens, and what the length limit does to them.

A cut trace has lost its end token, and often its closing </think>, its boxed answer or its code: a
student of such traces learns to think without end. The published study cut at 4,096 tokens, which
is short for DeepSeek-R1, and could not say how many traces that hit."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distill_nb.grading.blocks import blocks
from distill_nb.grading.extract import visible_text
from distill_nb.grading.math_answer import last_boxed
from distill_nb.runtime import paths, progress, provenance
from distill_nb.students import chat
from distill_nb.students.chat import IGNORE, Template, messages_of
from distill_nb.traces.files import StoredTraces

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

CHUNK = 64  # traces tokenised together; a token takes some 200 bytes meanwhile
CACHED_FROM = 1000  # traces; fewer are tokenised again each time
QUANTILES = (5, 25, 50, 75, 95)
Traces = Sequence[dict] | StoredTraces


@dataclass
class Tokens:
    """Traces as tokens, uncut: trace i is ids[ends[i - 1]:ends[i]], of which the first prompts[i]
    are the prompt. int32."""

    ids: np.ndarray
    ends: np.ndarray
    prompts: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return self.ids[self.ends[i - 1] if i else 0 : self.ends[i]], int(self.prompts[i])

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.ends, prepend=0)


def tokens_of(tokenizer: PreTrainedTokenizerBase, template: Template, traces: Traces) -> Tokens:
    """Tokenise traces on all cores. CACHED_FROM or more are kept below paths.cache(), and neither
    they nor their tokens are ever all in memory."""
    if len(traces) < CACHED_FROM:
        pieces: list[np.ndarray] = []
        ends, prompts = _tokenise(tokenizer, template, traces, pieces.append)
        return Tokens(np.concatenate([np.zeros(0, np.int32), *pieces]), ends, prompts)
    folder = paths.cache() / "tokens" / _hash(tokenizer, template, traces)
    if not folder.is_dir():
        beside = folder.with_suffix(f".{os.getpid()}.partial")
        beside.mkdir(parents=True, exist_ok=True)
        with open(beside / "ids.int32", "wb") as file:
            ends, prompts = _tokenise(
                tokenizer, template, traces, lambda ids: file.write(ids.tobytes())
            )
        np.save(beside / "ends.npy", ends)
        np.save(beside / "prompts.npy", prompts)
        try:
            os.replace(beside, folder)
        except OSError:  # another process was first
            shutil.rmtree(beside)
    return Tokens(
        np.memmap(folder / "ids.int32", np.int32, "r"),
        np.load(folder / "ends.npy"),
        np.load(folder / "prompts.npy"),
    )


def _hash(tokenizer: PreTrainedTokenizerBase, template: Template, traces: Traces) -> str:
    fast = getattr(tokenizer, "backend_tokenizer", None)
    content = fast.to_str() if fast is not None else sorted(tokenizer.get_vocab().items())
    made_with = [template.hash, provenance.sha256_of_json(content)]
    found = hashlib.sha256(provenance.sha256_of_json(made_with).encode())
    for trace in traces:
        found.update(provenance.sha256_of_json(messages_of(trace)).encode())
    return found.hexdigest()[:32]


def _tokenise(
    tokenizer: PreTrainedTokenizerBase,
    template: Template,
    traces: Traces,
    keep: Callable[[np.ndarray], object],
) -> tuple[np.ndarray, np.ndarray]:
    """(ends, prompts) as in Tokens; each trace's ids go to keep()."""
    lengths, prompts, left = [], [], iter(traces)
    n, few = len(traces), len(traces) < CACHED_FROM
    bar = progress.bar(total=n, desc="tokenising", unit="trace", disable=few, mininterval=1)
    with bar:
        while chunk := [messages_of(t) for t in itertools.islice(left, CHUNK)]:
            for ids, n_prompt in chat.encode_many(tokenizer, template, chunk):
                keep(np.array(ids, np.int32))
                lengths.append(len(ids))
                prompts.append(n_prompt)
            bar.update(len(chunk))
    return np.cumsum(lengths, dtype=np.int64), np.array(prompts, np.int32)


def example(ids: np.ndarray, n_prompt: int, max_length: int) -> dict | None:
    """{"input_ids", "labels"} of a cut trace, int32 [L]; None where only the prompt is left."""
    ids = np.array(ids[:max_length])
    if len(ids) <= n_prompt:
        return None
    labels = ids.copy()
    labels[:n_prompt] = IGNORE
    return {"input_ids": ids, "labels": labels}


def encode_traces(
    tokenizer: PreTrainedTokenizerBase,
    template: Template,
    traces: list[dict],
    max_length: int,
    overlong: str,
    spare: Sequence[dict] = (),
) -> tuple[list[dict], dict]:
    """(examples, ledger): traces over max_length tokens are cut, or dropped and replaced by as many
    from `spare` that fit. One whose prompt fills max_length alone is always dropped.

    The ledger is that of `measure` over the traces as they came, with examples, refilled (from
    spare), missing (not to be replaced), tokens and tokens_trained_on of the examples."""
    tokens = tokens_of(tokenizer, template, traces)
    examples = _examples(tokens, max_length, overlong)
    book = measure(tokenizer, tokens, traces, max_length)
    place, refilled = 0, 0
    while overlong == "drop" and (gaps := len(traces) - len(examples)) and place < len(spare):
        more = spare[place : place + max(CHUNK, 2 * gaps)]
        fitting = _examples(tokens_of(tokenizer, template, more), max_length, overlong)[:gaps]
        examples, refilled, place = examples + fitting, refilled + len(fitting), place + len(more)
    book |= {
        "overlong": overlong,
        "examples": len(examples),
        "refilled": refilled,
        "missing": len(traces) - len(examples),
        "tokens": sum(len(e["input_ids"]) for e in examples),
        "tokens_trained_on": int(sum((e["labels"] != IGNORE).sum() for e in examples)),
    }
    return examples, book


def _examples(tokens: Tokens, max_length: int, overlong: str) -> list[dict]:
    made = [
        example(*tokens[i], max_length)
        for i in range(len(tokens))
        if overlong == "truncate" or tokens.lengths[i] <= max_length
    ]
    return [e for e in made if e]


def measure(
    tokenizer: PreTrainedTokenizerBase, tokens: Tokens, traces: Traces, max_length: int
) -> dict:
    """What cutting at max_length does to traces: how many are over it, and how many have earlier
    turns of the assistant's, which are not trained on; how many lose their end
    token, </think>, boxed answer (outside the thinking) or code block, and how many had these;
    their lengths, and a histogram of these; how many tokens, prompts apart, would be trained on,
    cut or with the long ones dropped."""
    had, several_turns = dict.fromkeys(("think", "answer", "code"), 0), 0
    lost = dict(had)
    lengths, trained = tokens.lengths, tokens.lengths - tokens.prompts
    for i, trace in enumerate(traces):
        messages = messages_of(trace)
        several_turns += any(m["role"] == "assistant" for m in messages[:-1])
        whole = _shows(messages[-1]["content"])
        cut = whole
        if lengths[i] > max_length:
            ids, n_prompt = tokens[i]
            cut = _shows(tokenizer.decode(ids[n_prompt:max_length]))
        for name in had:
            had[name] += whole[name]
            lost[name] += whole[name] and not cut[name]
    over = lengths > max_length
    kept = np.clip(max_length - tokens.prompts, 0, None)
    return {
        "traces": len(traces),
        "several_turns": several_turns,
        "max_length": max_length,
        "over_max_length": int(over.sum()),
        "nothing_left_to_train": int((tokens.prompts >= max_length).sum()),
        "lost_end_token": int(over.sum()),
        "lost_closing_think": lost["think"],
        "lost_boxed_answer": lost["answer"],
        "lost_code_block": lost["code"],
        "with_think": had["think"],
        "with_boxed_answer": had["answer"],
        "with_code_block": had["code"],
        **{f"tokens_p{q}": int(np.percentile(lengths, q)) if len(traces) else 0 for q in QUANTILES},
        "longest": int(lengths.max(initial=0)),
        "length_bins": _bins(lengths, max_length),
        "tokens_of_traces": int(trained.sum()),
        "trained_if_cut": int(np.minimum(trained, kept).sum()),
        "trained_if_dropped": int(trained[~over].sum()),
    }


def _bins(lengths: np.ndarray, max_length: int) -> dict:
    """A histogram: bin k counts traces of k * width + 1 to (k + 1) * width tokens; the last of the
    hundred also all that are longer."""
    width = -(-max_length // 20)
    places = np.minimum((np.maximum(lengths, 1) - 1) // width, 99)
    return {"width": width, "counts": np.bincount(places).tolist()}


SHOWN = [  # key, label, what its share is of
    ("traces", "traces", None),
    ("several_turns", "of several turns: only the last is trained on", "traces"),
    ("over_max_length", "over max_length", "traces"),
    ("lost_end_token", "cut: lose the end token", "traces"),
    ("lost_closing_think", "cut: lose </think>", "with_think"),
    ("lost_boxed_answer", "cut: lose the boxed answer", "with_boxed_answer"),
    ("lost_code_block", "cut: lose the code", "with_code_block"),
    ("nothing_left_to_train", "prompt alone fills max_length", "traces"),
    *((f"tokens_p{q}", f"tokens, {q}% quantile", None) for q in QUANTILES),
    ("longest", "tokens, longest", None),
    ("tokens_of_traces", "tokens of the traces", None),
    ("trained_if_cut", "trained on, cut", "tokens_of_traces"),
    ("trained_if_dropped", "trained on, long ones dropped", "tokens_of_traces"),
    ("examples", "examples", None),
    ("refilled", "taken from the reserve", None),
    ("missing", "missing", None),
]


def table(books: dict[str, dict]) -> pd.DataFrame:
    """Ledgers side by side as a table of texts, one column each."""
    import pandas as pd

    def cell(book: dict, key: str, of: str | None) -> str:
        share = ""
        if of:
            share = f" ({100 * book[key] / book[of]:.1f}%)" if book[of] else " (none has one)"
        return f"{book[key]:,}{share}"

    rows = [row for row in SHOWN if all(row[0] in book for book in books.values())]
    if not any(book.get("several_turns") for book in books.values()):
        rows = [row for row in rows if row[0] != "several_turns"]
    columns = {name: [cell(book, key, of) for key, _, of in rows] for name, book in books.items()}
    return pd.DataFrame(columns, index=pd.Index([label for _, label, _ in rows], name=""))


def _shows(text: str) -> dict[str, bool]:
    """Whether a trace has a closed thinking, and outside it a boxed answer and code."""
    visible = visible_text(text)
    return {
        "think": "</think>" in text,
        "answer": last_boxed(visible) is not None,
        "code": bool(blocks(visible)),
    }
