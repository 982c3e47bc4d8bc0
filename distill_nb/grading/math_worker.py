"""One process of the pool in math_pool.py: pairs of answers on standard input, Math-Verify's
verdicts on standard output.

A line in: JSON [gold, answer, seconds]. A line out: JSON, one of `equal`, `different`, `timeout`,
`starved` (a time-out with so little processor time that the machine's load may be why) or `error:
…`. Here Math-Verify runs in the main thread, where its SIGALRM works (its issue #55), and under a
limit on memory."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time

from distill_nb.grading.sandbox import confine

MEMORY = 3 * 2**30  # bytes of address space: SymPy on a hostile answer may want any amount


def verdict(gold: str, answer: str, seconds: int) -> str:
    """Math-Verify's word on two LaTeX answers, each limited to `seconds` for its parsing and for
    the comparison."""
    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    try:
        sides = [
            parse(f"\\boxed{{{side}}}", parsing_timeout=seconds, raise_on_error=True)
            for side in (gold, answer)
        ]
        return (
            "equal"
            if all(sides) and verify(*sides, timeout_seconds=seconds, raise_on_error=True)
            else "different"
        )
    except TimeoutException:  # a BaseException
        return "timeout"
    except Exception as error:  # SymPy may fail in any way on an answer that means nothing
        return f"error: {type(error).__name__}: {error}"[:200]


def watch_over() -> None:
    """Fork a process that kills this one when the grader is gone: when the other end of standard
    input closes.

    SymPy may be at work in C, where no signal handler, no thread and no end of a file is noticed.
    The kernel's signal at the parent's death would not do either: it is tied to the thread that
    started the process, and the grader's threads come and go. To this process's main thread, which
    ends with it, the watcher itself is tied that way."""
    worker = os.getpid()
    if os.fork():
        return
    try:
        confine.die_with_parent()
        os.close(1)  # the grader waits for its end
        poll = select.poll()
        poll.register(0, 0)  # no questions, only the end
        poll.poll()
        if os.getppid() == worker:
            os.kill(worker, signal.SIGKILL)
    finally:
        os._exit(0)


def main() -> None:
    import logging
    import resource

    watch_over()
    with contextlib.suppress(OSError, ValueError):  # macOS refuses
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not be taken for a verdict
    for line in sys.stdin:
        gold, answer, seconds = json.loads(line)
        start = time.process_time()
        said = verdict(gold, answer, seconds)
        if said == "timeout" and time.process_time() - start < 0.8 * seconds:
            said = "starved"
        answers.write(json.dumps(said) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
