"""Supervised fine-tuning on traces: one Transformers Trainer for both back ends; checkpoints; resume.

Examples come tokenised and masked from chat.py. The loss is the mean over all trained tokens of the batch of
`batch_size` examples, whatever the micro-batch: Trainer divides each micro-batch's summed loss by the token count
of the whole accumulated batch.

On disk, below the run's folder:
  checkpoints/step_00100/  a PEFT adapter, written beside and renamed, so it is whole or absent
  state/checkpoint-100/    Trainer's optimiser, schedule and random state, for resuming; the last two are kept. A run that is
                           asked to stop (stop.py) leaves one of the step that it is at, and no adapter
  metrics.jsonl            one line a step
  provenance_train.json    what made it; "finished" is set when the last step is on disk
"""
from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from . import chat, disk, hub, ledger, lock, paths, proof, provenance, stop, student, traces
from .params import Params, is_baseline

# A run is the same run if these are equal; `overwrite` and the evaluation's keys do not matter to its weights.
TRAINING_KEYS = (
    "run_name", "scale", "seed", "teacher", "domain", "student", "student_size", "chat_template", "dtype",
    "backend", "dataset", "n_examples", "n_heldout", "max_length", "overlong", "lora_rank", "lora_alpha",
    "lora_dropout", "lora_targets", "learning_rate", "lr_schedule", "warmup_steps", "weight_decay",
    "max_grad_norm", "batch_size", "micro_batch_size", "max_steps", "save_every",
)


@dataclass
class Data:
    """Encoded examples: `train` is in the order of training, [max_steps * batch_size]; `heldout` is never trained on."""

    train: list[dict]
    heldout: list[dict]
    ledger: dict = field(default_factory=dict)  # of ledger.encode_traces
    sha256: str = ""
    tokens_sha256: str = ""  # of what is trained on, in its order: ids and labels
    student_version: str = ""  # of hub.check_student


def training_order(lengths: list[int], batch_size: int, max_steps: int, seed: int) -> list[int]:
    """Indices of the examples of every step, [max_steps * batch_size].

    Each epoch is a fresh seeded permutation. Inside a batch examples are sorted by length, which leaves the batch
    (and so its loss) as it is and the micro-batches with little padding."""
    rng, order = random.Random(seed), []
    while len(order) < max_steps * batch_size:
        epoch = list(range(len(lengths)))
        rng.shuffle(epoch)
        order += epoch
    steps = [order[i * batch_size:(i + 1) * batch_size] for i in range(max_steps)]
    return [i for step in steps for i in sorted(step, key=lambda j: (lengths[j], j))]


def prepare(p: Params) -> Data:
    """Load, encode and order the traces of a run; the held-out traces are the last n_heldout of them,
    less those of a problem that is trained on."""
    if is_baseline(p):
        raise ValueError(f"teacher: {p.run_name} is a baseline, which trains nothing; run eval.ipynb on it.")
    student.choose_backend(p)  # Unsloth, where it is used, must be imported before Transformers is
    version = hub.check_student(p)
    tokenizer = student.load_tokenizer(p)
    template = chat.template_for(p.student, p.chat_template)
    rows, spare = traces.load_with_spare(p.dataset, p.teacher, p.domain, p.n_examples + p.n_heldout, p.seed, p.scale)
    spare = spare if p.overlong == "drop" else []
    train, book = ledger.encode_traces(tokenizer, template, rows[:p.n_examples], p.max_length, p.overlong, spare)
    trained = {row["id"] for row in rows[:p.n_examples]}  # another trace of a trained problem is not held out
    heldout, _ = ledger.encode_traces(tokenizer, template, [r for r in rows[p.n_examples:] if r["id"] not in trained],
                                      p.max_length, p.overlong)
    if not train:
        raise ValueError(f"max_length: none of the {len(rows)} traces of {p.dataset} fits {p.max_length} tokens; "
                         "raise max_length or set overlong to truncate.")
    order = training_order([len(e["input_ids"]) for e in train], p.batch_size, p.max_steps, p.seed)
    if book["missing"]:
        print(f"{book['missing']} of the {p.n_examples} examples are missing: too long for max_length {p.max_length}, and "
              f"{p.dataset} has no others in reserve; the {len(train)} that there are make up every batch.")
    train = [train[i] for i in order]
    rows = [rows, spare] if spare else rows
    return Data(train, heldout, book, provenance.sha256_of_json(rows), tokens_sha256(train), version)


def tokens_sha256(examples: list[dict]) -> str:
    """64 hex digits of the ids and labels of encoded examples, in their order."""
    found = hashlib.sha256()
    for e in examples:
        for key in ("input_ids", "labels"):
            found.update(len(e[key]).to_bytes(8, "little") + np.asarray(e[key], "<i4").tobytes())
    return found.hexdigest()


def collate(examples: list[dict], pad_id: int) -> dict:
    """Right-pad to the longest: input_ids, attention_mask, labels, each int64 [B, L]."""
    import torch

    size = (len(examples), max(len(e["input_ids"]) for e in examples))
    batch = {"input_ids": torch.full(size, pad_id), "attention_mask": torch.zeros(size, dtype=torch.int64),
             "labels": torch.full(size, chat.IGNORE)}
    for i, e in enumerate(examples):
        n = len(e["input_ids"])
        batch["input_ids"][i, :n] = torch.as_tensor(e["input_ids"])
        batch["attention_mask"][i, :n] = 1
        batch["labels"][i, :n] = torch.as_tensor(e["labels"])
    return batch


def heldout_loss(model, examples: list[dict], pad_id: int, micro_batch_size: int) -> float | None:
    """Mean cross-entropy in nats over all trained tokens of the examples; None without examples."""
    import torch

    if not examples:
        return None
    was_training, total, tokens = model.training, 0.0, 0
    model.eval()
    examples = sorted(examples, key=lambda e: len(e["input_ids"]))
    with torch.no_grad():
        for i in range(0, len(examples), micro_batch_size):
            batch = collate(examples[i:i + micro_batch_size], pad_id)
            batch = {k: v.to(next(model.parameters()).device) for k, v in batch.items()}
            n = int((batch["labels"][:, 1:] != chat.IGNORE).sum())
            total += model(**batch).loss.item() * n
            tokens += n
    model.train(was_training)
    return total / tokens


def make_trainer(model, tokenizer, p: Params, data: Data, state_dir: Path, callbacks=()):
    """The Trainer that both back ends use. It logs every step, saves every `save_every` and shows no bar of its own."""
    import torch
    from transformers import PrinterCallback, Trainer, TrainingArguments

    on_gpu = torch.cuda.is_available()
    args = TrainingArguments(
        output_dir=str(state_dir), max_steps=p.max_steps, per_device_train_batch_size=p.micro_batch_size,
        gradient_accumulation_steps=p.batch_size // p.micro_batch_size, learning_rate=p.learning_rate,
        lr_scheduler_type=p.lr_schedule, warmup_steps=p.warmup_steps, weight_decay=p.weight_decay,
        max_grad_norm=p.max_grad_norm, logging_steps=1, save_strategy="steps", save_steps=p.save_every,
        save_total_limit=2, report_to="none", seed=p.seed, data_seed=p.seed, disable_tqdm=True,
        remove_unused_columns=False, train_sampling_strategy="sequential", use_cpu=not on_gpu,
        bf16=on_gpu and p.dtype == "bfloat16", dataloader_pin_memory=on_gpu, optim="adamw_torch")
    trainer = Trainer(model=model, args=args, train_dataset=data.train,
                      data_collator=lambda rows: collate(rows, tokenizer.pad_token_id), callbacks=list(callbacks))
    trainer.remove_callback(PrinterCallback)
    return trainer


def _tidy(folder: Path, p: Params) -> None:
    """Make what PEFT saves fit for others: the student's public name in place of a folder of this machine, and no empty
    card (card.py writes one after the evaluation)."""
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text()) | {"base_model_name_or_path": student.public_name(p)}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _recorder(p: Params, data: Data, tokenizer, run_dir: Path, start: int, stopping=lambda: ""):
    """The callback that writes metrics, held-out losses and checkpoints, moves the progress bar, and stops where
    stopping() says why: after a step, or between two micro-batches, whose step is then made anew."""
    from tqdm.auto import tqdm
    from transformers import TrainerCallback

    tokens_at = [0]
    for step in range(p.max_steps):
        batch = data.train[step * p.batch_size:(step + 1) * p.batch_size]
        tokens_at.append(tokens_at[-1] + sum(len(e["input_ids"]) for e in batch))

    class Recorder(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            self.bar = tqdm(total=p.max_steps, initial=start, desc="training", unit="step", mininterval=5)
            self.clock, self.heldout = time.perf_counter(), None

        def on_step_begin(self, args, state, control, **kwargs):
            self.random_state = stop.random_state()

        def on_substep_end(self, args, state, control, **kwargs):
            if stopping():
                raise stop.Stopped

        def on_step_end(self, args, state, control, model=None, **kwargs):
            if stopping() and state.global_step < p.max_steps:
                control.should_save = control.should_training_stop = True
            self.seconds = time.perf_counter() - self.clock
            due = state.global_step % p.save_every == 0
            self.heldout = heldout_loss(model, data.heldout, tokenizer.pad_token_id, p.micro_batch_size) if due else None

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" not in logs:
                return
            step = state.global_step
            line = {"step": step, "loss": logs["loss"], "heldout_loss": self.heldout,
                    "learning_rate": logs["learning_rate"], "grad_norm": logs.get("grad_norm"),
                    "tokens": tokens_at[step],
                    "tokens_per_second": round((tokens_at[step] - tokens_at[step - 1]) / self.seconds, 1)}
            with open(run_dir / "metrics.jsonl", "a") as f:
                f.write(json.dumps(line) + "\n")
            self.bar.update(1)
            self.bar.set_postfix(loss=f"{logs['loss']:.3f}")
            self.clock = time.perf_counter()

        def on_save(self, args, state, control, model=None, **kwargs):
            sealed = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if state.global_step % p.save_every:  # a stop's: only to be resumed from
                disk.seal(sealed)
                return
            final = paths.checkpoint_dir(p, state.global_step)
            beside = final.with_name(final.name + ".partial")
            shutil.rmtree(beside, ignore_errors=True)
            model.save_pretrained(beside)
            _tidy(beside, p)
            proof.write(model, proof.text_of(data.train[0]), beside)
            disk.sync(beside)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(beside, final)
            disk.seal(sealed)  # only a sealed state is resumed from: a kill may leave one half-written
            self.clock = time.perf_counter()

        def on_train_end(self, args, state, control, **kwargs):
            self.bar.close()

    return Recorder()


def _saved_steps(p: Params) -> range:
    """The steps that leave an adapter."""
    return range(p.save_every, p.max_steps + 1, p.save_every)


def last_state(run_dir: Path, saved=range(0)) -> tuple[int, Path | None]:
    """The newest whole state folder and its step, (0, None) if there is none. Removes half-written and damaged ones, and
    those that come after a missing adapter of the steps `saved`, and says so."""
    found = []
    for folder in (run_dir / "state").glob("checkpoint-*"):
        step, wrong = int(folder.name.split("-")[1]), disk.broken(folder)
        adapters = {f.parent.name for f in run_dir.glob("checkpoints/step_*/adapter_model.*")}
        lost = [s for s in saved if s <= step and paths.step_name(s) not in adapters]
        if wrong or lost:
            print(f"{run_dir.name}/state/{folder.name} is not used, and removed: "
                  + (wrong or f"the adapter of step {lost[0]} is missing and must be made again") + ".")
            shutil.rmtree(folder)
        else:
            found.append((step, folder))
    return max(found, default=(0, None))


def _refuse_other_run(run_dir: Path, p: Params, data: Data) -> dict:
    """What an earlier start of this run left, {} if nothing. Raises ValueError if it was a different run."""
    file = run_dir / "provenance_train.json"
    before = provenance.read(file, "set overwrite: true to train it again")
    if not before and (any(run_dir.glob("state/*")) or any(run_dir.glob("checkpoints/*"))):
        raise ValueError(f"{run_dir.name}: it has checkpoints but no {file.name}, so nothing says of which parameters; put "
                         "that back, or set overwrite: true to train it again.")
    if not before:
        return {}
    now = json.loads(json.dumps(asdict(p)))
    differing = [k for k in TRAINING_KEYS if before["parameters"].get(k) != now[k]]
    if before.get("data_sha256") != data.sha256:
        differing.append("dataset (its content)")
    if before.get("student_version", data.student_version) != data.student_version:
        differing.append("student (its files)")
    if differing:
        raise ValueError(f"{file.name} in {run_dir.name}: this run was started with other values of "
                         f"{', '.join(differing)}; set overwrite: true to start it again, or choose another run_name.")
    return before


def _keep_metrics_up_to(file: Path, step: int) -> None:
    """Drop the lines after `step` (and a torn last line): the resumed run writes them again."""
    if not file.exists():
        return
    kept = []
    for text in file.read_text().splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            print(f"{file.parent.name}/{file.name}: dropped a torn line.")
            continue
        if line["step"] <= step:
            kept.append(text + "\n")
    new = file.with_suffix(".partial")
    new.write_text("".join(kept))
    os.replace(new, file)


def train(p: Params, data: Data | None = None, notebook: Path | None = None) -> dict:
    """Train one run, or go on where it was interrupted, or leave a finished one alone. Returns its provenance.

    Raises ValueError if the folder holds a run of other parameters or other data and `overwrite` is false, or if another
    process is at it; stop.Stopped once it was asked to end and has saved its state; disk.DiskFull."""
    backend = student.choose_backend(p)
    data = data or prepare(p)
    run_dir = paths.run_dir(p)
    with lock.alone(run_dir, "being trained"), disk.room(run_dir), stop.listening() as stopping:
        return _train(p, data, notebook, backend, stopping)


def _train(p: Params, data: Data, notebook: Path | None, backend: str, stopping) -> dict:
    """`train`, once nobody else is at it."""
    run_dir = paths.run_dir(p)
    if p.overwrite and run_dir.exists():
        for name in ("checkpoints", "state", "eval"):
            shutil.rmtree(run_dir / name, ignore_errors=True)
        for name in ("metrics.jsonl", "provenance_train.json", "provenance_eval.json"):
            (run_dir / name).unlink(missing_ok=True)
    before = _refuse_other_run(run_dir, p, data)
    if before.get("finished"):
        print(f"{run_dir.name} is finished ({p.max_steps} steps); nothing to train. overwrite: true trains it again.")
        return before
    run_dir.mkdir(parents=True, exist_ok=True)
    start, state = last_state(run_dir, _saved_steps(p))
    _keep_metrics_up_to(run_dir / "metrics.jsonl", start)
    print(f"Training {run_dir.name} with {backend} on {student.device()}: "
          + (f"resuming at step {start} of {p.max_steps}" if start else f"{p.max_steps} steps of {p.batch_size}"))
    record = provenance.collect(p, notebook=notebook, entry="distill_nb.train", backend=backend,
                                data_sha256=data.sha256, ledger=data.ledger,
                                tokens_sha256=data.tokens_sha256, student_version=data.student_version,
                                template=chat.template_for(p.student, p.chat_template).hash, resumed_at=start)
    record = provenance.follow(record, before)
    provenance.write(run_dir / "provenance_train.json", record)

    tokenizer = student.load_tokenizer(p)
    model = student.attach_lora(student.load(p, backend), p, backend)
    recorder = _recorder(p, data, tokenizer, run_dir, start, stopping)
    trainer = make_trainer(model, tokenizer, p, data, run_dir / "state", [recorder])
    if start < p.max_steps:  # equal if the last state was written and the kill came just after
        _until_stopped(trainer, state, recorder, stopping)
    record = provenance.finish(record) | {"finished": True, "adapters_sha256": {
        str(step): student.sha256_of_adapter(paths.checkpoint_dir(p, step)) for step in _saved_steps(p)}}
    provenance.write(run_dir / "provenance_train.json", record)
    return record


def _until_stopped(trainer, state: Path | None, recorder, stopping) -> None:
    """Train to the end. Raises stop.Stopped where stopping() ends it before, with the state of the last whole step on disk."""
    try:
        trainer.train(resume_from_checkpoint=str(state) if state else None)
    except stop.Stopped:  # within a step: what random numbers it drew are drawn again
        recorder.bar.close()
        step = trainer.state.global_step
        saved = Path(trainer.args.output_dir) / f"checkpoint-{step}"
        if step and not saved.exists():
            stop.set_random_state(recorder.random_state)
            trainer._save_checkpoint(trainer.model, trial=None)
            disk.seal(saved)
    step, steps = trainer.state.global_step, trainer.args.max_steps
    if step < steps:
        raise stop.Stopped(f"Stopped by {stopping()} after step {step} of {steps}: "
                           + ("its state is on disk, and the run goes on there when it is started again." if step else
                              "nothing was lost, and the run begins when it is started again.")) from None


def load_metrics(p: Params):
    """metrics.jsonl as a pandas DataFrame, one row a step."""
    import pandas as pd

    return pd.read_json(paths.run_dir(p) / "metrics.jsonl", lines=True)
