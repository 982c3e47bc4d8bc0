"""Settings of an API teacher that cannot stand."""

import pytest
from teacher_cases import ASKED

from distill_nb.traces.teacher import anthropic
from distill_nb.traces.teacher.settings import Settings
from distill_nb.traces.teacher.store import open_store


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"teacher_api": "none"}, "teacher_api is 'none': name it"),
        ({"teacher_model": "none"}, "teacher_model is 'none': name it"),
        (
            {"thinking_budget": 1000},
            "thinking_budget is 1000, and the Anthropic API takes at least 1024",
        ),
        (
            {"thinking_budget": 2000, "teacher_max_tokens": 2000},
            "not less than teacher_max_tokens 2000",
        ),
        ({"thinking_budget": 2000, "teacher_temperature": 0.5}, "takes only 1: write 1"),
        ({"trace_from": "thinking"}, "trace_from is 'thinking' but thinking_budget is 0"),
        ({"teacher_api": "openai"}, "teacher_mode is 'batch' but teacher_api is openai"),
        ({"teacher_api": "openai", "teacher_mode": "messages", "thinking_budget": 2000}, "write 0"),
        ({"teacher_mode": "messages", "teacher_max_tokens": 30000}, "write at most 21333"),
        ({"teacher_url": "localhost:8000"}, "which is no URL"),
        ({"teacher_mode": "bulk"}, "teacher_mode is 'bulk': choose from batch, messages"),
        ({"batch_size": 100_001}, "at most 100000"),
        ({"max_cost": "5"}, "max_cost is the text '5' and not a number"),
        ({"teacher_temperature": 1.5}, "takes at most 1"),
        (
            {"teacher_thinking": "adaptive", "teacher_temperature": 0.5},
            "teacher_thinking is adaptive, which takes only 1: write 1",
        ),
        (
            {"teacher_thinking": "adaptive", "thinking_budget": 2000},
            "teacher_thinking is 'adaptive' but there is a thinking_budget",
        ),
        (
            {"teacher_thinking": "between_tools", "teacher_effort": "max"},
            "teacher_effort is 'max' but teacher_thinking is between_tools: write at most high",
        ),
        ({"teacher_thinking": "off"}, "choose from default, disabled, between_tools, adaptive"),
        (
            {"teacher_api": "openai", "teacher_mode": "messages", "teacher_effort": "low"},
            "teacher_effort is 'low', which the OpenAI-compatible APIs do not take: write default",
        ),
    ],
)
def test_settings_that_cannot_stand(changes, says):
    with pytest.raises(ValueError) as error:
        Settings(**ASKED | changes)
    assert (
        says in str(error.value)
        and str(error.value).startswith("teacher settings: ")
        and str(error.value)[-1] == "."
    )


@pytest.mark.parametrize(
    "changes, sent",
    [
        ({}, {}),
        ({"thinking_budget": 1024}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ({"teacher_thinking": "between_tools"}, {"thinking": {"type": "between_tools"}}),
        (
            {"teacher_thinking": "adaptive", "trace_from": "thinking", "teacher_effort": "low"},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
            },
        ),
    ],
)
def test_how_claude_is_asked_to_think(changes, sent):
    made = anthropic.body(Settings(**ASKED | changes), "Why?")
    assert {k: made[k] for k in ("thinking", "output_config") if k in made} == sent


def test_a_store_from_before_these_keys_is_gone_on_with(tmp_path):
    fixed = {"teacher_model": "m", "teacher_thinking": "default", "teacher_effort": "default"}
    open_store(tmp_path, {"teacher_model": "m"}, "g", None)
    open_store(tmp_path, fixed, "g", None)
    with pytest.raises(ValueError, match="other values of teacher_thinking"):
        open_store(tmp_path, fixed | {"teacher_thinking": "adaptive"}, "g", None)
