"""One field of a valid row of a data or benchmark file is changed: what is learnt is all that the
row says, or the file is refused in one sentence that names file, line and what is wrong."""

import json

import fuzz_cases
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distill_nb.benchmarks import loading
from distill_nb.students.chat import messages_of
from distill_nb.traces import load, rows

GOOD = {"problem": "What is 1 + 1?", "trace": r"It is \boxed{2}."}
TRACE = {
    "id": "a",
    "problem": "What is 2 + 3?",
    "reasoning": "two and three",
    "trace": r"So \boxed{5}.",
    "answer": "5",
    "source": "by hand",
}
CHAT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 4 + 4?"},
        {"role": "assistant", "content": "eight"},
        {"role": "user", "content": [{"type": "text", "text": "And one?"}]},
        {"role": "assistant", "reasoning_content": "eight and one", "content": r"\boxed{9}"},
    ],
    "id": 7,
    "score": 0.5,
}
NOT_LEARNT = {*rows.BOOKKEEPING, "answer", "role", "type", "signature"}
READ = {*rows.REASONING, *rows.WITH_MESSAGES, *rows.PROBLEM_AND_TRACE, "role", "content"}
KEYS = sorted({*rows.IN_A_ROW, *READ, "name"})
WORDS = [
    "system", "user", "assistant", "tool", "text", "thinking", "<think>", "</think>", "\ud83d",
    "\u200b", "\ufeff",
]  # fmt: skip
BYTES = [b"\n", b"\xef\xbb\xbf", b"\0", b'"', b"NaN", b"\r"]
values = st.one_of(fuzz_cases.values, st.sampled_from(WORDS))


@st.composite
def changed_rows(draw):
    """A row with one key of one of its mappings set, renamed or removed, or one item of its lists
    removed, doubled or moved."""
    row = json.loads(json.dumps(draw(st.sampled_from([GOOD, TRACE, CHAT]))))
    places = list(containers(row))
    place = draw(st.sampled_from(places))
    if isinstance(place, list):
        i = draw(st.integers(0, len(place) - 1))
        change = draw(st.sampled_from(["remove", "double", "move", "set"]))
        if change == "remove":
            del place[i]
        elif change == "double":
            place.insert(i, json.loads(json.dumps(place[i])))
        elif change == "move":
            place.append(place.pop(i))
        else:
            place[i] = draw(values)
        return row
    change = draw(st.sampled_from(["set", "set", "remove", "rename"]))
    key = draw(st.sampled_from(sorted(place)))
    if change == "set":
        other = st.one_of(st.just(key), st.sampled_from(KEYS), st.text(max_size=5))
        place[draw(other)] = draw(values)
    elif change == "remove":
        del place[key]
    else:
        place[draw(st.sampled_from(KEYS))] = place.pop(key)
    return row


def containers(value):
    """The mappings and the lists that are not empty, in a value."""
    if isinstance(value, (dict, list)) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


def said(value):
    """What a row says beside bookkeeping and a weight of 1: its texts, numbers and truth values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            plain = key == "weight" and type(inner) in (int, float) and inner == 1
            if not key.startswith("meta_") and key not in NOT_LEARNT and not plain:
                yield from said(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from said(inner)
    elif value is not None:
        yield value


def learnt(file):
    """The messages of each row of a file, in any order."""
    found, _ = load.traces_and_spare(str(file), "t", "math", 3, 0)
    return [messages_of(trace) for trace in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def blank(text):
    return not any(c.isprintable() and not c.isspace() for c in text)


@fuzz_cases.search(150)
@given(row=changed_rows())
@example(row=TRACE)
@example(row=CHAT)
def test_all_that_a_row_says_is_learnt_or_it_is_refused(folder, row):
    file = folder / "rows.jsonl"
    file.write_text("".join(fuzz_cases.as_json(r) + "\n" for r in (GOOD, row, GOOD)))
    found, refused = fuzz_cases.outcome(lambda: learnt(file), "rows.jsonl")
    if refused:
        assert "line 2" in refused, refused
        return
    standing = [GOOD["problem"], GOOD["trace"]]
    (messages, *_) = [m for m in found if [x["content"] for x in m] != standing] or found
    text = "\n".join(message["content"] for message in messages)
    for part in said(row):
        assert isinstance(part, str), f"{part!r} was dropped from {row}"
        assert blank(part) or part.strip() in text, f"{part!r} was dropped from {row}"
    assert messages[-1]["role"] == "assistant" and messages[-2]["role"] == "user"


@fuzz_cases.search(100)
@given(data=st.data())
def test_damaged_bytes(folder, data):
    lines = [fuzz_cases.as_json(r).encode() + b"\n" for r in (GOOD, TRACE, CHAT)]
    whole = b"".join(lines)
    at = data.draw(st.integers(0, len(whole)))
    gone = data.draw(st.integers(0, 3))
    new = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from(BYTES)))
    file = folder / "damaged.jsonl"
    file.write_bytes(whole[:at] + new + whole[at + gone :])
    found, refused = fuzz_cases.outcome(lambda: learnt(file), "damaged.jsonl")
    if not refused:
        untouched = folder / "whole.jsonl"
        untouched.write_bytes(whole)
        same = [m for m in learnt(untouched) if m in found]
        assert len(same) >= 2, "a change within one row changed another"


MATH = {
    "problem": "What is 1 + 1?",
    "solution": "2",
    "answer": "2",
    "subject": "Algebra",
    "level": 1,
    "unique_id": "a/1.json",
}


@fuzz_cases.search(60)
@given(
    key=st.sampled_from([*MATH, "id", "question", "x"]),
    value=st.one_of(values, st.just("a/2.json")),
    gone=st.booleans(),
)
def test_a_benchmark_is_what_its_file_says_or_it_is_refused(folder, key, value, gone):
    other = MATH | {"unique_id": "a/2.json", "problem": "What is 2 + 2?", "answer": "4"}
    changed = {k: v for k, v in MATH.items() if k != key} if gone else MATH | {key: value}
    file = folder / "math.part.jsonl"
    file.write_text(fuzz_cases.as_json(other) + "\n" + fuzz_cases.as_json(changed) + "\n")
    tasks, refused = fuzz_cases.outcome(lambda: loading.load("math500", str(file)), file.name)
    if refused:
        assert key in refused or "line 2" in refused or "a/2.json" in refused, refused
        return
    assert len(tasks) == 2
    (task,) = [t for t in tasks if not t.prompt.startswith("What is 2 + 2?")]
    assert task.prompt.startswith(changed["problem"]) and task.gold == changed["answer"]
