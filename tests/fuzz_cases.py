"""Shared by tests/fuzz: how long they search, values to change things to, and what counts as an
outcome: one sentence that names file and key, or a result."""

import json
import os
import re

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def search(examples):
    """Settings of a search: `examples` cases, the same ones each time. `make fuzz` looks at others,
    and at more: at DISTILL_NB_FUZZ times as many."""
    long = int(os.environ.get("DISTILL_NB_FUZZ", "0"))
    return settings(
        max_examples=long * examples or examples,
        derandomize=not long,
        database=None,
        deadline=None,
        suppress_health_check=SLOW,
        print_blob=True,
    )


texts = st.text(max_size=12)
numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.integers(-3, 3), st.floats(width=64), st.booleans(), st.none()
)
values = st.recursive(
    st.one_of(numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)


def outcome(call, *names):
    """(what `call` returns, "") or (None, the sentence that it refuses with, naming all `names`).
    Any other exception is a fault."""
    try:
        return call(), ""
    except ValueError as error:
        assert type(error) is ValueError, f"a traceback, not a sentence: {error!r}"
        said = str(error)
        assert_one_sentence(said)
        for name in names:
            assert name in said, f"{name!r} is not named: {said}"
        return None, said


def assert_one_sentence(said):
    """On one line, which ends as a sentence does; another library's words stand in brackets."""
    assert "\n" not in said and said.endswith("."), said
    assert "Error: " not in re.sub(r"\(.*\)", "", said), said


def as_json(value):
    """A line of JSON, surrogates and NaN included."""
    return json.dumps(value)
