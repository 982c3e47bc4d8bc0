import tracemalloc

import numpy as np
import pytest
from helpers import encode_example, tiny

from distill_nb.students import chat, student
from distill_nb.students.chat import IGNORE
from distill_nb.traces import ledger


@pytest.fixture(scope="module")
def loaded():
    p = tiny()
    return student.load_tokenizer(p), chat.template_for(p.student)


def row(i, trace, problem="q"):
    return {"id": str(i), "problem": problem, "trace": trace, "answer": ""}


LONG = "<think>\n" + "so " * 150 + "\n</think>\n"


def test_what_a_cut_loses_is_counted_one_by_one(loaded):
    tokenizer, template = loaded
    rows = [
        row(0, r"<think>short</think> \boxed{1}"),
        row(1, LONG + r"\boxed{2}"),
        row(2, LONG + "```python\nx = 1\n```"),
        row(3, "say " * 200),
        row(4, r"\boxed{5} " + "and " * 200),
        row(5, "x", problem="q " * 400),
    ]
    examples, book = ledger.encode_traces(tokenizer, template, rows, 100, "truncate")
    assert (book["traces"], book["over_max_length"], book["lost_end_token"], book["examples"]) == (
        6,
        5,
        5,
        5,
    )
    assert (book["with_think"], book["lost_closing_think"]) == (3, 2)
    # row 4 keeps its box, far in front
    assert (book["with_boxed_answer"], book["lost_boxed_answer"]) == (3, 1)
    assert (book["with_code_block"], book["lost_code_block"]) == (1, 1)
    assert (book["nothing_left_to_train"], book["missing"]) == (1, 1)
    end = chat.token_id(tokenizer, template.turn_end)
    assert [int(e["input_ids"][-1]) == end for e in examples] == [True, False, False, False, False]
    assert all(len(e["input_ids"]) <= 100 for e in examples)
    assert (
        book["tokens_trained_on"]
        == sum(int((e["labels"] != IGNORE).sum()) for e in examples)
        == book["trained_if_cut"]
    )
    assert book["trained_if_dropped"] == int((examples[0]["labels"] != IGNORE).sum())
    shown = ledger.table({"tiny": book})["tiny"]
    assert shown["over max_length"] == "5 (83.3%)" and shown["cut: lose </think>"] == "2 (66.7%)"


def test_dropped_traces_are_replaced_from_the_reserve_or_counted_as_missing(loaded):
    tokenizer, template = loaded
    rows = [row(i, "long " * 300 if i % 2 else "short") for i in range(6)]
    kept, book = ledger.encode_traces(tokenizer, template, rows, 100, "drop")
    assert (len(kept), book["refilled"], book["missing"], book["over_max_length"]) == (3, 0, 3, 3)
    spare = [row(10 + i, "long " * 300 if i != 4 else "a spare one") for i in range(400)] + [
        row(999, "another")
    ] * 5
    kept, book = ledger.encode_traces(tokenizer, template, rows, 100, "drop", spare)
    assert (len(kept), book["refilled"], book["missing"]) == (6, 3, 0)
    texts = [tokenizer.decode(e["input_ids"][e["labels"] != IGNORE]) for e in kept]
    assert [t.split(template.turn_end)[0] for t in texts] == ["short"] * 3 + [
        "a spare one",
        "another",
        "another",
    ]


def test_many_encoded_together_are_as_each_alone_and_the_cache_gives_the_same(
    loaded, tmp_path, monkeypatch
):
    tokenizer, template = loaded
    monkeypatch.setattr(ledger, "CACHED_FROM", 3)
    rows = [row(i, "é <|eot_id|> " * i + rf"\boxed{{{i}}}") for i in range(300)]
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path))
    tokens = ledger.tokens_of(tokenizer, template, rows)
    again = ledger.tokens_of(tokenizer, template, rows)
    (folder,) = (tmp_path / "tokens").iterdir()
    assert isinstance(again.ids, np.memmap)
    for i in (0, 1, 255, 256, 299):
        alone = encode_example(tokenizer, template, chat.messages_of(rows[i]))
        for found in (tokens[i], again[i]):
            assert found[0].tolist() == alone["input_ids"]
            assert (
                alone["labels"][: found[1]] == [IGNORE] * found[1]
                and IGNORE not in alone["labels"][found[1] :]
            )
    stamp = folder.stat().st_mtime_ns
    ledger.tokens_of(tokenizer, template, [*rows[:-1], row(0, "other")])
    assert len(list((tmp_path / "tokens").iterdir())) == 2 and folder.stat().st_mtime_ns == stamp


class Walk:
    """Traces that are made when they are asked for."""

    def __init__(self, n, size):
        self.n, self.size = n, size

    def __len__(self):
        return self.n

    def __iter__(self):
        return (row(i, f"{i} " + "a" * self.size + rf"\boxed{{{i}}}") for i in range(self.n))


def test_many_traces_are_measured_without_being_all_in_memory(loaded, tmp_path, monkeypatch):
    tokenizer, template = loaded
    monkeypatch.setattr(ledger, "CHUNK", 8)
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path))
    walk = Walk(ledger.CACHED_FROM + 200, 3000)
    # imports
    ledger.measure(
        tokenizer, ledger.tokens_of(tokenizer, template, Walk(10, 100)), Walk(10, 100), 64
    )
    tracemalloc.start()
    tokens = ledger.tokens_of(tokenizer, template, walk)
    book = ledger.measure(tokenizer, tokens, walk, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(tokens.ids) > 1200 * 300 and peak < 0.5 * walk.n * walk.size
    assert (book["traces"], book["over_max_length"], book["lost_boxed_answer"]) == (
        1200,
        1200,
        1200,
    )
    some = list(walk)[700:703]
    few = ledger.tokens_of(tokenizer, template, some)
    for i in range(3):
        assert tokens[700 + i][0].tolist() == few[i][0].tolist() and tokens[700 + i][1] == few[i][1]
