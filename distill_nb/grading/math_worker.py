"""One process of the pool in math_pool.py: answers on standard input, verdicts on standard output.

A line in: JSON [gold, answer, seconds], both in their plain form. A line out: JSON, a verdict of
math_values.py. SymPy in C hears no signal handler; two seconds later the kernel ends the process
by SIGXCPU."""

import contextlib
import json
import logging
import math
import os
import select
import signal
import sys
import time

from distill_nb.grading import math_values
from distill_nb.grading.sandbox import confine

ENDED = select.POLLHUP | select.POLLERR | select.POLLNVAL
MEMORY = 3 * 2**30  # bytes of address space: a hostile answer can make SymPy take any amount


def watch_over() -> None:
    """Fork a watcher that kills this process when the other end of standard input closes.

    SymPy may be running in C, which lets no signal handler or other thread run. The kernel's signal
    at the parent's death would not do: it is tied to the thread that started the process, and the
    grader's threads come and go. The watcher's parent is this main thread, so there it will do."""
    worker = os.getpid()
    if os.fork():
        return
    try:
        confine.die_with_parent()
        os.close(1)  # else the grader would not see it end
        poll = select.poll()
        poll.register(
            0, select.POLLHUP
        )  # only its end; macOS tells none for 0, and of questions too
        while not any(event & ENDED for _, event in poll.poll()) and os.getppid() == worker:
            time.sleep(0.1)
        if os.getppid() == worker:
            os.kill(worker, signal.SIGKILL)
    finally:
        os._exit(0)


def main() -> None:
    """Answer questions until standard input ends."""
    import resource

    watch_over()
    with contextlib.suppress(OSError, ValueError):  # macOS refuses
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that nothing a library prints is taken for a verdict
    for line in sys.stdin:
        gold, answer, seconds = json.loads(line)
        end = math.ceil(time.process_time() + seconds) + 2
        if most == resource.RLIM_INFINITY or end <= most:
            resource.setrlimit(resource.RLIMIT_CPU, (end, most))
        said = math_values.verdict(gold, answer, seconds)
        answers.write(json.dumps(said) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
