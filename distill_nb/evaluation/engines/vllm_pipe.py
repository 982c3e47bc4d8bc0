"""The evaluation's end of a vllm_process: start it, say and hear JSON lines, know why it ended, end
it and all below it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile

from distill_nb.evaluation.engines.types import EngineFailed
from distill_nb.runtime import disk

SAID = 2**15  # bytes of the end of what a process says on stderr
ERROR = re.compile(r"\b\w*(Error|Exception): .*")
SILENCE = 1800  # seconds: loading a large student takes minutes; while it generates, a sign of life comes every few seconds


class Process:
    """One vllm_process, spoken to by JSON lines."""

    def __init__(self, settings: dict, environment: dict[str, str]):
        self.silence, self._heard = SILENCE, b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        # a group of its own: vLLM starts more processes
        self._process = subprocess.Popen(
            [sys.executable, "-m", "distill_nb.evaluation.engines.vllm_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )
        self.say(settings)

    def say(self, message: dict) -> None:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise EngineFailed(f"vLLM's process ended: {self._last_words()}") from error

    def hear(self) -> dict:
        """The next line. Raises EngineFailed where there is none, or one that says why, or silence
        for too long."""
        message = {"alive": True}
        while "alive" in message:
            line = self._line()
            message = json.loads(line) if line else {"failed": self._last_words()}
        if "failed" in message:
            raise EngineFailed(f"vLLM failed: {message['failed']}{self._cause(message['failed'])}")
        return message

    def _line(self) -> bytes:
        """A whole line, b"" at the end."""
        output = self._process.stdout.fileno()
        while b"\n" not in self._heard:
            if not select.select([output], [], [], self.silence)[0]:
                raise EngineFailed(f"vLLM hangs: it has said nothing for {self.silence} seconds")
            part = os.read(output, 2**16)
            if not part:
                return b""
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _kill(self) -> None:
        """End the process and all that it has started: on a GPU the weights are in one of those."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _cause(self, failed: str) -> str:
        """The last error but the one that it says it failed of: vLLM's own processes write down
        theirs, and the message only that they have failed."""
        found = [
            match[0].strip()
            for line in disk.end_of(self._errors, SAID)
            if (match := ERROR.search(line))
        ]
        other = [error for error in found if error not in failed]
        return f" (before that: {other[-1][:500]})" if other else ""

    def _last_words(self) -> str:
        self._kill()
        said = [line for line in disk.end_of(self._errors, SAID) if line.strip()]
        return f"{said[-1] if said else 'no word'} (exit status {self._process.returncode})"

    def close(self) -> None:
        self._kill()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                file.close()
