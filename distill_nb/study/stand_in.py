"""A stand-in for the API teacher, on loopback, for the tiny study: no key, no network, nothing to
pay.

It speaks the Messages API as far as anthropic.py asks (one request, one answer) and answers the
generated problems of pocket.py with that module's terse traces. None of it is a teacher's
output."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from distill_nb.benchmarks import BOXED
from distill_nb.params import GENERATOR
from distill_nb.traces import pocket


def answer(prompt: str, n: int, seed: int = 0) -> str:
    """The trace of the problem that a prompt holds, among the n generated ones of either domain; ""
    for any other."""
    for domain in ("math", "code"):
        for row in pocket.pocket_traces(GENERATOR, domain, n, seed):
            if row["problem"].removesuffix(BOXED).strip() in prompt:
                return row["trace"]
    return ""


@contextlib.contextmanager
def serving(n: int, seed: int = 0) -> Iterator[str]:
    """Serve while the context lasts; yields the base URL. n, seed: of the generated problems, as in
    pocket.py."""
    handler = type("Handler", (_Handler,), {"n": n, "seed": seed})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    n, seed = 0, 0

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "{}")
        if self.path != "/v1/messages":
            return self._reply(
                404,
                {
                    "type": "error",
                    "error": {
                        "type": "not_found_error",
                        "message": "the stand-in teacher has plain messages only: teacher_mode: "
                        "messages",
                    },
                },
            )
        prompt = body["messages"][-1]["content"]
        text = answer(prompt, self.n, self.seed)
        self._reply(
            200,
            {
                "id": f"msg_{hashlib.sha256(prompt.encode()).hexdigest()[:16]}",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": len(prompt) // 4,
                    "output_tokens": len(text) // 4,
                    "service_tier": "standard",
                },
            },
        )

    def _reply(self, status: int, made: dict):
        data = json.dumps(made).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
