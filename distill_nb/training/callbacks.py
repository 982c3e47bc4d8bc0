"""What training writes while it runs: metrics, held-out losses, adapters, states to go on from; and
how it ends in between.

Several processes end together: each asks at the end of a step whether any of them was asked to
(parallel.py)."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from pathlib import Path

from distill_nb.params import Params
from distill_nb.runtime import disk, jsonl, paths, stop
from distill_nb.students import proof, sources
from distill_nb.training import parallel
from distill_nb.training.step import heldout_loss


def save_adapter(p: Params, model, data, step: int) -> None:
    """Write the adapter of a step, whole or not at all, with the log-probabilities that prove it
    (proof.py)."""
    final = paths.checkpoint_dir(p, step)
    beside = final.with_name(final.name + ".partial")
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    _tidy(beside, p)
    proof.write(model, proof.text_of(data.train[0]), beside)
    disk.sync(beside)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(beside, final)


def _tidy(folder: Path, p: Params) -> None:
    """Make what PEFT saves fit for others: the student's public name in place of a folder of this
    machine, and no empty card (card.py writes one after the evaluation)."""
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text()) | {"base_model_name_or_path": sources.public_name(p)}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def recorder(p: Params, data, run_dir: Path, start: int, stopping=lambda: ""):
    """The callback that writes metrics, held-out losses and checkpoints, moves the progress bar,
    and stops where stopping() says why: after a step, or between two micro-batches, whose step is
    then made anew."""
    from tqdm.auto import tqdm
    from transformers import TrainerCallback

    tokens_at = [0]
    for step in range(p.max_steps):
        batch = data.train[step * p.batch_size : (step + 1) * p.batch_size]
        tokens_at.append(tokens_at[-1] + sum(len(e["input_ids"]) for e in batch))

    class Recorder(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            self.bar = tqdm(
                total=p.max_steps,
                initial=start,
                desc="training",
                unit="step",
                mininterval=5,
                disable=parallel.is_worker(),
            )
            self.clock, self.heldout = time.perf_counter(), None

        def on_step_begin(self, args, state, control, **kwargs):
            self.random_state = stop.random_state()

        def on_substep_end(self, args, state, control, **kwargs):
            if (
                not parallel.is_worker() and stopping()
            ):  # of several processes all end after the same step
                raise stop.Stopped

        def on_step_end(self, args, state, control, model=None, **kwargs):
            if parallel.any_of_all(stopping()) and state.global_step < p.max_steps:
                control.should_save = control.should_training_stop = True
            self.seconds = time.perf_counter() - self.clock
            due = state.global_step % p.save_every == 0
            self.heldout = heldout_loss(model, data.heldout, p.micro_batch_size) if due else None

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" not in logs:
                return
            step = state.global_step
            for name, loss in (("loss", logs["loss"]), ("held-out loss", self.heldout)):
                if loss is not None and not math.isfinite(
                    loss
                ):  # before the step's adapter is saved
                    raise ValueError(
                        f"learning_rate: the {name} of step {step} is {loss}, so training has "
                        "diverged; lower "
                        f"learning_rate ({p.learning_rate:g}) or max_grad_norm "
                        f"({p.max_grad_norm:g}), or look at "
                        "the examples of that step. What was saved before is kept."
                    )
            line = {
                "step": step,
                "loss": logs["loss"],
                "heldout_loss": self.heldout,
                "learning_rate": logs["learning_rate"],
                "grad_norm": logs.get("grad_norm"),
                "tokens": tokens_at[step],
                "tokens_per_second": round(
                    (tokens_at[step] - tokens_at[step - 1]) / self.seconds, 1
                ),
            }
            jsonl.append(run_dir / "metrics.jsonl", [line])
            self.bar.update(1)
            self.bar.set_postfix(loss=f"{logs['loss']:.3f}")
            self.clock = time.perf_counter()

        def on_save(self, args, state, control, model=None, **kwargs):
            sealed = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if (
                state.global_step % p.save_every == 0
            ):  # else it is a stop's, only to be resumed from
                save_adapter(p, model, data, state.global_step)
            parallel.wait_for_all()  # each process has its part of the state
            # only a sealed state is resumed from: a kill may leave one half-written
            disk.seal(sealed)
            parallel.wait_for_all()
            self.clock = time.perf_counter()

        def on_train_end(self, args, state, control, **kwargs):
            self.bar.close()

    return Recorder()


def follower(p: Params, stopping):
    """The callback of a process that does not write: it stops with the first one, and waits where
    that does."""
    from transformers import TrainerCallback

    class Follower(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if parallel.any_of_all(stopping()) and state.global_step < p.max_steps:
                control.should_save = control.should_training_stop = True

        def on_save(self, args, state, control, **kwargs):
            parallel.wait_for_all()
            parallel.wait_for_all()

    return Follower()
