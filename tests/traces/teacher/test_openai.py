"""A teacher behind an OpenAI-compatible API."""

import pytest
from fake_teacher import FakeTeacher
from teacher_cases import MARKS, boxed, made, settings, stored

from distill_nb.traces.teacher import generation

pytestmark = MARKS


def test_an_openai_compatible_teacher(tmp_path, monkeypatch):
    ok = r"So \boxed{5}."
    forms = [
        {"text": ok, "extra": {"reasoning_content": "Hm."}},
        {"text": ok, "extra": {"reasoning": "Hm."}},
        {"text": f"<think>\nHm.\n</think>\n\n{ok}"},
        {"text": f"Hm.\n</think>\n\n{ok}"},
        {"text": ok},
        {"text": "<think>\nHm. and then", "stop_reason": "length"},
        {"text": "no", "extra": {"refusal": "no"}},
        {"text": f"<think>\nHm.\n</think>\n\n{ok}", "no_usage": True},
    ]
    problems = [
        {"id": f"p{i}", "problem": f"Say {i} in \\boxed{{}}.", "answer": "5"}
        for i in range(len(forms))
    ]
    monkeypatch.delenv("OPENAI_API_KEY")  # a server of one's own needs none
    with FakeTeacher(lambda p, n: forms[int(p.split()[1])]) as server:
        server.faults = {"POST /v1/chat/completions": [429]}
        s = settings(
            server,
            teacher_api="openai",
            teacher_mode="messages",
            teacher_url=f"{server.url}/v1",
            teacher_model="deepseek-ai/DeepSeek-R1",
            trace_from="thinking_and_text",
            teacher_temperature=0.6,
        )
        g = generation.generate(s, problems, tmp_path / "t", verify=boxed)
        with pytest.raises(
            ValueError, match=r"max_cost is \$0\.00"
        ):  # 0 sends nothing, even where it costs nothing
            made(
                settings(
                    server,
                    teacher_api="openai",
                    teacher_mode="messages",
                    max_cost=0.0,
                    teacher_model="deepseek-ai/DeepSeek-R1",
                ),
                tmp_path / "u",
            )
    rows = list(g.rows())
    assert [r["id"] for r in rows] == ["p0", "p1", "p2", "p3", "p7"]
    assert {r["trace"] for r in rows} == {f"<think>\nHm.\n</think>\n\n{ok}"} and {
        r["thinking_kind"] for r in rows
    } == {"full"}
    assert g.rejected == [("p4", "no_thinking"), ("p5", "max_tokens"), ("p6", "refusal")]
    assert server.bodies[-1] | {"messages": 0} == {
        "model": "deepseek-ai/DeepSeek-R1",
        "messages": 0,
        "max_tokens": 1000,
        "temperature": 0.6,
    }
    uncounted = next(r for r in stored(tmp_path / "t") if r["id"] == "p7")
    # the bound, where the server counts nothing
    assert uncounted["usage"] == {} and uncounted["output_tokens"] == 1000
    assert stored(tmp_path / "t")[0]["mode"] == "messages"
