"""Settings of an API teacher that cannot stand."""

import pytest
from teacher_cases import ASKED

from distill_nb.traces.teacher.settings import Settings


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
