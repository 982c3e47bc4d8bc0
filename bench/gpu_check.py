"""What only a GPU can show, with no network and no weights: models come from configs with random
weights.

    # all sections, on a GPU
    python bench/gpu_check.py
    # some; an earlier run's others stay
    python bench/gpu_check.py --only parity "steps dense hf" --folder /tmp/models
    # the same code at tiny size; runs on a CPU, used by the tests
    python bench/gpu_check.py --size tiny

Sections, each of processes of their own, because Unsloth patches Transformers for good, and ended
after 10 minutes:

  parity        20 steps of the tiny Llama and the tiny mixture of experts, in float32 and
                bfloat16, on the same batches: our step with Unsloth (whose fused kernels need
                bfloat16), our step with Transformers + PEFT (hf), and plain Transformers + PEFT
                with padding. Losses of each step; adapters at the end
  4bit          10 steps of the tiny students with load_in_4bit, by Unsloth and by hf: their loss
                must fall
  processes     tiny runs in two processes (train_processes), with a GPU each, against the same in
                one; with two GPUs only
  steps dense … training steps of Llama-3.1-8B (bf16, LoRA as in run 9), all examples of 4,096
                tokens and with the spread of R1's traces: useful tokens/s, peak memory, FLOP/s
                (training.step_flops; recomputation counts as work) by the rate of a bf16 product of
                8192 x 8192 matrices. A section for each way: unsloth, hf, plain, each at its own
                fastest micro-batch (that of the run's file is among those tried), hf and plain also
                without recomputation where that fits. Ten examples are measured and scaled to a
                batch of 50
  steps moe …   the same for the layers of Qwen3-30B-A3B, 12 of its 48, so that disk and memory
                suffice
  plan          what distill_nb.plan.plan expects of those steps, against what was measured: within
                20%, or with unsloth no more, of which the plan is on the safe side
  evaluate dense
                bench/evaluate.py: adapters of two checkpoints side by side in one vLLM engine, with
                the proof that each adapter is applied
  evaluate moe, evaluate moe served
                one checkpoint of the mixture of experts, merged, and as adapters on experts in
                vLLM, with the same proof
  evaluate dense peer
                the time of that for one checkpoint, and of a fresh engine for each checkpoint and
                benchmark

Prints a table and writes bench/results/gpu_check_<device>_<size>.json after each section. A back
end that is not installed, or a section that fails, is recorded as such, with its reason, what it
said last, and what it had measured. Goals for Llama-3.1-8B: 1.8 times the useful tokens/s of plain,
and half of the measured matrix rate."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import gpu_steps
from gpu_steps import STUDENTS, real_config, tiny_params

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("unsloth", "hf", "plain")
# one kind after the other: they share a place on disk
SECTIONS = (
    "parity",
    "4bit",
    "processes",
    *(f"steps dense {way}" for way in WAYS),
    "evaluate dense",
    "evaluate dense peer",
    *(f"steps moe {way}" for way in WAYS),
    "evaluate moe",
    "evaluate moe served",
    "plan",
)
LIMIT = 600  # seconds for a section
SAID = 60  # lines of the end of what a section that failed said on stderr
ROOM = 20  # GiB for a student at real size, and for the same with an adapter merged
GOALS = {"times_plain": 1.8, "share_of_matrix_rate": 0.5}


def write_model(kind: str, folder: Path, tokenizer_from: str) -> None:
    """A real architecture with random bf16 weights (16 GB) and a byte-level tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(real_config(kind), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_from).save_pretrained(folder)


def evaluate(size: str, kind: str, part: str, folder: Path) -> list[dict]:
    """bench/evaluate.py on a random student of one kind; part: peer (fresh engines), served
    (adapters on experts side by side), or nothing."""
    from distill_nb.students import sources

    model, template = sources.source(tiny_params(kind)), STUDENTS[kind][1]
    options = [
        "--checkpoints",
        "1",
        "--prompts",
        "2",
        "--new-tokens",
        "4",
        "--ways",
        "hf,merged,multi" if kind == "dense" else "hf,merged",
    ]
    if size == "full":
        model = model_folder(kind, folder)
        ways = {"peer": "multi,fresh served", "served": "multi"}.get(part) or (
            "multi" if kind == "dense" else "merged"
        )
        # a fresh engine for each takes a minute
        options = [
            "--checkpoints",
            "2" if kind == "dense" and not part else "1",
            "--dtype",
            "bfloat16",
            "--ways",
            ways,
            "--benchmarks",
            "1" if part == "peer" else "2",
        ]
    out = folder / f"evaluate_{kind}_{part}"
    shutil.rmtree(out, ignore_errors=True)  # of an earlier call
    command = [
        sys.executable,
        str(ROOT / "bench" / "evaluate.py"),
        "--student",
        model,
        "--chat-template",
        template,
        *options,
        "--out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    found = list(out.glob("evaluate_*.json"))
    if not found:
        print(done.stderr, file=sys.stderr)
        raise RuntimeError((done.stderr.strip().splitlines() or ["?"])[-1])
    result = json.loads(found[0].read_text())
    keep = ("medians", "faster_peer", "ratios", "answers", "tokens", "proofs")
    unproven = [made for made in result["proofs"] if not made["passed"]]
    row = {"section": "evaluate", "kind": kind, "way": part}
    row |= {k: v for k, v in result.items() if k in keep or k.startswith("answers_as")}
    return [
        row
        | ({"failed": f"{len(unproven)} adapters are not proved to be applied"} if unproven else {})
    ]


def model_folder(kind: str, folder: Path) -> str:
    """Where the real-size random student of one kind is, or will be."""
    return str(folder / f"{kind}-random")


def make_models(size: str, folder: Path, kind: str) -> list[dict]:
    """The tiny students, and for a section of one kind at full size its student, in the place of
    the other kind's: the disk has room for one. In a process of its own, before any that imports
    Unsloth."""
    from distill_nb.students import sources

    tokenizers = {k: sources.source(tiny_params(k)) for k in STUDENTS}
    made = Path(model_folder(kind, folder))
    if size == "full" and kind in STUDENTS and not made.exists():
        for other in STUDENTS:
            shutil.rmtree(model_folder(other, folder), ignore_errors=True)
        write_model(kind, made.with_suffix(".partial"), tokenizers[kind])
        made.with_suffix(".partial").rename(made)
    (folder / "models").touch()
    return []


def process(size: str, folder: Path, seconds: float, *job: str) -> list[dict]:
    """A job in a process of its own: the rows that it prints as it makes them, and one that says
    why there are no more."""
    blank = dict(zip(("section", "kind", "way"), job, strict=True))
    command = [sys.executable, __file__, "--size", size, "--folder", str(folder), "--one", *job]
    environment = os.environ | {"DISTILL_NB_RUNS": str(folder / "runs")}
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    late = ""
    try:
        said, errors = running.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # with what it has started: that holds the GPU's memory
        os.killpg(running.pid, signal.SIGKILL)
        said, errors = running.communicate()
        late = f"the section took more than {LIMIT} seconds"
    rows, tried = (
        [json.loads(line) for line in re.findall(rf"^{what} (.*)\n", said, re.MULTILINE)]
        for what in ("ROW", "TRIED")
    )
    if late or running.returncode:
        lines = errors.strip().splitlines() or ["?"]
        seen = sum(len(row.get("tried", [])) for row in rows)
        rows.append(
            blank
            | {"failed": late or lines[-1][:500], "said": lines[-SAID:], "tried": tried[seen:]}
        )
    return rows


def one(size: str, folder: Path, section: str, kind: str, way: str) -> Iterable[dict]:
    """What `process` asks for, in this process, row by row."""
    if section == "parity":
        return (row for each in way.split(",") for row in gpu_steps.parity(size, each, folder))
    if section == "steps":
        return gpu_steps.steps(size, kind, way, model_folder(kind, folder))
    if section == "4bit":
        return gpu_steps.four_bits(way, folder)
    if section == "processes":
        return gpu_steps.processes()
    if section == "plan":
        return gpu_steps.plan_rows(size, folder, json.loads((folder / "steps.json").read_text()))
    return (
        make_models(size, folder, kind)
        if section == "models"
        else evaluate(size, kind, way, folder)
    )


def section_rows(section: str, size: str, folder: Path, before: list[dict]) -> list[dict]:
    """All rows of a section. `before`: of other sections, which some are compared with."""
    name, kind, way = [*section.split(), "", ""][:3]
    blank, begin = {"section": name, "kind": kind, "way": way}, time.monotonic()

    def made(*job: str) -> list[dict]:
        return process(size, folder, LIMIT - (time.monotonic() - begin), *job)

    needs = {"evaluate": "vllm"}.get(name) or ("unsloth" if way == "unsloth" else "")
    if needs and importlib.util.find_spec(needs) is None:
        return [blank | {"skipped": f"{needs} is not installed"}]
    if name == "4bit" and (not gpu_count() or importlib.util.find_spec("bitsandbytes") is None):
        return [blank | {"skipped": "it needs CUDA and bitsandbytes"}]
    if name == "processes" and gpu_count() < 2 and size == "full":
        return [blank | {"skipped": "it needs two GPUs"}]
    if size == "tiny" and way in ("peer", "served"):
        return [blank | {"skipped": "at full size only"}]
    if name == "plan":
        measured = [
            r for r in before if r["section"] == "steps" and r["way"] != "plain" and "seconds" in r
        ]
        (folder / "steps.json").write_text(json.dumps(measured))
        return made("plan", "", "") if measured else [blank | {"skipped": "no steps were measured"}]
    if size == "full" or not (folder / "models").exists():
        rows = made("models", kind, "")
        if rows:
            return [row | blank for row in rows]
    if name not in ("parity", "4bit"):
        return made(name, kind, way)
    rows = []
    for ways in ("unsloth", "hf,plain"):
        if ways == "unsloth" and importlib.util.find_spec("unsloth") is None:
            rows.append(blank | {"way": ways, "skipped": "unsloth is not installed"})
        else:
            rows += made(name, "", ways if name == "parity" else ways.split(",")[0])
    if name == "parity":
        gpu_steps.compare_parity(rows, folder)
    return rows


def goals(rows: list[dict]) -> dict:
    """Of our faster way, for each student and spread: how many times plain's tokens/s, and the
    share of the matrix rate."""
    found = {
        (r["kind"], r["spread"], r["way"]): r
        for r in rows
        if r["section"] == "steps" and "seconds" in r
    }
    made = {}
    for kind, spread, way in found:
        ours = [r for (k, s, w), r in found.items() if (k, s) == (kind, spread) and w != "plain"]
        if way != "plain" or not ours:
            continue
        best = max(ours, key=lambda r: r["tokens_per_second"])
        made[f"{kind} {spread}"] = {
            "way": best["way"],
            "times_plain": best["tokens_per_second"]
            / found[kind, spread, "plain"]["tokens_per_second"],
            "share_of_matrix_rate": best["share_of_matrix_rate"],
        }
    return made


def gpu_count() -> int:
    """How many GPUs there are."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def device_name() -> str:
    """The GPU's name, or the CPU's architecture."""
    import torch

    return (
        torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU {platform.machine()}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SECTIONS,
        default=SECTIONS,
        metavar="SECTION",
        help="; ".join(SECTIONS),
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON file"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        help="for models and adapters, 20 GB; default: a temporary one",
    )
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        for row in one(args.size, args.folder, *args.one):
            print("\nROW " + json.dumps(row), flush=True)
        return 0
    import torch

    if args.size == "full" and not torch.cuda.is_available():
        sys.exit(
            "gpu_check.py needs a CUDA device at full size; add --size tiny to try it on a CPU."
        )
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if args.size == "full":
            refuse_small_disks(folder)
        return check(args, folder)


def refuse_small_disks(folder: Path) -> None:
    """Ends the process where the disks have no room for a student in `folder` and a merged one in
    the cache."""
    from distill_nb.runtime import paths

    paths.cache().mkdir(parents=True, exist_ok=True)
    needed = ROOM * (2 if folder.stat().st_dev == paths.cache().stat().st_dev else 1)
    for place, way in ((folder, "--folder"), (paths.cache(), "DISTILL_NB_CACHE")):
        free = shutil.disk_usage(place).free / 2**30
        if free < needed:
            sys.exit(
                f"{place}: {free:.1f} GiB are free, and random students of real size take up to "
                f"{needed}; name a folder on a larger disk by {way}."
            )


def check(args, folder: Path) -> int:
    """Run the sections; write and print what they gave."""
    import torch

    args.out.mkdir(parents=True, exist_ok=True)
    device = device_name()
    file = args.out / f"gpu_check_{re.sub('[^a-z0-9]+', '-', device.lower())}_{args.size}.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    for section in args.only:
        name, kind, way = [*section.split(), "", ""][:3]
        kept = [
            r
            for r in rows
            if (r["section"], r["kind"], r["way"]) != (name, kind, way)
            and (r["section"] != name or name not in ("parity", "plan", "4bit", "processes"))
        ]
        made = section_rows(section, args.size, folder, kept)
        rows = kept + made
        gpu_steps.compare_steps(rows)
        result = {
            "device": device,
            "size": args.size,
            "torch": torch.__version__,
            "goals": GOALS,
            "ours": goals(rows),
            "rows": rows,
        }
        file.write_text(json.dumps(result, indent=1) + "\n")
        for r in made:
            print(
                "  ".join(
                    f"{k}: {v}"
                    for k, v in r.items()
                    if k not in ("tried", "lengths", "proofs", "said")
                ),
                flush=True,
            )
            print(*r.get("said", []), sep="\n", end="\n" if "said" in r else "", flush=True)
    print(json.dumps(goals(rows), indent=1))
    return any("failed" in r for r in rows)


if __name__ == "__main__":
    sys.exit(main())
