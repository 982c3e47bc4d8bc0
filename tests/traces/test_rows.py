"""Rows of local files: what is read, what may stand, what is refused, and what is trained on."""

import json
import re

import pytest
from helpers import encode_example, tiny

from distill_nb.grading.extract import visible_text
from distill_nb.runtime import paths
from distill_nb.students import chat, student
from distill_nb.traces import ledger, load, rows

STUDENTS = ["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B-Base"]
PAGE = paths.ROOT / "docs" / "data.md"
USER = {"role": "user", "content": "What is 6 + 5?"}
LAST = {"role": "assistant", "content": r"\boxed{11}"}
WHOLE = "<think>\nsix and five\n</think>\n\n\\boxed{11}"


def talk(*messages, **row):
    return {"messages": [*messages], **row}


def asked(**row):
    return {"problem": "What is 6 + 5?", "trace": r"\boxed{11}", **row}


def learnt(row):
    return chat.messages_of(rows.trace_of(row, "data.jsonl: line 3"))[-1]["content"]


@pytest.mark.parametrize(
    "row",
    [
        *(asked(**{key: "six and five"}) for key in rows.REASONING),
        *(talk(USER, LAST | {key: " six and five\n"}) for key in rows.REASONING),
        # some servers say the same under two names
        talk(USER, LAST | {"reasoning": "six and five", "reasoning_content": "six and five"}),
        talk(USER, LAST | {"reasoning": "six and five", "thinking": "  ", "tool_calls": []}),
        talk(
            USER,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "six and five", "signature": "ab="},
                    {"type": "text", "text": r"\boxed", "thinking": None},
                    {"type": "text", "text": "{11}"},
                ],
            },
        ),
    ],
)
def test_reasoning_is_learnt_as_thinking_before_the_answer(row):
    assert learnt(row) == WHOLE
    assert visible_text(learnt(row)).strip() == r"\boxed{11}"


@pytest.mark.parametrize("name", STUDENTS)
def test_the_loss_falls_on_the_last_turn_with_its_thinking(name):
    p = tiny(student=name)
    tokenizer, template = student.load_tokenizer(p), chat.template_for(name)
    first = [
        {"role": "system", "content": "Add."},
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 7 more?"},
    ]
    row = talk(*first, LAST | {"reasoning": "six and five"}, id=0)
    made = rows.trace_of(row, "x")
    assert made["id"] == "0"
    example = encode_example(tokenizer, template, made["messages"])
    prompt = chat.prompt_ids(tokenizer, template, first)
    n = len(prompt)
    assert example["input_ids"][:n] == prompt
    assert example["labels"][:n] == [chat.IGNORE] * n
    trained = example["labels"][n:]
    assert chat.IGNORE not in trained
    assert tokenizer.decode(trained) == WHOLE + template.turn_end
    examples, book = ledger.encode_traces(
        tokenizer, template, [made, rows.trace_of(talk(USER, LAST), "x")], 200, "truncate"
    )
    assert examples[0]["labels"].tolist() == example["labels"]
    assert (book["several_turns"], book["with_think"]) == (1, 1)
    shown = ledger.table({"tiny": book})["tiny"]
    assert shown["of several turns: only the last is trained on"] == "1 (50.0%)"
    assert len(ledger.table({"tiny": book | {"several_turns": 0}})) == len(shown) - 1


def test_bookkeeping_may_stand_and_absent_keys_are_absent():
    extra = dict.fromkeys(rows.BOOKKEEPING - {"id"}, 1) | {"meta_by": "me", "metadata": {"a": [1]}}
    nothing = {"system": "", "tools": [], "tool_calls": None, "function_call": {}}
    plain = {"id": "r1", "problem": "What is 6 + 5?", "trace": r"\boxed{11}", "answer": "0"}
    assert rows.trace_of(asked(id="r1", answer=0) | extra | nothing, "x") == plain
    assert rows.trace_of(asked(answer=10**400), "x")["answer"] == "1" + 400 * "0"
    message = LAST | {"id": "m1", "meta_by": "me", "name": None, "refusal": None, "audio": {}}
    row = talk(
        USER | {"timestamp": 5}, message, id=7, answer="11", problem=None, **extra, **nothing
    )
    assert rows.trace_of(row, "x") == {"id": "7", "messages": [USER, LAST]}


def test_an_empty_system_message_is_absent_and_what_changes_nothing_may_stand():
    plain = {"id": "r1", "messages": [USER, LAST]}
    for content in ("", None, []):
        row = talk({"role": "system", "content": content}, USER, LAST, id="r1")
        assert rows.trace_of(row, "x") == plain
    assert rows.trace_of(talk(USER | {"weight": 1}, LAST | {"weight": 1.0}, id="r1"), "x") == plain
    assert rows.trace_of(asked(id=1.0), "x")["id"] == rows.trace_of(asked(id=1), "x")["id"] == "1"


def test_without_its_empty_system_message_a_conversation_has_the_templates_own():
    name = "HuggingFaceTB/SmolLM2-135M-Instruct"
    template = chat.template_for(name)
    tokenizer = student.load_tokenizer(tiny(student=name))
    row = talk({"role": "system", "content": ""}, USER, LAST)
    made = rows.trace_of(row, "x")["messages"]
    shown = tokenizer.decode(encode_example(tokenizer, template, made)["input_ids"])
    assert template.system and template.system in shown


TEXT = {"type": "text", "text": "a"}
REFUSED = [  # row, what the sentence names
    *((asked(**{k: "a"}), repr(k)) for k in ("system", "prompt", "solution", "tools", "new")),
    (
        {"prompt": "a", "completion": "b", "new": 1},
        "'prompt' is not read here: call what the student is asked problem; nor are 'completion', "
        "'new'.",
    ),
    # a remedy leads to no other refusal
    (asked(prompt="a"), "'prompt' is not read here: take it out, or put meta_ before its name."),
    ({"problem": "a", "solution": "b"}, "'solution' is not read here: call what the student learn"),
    (asked(solution="a", correct=True), "'correct' is not read here: take out the rows that it"),
    (talk(USER, LAST, prompt="a"), "'prompt' is not read here: take it out, or put meta_"),
    (talk(USER, LAST, solution="a"), "'solution' is not read here: take it out, or put meta_"),
    (talk(USER, LAST | {"question": "a"}), "'question' is not read here: take it out, or"),
    (
        {"problem": "a", "solution": "b", "deepseek_thinking_trajectory": "c"},
        "'deepseek_thinking_trajectory' is not read here: call the reasoning thinking, as one text,"
        " and what follows it trace; nor is 'solution'.",
    ),
    (
        {"problem": "a", "solution": "b", "generations": ["c"], "finish_reasons": ["stop"]},
        "'generations' is not read here: write a row with problem and trace for each that is to be "
        "learnt; nor is 'solution'.",
    ),
    (
        {"system": "a", "conversations": [{"from": "human", "value": "a"}]},
        "'conversations' is not read here: write them as messages, with from as role (human as "
        "user, gpt as assistant), value as content, and system as the first message; nor is "
        "'system'.",
    ),
    (asked(**{f"k{i}": 1 for i in range(40)}), "before its name; nor are 'k1', 'k2', 'k3', "),
    (asked(**{f"k{i}": 1 for i in range(40)}), "'k30' and 9 more."),
    *(
        (asked(**{k: v}), repr(k))
        for k, v in {"weight": 0, "train": False, "is_correct": 0}.items()
    ),
    (
        asked(messages=[USER, LAST]),
        "'problem' is not read here: give the row problem and trace, or",
    ),
    (asked(trace=""), "trace is missing or empty"),
    (asked(trace="\u200b \n"), "trace is missing or empty"),
    (asked(problem=["a"]), "problem is no text"),
    (asked(trace=None), "trace is missing or empty"),
    (asked(trace=WHOLE, reasoning="six"), "reasoning beside it, which would be there twice"),
    (asked(reasoning="six</think>"), "which would be there twice"),
    (asked(trace="<think>\nsix\n</think>\n"), "says nothing after its thinking"),
    (asked(trace="<think>\nsix, so 11"), "does not end it"),
    (asked(trace="It is 11. <think>\nNo, wait"), "does not end it"),
    (asked(reasoning="six", thinking="seven"), "do not say the same"),
    (asked(reasoning=["six"]), "reasoning is no text"),
    (asked(answer=True), "answer is no text or number"),
    (asked(answer=[1]), "answer is no text or number"),
    *((asked(id=i), "id is no text or whole number") for i in (1.5, 1e300, True)),
    ({}, "problem is missing or empty; give every row problem and trace, or messages"),
    *((talk(USER, LAST, **{k: "a"}), repr(k)) for k in ("system", "tools", "trace", "reasoning")),
    *((talk(USER, LAST | {k: 0}), f"message 2: {k!r}") for k in ("weight", "name", "tool_calls")),
    *(
        (talk(USER, LAST | {"weight": w}), "message 2: 'weight' is not read here: take out what")
        for w in (True, 0.5, 2, "1")
    ),
    (talk(USER, LAST, weight=1), "line 3: 'weight' is not read here"),
    (talk({"role": "system"}, LAST), "no turn of the user's"),
    (talk({"role": "system", "thinking": "a"}, USER, LAST), "message 1: content is missing"),
    (talk({"role": "system", "content": ""}, USER, USER, LAST), "message 3: role 'user' is out of"),
    (talk({"role": "system", "content": ""}, USER | {"content": ""}, LAST), "message 2: content"),
    (talk(USER | {"function_call": {"name": "f"}}, LAST), "message 1: 'function_call'"),
    ({"messages": "hi"}, "messages must be a list"),
    (talk("a", "b"), "messages must be a list"),
    (talk(USER), "must end with the assistant's turn"),
    (talk(LAST), "no turn of the user's"),
    (talk({"role": "system", "content": "a"}, LAST), "no turn of the user's"),
    (talk({"role": "developer", "content": "a"}, USER, LAST), "message 1: role 'developer'"),
    (talk(USER, {"role": "tool", "content": "4"}, LAST), "message 2: role 'tool'"),
    (talk(USER, {"role": "system", "content": "a"}, LAST), "message 2: role 'system' is out of"),
    (talk(USER, USER, LAST), "message 2: role 'user' is out of turn"),
    (talk(LAST, USER, LAST), "message 1: role 'assistant' is out of turn"),
    *(
        (talk(USER, LAST | {"content": c}), "message 2: content is missing")
        for c in ("", " ", None)
    ),
    (talk(USER, {"role": "assistant", "reasoning": "a"}), "message 2: content is missing"),
    (talk(USER | {"content": ""}, LAST), "message 1: content is missing"),
    (talk(USER | {"content": 5}, LAST), "message 1, part 1 of content is not"),
    (talk(USER | {"content": ["a"]}, LAST), "part 1 of content is not"),
    (talk(USER | {"content": [TEXT, {"type": "image_url"}]}, LAST), "part 2 of content is not"),
    (talk(USER | {"content": [TEXT | {"citations": [1]}]}, LAST), "part 1 of content: 'citations'"),
    (talk(USER | {"content": [{"type": "text"}]}, LAST), "part 1 of content has no text"),
    (
        talk(USER, LAST | {"content": [TEXT, {"type": "thinking", "thinking": "a"}]}),
        "part 2 of content is not",
    ),
    (
        talk(
            USER, LAST | {"content": [{"type": "thinking", "thinking": "a"}, TEXT], "thinking": "b"}
        ),
        "as a key and in content",
    ),
    (talk(USER | {"reasoning": "a"}, LAST), "message 1: reasoning is read in the assistant's last"),
    (talk(USER, LAST | {"thinking": "a"}, USER, LAST), "message 2: reasoning is read in the"),
    (talk(USER, LAST | {"content": WHOLE}, USER, LAST), "message 2: reasoning is read in the"),
    (talk(USER, LAST | {"content": "<think>a"}), "message 2: content says nothing after its"),
]


@pytest.mark.parametrize(("row", "words"), REFUSED)
def test_what_would_change_what_is_learnt_is_refused_with_file_line_and_key(row, words, tmp_path):
    file = tmp_path / "own.jsonl"
    good = json.dumps(asked())
    file.write_text("\n".join([good, "", json.dumps(row), good]))
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        load.traces_and_spare(str(file), "r1", "math", 1, 0)
    said = str(error.value)
    assert said.startswith(f"{file}: line 3")
    assert said.endswith(".") and "\n" not in said and ". " not in said.removeprefix(str(file))


def test_the_rows_of_a_parquet_file_are_read_alike(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    file = tmp_path / "own.parquet"
    calls = [{"name": "add"}]
    parquet.write_table(pa.Table.from_pylist([talk(USER, LAST), talk(USER, LAST)]), file)
    kept, _ = load.traces_and_spare(str(file), "r1", "math", 2, 0)
    assert [row["messages"] for row in kept] == [[USER, LAST]] * 2
    # a key of one message is there, and null, in all
    table = [talk(USER, LAST), talk(USER, LAST | {"tool_calls": calls})]
    parquet.write_table(pa.Table.from_pylist(table), file)
    with pytest.raises(ValueError, match="row 2, message 2: 'tool_calls' is not read here"):
        load.traces_and_spare(str(file), "r1", "math", 2, 0)
    numbers = [asked(answer=1.0, score=float("nan")), asked(answer=float("nan"), score=0.5)]
    parquet.write_table(pa.Table.from_pylist(numbers), file)
    with pytest.raises(ValueError, match="row 2: answer is no text or number"):
        load.traces_and_spare(str(file), "r1", "math", 2, 0)


def blocks(kind):
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in found for line in block.splitlines()]


def test_the_examples_of_the_page_are_read_as_it_says(tmp_path):
    good, bad = blocks("json"), blocks("json refused")
    assert len(good) >= 7 and len(bad) >= 9
    file = tmp_path / "page.jsonl"
    file.write_text("\n".join(good))
    kept, _ = load.traces_and_spare(str(file), "r1", "math", len(good), 0)
    texts = [chat.messages_of(row)[-1]["content"] for row in kept]
    assert sum(text.startswith("<think>\n") for text in texts) == 4
    assert all(visible_text(text).strip().endswith("}") or "boxed" in text for text in texts)
    for line in bad:
        file.write_text(line)
        with pytest.raises(ValueError, match="line 1"):
            load.traces_and_spare(str(file), "r1", "math", 1, 0)


def test_the_page_lists_every_key_that_may_stand():
    text = PAGE.read_text(encoding="utf-8")
    listed = text.split("\n## Bookkeeping\n")[1].split("They are not read:")[1].split("\n\n")[1]
    assert set(re.findall(r"`(\w+)`", listed)) == rows.BOOKKEEPING
    for key in {*rows.PROBLEM_AND_TRACE, *rows.WITH_MESSAGES, *rows.MESSAGE}:
        assert re.search(rf"^\|.*`{key}`.* \|", text, re.MULTILINE), key
