"""Code answers: the last complete fenced block outside the thinking, run with the benchmark's tests.

THIS IS NOT A SECURITY SANDBOX. The candidate runs as a process of this user, with limits on time and memory that stop
accidents (endless loops, huge lists, floods of output). It can still read and write this user's files, open sockets,
start processes that outlive it, and, if it sets out to, find the token that proves a pass. Grade only code of models
that you would run yourself; a hardened sandbox is to come.
"""
from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile

from ..benchmarks import Task
from . import Grade, missing, visible_text

SECONDS = 5.0      # wall time of one run, start of Python included
CPU_SECONDS = 5    # of processor time; reached first by code that runs on several cores
MEMORY = 2 ** 30   # bytes of address space
FILE_SIZE = 2 ** 20  # bytes of any file that it writes

# What the child runs. It takes code, tests and a random token from its input, and only after the last test has passed
# does it write the token to the result file: an early exit, however clean, is no pass. "ready" shows that the grader's
# own part worked, so that a child that never got there is our failure and not the student's.
RUNNER = """
import json, os, resource, sys

def limit(kind, value):
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))

def run():
    job = json.loads(sys.stdin.buffer.read())
    token, result = job.pop("token"), int(sys.argv[1])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0)
    for kind, value in job["limits"].items():
        limit(getattr(resource, kind), value)
    sys.dont_write_bytecode = True
    os.write(result, b"ready\\n")
    namespace = {"__name__": "candidate"}
    try:
        exec(compile(job["code"], "<candidate>", "exec"), namespace)
        exec(compile(job["tests"], "<tests>", "exec"), namespace)
    except BaseException as error:
        line, trace = "", error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename == "<tests>":
                line = " at: " + job["tests"].splitlines()[trace.tb_lineno - 1].strip()
            trace = trace.tb_next
        os.write(result, (type(error).__name__ + ": " + str(error)[:150] + line).encode("utf-8", "replace")[:600])
        os._exit(1)
    os.write(result, token.encode())
    os._exit(0)

run()
"""


def blocks(text: str) -> list[str]:
    """The contents of the complete fenced blocks of a text (``` or ~~~, at least three), in order."""
    found = re.finditer(r"^[ ]{0,3}(`{3,}|~{3,})[^\n`]*\n(.*?)^[ ]{0,3}\1[`~]*[ \t]*$", text, re.DOTALL | re.MULTILINE)
    return [match.group(2) for match in found]


def lenient_code(text: str, entry_point: str) -> str:
    """The code by a lenient reading: the last complete block that defines the entry point, else everything from the
    first line of code to the next fence or the end."""
    defining = [b for b in blocks(text) if re.search(rf"^def {re.escape(entry_point)}\b", b, re.MULTILINE)]
    if defining:
        return defining[-1]
    start = re.search(r"^(?:def|import|from|class) ", text, re.MULTILINE)
    return re.split(r"^\s*```", text[start.start():], maxsplit=1, flags=re.MULTILINE)[0] if start else ""


def run(code: str, tests: str, seconds: float = SECONDS) -> tuple[str, str]:
    """Run code and then tests in a process of its own, in an empty folder and an empty environment.

    Returns (outcome, detail): correct, wrong (an assertion or any other exception, an early exit, a crash), timeout
    (`seconds` of wall time or CPU_SECONDS) or grader_error (the process could not be started)."""
    token = secrets.token_hex(16)
    limits = {"RLIMIT_CPU": CPU_SECONDS, "RLIMIT_AS": MEMORY, "RLIMIT_FSIZE": FILE_SIZE, "RLIMIT_CORE": 0}
    job = json.dumps({"code": code, "tests": tests, "token": token, "limits": limits}).encode()
    with (tempfile.TemporaryFile() as result,
          tempfile.TemporaryDirectory(prefix="grade", ignore_cleanup_errors=True) as folder):
        try:
            child = subprocess.Popen(
                [sys.executable, "-I", "-c", RUNNER, str(result.fileno())], cwd=folder, env={}, stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[result.fileno()],
                start_new_session=True)
        except OSError as error:
            return "grader_error", f"could not start Python: {error}"
        timed_out = False
        try:
            child.communicate(job, timeout=seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _kill_group(child)
        result.seek(0)
        ready, _, said = result.read(2000).decode("utf-8", "replace").partition("\n")
    if ready != "ready":
        return "grader_error", f"the runner did not start within {seconds} s (exit status {child.returncode})"
    if said == token and not timed_out:
        return "correct", ""
    if timed_out or child.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timeout", f"stopped after {seconds} s, or {CPU_SECONDS} s of processor time"
    return "wrong", said.replace(token, "") or f"ended before the tests had passed (exit status {child.returncode})"


def _kill_group(child: subprocess.Popen) -> None:
    """Kill the child and what it started in its process group, and take its exit status."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty (macOS says so by the second)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def grade(task: Task, completion: str, finish_reason: str) -> Grade:
    """Grade a code answer. The lenient reading is run only where the strict one is not correct and reads otherwise."""
    text = visible_text(completion)
    complete, lenient = blocks(text), lenient_code(text, task.entry_point)
    code = complete[-1] if complete else ""
    if code.strip():
        outcome, detail = run(code, task.tests)
    else:
        outcome, detail = missing(finish_reason), "no complete code block outside the thinking"
    lenient_outcome = outcome
    if outcome != "correct" and lenient.strip() and lenient != code:
        lenient_outcome = run(lenient, task.tests)[0]
    return Grade(outcome, code, detail, lenient_outcome)
