"""The training steps that gpu_check.py measures at real size, and hf's attention over examples of
different lengths."""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path

from gpu_models import (
    LOSS_TOLERANCE,
    RUNS,
    emit,
    examples_of,
    expected_loss,
    failure,
    gib,
    left,
    loaded,
    tiny_params,
)

MEASURED = 3  # steps after the one to warm up, at most
SMALL = 79 * 2**30  # bytes that an 80-GB GPU has, as its driver reports them
LOSS_APART = 0.3  # nats that a random student's loss may be from what is expected
# kind → (micro-batch, 0 for the run file's, and whether activations are recomputed)
CASES = {"moe": [(0, True)], "dense": [(2, False), (10, True)]}


def cases(size: str, kind: str) -> list[tuple[int, bool]]:
    """The micro-batches and whether activations are recomputed, of one kind of student."""
    from distill_nb import params

    files = [RUNS[kind]] + (["tiny.yaml"] if size == "tiny" else [])
    own = params.read_files(*files)["micro_batch_size"]
    most = own if size == "tiny" else 10
    return [(min(micro or own, most), recomputed) for micro, recomputed in CASES[kind]]


def batch(size: str, length: int) -> tuple[int, int]:
    """(examples, tokens of each) of a measured step, less than a real one: 2 micro-batches of 5."""
    examples, tokens = (4, 256) if size == "tiny" else (10, 4096)
    return examples, length or tokens


def steps(size: str, kind: str, backend: str, layers: int, length: int, folder: Path) -> None:
    """Training steps of one student by one back end, each case with a student loaded for it."""
    from distill_nb.runtime import devices
    from distill_nb.students import student

    changes = dict(zip(("batch_size", "max_length"), batch(size, length), strict=True))
    # Unsloth must be imported before Transformers
    student.choose_backend(tiny_params(kind, backend=backend))
    for micro, recomputed in cases(size, kind):
        changes |= {"micro_batch_size": micro, "max_steps": 100, "save_every": 100}
        case = {
            "row": f"{kind} {backend} {micro} {'recomputed' if recomputed else 'kept'}",
            "kind": kind,
            "way": backend,
            "micro_batch_size": micro,
            "recomputed": recomputed,
        }
        for small in (True, False) if larger_than_80_gb() else (None,):
            row = case if small is None else case | {"limited_to_80_gb": small}
            if small is not None:
                limit_memory(small)
            try:
                measure(row, size, kind, backend, layers, folder, recomputed, changes)
                break
            except Exception as error:
                lack = devices.out_of_memory(error)
                emit(row | failure(error) | ({"failed": "out of memory"} if lack else {}))
                if not lack:
                    break
                case["fits_80_gb"] = False
            finally:
                free()


def measure(row, size, kind, backend, layers, folder, recomputed, changes) -> None:
    """Load, warm up, measure; the row as far as it has got, after each step."""
    import torch

    from distill_nb.training import step

    on_gpu = torch.cuda.is_available()
    emit(row | {"says": "loads"})
    p, network, seconds = loaded(size, kind, layers, folder, backend, recomputed, **changes)
    step.patch(network, backend)
    row |= {"layers": network.config.num_hidden_layers, "load_seconds": round(seconds, 1)}
    row |= {"expected_loss": expected_loss(size, kind), "says": "loaded"}
    if on_gpu:
        row |= {"load_peak_gib": gib(torch.cuda.max_memory_allocated())}
        torch.cuda.reset_peak_memory_stats()
    emit(row)
    examples = examples_of(p, [p.max_length] * p.batch_size)
    row |= {"tokens_a_step": p.batch_size * p.max_length}
    if backend == "unsloth":
        row["experts"] = expert_backend()
    with tempfile.TemporaryDirectory() as state:
        meter = meter_of(row)
        trainer = step.make_trainer(network, p, examples, Path(state), [meter])
        trainer.train()
    network.zero_grad(set_to_none=True)
    problems = faults(row)
    emit(row | ({"failed": "; ".join(problems)} if problems else {}))


def faults(row: dict) -> list[str]:
    """What is wrong with a measured row, in words."""
    found, loss = [], row["losses"][0]
    if not abs(loss - row["expected_loss"]) < LOSS_APART:
        found.append(f"its first loss is {loss:.4g}, not about {row['expected_loss']:.4g}")
    seen, several = row.get("packed_attention"), row["micro_batch_size"] > 1
    if seen and row["kind"] == "moe" and several:
        if not seen["fast"] + seen["compiled"]:
            found.append("attention never passed over the other examples of a row")
        elif seen["fallback"]:
            found.append(f"attention took a mask {seen['fallback']} times")
    return found


def meter_of(row: dict):
    """A Trainer's callback that writes into `row` what each step took, and hands it on. It ends the
    training after MEASURED steps, or when the section has no time for another."""
    import torch
    from transformers import TrainerCallback

    on_gpu = torch.cuda.is_available()
    seconds: list[float] = []
    losses: list[float] = []

    def now() -> float:
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    class Meter(TrainerCallback):
        def on_train_begin(self, *args, **kwargs):
            self.last = now()

        def on_step_end(self, args, state, control, **kwargs):
            here = now()
            seconds.append(here - self.last)
            self.last = here
            if len(seconds) > MEASURED or left() < 2 * seconds[-1]:
                control.should_training_stop = True

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" not in (logs or {}):
                return
            losses.append(logs["loss"])
            row.update(report(row, seconds, losses))
            emit(row)

    return Meter()


def report(row: dict, seconds: list[float], losses: list[float]) -> dict:
    """What is known after so many steps, the first of which warms up."""
    import torch
    import training

    measured = seconds[1:]
    made = {"warm_up_seconds": round(seconds[0], 2), "losses": list(losses), "steps": len(measured)}
    made["peak_memory_gib"] = round(training.peak_memory(), 3)
    made["says"] = f"{row['row']}: loss {losses[-1]:.4f}, {made['peak_memory_gib']:.1f} GiB"
    if measured:
        rate = row["tokens_a_step"] / statistics.median(measured)
        made |= {"tokens_per_second": round(rate, 1)}
        made |= {"seconds": [round(each, 3) for each in measured]}
        made["says"] += f", {rate:,.0f} tokens/s"
    if torch.cuda.is_available():
        free_bytes, total = torch.cuda.mem_get_info()
        # CUDA's own, and what others have
        outside = max(0, total - free_bytes - torch.cuda.memory_reserved())
        made["peak_reserved_gib"] = gib(torch.cuda.max_memory_reserved())
        made["outside_gib"] = gib(outside)
        fits = torch.cuda.max_memory_reserved() + outside <= SMALL
        made["fits_80_gb"] = fits and row.get("fits_80_gb", True)
        made["says"] += f", {'fits' if made['fits_80_gb'] else 'does not fit'} 80 GB"
        if seen := packed_attention():
            made["packed_attention"] = seen
    return made


def packed_attention() -> dict:
    """How often Unsloth's attention for packed rows has run with the kernel that skips the other
    examples (fast, compiled), and how often with a mask (fallback), up to now, in students that run
    by Transformers' code: the mixture of experts. {} on a CPU, where there is none."""
    module = sys.modules.get("unsloth.utils.hf_packed_attention")
    return dict(module.HF_PACKED_ATTENTION_STATS) if module else {}


def expert_backend() -> str:
    """What Unsloth chose for products of experts; "" where it has not said."""
    module = sys.modules.get("unsloth_zoo.temporary_patches.moe_utils")
    try:
        return str(module.select_moe_backend()) if module else ""
    except Exception as error:  # not part of what it promises
        return f"{type(error).__name__}: {error}"[:200]


def larger_than_80_gb() -> bool:
    """Whether the GPU here has more memory than one of 80 GB."""
    import torch

    return torch.cuda.is_available() and torch.cuda.mem_get_info()[1] > SMALL + 2**30


def limit_memory(small: bool) -> None:
    """Have torch fail where a GPU of 80 GB would, or not any more."""
    import torch

    free_bytes, total = torch.cuda.mem_get_info()
    outside = max(0, total - free_bytes - torch.cuda.memory_reserved())
    torch.cuda.set_per_process_memory_fraction((SMALL - outside) / total if small else 1.0)


def free() -> None:
    """Give back the memory of what is not used any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def compare_steps(rows: list[dict]) -> None:
    """Add to rows of the same student how far their first two losses are from the first row's: all
    train on the same examples."""
    measured = [row for row in rows if row.get("losses")]
    for row in measured[1:]:
        pairs = list(zip(row["losses"], measured[0]["losses"], strict=False))[:2]
        row["loss_difference"] = max(abs(a - b) for a, b in pairs)
        if not row["loss_difference"] <= LOSS_TOLERANCE["bfloat16"]:
            row["failed"] = f"its losses are {row['loss_difference']:.3g} nats from the first's"
