"""What only a GPU can show, with no network and no weights: models come from configs with random weights.

    python bench/gpu_check.py                # on a GPU: tiny parity, then Llama-3.1-8B at length 4096
    python bench/gpu_check.py --size tiny    # the same code at tiny size; runs on a CPU, used by the tests

Sections, each in a process of its own because Unsloth patches Transformers for good:
  parity  losses of a few steps of the tiny Llama by Unsloth and by plain Transformers + PEFT
  steps   tokens/s and peak memory of training steps, by either back end

Prints a table and writes bench/results/gpu_check_<device>.json. A back end that is not installed, or a section
that fails, is recorded as such, with its reason.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# meta-llama/Llama-3.1-8B's config.json
LLAMA_8B = dict(vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
                num_attention_heads=32, num_key_value_heads=8, head_dim=128, max_position_embeddings=131072,
                rms_norm_eps=1e-5, rope_parameters={
                    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})


def run_params(size: str, backend: str, section: str, folder: Path) -> dict:
    """Changes to run 9's parameters for one measurement."""
    changes = {"backend": backend, "run_name": f"{section}_{backend}", "overwrite": True}
    if section == "parity":
        return changes | {"dtype": "float32", "max_steps": 4, "save_every": 4}
    length = 4096 if size == "full" else 256
    data = folder / "steps.jsonl"
    text = "".join(chr(97 + (i * i) % 26) for i in range(2 * length))  # bytes, hence tokens; cut at max_length
    data.write_text("".join(json.dumps({"problem": f"problem {i}", "trace": text}) + "\n" for i in range(12)))
    changes |= {"dataset": str(data), "n_examples": 10, "n_heldout": 0, "max_length": length, "overlong": "truncate",
                "max_steps": 3, "save_every": 3, "batch_size": 4, "micro_batch_size": 1}
    if size == "full":
        changes |= {"student": str(folder / "llama-3.1-8b"), "student_size": "full", "dtype": "bfloat16"}
    return changes


def write_llama(folder: Path, tokenizer_from: Path) -> None:
    """Llama-3.1-8B's architecture with random bf16 weights (16 GB) and a byte-level tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    torch.set_default_device("cuda")
    model = AutoModelForCausalLM.from_config(LlamaConfig(**LLAMA_8B), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_from).save_pretrained(folder)


def measure(section: str, size: str, backend: str) -> dict:
    """One section by one back end, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DISTILL_NB_RUNS"] = folder
        from distill_nb import params, paths, student, train

        files = [paths.PARAMS_DIR / "run09.yaml", paths.PARAMS_DIR / "tiny.yaml"]
        base = params.read_files(*files)
        if size == "full" and section == "steps":  # before Unsloth is imported, in a process of its own
            tokenizer = student.source(params.validate(base))
            subprocess.run([sys.executable, __file__, "--write", folder + "/llama-3.1-8b", tokenizer], check=True)
        changes = run_params(size, backend, section, Path(folder))
        p = params.validate(base | {k: v for k, v in changes.items() if k != "student"}
                            | ({"student": changes["student"]} if "student" in changes else {}))
        record = train.train(p)
        metrics = train.load_metrics(p)
        import torch

        if torch.cuda.is_available():
            memory = torch.cuda.max_memory_allocated() / 2**30
        else:
            import resource

            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return {"section": section, "backend": record["backend"], "losses": metrics["loss"].tolist(),
                "tokens_per_second": metrics["tokens_per_second"].iloc[1:].max().item(),
                "peak_memory_gib": round(memory, 2)}


def device_name() -> str:
    """The GPU's name, or the CPU's architecture."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU {platform.machine()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON file")
    parser.add_argument("--one", nargs=2, metavar=("SECTION", "BACKEND"), help="measure one, print it as JSON")
    parser.add_argument("--write", nargs=2, type=Path, metavar=("FOLDER", "TOKENIZER"), help="write the 8B model")
    args = parser.parse_args()
    if args.write:
        write_llama(*args.write)
        return 0
    if args.one:
        print("RESULT " + json.dumps(measure(args.one[0], args.size, args.one[1])))
        return 0
    import torch

    if args.size == "full" and not torch.cuda.is_available():
        sys.exit("gpu_check.py needs a CUDA device at full size; add --size tiny to try it on a CPU.")
    rows = []
    for section in ("parity", "steps"):
        for backend in ("hf", "unsloth"):
            if backend == "unsloth" and importlib.util.find_spec("unsloth") is None:
                rows.append({"section": section, "backend": backend, "skipped": "unsloth is not installed"})
                continue
            command = [sys.executable, __file__, "--size", args.size, "--one", section, backend]
            done = subprocess.run(command, capture_output=True, text=True)
            found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
            rows.append(json.loads(found[1]) if found else {
                "section": section, "backend": backend, "failed": (done.stderr.strip().splitlines() or ["?"])[-1]})
    result = {"device": device_name(), "size": args.size, "torch": torch.__version__, "rows": rows}
    parity = {r["backend"]: r["losses"] for r in rows if r["section"] == "parity" and "losses" in r}
    if len(parity) == 2:
        result["parity_max_loss_difference"] = max(abs(a - b) for a, b in zip(*parity.values(), strict=True))
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / f"gpu_check_{re.sub('[^a-z0-9]+', '-', result['device'].lower())}_{args.size}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['device']}, size {args.size}")
    for r in rows:
        print("  ".join(f"{k}: {v}" for k, v in r.items()))
    print(f"largest difference of the parity losses: {result.get('parity_max_loss_difference', 'not measured')}")
    return any("failed" in r for r in rows)


if __name__ == "__main__":
    sys.exit(main())
