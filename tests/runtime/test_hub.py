"""The hub, through the real huggingface_hub, from a server of our own that refuses, fails, hangs,
or gives a model."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from helpers import tiny

from distill_nb.runtime import paths
from distill_nb.students import sources

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISION = "f" * 40
# repository → (status, X-Error-Code, X-Error-Message); what the hub itself answers
REFUSALS = {
    "org/gated": (401, "GatedRepo", "Access to model org/gated is restricted."),
    "org/gated-to-token": (403, "GatedRepo", "Access to model org/gated-to-token is restricted."),
    "org/missing": (401, "RepoNotFound", "Repository not found"),
    "org/no-such": (404, "RepoNotFound", "Repository not found"),
    "org/bad-token": (401, None, "Invalid credentials in Authorization header"),
    "org/no-file": (404, "EntryNotFound", "Entry not found"),
    "org/no-revision": (404, "RevisionNotFound", "Invalid rev id"),
    "org/broken": (500, None, None),
    "org/forbidden": (403, None, "Forbidden"),
}
SAYS = {
    "org/gated": "is gated: ask for access on its page and log in with `hf auth login`",
    "org/gated-to-token": "is gated: ask for access on its page and log in with `hf auth login`",
    "org/missing": "is not there, or is private",
    "org/no-such": "is not there, or is private",
    "org/bad-token": "does not open to your token (HTTP 401): log in with `hf auth login`",
    "org/no-file": "has no ",
    "org/broken": "cannot be had, for the hub has an error of its own (HTTP 500): try again later",
    "org/forbidden": "does not open to your token (HTTP 403): log in with `hf auth login`",
    "org/hangs": "could not be reached, and nothing of it is in the hub's cache: try again with a "
    "connection",
}


@pytest.fixture(scope="module")
def endpoint():
    """The server's address. org/model is a tiny model; those of org/no-weights are gated."""
    folder = sources.source(tiny())

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(False)

        def do_GET(self):
            self.answer(True)

        def answer(self, with_body):
            repository = (re.findall(r"org/[\w-]+", self.path) or ["none"])[0]
            if repository == "org/hangs":
                ended.wait(60)
                return
            status, code, message = REFUSALS.get(repository, (200, None, None))
            file = os.path.join(folder, self.path.rpartition("/")[2])
            if status == 200 and not os.path.isfile(file):
                status, code, message = 404, "EntryNotFound", "Entry not found"
            if status == 200 and repository == "org/no-weights" and file.endswith("safetensors"):
                status, code, message = 403, "GatedRepo", "Access is restricted."
            body = Path(file).read_bytes() if status == 200 else b""
            self.send_response(status)
            etag = f'"{hash(file)}"'
            for name, value in {
                "X-Error-Code": code,
                "X-Error-Message": message,
                "X-Repo-Commit": COMMIT,
                "ETag": etag,
                "Content-Length": str(len(body)),
            }.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    ended = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    ended.set()
    server.shutdown()


def ask(program, endpoint, home):
    """What a program prints as JSON, with the hub at the endpoint."""
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_ETAG_TIMEOUT": "1",
        "HF_TOKEN": "hf_x",
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", program, str(paths.ROOT / "tests")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


BEGIN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from helpers import tiny
from distill_nb.evaluation import evaluate
from distill_nb.runtime import hub, paths
from distill_nb.students import adapters, sources
from distill_nb.training import train
def of(name, **changes):
    return tiny(student=name, student_size="full", chat_template="llama3", **changes)
def said(work):
    try:
        return work()
    except ValueError as error:
        return str(error)
"""


def test_what_the_hub_refuses_is_said_in_a_sentence_before_anything_is_made(
    endpoint, tmp_path, runs_dir
):
    program = (
        BEGIN
        + f"""
hub.PAUSES = (0, None)
names = {list(SAYS)!r}
found = {{n: said(lambda: train.prepare(of(n))) for n in names}}
base = dict(teacher="none", domain="none", dataset="none", max_steps=0)
evaluated = said(lambda: evaluate.evaluate(of("org/gated", **base)))
weights = said(lambda: sources.check_student(of("org/no-weights")))
def download(name):
    said_of = "benchmarks: math500", "set benchmark_files"
    return hub.download(name, "{REVISION}", "a.jsonl", *said_of)
data = {{n: said(lambda: download(n))
        for n in [*(n for n in names if n != "org/hangs"), "org/no-revision"]}}
said_of = "dataset: r1_math", "set source to a folder"
listed = said(lambda: hub.listed("org/hangs", "{REVISION}", *said_of))
of_adapters = [said(lambda: adapters.adapter_folder(n))
               for n in ("org/gated", "org/hangs@{REVISION}")]
print(json.dumps([found, evaluated, weights, data, listed, of_adapters, paths.runs().exists()]))
"""
    )
    found, evaluated, weights, data, listed, adapters, made = ask(program, endpoint, tmp_path)
    for name, says in SAYS.items():
        assert found[name].startswith(f"student: the hub's model {name} {says}"), found[name]
        assert (
            found[name].endswith(", or set student to a folder with a copy of it.")
            and "\n" not in found[name]
        )
        assert name == "org/hangs" or data[name].startswith(
            f"benchmarks: math500: the hub's data set {name} {says}"
        ), data
    assert (
        f"no longer has the revision {REVISION}, or set benchmark_files." in data["org/no-revision"]
    )
    assert evaluated == found["org/gated"] and not made
    assert listed.startswith(
        f"dataset: r1_math: the hub's data set org/hangs {SAYS['org/hangs']}"
    ), listed
    for said, name in zip(adapters, ("org/gated", "org/hangs"), strict=True):
        assert said.startswith(f"adapter: {name}") and SAYS[name] in said, said
    assert weights.startswith("student: the hub's model org/no-weights is gated")


def test_a_model_of_the_hub_is_trained_and_its_commit_recorded_and_the_cache_needs_no_hub(
    endpoint, tmp_path, runs_dir
):
    program = (
        BEGIN
        + """
p = of("org/model", benchmark_limit=2, benchmarks=["pocket_math"], max_steps=1, save_every=1)
record = train.train(p)
print(json.dumps([record["student_version"], evaluate.evaluate(p)["settings"]["student_version"]]))
"""
    )
    assert ask(program, endpoint, tmp_path) == [COMMIT, COMMIT]
    program = BEGIN + 'print(json.dumps(sources.check_student(of("org/model"))))'
    assert ask(program, "http://127.0.0.1:9", tmp_path) == COMMIT  # nobody listens there
    program = (
        BEGIN
        + f"""
from pathlib import Path
from distill_nb.students import merge, weights
p = of("org/model", max_steps=1, save_every=1)
merge.write_merged(p, paths.checkpoint_dir(p, 1), Path({str(tmp_path / "merged")!r}))
(base,), merged = sources.weight_files(p), Path({str(tmp_path / "merged")!r})
same = weights.entries(base) == weights.entries(merged / base.name)
print(json.dumps([same, sorted(f.name for f in merged.iterdir())]))
"""
    )
    names = ["config.json", "generation_config.json", "model.safetensors"]
    names += ["tokenizer.json", "tokenizer_config.json"]
    assert ask(program, "http://127.0.0.1:9", tmp_path) == [True, names]
    program = BEGIN + 'print(json.dumps(said(lambda: sources.check_student(of("org/other")))))'
    assert SAYS["org/hangs"] in ask(program, "http://127.0.0.1:9", tmp_path)


def test_a_students_folder_is_known_by_its_content(tmp_path):
    from distill_nb.students import sources

    p = tiny(student=str(tmp_path), student_size="full", chat_template="llama3")
    (tmp_path / "config.json").write_text("{}")
    first = sources.check_student(p)
    (tmp_path / "config.json").write_text("{ }")
    assert len(first) == 64 and sources.check_student(p) != first
