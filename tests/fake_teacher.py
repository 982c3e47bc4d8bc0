"""A server of our own on loopback that speaks the Messages, Message Batches and chat completions
APIs, with faults.

    with FakeTeacher(answer=lambda prompt, n: r"\\boxed{5}") as server:
        Settings(teacher_url=server.url, …)

`answer(prompt, n)` gives the n-th (from 1) answer to a prompt: a text, or a dict with any of text,
thinking, redacted, stop_reason, model, status (errored | expired | canceled), error (its type),
message (its text), or fault (as below, for a plain request). What it executes, it counts in `paid`.

Faults are lists that are used up one by one: `faults["POST /v1/messages/batches"] = [429, "drop",
"drop after", "cut"]`. 429 and the like: that status; "drop": the connection breaks before anything
is done; "drop after": after it was done; "cut": a stream of results breaks in the middle; "short":
it ends early at a whole line, without an error. A dict: a reply of its own, with any of status,
body (a text, or what becomes JSON), headers. `down = fault`: every call meets it, until None.
"""

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeTeacher:
    def __init__(self, answer, polls=1, shuffle=False, twice=False, echo_key=False):
        self.answer, self.polls, self.shuffle, self.twice, self.echo_key = (
            answer,
            polls,
            shuffle,
            twice,
            echo_key,
        )
        self.faults, self.paid, self.asked, self.down = {}, Counter(), Counter(), None
        self.calls, self.bodies, self.headers, self.batches, self.lock = (
            Counter(),
            [],
            [],
            {},
            threading.RLock(),
        )

    def __enter__(self):
        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (Handler,), {"fake": self})
        )
        self.server.daemon_threads = True
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def made(self, prompt):
        """The next answer to a prompt, as a dict."""
        with self.lock:
            self.asked[prompt] += 1
            found = self.answer(prompt, self.asked[prompt])
        found = {"text": found} if isinstance(found, str) else dict(found)
        if not {"status", "fault"} & found.keys():
            with self.lock:
                self.paid[prompt] += 1
        return found

    def message(self, body, found):
        thinking = found.get("thinking", "")
        content = [{"type": "thinking", "thinking": thinking, "signature": "s"}] if thinking else []
        content += [{"type": "redacted_thinking", "data": "x"}] * found.get("redacted", 0)
        usage = {"input_tokens": 100, "output_tokens": 50, "service_tier": "standard"}
        if thinking:
            usage["output_tokens_details"] = {"thinking_tokens": 30}
        return {
            "id": f"msg_{time.monotonic_ns()}",
            "type": "message",
            "role": "assistant",
            "model": found.get("model", body["model"]),
            "content": [*content, {"type": "text", "text": found["text"]}],
            "stop_reason": found.get("stop_reason", "end_turn"),
            "stop_sequence": None,
            "usage": usage,
        }

    def completion(self, body, found):
        message = {"role": "assistant", "content": found["text"]} | found.get("extra", {})
        choice = {"index": 0, "message": message, "finish_reason": found.get("stop_reason", "stop")}
        made = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": found.get("model", body["model"]),
            "choices": [choice],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }
        return {k: v for k, v in made.items() if not (k == "usage" and found.get("no_usage"))}

    def create_batch(self, body):
        with self.lock:
            batch_id = f"msgbatch_{len(self.batches):04d}"
            results = [
                {"custom_id": r["custom_id"], "result": self.result(r["params"])}
                for r in body["requests"]
            ]
            if self.shuffle:
                results.reverse()
            if self.twice:
                results = [r for r in results for _ in range(2)]
            self.batches[batch_id] = {
                "requests": body["requests"],
                "results": results,
                "polls": self.polls,
                "at": datetime.now(UTC),
            }
            return self.batch(batch_id)

    def result(self, params):
        found = self.made(params["messages"][-1]["content"])
        if found.get("status") == "errored":
            error = {
                "type": found.get("error", "api_error"),
                "message": found.get("message", "it failed"),
            }
            return {
                "type": "errored",
                "error": {"type": "error", "error": error, "request_id": "req_1"},
            }
        if "status" in found:
            return {"type": found["status"]}
        return {"type": "succeeded", "message": self.message(params, found)}

    def batch(self, batch_id):
        batch = self.batches[batch_id]
        ended, n = batch["polls"] <= 0, len(batch["requests"])
        kinds = Counter(
            r["result"]["type"] for r in {r["custom_id"]: r for r in batch["results"]}.values()
        )
        counts = {
            k: kinds[k] if ended else 0 for k in ("succeeded", "errored", "expired", "canceled")
        }
        return {
            "id": batch_id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": counts | {"processing": 0 if ended else n},
            "created_at": batch["at"].isoformat(),
            "expires_at": (batch["at"] + timedelta(days=1)).isoformat(),
            "ended_at": None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{self.url}/v1/messages/batches/{batch_id}/results" if ended else None,
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeTeacher

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_call("GET", None)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.handle_call("POST", json.loads(body) if body else {})

    def handle_call(self, method, body):
        path, _, query = self.path.partition("?")
        place = path.split("/")
        if path.startswith("/v1/messages/batches/"):
            place[4] = "*"
        name = f"{method} {'/'.join(place)}"
        with self.fake.lock:
            self.fake.calls[name] += 1
            if body is not None:
                self.fake.bodies.append(body)
                self.fake.headers.append(dict(self.headers))
            waiting = self.fake.faults.get(name, [])
            fault = self.fake.down or (waiting.pop(0) if waiting else None)
        if fault == "drop":
            return self.drop()
        if isinstance(fault, int):
            key = self.headers.get("authorization", "") if self.fake.echo_key else ""
            kind = {
                400: "invalid_request_error",
                401: "authentication_error",
                404: "not_found_error",
                429: "rate_limit_error",
                529: "overloaded_error",
            }.get(fault, "api_error")
            return self.reply(
                {"type": "error", "error": {"type": kind, "message": f"no: {key}"}}, fault
            )
        if isinstance(fault, dict):
            return self.reply(fault.get("body", ""), fault.get("status", 200), fault.get("headers"))
        self.answer(name, path, query, body, fault)

    def answer(self, name, path, query, body, fault):
        fake = self.fake
        if name == "POST /v1/messages":
            found = fake.made(body["messages"][-1]["content"])
            fault = found.get("fault", fault)
            made = "" if "fault" in found else fake.message(body, found)
        elif name == "POST /v1/chat/completions":
            found = fake.made(body["messages"][-1]["content"])
            fault = found.get("fault", fault)
            made = "" if "fault" in found else fake.completion(body, found)
        elif name == "POST /v1/messages/batches":
            made = fake.create_batch(body)
        elif name == "GET /v1/messages/batches":
            made = self.page(query)
        elif name == "GET /v1/messages/batches/*":
            with fake.lock:
                fake.batches[path.split("/")[4]]["polls"] -= 1
                made = fake.batch(path.split("/")[4])
        elif name == "POST /v1/messages/batches/*/cancel":
            made = fake.batch(path.split("/")[4])
        else:
            return self.results(fake.batches[path.split("/")[4]]["results"], fault)
        if fault == "drop after":
            return self.drop()
        if isinstance(fault, dict):
            return self.reply(fault.get("body", ""), fault.get("status", 200), fault.get("headers"))
        self.reply(made)

    def page(self, query):
        asked = dict(part.split("=") for part in query.split("&") if part)
        with self.fake.lock:
            ids = sorted(self.fake.batches, reverse=True)
            start = ids.index(asked["after_id"]) + 1 if "after_id" in asked else 0
            # short pages, so that there are several
            shown = ids[start : start + min(int(asked.get("limit", 20)), 2)]
            for batch_id in shown:
                self.fake.batches[batch_id]["polls"] -= 1
            return {
                "data": [self.fake.batch(i) for i in shown],
                "has_more": start + len(shown) < len(ids),
                "first_id": shown[0] if shown else None,
                "last_id": shown[-1] if shown else None,
            }

    def results(self, results, fault):
        lines = [json.dumps(r).encode() + b"\n" for r in results]
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for line in lines[: len(lines) // 2] if fault in ("cut", "short") else lines:
            self.chunk(line)
        if fault == "cut":
            self.chunk(lines[len(lines) // 2][:30])
            return self.drop()
        self.chunk(b"")

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def reply(self, made, status=200, headers=None):
        data = made.encode() if isinstance(made, str) else json.dumps(made).encode()
        kind = "text/html" if isinstance(made, str) else "application/json"
        about = {"content-type": kind} | ({"retry-after": "0.01"} if status == 429 else {})
        self.send_response(status)
        for header, value in (about | (headers or {})).items():
            self.send_header(header, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def drop(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()
