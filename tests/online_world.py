"""A sound world for `doctor --online`, from which each test takes or spoils something: a FakeHub
with small files in the shapes of the study's sources, and one process that asks it.

The process is a child because the libraries read the hub's address when they are imported. What the
code pins of the real files, it is told of ours (`pins`)."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from fake_hub import FakeHub
from helpers import tiny
from trace_rows import CODE, MATH, code, math

from distill_nb.benchmarks import aime, livecodebench, math500
from distill_nb.runtime import paths
from distill_nb.students import sources, weights
from distill_nb.study import tiny as fixtures
from distill_nb.traces import hub as traces_hub

LLAMA, QWEN = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B-Base"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "claude-sonnet-4-5-20250929"
KEY = "sk-fake-0123456789-never-to-be-seen"
LLAMA_TEMPLATE = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
    "{% for turn in messages %}<|start_header_id|>{{ turn.role }}<|end_header_id|>\n\n"
    "{{ turn.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
QWEN_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def parquet(rows, schema, group=30):
    """The bytes of a Parquet file."""
    made = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), made, row_group_size=group)
    return made.getvalue()


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def math_rows(n=40):
    return [math(f"What is {i} + 2?", uuid=f"u{i}", answer=str(i + 2)) for i in range(n)]


def code_rows(n=25):
    return [code(f"Print {i}.", id=f"c{i}") for i in range(n)]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def student(template_text, name, qwen=False):
    """The files of a tiny student with a chat template; its weights are a size."""
    like = {"student": QWEN} if qwen else {}
    folder = paths.resolve(sources.source(tiny(**like)))
    files = {f.name: f.read_bytes() for f in folder.iterdir() if f.suffix == ".json"}
    about = json.loads(files["tokenizer_config.json"]) | {"chat_template": template_text}
    files["tokenizer_config.json"] = json.dumps(about).encode()
    numbers = sum(entry.size // 4 for entry in weights.entries(folder / sources.WEIGHTS))
    return files | {sources.WEIGHTS: 2 * numbers + 1000}  # bfloat16, and a header


def add_students(hub):
    hub.add("model", LLAMA, COMMIT, student(LLAMA_TEMPLATE, LLAMA), gated="manual")
    hub.add("model", QWEN, COMMIT, student(QWEN_TEMPLATE, QWEN, qwen=True))


def add_datasets(hub):
    hub_id, revision = traces_hub.HUB["r1_math"]
    rows, files = math_rows(), "data/train-0000{}-of-00002.parquet"
    parts = {files.format(i): parquet(rows[20 * i : 20 * i + 20], MATH) for i in (0, 1)}
    hub.add("dataset", hub_id, revision, {"README.md": b"a card", **parts})
    hub_id, revision = traces_hub.HUB["r1_code"]
    hub.add("dataset", hub_id, revision, {"split_0/a.parquet": parquet(code_rows(), CODE)})


def math500_rows():
    return [{"problem": f"{i}?", "answer": str(i), "unique_id": f"m/{i}.json"} for i in range(500)]


def aime_rows():
    place = "https://example.org/{}_AIME_{}_Problems/Problem_{}"
    ids = [identity.split("-") for identity in sorted(aime.IDS)]
    return [{"problem": f"{i}?", "answer": "7", "url": place.format(*i)} for i in ids]


def livecodebench_files():
    row = fixtures.livecodebench_rows()[0]
    return {
        name: jsonl([row | {"question_id": f"q{i}_{k}"} for k in range(5)])
        for i, name in enumerate(livecodebench.FILES)
    }


def add_benchmarks(hub):
    (file,) = math500.FILES
    hub.add("dataset", math500.HUB_ID, math500.REVISION, {file: jsonl(math500_rows())})
    (file,) = aime.FILES
    table = parquet(aime_rows(), pa.schema([(n, pa.string()) for n in aime_rows()[0]]))
    hub.add("dataset", aime.HUB_ID, aime.REVISION, {file: table})
    files = livecodebench_files()
    hub.add("dataset", livecodebench.HUB_ID, livecodebench.REVISION, files)
    for name, prefix, n in (("HumanEvalPlus", "HumanEval", 164), ("MbppPlus", "Mbpp", 378)):
        rows = [fixtures.TWICE | {"task_id": f"{prefix}/{i}"} for i in range(2000, 2000 + n)]
        hub.plain[f"/evalplus/{name}.jsonl.gz"] = gzip.compress(jsonl(rows))


def answer(path, asked):
    """The API of messages and its batches, with a sound account."""
    if not asked:
        return 200, {"data": [], "has_more": False, "first_id": None, "last_id": None}
    usage = {"input_tokens": 20, "output_tokens": 3}
    content = [{"type": "text", "text": "Blue"}]
    made = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"]}
    return 200, made | {"content": content, "stop_reason": "end_turn", "usage": usage}


def sound(hub):
    """Fill a hub, in place of all that it had."""
    hub.repositories.clear()
    hub.plain.clear()
    hub.hangs.clear()
    hub.asked.clear()
    hub.served, hub.answer = 0, answer
    add_students(hub)
    add_datasets(hub)
    add_benchmarks(hub)


def pins(hub):
    """What the child is told in place of what the code pins."""
    found = {}
    for module in (math500, aime, livecodebench):
        files = hub.repositories["dataset", module.HUB_ID].files
        found[module.__name__.rpartition(".")[2]] = {n: sha256(d) for n, d in files.items()}
    for benchmark, name in (("humaneval_plus", "HumanEvalPlus"), ("mbpp_plus", "MbppPlus")):
        data = hub.plain[f"/evalplus/{name}.jsonl.gz"]
        found[benchmark] = sha256(gzip.decompress(data))
    configs = {}
    for hub_id in (LLAMA, QWEN):
        config = json.loads(hub.repositories["model", hub_id].files["config.json"])
        configs[hub_id] = {k: config[k] for k in ("model_type", "hidden_size", "vocab_size")}
        configs[hub_id] |= {"num_hidden_layers": config["num_hidden_layers"]}
    return found | {"configs": configs}


class World:
    """The hub, and the process that asks it."""

    def __init__(self, hub: FakeHub, folder):
        self.hub, self.home = hub, folder / "hf"
        sound(hub)
        environment = os.environ | {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(self.home),
            "HF_HUB_ETAG_TIMEOUT": "2",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "HF_TOKEN": "hf_x",
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": hub.url,
            "DISTILL_NB_RUNS": str(folder / "runs"),
        }
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HUMANEVAL_OVERRIDE_PATH"):
            environment.pop(name, None)
        self.cache = folder / "evalplus"
        command = [sys.executable, "-c", CHILD, json.dumps(pins(hub)), hub.url, str(self.cache)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, program):
        """What a program, run in the child with empty caches, leaves in `result`."""
        shutil.rmtree(self.home / "hub", ignore_errors=True)
        shutil.rmtree(self.cache, ignore_errors=True)
        self.cache.mkdir()
        self.process.stdin.write(json.dumps(program) + "\n")
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline()).startswith("RESULT "):
            assert line, "the child has ended"
        found = json.loads(line.removeprefix("RESULT "))
        assert "fault" not in found, found["fault"]
        return found["result"]

    def ask(self, name, *files, begin=""):
        """{what: (found, lack)} of one source of some parameter files."""
        found = self.run(f"{begin}\nresult = findings({name!r}, {files!r})")
        return {what: (said, lack) for what, said, lack in found}

    def end(self):
        self.process.kill()
        self.process.wait(60)


CHILD = """
import gzip, json, sys, traceback, types
from evalplus.data import utils
from distill_nb.benchmarks import aime, evalplus_data, livecodebench, math500
from distill_nb.plan import architectures
from distill_nb.study import online, online_datasets, online_disk
from distill_nb.study.online_budget import Budget, counted
from distill_nb.study.online_hub import Needs

pins, url, folder = json.loads(sys.argv[1]), *sys.argv[2:]
for module in (math500, aime, livecodebench):
    module.FILES = pins[module.__name__.rpartition(".")[2]]
evalplus_data.CONTENT = {name: pins[name] for name in evalplus_data.CONTENT}
utils.get_dataset_metadata = lambda name, *_: (
    f"{url}/evalplus/{name}.jsonl.gz", f"{folder}/{name}.jsonl"
)
architectures.KNOWN = pins["configs"]
online_datasets.ROWS = {("r1_code", "split_0"): 25}
room = types.SimpleNamespace(free=10**15)
online_disk.shutil = types.SimpleNamespace(disk_usage=lambda place: room)
online._prepare()

def findings(name, files, budget=None, seconds=60):
    budget = budget or Budget()
    with counted(budget):
        asked = online.sources(*online.read(list(files)), Needs(), budget)
        (source,) = [s for s in asked if s.name == name]
        (source,) = online.answers([source], seconds, budget)
    return [(f.what, f.found, f.lack) for f in source.found]

for line in sys.stdin:
    evalplus_data._read.cache_clear()
    room.free = 10**15
    names = dict(globals())
    try:
        exec(json.loads(line), names)
        made = {"result": names["result"]}
    except BaseException:
        made = {"fault": traceback.format_exc()[-3000:]}
    print("RESULT " + json.dumps(made), flush=True)
"""
