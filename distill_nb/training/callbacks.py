"""What is written while a run trains (metrics, held-out losses, adapters, states to resume from),
and how a run ends early: several processes at the end of the same step (parallel.py)."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import disk, jsonl, paths, stop
from distill_nb.students import proof, sources
from distill_nb.training import parallel, sharding, times
from distill_nb.training.data import Data
from distill_nb.training.parallel import Stopping
from distill_nb.training.step import heldout_loss

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# keys of a line of metrics.jsonl that are another number each time
MEASURED = ("tokens_per_second", "seconds", "data_seconds", "memory_bytes", "memory_peak_bytes")


def save_adapter(p: Params, model: PeftModel, data: Data, step: int) -> None:
    """Write the adapter of a step, whole or not at all, with what proves it (proof.py). Where the
    student is divided, all processes call this, and the first writes."""
    final = paths.checkpoint_dir(p, step)
    partial = final.with_name(final.name + ".partial")
    weights = sharding.whole_adapter(model) if p.sharding == "full" else None
    if not parallel.is_first():
        proof.take_part(model, proof.text_of(data.train[0]))
        return
    shutil.rmtree(partial, ignore_errors=True)
    # not the student's own embedding and head, where the adapter is on them
    model.save_pretrained(partial, state_dict=weights, save_embedding_layers=False)
    _make_portable(partial, p)
    proof.write(model, proof.text_of(data.train[0]), partial)
    disk.sync(partial)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial, final)


def _make_portable(folder: Path, p: Params) -> None:
    """Put the student's public name in place of a folder, and remove PEFT's empty card."""
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text()) | {"base_model_name_or_path": sources.base_name(p)}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _refuse_divergence(p: Params, step: int, name: str, loss: float | None) -> None:
    if loss is not None and not math.isfinite(loss):
        raise ValueError(
            f"learning_rate: the {name} of step {step} is {loss}, so training has diverged; lower "
            f"learning_rate ({p.learning_rate:g}) or max_grad_norm ({p.max_grad_norm:g}), or look "
            "at the examples of that step. What was saved before is kept."
        )


def memory() -> tuple[int, int]:
    """(bytes that this process holds, the most that it needed so far): of its GPU what torch has
    reserved and allocated, else of the host what is resident."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return torch.cuda.memory_reserved(), torch.cuda.max_memory_allocated()
    held = psutil.Process().memory_info().rss
    try:
        import resource
    except ImportError:  # no Unix
        return held, held
    unit = 1 if sys.platform == "darwin" else 1024
    return held, max(held, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def micro_batch_tokens(p: Params, data: Data, step: int) -> list[int]:
    """Tokens of each micro-batch of a step, from 1, of all processes."""
    first = (step - 1) * p.batch_size
    lengths = [len(e["input_ids"]) for e in data.train[first : first + p.batch_size]]
    size = p.micro_batch_size
    return [sum(lengths[i : i + size]) for i in range(0, len(lengths), size)]


def make_callback(
    p: Params, data: Data, run_dir: Path, start: int, stopping: Stopping
) -> TrainerCallback:
    """The callback of this process. All stop where stopping() says why to any of them: after a
    step, or, of a single process, within one, which is then repeated. The first process writes."""
    from transformers import TrainerCallback

    tokens_at = [0]  # tokens of prompts and traces up to each step
    for step in range(p.max_steps):
        batch = data.train[step * p.batch_size : (step + 1) * p.batch_size]
        tokens_at.append(tokens_at[-1] + sum(len(e["input_ids"]) for e in batch))

    class Follower(TrainerCallback):
        """Stops with the others, and waits while the state is sealed."""

        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_
        ) -> None:
            if parallel.any_process(stopping()) and state.global_step < p.max_steps:
                control.should_save = control.should_training_stop = True

        def on_save(self, *_, **__) -> None:
            parallel.wait_for_all()
            parallel.wait_for_all()

    class Partner(Follower):
        """Takes part, too, in the first process's passes of a divided student."""

        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more
        ) -> None:
            super().on_step_end(args, state, control)
            if state.global_step % p.save_every == 0:
                heldout_loss(more["model"], data.heldout, p.micro_batch_size)

        def on_save(self, args: TrainingArguments, state: TrainerState, *_, **more) -> None:
            if state.global_step % p.save_every == 0:
                save_adapter(p, more["model"], data, state.global_step)
            super().on_save()

    class Recorder(Follower):
        def on_train_begin(self, *_, **__) -> None:
            self.bar = parallel.steps_bar(p, start, disable=parallel.is_worker())
            self.clock = time.perf_counter()

        def on_step_begin(self, *_, **__) -> None:
            self.waited = time.perf_counter() - self.clock
            self.random_state = stop.random_state()

        def on_substep_end(self, *_, **__) -> None:
            # several processes must all end after the same step
            if not parallel.is_worker() and stopping():
                raise stop.Stopped

        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more
        ) -> None:
            super().on_step_end(args, state, control)
            self.seconds = time.perf_counter() - self.clock
            self.heldout: float | None = None
            if state.global_step % p.save_every == 0:
                began = time.perf_counter()
                self.heldout = heldout_loss(more["model"], data.heldout, p.micro_batch_size)
                seconds = time.perf_counter() - began
                times.note(run_dir, state.global_step, "held-out loss", seconds)

        def on_log(self, args: TrainingArguments, state: TrainerState, *_, **more) -> None:
            logs, step = more["logs"], state.global_step
            if "loss" not in logs:
                return
            # before the step's adapter is saved
            _refuse_divergence(p, step, "loss", logs["loss"])
            _refuse_divergence(p, step, "held-out loss", self.heldout)
            speed = (tokens_at[step] - tokens_at[step - 1]) / self.seconds
            held, most = memory()
            parts = micro_batch_tokens(p, data, step)
            line = {
                "step": step,
                "loss": logs["loss"],
                "heldout_loss": self.heldout,
                "learning_rate": logs["learning_rate"],
                "grad_norm": logs.get("grad_norm"),
                "tokens": tokens_at[step],
                "tokens_per_second": round(speed, 1),
                "seconds": round(self.seconds, 4),
                "data_seconds": round(self.waited, 4),
                "memory_bytes": held,
                "memory_peak_bytes": most,
                "micro_batch_sequences": p.micro_batch_size,
                "micro_batch_tokens_least": min(parts),
                "micro_batch_tokens_most": max(parts),
            }
            jsonl.append(run_dir / "metrics.jsonl", [line])
            self.bar.update(1)
            self.bar.set_postfix(loss=f"{logs['loss']:.3f}")
            self.clock = time.perf_counter()

        def on_save(self, args: TrainingArguments, state: TrainerState, *_, **more) -> None:
            began = self.clock  # the Trainer has written its state since
            # the state of a run that was asked to stop has no adapter
            if state.global_step % p.save_every == 0:
                save_adapter(p, more["model"], data, state.global_step)
            parallel.wait_for_all()  # each process has its part of the state
            # only a sealed state is resumed from: a kill may leave one half-written
            disk.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            parallel.wait_for_all()
            self.clock = time.perf_counter()
            times.note(run_dir, state.global_step, "saving", self.clock - began)

        def on_train_end(self, *_, **__) -> None:
            self.bar.close()

    if parallel.is_first():
        return Recorder()
    return Partner() if p.sharding == "full" else Follower()
