"""hf's attention over examples of different lengths, for gpu_check.py."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from gpu_models import LOSS_TOLERANCE, emit, examples_of, failure, loaded, tiny_params
from gpu_steps import batch

LAYERS = 8  # of the dense student: attention's share of the time is the same in all


def attention(size: str, layers: int, length: int, folder: Path) -> None:
    """hf over a micro-batch whose lengths are spread as R1's traces: step.patch's attention, and
    torch's SDPA for one example after another in its place."""
    import torch
    import training

    from distill_nb.students import student
    from distill_nb.training import step

    longest = batch(size, length)[1]
    count = 4 if size == "tiny" else 10
    lengths = training.r1_lengths(count, longest)
    changes = {"max_length": longest, "batch_size": count, "micro_batch_size": count}
    student.choose_backend(tiny_params("dense"))
    on_gpu = torch.cuda.is_available()
    depth = layers or (0 if size == "tiny" else LAYERS)
    p, network, _ = loaded(size, "dense", depth, folder, "hf", on_gpu, **changes)
    step.patch(network, "hf")
    network.train()
    device = "cuda" if on_gpu else "cpu"
    made = step.collate(examples_of(p, lengths))
    made = {key: value.to(device) for key, value in made.items()}
    takes = step.flash_takes
    losses: dict[str, float] = {}
    for way in ("ours", "one by one", "ours again"):
        # where FlashAttention takes none, step asks SDPA for one example after another
        step.flash_takes = takes if way.startswith("ours") else lambda query: False
        row = {"row": way, "layers": network.config.num_hidden_layers, "tokens": sum(lengths)}
        row["longest"] = max(lengths)
        try:
            row |= passes(network, made, on_gpu and p.dtype == "bfloat16")
            losses[way] = row["loss"]
            row["says"] = f"{way}: {row['tokens_per_second']:,.0f} tokens/s"
            apart = abs(row["loss"] - losses["ours"]) if "ours" in losses else 0.0
            row["loss_difference"] = apart
            if not apart <= LOSS_TOLERANCE["bfloat16"]:
                row["failed"] = f"the losses are {apart:.3g} nats apart"
        except Exception as error:
            row |= failure(error)
        emit(row)


def passes(network, made: dict, autocast: bool, repeats: int = 5) -> dict:
    """Tokens/s and the loss of forward and backward passes over one micro-batch; the first warms
    up."""
    import torch

    seconds = []
    for _ in range(1 + repeats):
        begin = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            loss = network(**made).loss
        loss.backward()
        value = loss.item()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
        network.zero_grad(set_to_none=True)
    typical, tokens = statistics.median(seconds[1:]), made["input_ids"].numel()
    return {"tokens_per_second": tokens / typical, "seconds": seconds, "loss": value}
