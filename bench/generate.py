"""How long Transformers takes to answer a batch: ours, where what all prompts begin with is
computed once, answers that have ended leave and grouped keys and values are not copied, against its
own `generate` over the same batch, padded.

    make demo && python bench/generate.py [--pairs 3]

The pocket student with the demo's base and last checkpoint (long answers, and mostly short ones),
all 86 pocket problems at once, greedy, float32. Both run in turn, in one process. Writes
bench/results/generate.json: seconds and ratios (peer / ours) of every pair, and how many answers
are the same, token by token: rounding differs with the shapes of a batch."""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from transformers import GenerationConfig

from distill_nb import params
from distill_nb.benchmarks import loading
from distill_nb.evaluation.engines import hf_generate
from distill_nb.evaluation.engines.types import completion
from distill_nb.runtime import paths, provenance
from distill_nb.students import chat, student
from distill_nb.students.adapters import adapter_files

OUT = Path(__file__).parent / "results" / "generate.json"


def plain(model, tokenizer, prompts, stop_ids, p) -> list[list[int]]:
    """Tokens of each answer, by one call of Transformers."""
    longest, pad = max(map(len, prompts)), tokenizer.pad_token_id
    rows = torch.tensor([[pad] * (longest - len(x)) + x for x in prompts])
    mask = torch.tensor([[0] * (longest - len(x)) + [1] * len(x) for x in prompts])
    how = GenerationConfig(
        max_new_tokens=p.max_new_tokens, do_sample=False, eos_token_id=stop_ids, pad_token_id=pad
    )
    with torch.inference_mode():
        out = model.generate(input_ids=rows, attention_mask=mask, generation_config=how)
    return [completion(row[longest:].tolist(), tokenizer, stop_ids)[1] for row in out]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=3)
    pairs = parser.parse_args().pairs
    p = params.pocket()
    adapters = adapter_files(paths.run_dir(p))
    if not adapters:
        raise SystemExit(f"{paths.run_dir(p)} has no checkpoint: make demo trains them.")
    tokenizer, template = student.load_tokenizer(p), chat.template_for(p.student, p.chat_template)
    stop_ids = chat.stop_ids(tokenizer, template)
    tasks = [task for name in p.benchmarks for task in loading.load(name)]
    prompts = [
        chat.prompt_ids(tokenizer, template, [{"role": "user", "content": task.prompt}])
        for task in tasks
    ]
    found = {}
    for name, step in (("base", 0), ("trained", max(adapters))):
        model = student.load_for_generation(p, paths.checkpoint_dir(p, step) if step else None)
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        for _ in range(pairs):
            began = time.perf_counter()
            theirs = plain(model, tokenizer, prompts, stop_ids, p)
            seconds["plain"].append(time.perf_counter() - began)
            began = time.perf_counter()
            made = hf_generate.generate(model, tokenizer, prompts, [0] * len(prompts), stop_ids, p)
            seconds["ours"].append(time.perf_counter() - began)
        ours = [tokens for _, tokens, _ in made]
        ratios = [a / b for a, b in zip(seconds["plain"], seconds["ours"], strict=True)]
        found[name] = {
            "step": step,
            "seconds": {way: [round(s, 2) for s in each] for way, each in seconds.items()},
            "ratios": [round(r, 2) for r in ratios],
            "median_ratio": round(statistics.median(ratios), 2),
            "answers": len(ours),
            "same_tokens": sum(a == b for a, b in zip(ours, theirs, strict=True)),
            "tokens": sum(map(len, ours)),
        }
        print(name, json.dumps(found[name]))
    about = {"device": provenance.device(), "threads": torch.get_num_threads()}
    OUT.write_text(json.dumps(about | found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
