"""Supervised fine-tuning on traces: one Transformers Trainer for both back ends.

The loss is the mean over all trained tokens of the batch of `batch_size` examples, whatever the
micro-batch and the number of processes: Trainer divides each micro-batch's summed loss by the token
count of the whole accumulated batch.

On disk, below the run's folder:
  checkpoints/step_00100/  a PEFT adapter, written beside and renamed, so it is whole or absent
  state/checkpoint-100/    Trainer's optimiser, schedule and random state, to resume from; the last
                           two are kept; a run that is asked to stop leaves one of that step
  metrics.jsonl            one line a step
  times.jsonl              what the time went to beside the steps (times.py)
  train.log                what every start said, each line with its time
  provenance_train.json    what made it; "finished" is set when the last step is on disk
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_nb.params import Params
from distill_nb.runtime import devices, disk, lock, paths, provenance, stop, tracking
from distill_nb.runtime import log as log_file
from distill_nb.students import adapters, chat, check_student, student
from distill_nb.training import parallel, resume, sharding, times
from distill_nb.training.callbacks import make_callback
from distill_nb.training.data import Data, prepare
from distill_nb.training.parallel import Stopping
from distill_nb.training.step import make_trainer, patch

if TYPE_CHECKING:
    import pandas as pd
    from transformers import Trainer, TrainerCallback

log = logging.getLogger(__name__)


def train(
    p: Params,
    data: Data | None = None,
    notebook: str | Path | None = None,
    recompute: str = "auto",
    plan: dict | None = None,
) -> dict:
    """Train one run, or go on where it was interrupted, or leave a finished one alone. Returns its
    provenance. data: of `prepare`; notebook: relative to the repository; recompute: on | off, what
    the plan decided where p.recompute is auto (auto: on with CUDA, else off); plan: of
    train_report.show_plan, kept in the provenance, whose `recompute` counts where it has one.

    Raises ValueError if its tracker is not installed; if the folder holds a run of other parameters
    or data, or one that has lost an adapter or lines of its metrics, and `overwrite` is false; if
    another process is training it; if it diverges; or if a GPU's memory is too small. Raises
    stop.Stopped, its state saved; disk.DiskFull."""
    tracking.check(p.track)
    backend = student.choose_backend(p)
    parallel.check_devices(p)
    data = data or prepare(p)
    run_dir, plan = paths.run_dir(p), plan or {}
    recompute = plan.get("recompute", recompute)
    with lock.alone(run_dir, "being trained"), disk.room(run_dir), stop.listening() as stopping:
        return _train(p, data, notebook, backend, recompute, plan, stopping)


def _train(
    p: Params,
    data: Data,
    notebook: str | Path | None,
    backend: str,
    recompute: str,
    plan: dict,
    stopping: Stopping,
) -> dict:
    """`train`, in a folder that is locked."""
    decided = replace(p, recompute=recompute) if p.recompute == "auto" else p
    decided = replace(decided, recompute="on" if student.recomputes(decided) else "off")
    run_dir = paths.run_dir(p)
    if p.overwrite:
        resume.start_again(run_dir)
    before = resume.refuse_other_run(run_dir, p, data)
    if before.get("finished"):
        adapters.refuse_lost_adapters(run_dir, before, adapters.adapters_on_disk(run_dir))
        log.info(
            f"{run_dir.name} is finished ({p.max_steps} steps); nothing to train. overwrite: true "
            "trains it again."
        )
        with tracked(p):  # what it lacks
            return before
    with log_file.kept(run_dir / resume.LOG):
        return _go_on(p, decided, data, notebook, backend, plan, before, stopping)


def tracked(p: Params) -> contextlib.AbstractContextManager[None]:
    """Meanwhile, the lines of metrics.jsonl go to the run's tracker."""
    run_dir = paths.run_dir(p)
    return tracking.mirrored(p.track, run_dir, "train", run_dir / "metrics.jsonl", asdict(p))


def _go_on(
    p: Params,
    decided: Params,
    data: Data,
    notebook: str | Path | None,
    backend: str,
    plan: dict,
    before: dict,
    stopping: Stopping,
) -> dict:
    """Train from the last state on. before: the provenance of an earlier start, or {}."""
    run_dir = paths.run_dir(p)
    start, state = resume.last_state(run_dir, resume.saved_steps(p))
    sharding.refuse_other_states(p, state)
    for name in ("metrics.jsonl", times.FILE):
        resume.keep_lines_up_to(run_dir / name, start)
    steps = f"{p.max_steps} steps of {p.batch_size}"
    if start:
        steps = f"resuming at step {start} of {p.max_steps}"
    log.info(f"Training {run_dir.name} with {backend} on {student.device()}: {steps}")
    times.note(run_dir, start, "data", data.seconds)
    record = provenance.collect(
        p,
        notebook=notebook,
        entry="distill_nb.training.train",
        backend=backend,
        recompute=decided.recompute,
        data_sha256=data.sha256,
        ledger=data.ledger,
        tokens_sha256=data.tokens_sha256,
        student_version=data.student_version,
        template=chat.template_for(p.student, p.chat_template).hash,
        resumed_at=start,
        **({"plan": plan} if plan else {}),
    )
    record = provenance.follow(record, before)
    provenance.write(run_dir / "provenance_train.json", record)

    if start < p.max_steps:  # equal if the last state was written and the kill came just after
        job: dict[str, Any] = dict(
            p=decided, data=data, backend=backend, run_dir=run_dir, start=start, state=state
        )
        with tracked(p):
            if p.train_processes == 1:
                fit(**job, stopping=stopping)
            else:
                parallel.launch(p, job, run_dir, stopping)
    record = provenance.finish(record)
    record["finished"] = True
    record["adapters_sha256"] = {
        str(step): adapters.sha256_of_adapter(paths.checkpoint_dir(p, step))
        for step in resume.saved_steps(p)
    }
    provenance.write(run_dir / "provenance_train.json", record)
    minutes = record["seconds"] / 60
    log.info(f"{run_dir.name} is trained: {p.max_steps} steps, this start {minutes:.1f} minutes.")
    return record


def fit(
    p: Params,
    data: Data,
    backend: str,
    run_dir: Path,
    start: int,
    state: Path | None,
    stopping: Stopping,
) -> None:
    """Train from a state to the last step: in this process, or as one of several (parallel.py).
    Raises stop.Stopped where stopping() asks it to end before."""
    began = time.perf_counter()
    if parallel.is_first():
        check_student.check_weights(p)
    base = student.load(p, backend) if p.sharding == "none" else sharding.load(p)
    model = student.attach_lora(base, p, backend)
    patch(model, backend)
    callback = make_callback(p, data, run_dir, start, stopping)
    with _enough_memory(p):
        trainer = make_trainer(model, p, data.train, run_dir / "state", [callback])
        if parallel.is_first():
            times.note(run_dir, start, "load", time.perf_counter() - began)
        _until_stopped(trainer, state, callback, stopping)


@contextlib.contextmanager
def _enough_memory(p: Params) -> Iterator[None]:
    """A GPU that runs out of memory is a ValueError that says what to set. No state is saved then:
    an optimiser's step may be half done."""
    reason = ""
    try:
        yield
    except RuntimeError as error:
        if not devices.out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0]
    if reason:  # raised here: an exception with another as its context keeps the memory of both
        share = p.batch_size // p.train_processes
        smaller = max((n for n in range(1, p.micro_batch_size) if share % n == 0), default=0)
        remedy = "take a GPU with more memory"
        if p.recompute == "off":
            remedy = "set recompute to on"
        if smaller:
            remedy = f"set it to {smaller}, which changes memory, speed and rounding only"
        raise ValueError(
            f"micro_batch_size: the GPU has too little memory for {p.micro_batch_size} of these "
            f"examples in one pass; {remedy}, and start the run again: it goes on from its last "
            f"checkpoint. ({reason})"
        )


def _until_stopped(
    trainer: Trainer, state: Path | None, callback: TrainerCallback, stopping: Stopping
) -> None:
    """Train to the end, or raise stop.Stopped with the last whole step's state on disk."""
    try:
        trainer.train(resume_from_checkpoint=str(state) if state else None)
    except stop.Stopped:  # within a step: its random numbers are drawn again
        callback.bar.close()
        step = trainer.state.global_step
        saved = Path(trainer.args.output_dir) / f"checkpoint-{step}"
        if step and not saved.exists():
            stop.set_random_state(callback.random_state)
            trainer._save_checkpoint(trainer.model, trial=None)
            disk.seal(saved)
    step, steps = trainer.state.global_step, trainer.args.max_steps
    if step < steps:
        kept = "nothing was lost, and the run begins when it is started again."
        if step:
            kept = "its state is on disk, and the run goes on there when it is started again."
        why = stopping() or "another process"
        raise stop.Stopped(f"Stopped by {why} after step {step} of {steps}: {kept}") from None


def example_text(p: Params, data: Data) -> tuple[str, str]:
    """The first example, decoded: its prompt, and what is trained on, the end token included."""
    example = data.train[0]
    prompt = int((example["labels"] == chat.IGNORE).sum())  # tokens; all stand at the front
    tokenizer, ids = student.load_tokenizer(p), example["input_ids"]
    return tokenizer.decode(ids[:prompt]), tokenizer.decode(ids[prompt:])


def checkpoint_steps(p: Params) -> list[int]:
    """Steps of the adapters on disk, ascending."""
    return list(adapters.adapter_files(paths.run_dir(p)))


def load_metrics(p: Params) -> pd.DataFrame:
    """metrics.jsonl, one row a step."""
    import pandas as pd

    return pd.read_json(paths.run_dir(p) / "metrics.jsonl", lines=True)


def at_checkpoints(metrics: pd.DataFrame, p: Params) -> pd.DataFrame:
    """Loss, learning rate, gradient norm and tokens where an adapter was saved, of `load_metrics`,
    as texts: whole numbers in full, others to four digits, "" where there is none."""

    def text(value: float) -> str:
        if value != value:  # nan
            return ""
        return f"{value:.4g}" if value % 1 else f"{value:,.0f}"

    columns = ["step", "loss", "heldout_loss", "learning_rate", "grad_norm", "tokens"]
    saved = metrics.loc[metrics["step"].isin(resume.saved_steps(p)), columns]
    return saved.astype(object).map(text)
