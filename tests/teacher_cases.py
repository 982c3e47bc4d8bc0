"""Shared by the tests of API teachers: problems, settings for a FakeTeacher, and what came of
them."""

import pytest
from fake_teacher import FakeTeacher
from helpers import needs_teachers

from distill_nb.runtime import jsonl
from distill_nb.traces.teacher import generation
from distill_nb.traces.teacher.settings import Settings

# Sonnet 4.5 is
MARKS = [
    needs_teachers,
    pytest.mark.usefixtures("teacher_keys"),
    pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning"),
]
ASKED = {
    "teacher_api": "anthropic",
    "teacher_model": "claude-sonnet-4-5-20250929",
    "trace_from": "text",
}
PROBLEMS = [
    {"id": f"p{i}", "problem": f"Say {i} in \\boxed{{}}.", "answer": str(i)} for i in range(6)
]
TEXTS = [p["problem"] for p in PROBLEMS]


def right(prompt, n):
    return rf"So it is \boxed{{{prompt.split()[1]}}}."


def boxed(problem, trace):
    """Verification without the graders' processes, which take seconds to start."""
    return "correct" if rf"\boxed{{{problem['answer']}}}" in trace else "wrong"


def settings(server, **changes):
    return Settings(
        **ASKED
        | {
            "teacher_url": server.url,
            "max_cost": 100.0,
            "poll_seconds": 0.05,
            "batch_size": 3,
            "teacher_max_tokens": 1000,
        }
        | changes
    )


def made(s, folder, problems=PROBLEMS, **more):
    g = generation.generate(s, problems, folder, verify=boxed, **more)
    return [r["id"] for r in g.rows()], g.rejected


def stored(folder):
    return jsonl.read(folder / "responses.jsonl")


ALL = [p["id"] for p in PROBLEMS]
MESSAGE = FakeTeacher.message
