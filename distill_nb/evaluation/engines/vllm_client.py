"""The evaluation's side of vllm_process: start it, exchange JSON lines, learn why it ended."""

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

TAIL = 2**15  # bytes of the end of its stderr that are read
ERROR = re.compile(r"\b\w*(Error|Exception): .*")
HARMLESS = "Tokenizer not available"  # vLLM tries a chat template at its start, and goes on without
SILENCE = 1800  # seconds; loading takes minutes, and then signs of life come every few seconds


class Process:
    """One vllm_process, with which JSON lines are exchanged."""

    def __init__(self, settings: dict, environment: dict[str, str]):
        self.silence, self._received = SILENCE, b""
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
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        self.send(settings)

    def send(self, message: dict) -> None:
        """Raises EngineFailed where the process has ended."""
        try:
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()
        except OSError as error:
            raise EngineFailed(f"vLLM's process ended: {self._last_words()}") from error

    def receive(self) -> dict:
        """The next message. Raises EngineFailed where the process ends, fails or hangs."""
        message: dict = {"alive": True}
        while "alive" in message:
            line = self._line()
            message = json.loads(line) if line else {"failed": self._last_words()}
        if failed := message.get("failed"):
            raise EngineFailed(f"vLLM failed: {failed}{self._cause(failed)}")
        return message

    def _line(self) -> bytes:
        """A whole line, b"" at the end."""
        while b"\n" not in self._received:
            if not select.select([self._output], [], [], self.silence)[0]:
                raise EngineFailed(f"vLLM hangs: it has said nothing for {self.silence} seconds")
            part = os.read(self._output.fileno(), 2**16)
            if not part:
                return b""
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _kill(self) -> None:
        """End the process and all that it started: one of those holds the GPU's memory."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _cause(self, failed: str) -> str:
        """The last error on stderr that `failed` does not name: of vLLM's own processes."""
        matches = [ERROR.search(line) for line in disk.end_of(self._errors, TAIL)]
        errors = [match[0].strip() for match in matches if match]
        others = [e for e in errors if e not in failed and HARMLESS not in e]
        return f" (before that: {others[-1][:500]})" if others else ""

    def _last_words(self) -> str:
        self._kill()
        lines = [line for line in disk.end_of(self._errors, TAIL) if line.strip()]
        return f"{lines[-1] if lines else 'no word'} (exit status {self._process.returncode})"

    def close(self) -> None:
        """End the process."""
        self._kill()
        for file in (self._input, self._output, self._errors):
            with contextlib.suppress(OSError):
                file.close()
