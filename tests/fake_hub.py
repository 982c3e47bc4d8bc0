"""A hub of our own on loopback: its API and its files, by ranges too, with faults; and two other
servers that a study asks, evalplus's releases and an API of messages.

    with FakeHub() as hub:
        hub.add("dataset", "org/name", commit, {"data/a.parquet": bytes})

A file is its bytes, or a number: a size that is listed and not served. `listed` gives a file
another sha256 in the hub's listing than it has. `refuses` is what every download of a repository
answers: (status, X-Error-Code, X-Error-Message). A repository in `hangs` answers nothing."""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

GATED = (403, "GatedRepo", "Access to model is restricted.")


@dataclass
class Repository:
    commit: str
    files: dict
    gated: bool | str = False
    refuses: tuple | None = None
    listed: dict = field(default_factory=dict)


class FakeHub:
    def __init__(self):
        self.repositories, self.plain, self.hangs = {}, {}, set()
        self.served, self.asked, self.answer = 0, [], None
        self.ended, self.lock = threading.Event(), threading.Lock()

    def __enter__(self):
        handler = type("Handler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that has read enough
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def add(self, kind, hub_id, commit, files, **more):
        self.repositories[kind, hub_id] = Repository(commit, dict(files), **more)
        return self.repositories[kind, hub_id]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.route()

    def do_GET(self):
        self.route()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.hub.asked.append((self.path, asked))
        status, body = self.hub.answer(self.path, asked)
        self.reply(json.dumps(body).encode(), status)

    def route(self):
        path = unquote(self.path.partition("?")[0])
        if path.startswith("/v1/"):
            self.hub.asked.append((path, None))
            status, body = self.hub.answer(path, None)
            return self.reply(json.dumps(body).encode(), status)
        if path in self.hub.plain:
            return self.reply(self.hub.plain[path])
        api = re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(revision|tree)/(.*))?", path)
        file = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path)
        if not (api or file):
            return self.refuse(404, "RepoNotFound", "Repository not found")
        kind = api[1] if api else "dataset" if file[1] else "model"
        hub_id = (api or file)[2]
        if hub_id in self.hub.hangs:
            self.hub.ended.wait(60)
            return None
        repository = self.hub.repositories.get((kind, hub_id))
        if not repository:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        revision, _, place = (api[4] or "main").partition("/") if api else (file[3], "", file[4])
        if revision not in ("main", repository.commit):
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file:
            return self.file(repository, place)
        return self.tree(repository, place) if api[3] == "tree" else self.about(hub_id, repository)

    def about(self, hub_id, repository):
        names = repository.files
        siblings = [
            {"rfilename": n, "size": self.size(repository, n), "lfs": self.lfs(repository, n)}
            for n in names
        ]
        made = {"id": hub_id, "sha": repository.commit, "siblings": siblings, "tags": []}
        made |= {"gated": repository.gated, "private": False, "downloads": 0, "likes": 0}
        self.reply(json.dumps(made).encode())

    def tree(self, repository, place):
        found = [n for n in repository.files if n.startswith(f"{place}/" if place else "")]
        if not found:
            return self.refuse(404, "EntryNotFound", f"{place} does not exist")
        entries = []
        for name in found:
            lfs = self.lfs(repository, name)
            entry = {"type": "file", "oid": "0" * 40, "path": name}
            entry["size"] = self.size(repository, name)
            entries.append(entry | ({"lfs": {**lfs, "oid": lfs["sha256"]}} if lfs else {}))
        self.reply(json.dumps(entries).encode())

    def size(self, repository, name):
        content = repository.files[name]
        return content if isinstance(content, int) else len(content)

    def lfs(self, repository, name):
        """As the hub has it of large files; here of those with these ends."""
        content = repository.files[name]
        if not name.endswith((".parquet", ".jsonl", ".safetensors")):
            return None
        sha256 = hashlib.sha256(content if isinstance(content, bytes) else b"").hexdigest()
        found = {"sha256": repository.listed.get(name, sha256), "pointerSize": 130}
        return found | {"size": self.size(repository, name)}

    def file(self, repository, name):
        if repository.refuses:
            return self.refuse(*repository.refuses)
        if name not in repository.files:
            return self.refuse(404, "EntryNotFound", f"{name} does not exist")
        content = repository.files[name]
        size = self.size(repository, name)
        content = b"" if isinstance(content, int) else content
        etag = f'"{hashlib.sha256(content + name.encode()).hexdigest()}"'
        more = {"X-Repo-Commit": repository.commit, "ETag": etag, "X-Linked-ETag": etag}
        more["X-Linked-Size"] = str(size)
        status, asked = 200, re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if asked:
            status, end = 206, min(int(asked[2] or size), size - 1)
            content = content[int(asked[1]) : end + 1]
            more["Content-Range"] = f"bytes {asked[1]}-{end}/{size}"
        self.reply(content, status, more, size if self.command == "HEAD" else None)

    def refuse(self, status, code, message):
        more = {"X-Error-Code": code, "X-Error-Message": message}
        self.reply(b"", status, {k: v for k, v in more.items() if v})

    def reply(self, body, status=200, more=None, length=None):
        self.send_response(status)
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            for start in range(0, len(body), 2**16):
                self.wfile.write(body[start : start + 2**16])
                with self.hub.lock:
                    self.hub.served += len(body[start : start + 2**16])
