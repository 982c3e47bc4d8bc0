"""A student with an adapter merged, written to disk: ours, tensor by tensor, against PEFT's
merge_and_unload and Transformers' save_pretrained.

    python bench/merge.py [--layers 1 3] [--rounds 3] [--place FOLDER]

The student is random, a mixture of experts with layers of Qwen3-30B-A3B's own size (1.2 GB each) in
bfloat16, its experts apart in the files, as on the hub; the adapter is random and has the study's
ranks, on attention and experts. Each merge is a process of its own, in turn, after one that is not
counted; memory is the largest that a process has for itself (RssAnon: not the pages of files, which
the system may take back), less what it had before. Writes bench/results/merge.json: seconds, memory
and how many of the written numbers differ. Needs three times the student's size of disk."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("ours", "peft")


def student_at(folder: Path) -> object:
    """The parameters of the student in a folder."""
    from distill_nb import params
    from distill_nb.runtime import paths

    return params.validate(
        params.read_files(paths.PARAMS_DIR / "run01.yaml")
        | {"student": str(folder), "chat_template": "qwen3"}
    )


def build(place: Path, layers: int) -> None:
    """A random student and an adapter on it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from distill_nb import params
    from distill_nb.plan import architectures
    from distill_nb.students import student

    torch.manual_seed(0)
    sizes = architectures.KNOWN["Qwen/Qwen3-30B-A3B-Base"]
    config = AutoConfig.for_model(**sizes | {"vocab_size": 32768, "num_hidden_layers": layers})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    folder = place / "student"
    model.save_pretrained(folder, max_shard_size="1GB")
    tiny = params.pocket(student="Qwen/Qwen3-30B-A3B-Base", student_size="tiny")
    student.load_tokenizer(tiny).save_pretrained(folder)
    adapted = student.attach_lora(model, student_at(folder))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.01)
    adapted.save_pretrained(place / "adapter")


def anonymous() -> int:
    """Bytes of this process's own memory (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024


def one(way: str, place: Path) -> dict:
    """One merge, in this process."""
    import peft  # noqa: F401  (imports are not timed)
    import torch
    import transformers

    from distill_nb.students import merge

    p = student_at(place / "student")
    transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(num_hidden_layers=0))
    torch.ones(2, 2) @ torch.ones(2, 2)
    before, peak, done = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    threading.Thread(target=watch, daemon=True).start()
    begun = time.perf_counter()
    if way == "ours":
        merge.write_merged(p, place / "adapter", place / way)
    else:
        (place / way).mkdir(exist_ok=True)
        merge._through_peft(p, place / "adapter", place / way)
    seconds = time.perf_counter() - begun
    done.set()
    return {"seconds": round(seconds, 2), "memory": max(peak[0], anonymous()) - before}


def numbers_that_differ(place: Path) -> dict:
    """Of the two merged students, tensor by tensor; and how many the adapter has changed."""
    from safetensors import safe_open

    def tensors(folder: Path) -> dict:
        files = [safe_open(file, "pt") for file in sorted(folder.glob("*.safetensors"))]
        return {name: file for file in files for name in file.keys()}  # noqa: SIM118

    ours, theirs, base = (tensors(place / name) for name in (*WAYS, "student"))
    assert ours.keys() == theirs.keys() == base.keys()
    found = {"numbers": 0, "changed": 0, "differing": 0, "largest_relative_difference": 0.0}
    for name in ours:
        a, b, c = (held[name].get_tensor(name).float() for held in (ours, theirs, base))
        found["numbers"] += a.numel()
        found["changed"] += int((a != c).sum())
        found["differing"] += int((a != b).sum())
        relative = ((a - b).abs() / (a.abs() + (a - c).abs()).clamp(min=1e-30)).max()
        found["largest_relative_difference"] = max(
            found["largest_relative_difference"], float(relative)
        )
    return found


def in_a_process(*words: object) -> dict:
    command = [sys.executable, __file__, "--do", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(place: Path, layers: int, rounds: int) -> dict:
    """Both ways on one student."""
    in_a_process("build", place, layers)
    size = sum(f.stat().st_size for f in (place / "student").glob("*.safetensors"))
    made: dict[str, list[dict]] = {way: [] for way in WAYS}
    for turn in range(rounds + 1):
        for way in WAYS:
            for file in sorted(place.glob(f"{way}/*")):
                file.unlink()
            result = in_a_process("merge", place, way)
            if turn:  # the first one fills the system's cache
                made[way].append(result)
    ratios = {
        key: statistics.median(
            peer[key] / mine[key] for mine, peer in zip(made["ours"], made["peft"], strict=True)
        )
        for key in ("seconds", "memory")
    }
    found = {"layers": layers, "bytes": size, **made, "peft_over_ours": ratios}
    return found | in_a_process("differ", place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--place", help="a folder on the disk to write to; by default /tmp")
    parser.add_argument("--do", nargs="+", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.do:
        what, place = a.do[0], Path(a.do[1])
        if what == "build":
            build(place, int(a.do[2]))
        answer = one(a.do[2], place) if what == "merge" else {}
        print(json.dumps(numbers_that_differ(place) if what == "differ" else answer))
        return
    from distill_nb.runtime import provenance

    found = []
    for layers in a.layers:
        with tempfile.TemporaryDirectory(dir=a.place) as place:
            found.append(compare(Path(place), layers, a.rounds))
    report = {
        "device": provenance.device(),
        "versions": provenance.versions(),
        "rounds": a.rounds,
        "students": found,
    }
    (ROOT / "bench" / "results" / "merge.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
