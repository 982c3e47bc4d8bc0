"""Shared by the tests of sets from an API teacher: problems, their answers, parameters."""

import json

from distill_nb.traces import params

THINGS = ["pears", "plums", "limes", "figs", "nuts", "kiwis", "dates", "beans"]
PROBLEMS = [
    {
        "problem": f"In the garden of house {i}, {t} grow on {i + 2} trees, {i + 5} on each, and "
        "birds eat one of them. How many are left?",
        "answer": str((i + 2) * (i + 5) - 1),
    }
    for i, t in enumerate(THINGS)
]


def solved(prompt, n):
    """The right answer to a problem of PROBLEMS."""
    (answer,) = (p["answer"] for p in PROBLEMS if prompt.startswith(p["problem"]))
    return rf"Trees times fruits, less one: \boxed{{{answer}}}."


def write_problems(folder):
    """A file of PROBLEMS; its path."""
    file = folder / "problems.jsonl"
    file.write_text("".join(json.dumps(p) + "\n" for p in PROBLEMS))
    return str(file)


def settings(server, source, **changes):
    return params.pocket(
        **{
            "dataset": "sonnet_math",
            "teacher_api": "anthropic",
            "teacher_model": "claude-sonnet-4-5-20250929",
            "config": "none",
            "source": source,
            "teacher_url": server.url,
            "trace_from": "text",
            "max_cost": 10.0,
            "poll_seconds": 0.05,
            "n_examples": 5,
            "teacher_max_tokens": 1000,
        }
        | changes
    )
