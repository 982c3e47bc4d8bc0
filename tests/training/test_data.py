"""Where no trace can be trained on, the remedy is one that helps."""

import json

import pytest
from helpers import tiny

from distill_nb.training import data


@pytest.mark.parametrize("words, overlong, said", [
    (2, "drop", "fits 64 tokens; raise max_length, or set overlong to truncate."),
    (90, "drop", "fits 64 tokens; raise max_length."),
    (90, "truncate", "fits 64 tokens, not even cut; raise max_length."),
])  # fmt: skip
def test_no_trace_fits(words, overlong, said, tmp_path):
    file = tmp_path / "traces.jsonl"
    problems = [f"What is {i}" + " and 1" * words + "?" for i in range(18)]
    rows = [{"problem": p, "trace": r"It is \boxed{1}. " + "so " * 90} for p in problems]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    p = tiny(dataset=str(file), max_length=64, overlong=overlong)
    with pytest.raises(ValueError, match=r"^max_length: none of the 18 traces of ") as caught:
        data.prepare(p)
    assert str(caught.value).endswith(said)
