"""What distill_nb.plan expects of the steps that gpu_check.py measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import training
from gpu_models import config_of, emit, folder_of, gib, run_params
from gpu_steps import batch, cases


def plan_rows(size: str, kinds: list[str], layers: int, length: int, folder: Path) -> None:
    """What the plan expects of the steps of both kinds by both back ends, from configs: memory,
    tokens/s (least, most), and the operations of a token. It needs no GPU."""
    from distill_nb.plan import devices, estimate

    device = devices.KNOWN["h100-80gb"] if size == "full" else devices.this("float32")
    for kind in kinds:
        model = folder_of(size, kind, layers, folder)
        for micro, recomputed in cases(size, kind):
            changes = dict(zip(("batch_size", "max_length"), batch(size, length), strict=True))
            changes |= {"micro_batch_size": micro, "recompute": "on" if recomputed else "off"}
            p = replace(run_params(size, kind, model, **changes), n_heldout=0)
            work = training.step_flops(p, [p.max_length], p.max_length // 2, recomputed)
            for way in ("unsloth", "hf"):
                expected = estimate.estimate(replace(p, backend=way), device)
                memory = {name: gib(value) for name, value in expected.memory.items()}
                # CUDA's own is beside what torch allocates
                peak = round(sum(memory.values()) - memory.get("CUDA", 0.0), 3)
                hours = [3600 * each for each in expected.hours]
                emit(
                    {
                        "row": f"{kind} {way} {micro} {'recomputed' if recomputed else 'kept'}",
                        "kind": kind,
                        "way": way,
                        "micro_batch_size": micro,
                        "recomputed": recomputed,
                        "layers": config_of(size, kind, layers).num_hidden_layers,
                        "plan_gib": peak,
                        "memory_gib": memory,
                        # the slowest with whole examples, the fastest with the shorter ones
                        "plan_tokens_per_second": [
                            expected.tokens[1] / hours[1],
                            expected.tokens[0] / hours[0],
                        ],
                        "flop_a_token": work / p.max_length,
                        "says": f"{kind} by {way}, {micro} at once: {peak:.1f} GiB",
                    }
                )


def compare_plan(planned: list[dict], measured: list[dict], rate: float | None, full: bool) -> None:
    """Add to measured steps what the plan expected, and their share of the matrix rate."""
    keys = ("kind", "way", "micro_batch_size", "recomputed", "layers")
    for row in measured:
        match = [r for r in planned if [r[k] for k in keys] == [row.get(k) for k in keys]]
        if not match or "peak_memory_gib" not in row:
            continue
        row["plan_gib"] = match[0]["plan_gib"]
        row["of_plan"] = row["peak_memory_gib"] / row["plan_gib"]
        if "tokens_per_second" in row:
            row["flop_per_second"] = row["tokens_per_second"] * match[0]["flop_a_token"]
            row["share_of_matrix_rate"] = row["flop_per_second"] / rate if rate else None
        low = 0.8 if row["way"] == "hf" else 0.0  # what Unsloth saves is not all in the plan
        if full and not low <= row["of_plan"] <= 1.2:
            row["failed"] = f"its memory is {row['of_plan']:.2f} of the plan's"
