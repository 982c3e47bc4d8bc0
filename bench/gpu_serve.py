"""What gpu_check.py asks of vLLM: whether it applies adapters, by distill_nb's own evaluation, and
how fast it answers."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

from gpu_models import config_of, emit, failure, folder_of, gib, run_params
from gpu_steps import SMALL, free

# layers of the mixture, and how many adapters are served side by side; a slot more is kept free
LAYERS = {"moe": 4, "dense": 0}  # 0: all
ADAPTERS = {"moe": 2, "dense": 6}
WAYS = {"moe": ("multi", "merged"), "dense": ("multi",)}
STD_B = 0.1  # of the adapters' B, so that their effect is far above rounding
NEW_TOKENS = 256
SAID = re.compile(
    r"KV cache size|Maximum concurrency|attention backend|MoE|fused_moe|max_loras|Model loading "
    r"took|torch\.compile takes|Graph capturing finished|init engine"
)
KV_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")


def serve(size: str, kind: str, layers: int, folder: Path) -> None:
    """Write a random student and adapters, then have vLLM prove that it applies them, each way."""
    import torch

    on_gpu = torch.cuda.is_available()
    count = ADAPTERS[kind] if size == "full" else 2
    p = write(size, kind, layers or LAYERS[kind], count, folder)
    free()
    for way in WAYS[kind]:
        if way == "multi" and kind == "moe" and not on_gpu:
            continue  # vLLM's kernels for adapters on experts are for GPUs
        row = {"row": f"{kind} {way}", "kind": kind, "way": way, "adapters": count}
        row["layers"] = config_of(size, kind, layers or LAYERS[kind]).num_hidden_layers
        # of a mixture each merged one is an engine of its own
        steps = list(range(p.save_every, p.max_steps + 1, p.save_every))
        steps = steps[:1] if way == "merged" else steps
        try:
            prove(replace(p, adapters=way), steps, row, size)
        except Exception as error:
            emit(row | failure(error))
    shutil.rmtree(folder / "served", ignore_errors=True)


def write(size: str, kind: str, layers: int, count: int, folder: Path):
    """The parameters of a run whose student is random, made on the device and written in its hub's
    layout, with adapters and the trainer's proofs in the places of its checkpoints."""
    import torch
    from transformers import AutoModelForCausalLM

    from distill_nb.runtime import paths
    from distill_nb.students import proof, student

    begin = time.perf_counter()
    made = folder_of(size, kind, layers, folder / "served")
    config = config_of(size, kind, layers)
    dtype = torch.float32 if size == "tiny" else torch.bfloat16
    with torch.device(student.device()):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.save_pretrained(made)
    p = run_params(size, kind, made)
    if torch.cuda.is_available():  # no more than on a GPU of 80 GB
        p = replace(p, gpu_memory=p.gpu_memory * min(1.0, SMALL / torch.cuda.mem_get_info()[1]))
    p = replace(
        p,
        run_name=f"gpu_check_{kind}",
        backend="hf",
        engine="vllm",
        max_steps=100 * count,
        save_every=100,
        max_new_tokens=NEW_TOKENS if size == "full" else 8,
    )
    seconds = time.perf_counter() - begin
    network = student.attach_lora(model, replace(p, recompute="off"), "hf")
    (asked,) = prompts(p, 1)
    for step in range(100, p.max_steps + 1, 100):
        torch.manual_seed(step)
        with torch.no_grad():
            for name, weight in network.named_parameters():
                if "lora_B" in name:
                    weight.normal_(0, STD_B)
        target = paths.checkpoint_dir(p, step)
        network.save_pretrained(target)
        proof.write(network, asked, target)
    size_gib = gib(sum(file.stat().st_size for file in made.glob("*.safetensors")))
    emit(
        {
            "row": f"{kind} written",
            "kind": kind,
            "student_seconds": round(seconds, 1),
            "seconds": round(time.perf_counter() - begin, 1),
            "gib": size_gib,
            "says": f"{size_gib:.1f} GiB written in {seconds:.0f} s",
        }
    )
    return p


def prompts(p, count: int) -> list[list[int]]:
    """Token ids of the pocket run's problems, several in a prompt of about 256 tokens."""
    from distill_nb.students import chat, student
    from distill_nb.traces import pocket

    tokenizer, template = student.load_tokenizer(p), chat.template_for(p.student, p.chat_template)
    problems = [row["problem"] for row in pocket.pocket_traces("sonnet", "math", 4 * count, 0)]
    texts = [" ".join(problems[4 * i : 4 * i + 4]) for i in range(count)]
    messages = ([{"role": "user", "content": text}] for text in texts)
    return [chat.prompt_ids(tokenizer, template, message)[:256] for message in messages]


def prove(p, steps: list[int], row: dict, size: str) -> None:
    """Start the engine, prove its adapters, and where they are side by side measure its speed."""
    from distill_nb.evaluation.engines import start
    from distill_nb.evaluation.engines.types import Request
    from distill_nb.evaluation.proofs import proved
    from distill_nb.runtime import paths
    from distill_nb.students import proof

    os.environ["VLLM_LOGGING_LEVEL"] = "INFO"  # what it chose and found
    adapters = {step: paths.checkpoint_dir(p, step) for step in steps}
    references = {step: proof.read(where) for step, where in adapters.items()}
    full = size == "full" and p.adapters == "multi"
    texts = prompts(p, p.max_num_seqs if full else 4)
    begin = time.perf_counter()
    with start.start(p, adapters, texts, [r["tokens"] for r in references.values()]) as engine:
        row |= {"start_seconds": round(time.perf_counter() - begin, 1)} | chosen(engine)
        emit(row | {"says": f"{row['row']}: starts in {row['start_seconds']:.0f} s"})
        row |= {"proofs": [], "says": ""}
        for served, proofs in proved(p, engine, steps, references):
            row |= chosen(engine)
            row["proofs"] += [vars(made) for made in proofs]
            asked = [Request(i, served[i % len(served)], text, i) for i, text in enumerate(texts)]
            if proofs:
                note_proofs(row)
                emit(row)
            row |= answered(engine, asked, p, served)
            note_proofs(row)
        emit(row)


def note_proofs(row: dict) -> None:
    """Say in a row what its proofs found."""
    proofs, failed = row["proofs"], [made for made in row["proofs"] if not made["passed"]]
    row["says"] = f"{row['row']}: {len(proofs) - len(failed)} of {len(proofs)} adapters proved"
    if "tokens_per_second" in row:
        row["says"] += f", {row['tokens_per_second']:,.0f} tokens/s"
    if "kv_cache_tokens" in row:
        row["says"] += f", KV cache of {row['kv_cache_tokens']:,} tokens"
    if failed:
        row["failed"] = f"step {failed[0]['step']}: {failed[0]['why']}"


def answered(engine, requests: list, p, served: list[int]) -> dict:
    """Answer requests of what is served, spread over the adapters; new tokens a second."""
    begin, tokens, errors = time.perf_counter(), 0, []
    for answers in engine.answers(requests):
        tokens += sum(len(answer.tokens) for answer in answers)
        errors += [answer.error for answer in answers if answer.error]
    seconds = time.perf_counter() - begin
    made = {
        "answers": len(requests),
        "at_once": p.max_num_seqs,
        "served": served,
        "new_tokens": tokens,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / seconds, 1),
    }
    return made | ({"failed": errors[0]} if errors else {})


def chosen(engine) -> dict:
    """What vLLM's log says it chose and found: back ends, tuned files, its cache."""
    errors = engine._processes[0]._errors  # the only place where it is
    text = os.pread(errors.fileno(), 2**22, 0).decode(errors="replace")
    lines = [line.strip()[-300:] for line in text.splitlines() if SAID.search(line)]
    found = KV_TOKENS.findall(text)
    kept = list(dict.fromkeys(lines))[:25]
    return {"vllm_said": kept} | (
        {"kv_cache_tokens": int(found[-1].replace(",", ""))} if found else {}
    )
