"""A hub of our own on loopback that takes uploads: the calls that huggingface_hub makes to create a
repository, its branches and tags, and to commit files, small ones in the commit and large ones by
Git LFS. It keeps every byte, and refuses what the hub refuses.

    with PublishHub() as hub:
        … huggingface_hub with HF_ENDPOINT=hub.url and HF_TOKEN=hub.token
        hub.files("model", "org/name", "main")      # {path: bytes}

`fails` maps the beginning of a call, "POST /api/models/org/name/commit/main", to the statuses of
its next answers. `private` has the repositories that were made so, `calls` what was asked."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TOKEN, USER = "hf_a_token_of_the_tests", "ada"
LARGE = (".safetensors", ".parquet", ".bin")  # go by LFS, as on the hub


class PublishHub:
    token = TOKEN

    def __init__(self):
        self.repositories, self.objects, self.private = {}, {}, set()
        self.calls, self.fails, self.uploaded = [], {}, []
        self.readable = True  # whether the token may write

    def __enter__(self):
        handler = type("Handler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def create(self, kind, name):
        """A new repository: branch → commits, each the whole tree {path: bytes}."""
        first = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}
        self.repositories[kind, name] = {"branches": {"main": [first]}, "tags": {}}
        return self.repositories[kind, name]

    def files(self, kind, name, revision):
        """The files of a branch or tag, without the hub's own."""
        repository = self.repositories[kind, name]
        tree = repository["tags"].get(revision) or repository["branches"][revision][-1]
        return {path: data for path, data in tree.items() if path != ".gitattributes"}


def head(commits):
    """A commit's id: of its content and its place."""
    listed = [
        len(commits),
        sorted((p, hashlib.sha1(d).hexdigest()) for p, d in commits[-1].items()),
    ]
    return hashlib.sha1(json.dumps(listed).encode()).hexdigest()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: PublishHub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.route()

    def do_HEAD(self):
        self.route()

    def do_POST(self):
        self.route()

    def do_PUT(self):
        self.route()

    def route(self):
        hub, path = self.hub, unquote(self.path.partition("?")[0])
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        call = f"{self.command} {path}"
        hub.calls.append(call)
        for begin, statuses in hub.fails.items():
            if call.startswith(begin) and statuses:
                return self.reply({"error": "a fault of the tests"}, statuses.pop(0))
        if path.startswith("/lfs/"):  # an address that is its own secret, as S3's
            return self.put(path.rpartition("/")[2])
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.reply({"error": "Invalid username or password."}, 401)
        if path == "/api/whoami-v2":
            return self.reply({"type": "user", "name": USER, "orgs": [], "auth": {}})
        if self.command != "GET" and not hub.readable:
            return self.reply({"error": "You don't have the rights to do this"}, 403)
        if path == "/api/validate-yaml":
            return self.validate()
        if path == "/api/repos/create":
            return self.create()
        lfs = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path)
        if lfs:
            return self.batch()
        resolve = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        api = re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(\w+)(?:/(.*))?)?", path)
        kind = ("dataset" if resolve[1] else "model") if resolve else api[1]
        name = resolve[2] if resolve else api[2]
        repository = hub.repositories.get((kind, name))
        if repository is None:
            return self.reply({"error": "Repository not found"}, 404, code="RepoNotFound")
        if resolve:
            return self.raw(repository, resolve[3], resolve[4])
        verb, rest = api[3] or "about", api[4] or "main"
        return getattr(self, f"on_{verb}")(repository, kind, name, rest)

    # ---- repositories

    def create(self):
        asked = json.loads(self.body)
        name, kind = f"{asked['organization']}/{asked['name']}", asked.get("type") or "model"
        if (kind, name) in self.hub.repositories:
            return self.reply({"error": "You already created this model repo"}, 409)
        self.hub.create(kind, name)
        if asked.get("private") or asked.get("visibility") == "private":
            self.hub.private.add((kind, name))
        self.reply({"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def on_about(self, repository, kind, name, _):
        commits = repository["branches"]["main"]
        private = (kind, name) in self.hub.private
        self.reply({"id": name, "sha": head(commits), "private": private, "siblings": [],
                    "tags": [], "downloads": 0, "likes": 0, "gated": False})  # fmt: skip

    def on_refs(self, repository, *_):
        refs = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": head(commits)}
                for name, commits in repository["branches"].items()]  # fmt: skip
        self.reply({"branches": refs, "converts": [], "tags": []})

    def on_branch(self, repository, kind, name, branch):
        if branch in repository["branches"]:
            return self.reply({"error": "Reference already exists"}, 409)
        start = json.loads(self.body or b"{}").get("startingPoint", "main")
        repository["branches"][branch] = list(repository["branches"][start])
        self.reply({})

    def on_tag(self, repository, kind, name, revision):
        tag = json.loads(self.body)["tag"]
        if tag in repository["tags"]:
            return self.reply({"error": "Tag reference exists already"}, 409)
        repository["tags"][tag] = dict(repository["branches"][revision][-1])
        self.reply({})

    # ---- files

    def on_tree(self, repository, kind, name, branch):
        if branch not in repository["branches"]:
            return self.reply({"error": "Invalid rev id"}, 404, code="RevisionNotFound")
        entries = []
        for path, data in sorted(repository["branches"][branch][-1].items()):
            entry = {"type": "file", "path": path, "size": len(data), "oid": git_sha1(data)}
            if path.endswith(LARGE):
                oid = hashlib.sha256(data).hexdigest()
                entry |= {"oid": "0" * 40, "lfs": {"oid": oid, "size": len(data), "pointerSize": 9}}
            entries.append(entry)
        self.reply(entries)

    def raw(self, repository, branch, path):
        data = repository["branches"][branch][-1].get(path)
        if data is None:
            return self.reply({"error": "Entry not found"}, 404, code="EntryNotFound")
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def validate(self):
        import yaml

        text = json.loads(self.body)["content"]
        metadata = yaml.safe_load(text.split("---\n")[1])
        errors = []
        if metadata.get("license") == "unlicence":
            errors.append({"message": '"license" must be one of [apache-2.0, mit, …]'})
        self.reply({"errors": errors, "warnings": []}, 400 if errors else 200)

    def on_preupload(self, repository, kind, name, branch):
        tree = repository["branches"][branch][-1]
        made = []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(LARGE) else "regular"
            made.append({"path": path, "uploadMode": mode, "shouldIgnore": False})
            if path in tree and mode == "regular":
                made[-1]["oid"] = git_sha1(tree[path])
        self.reply({"files": made})

    def batch(self):
        asked, objects = json.loads(self.body), []
        for one in asked["objects"]:
            if one["oid"] not in self.hub.objects:
                href = f"{self.hub.url}/lfs/{one['oid']}"
                one = one | {"actions": {"upload": {"href": href, "header": {}}}}
            objects.append(one)
        self.reply({"transfer": "basic", "objects": objects})

    def put(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid, "another content than announced"
        self.hub.objects[oid] = self.body
        self.hub.uploaded.append(oid)
        self.reply({})

    def on_commit(self, repository, kind, name, branch):
        first, *lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        commits = repository["branches"][branch]
        if first["value"].get("parentCommit", head(commits)) != head(commits):
            return self.reply({"error": "A commit has happened since."}, 412)
        tree = dict(commits[-1])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                data = self.hub.objects.get(value["oid"])
                if data is None or len(data) != value["size"]:
                    return self.reply({"error": "LFS pointer pointed to a missing object"}, 400)
                tree[value["path"]] = data
            elif value["path"] not in tree:
                return self.reply({"error": "A file with this name doesn't exist"}, 404)
            else:
                del tree[value["path"]]
        commits.append(tree)
        oid = head(commits)
        url = f"{self.hub.url}/{name}/commit/{oid}"
        self.reply({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def reply(self, value, status=200, code=""):
        data = json.dumps(value).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if status >= 400 and "error" in value:
            self.send_header("X-Error-Message", value["error"])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
