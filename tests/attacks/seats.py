"""What the tests of the sandbox share: a job that must pass, and workers that are driven
directly."""

import contextlib

import pytest

from distill_nb.grading import sandbox
from distill_nb.grading.sandbox import Job, compare, function_tests, pool, run

compare.SECONDS, run.LOAD_SECONDS = 1, 1.0  # the tests' time is short

ADD = function_tests("f", [[1], [2], [-1]], [2, 3, 0], seconds=5.0)
HONEST = Job("import json, textwrap\ndef f(x): return x + len(json.loads('[1]'))", ADD)


def open_seat(level):
    """Yield a worker at a level; no job is run a second time, so that attacks that hang are met
    once."""
    if reason := sandbox.why_unavailable(level):
        pytest.skip(f"level {level}: {reason}")
    with contextlib.closing(pool.Seat(level)) as seat:
        # Both workers, with numpy and without, are there before a test counts processes.
        for job in (HONEST, Job(f"import numpy\n{HONEST.code}", ADD)):
            assert seat.run(job).outcome == "correct"
        yield seat
