"""Supervised fine-tuning on traces: one Transformers Trainer for both back ends; checkpoints; resume.

Examples come tokenised and masked from chat.py; train_step.py has what a step does. The loss is the mean over all trained
tokens of the batch of `batch_size` examples, whatever the micro-batch and the number of processes: Trainer divides each
micro-batch's summed loss by the token count of the whole accumulated batch.

On disk, below the run's folder:
  checkpoints/step_00100/  a PEFT adapter, written beside and renamed, so it is whole or absent
  state/checkpoint-100/    Trainer's optimiser, schedule and random state, for resuming; the last two are kept
  metrics.jsonl            one line a step
  provenance_train.json    what made it; "finished" is set when the last step is on disk
"""
from __future__ import annotations

import json
import os
import random
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import chat, ledger, paths, proof, provenance, student, traces, train_parallel
from .params import Params, is_baseline
from .train_step import heldout_loss, make_trainer, patch

# A run is the same run if these are equal; `overwrite` and the evaluation's keys do not matter to its weights.
TRAINING_KEYS = (
    "run_name", "scale", "seed", "teacher", "domain", "student", "student_size", "chat_template", "dtype",
    "load_in_4bit", "backend", "dataset", "n_examples", "n_heldout", "max_length", "overlong", "lora_rank", "lora_alpha",
    "lora_dropout", "lora_targets", "lora_experts", "lora_expert_rank", "learning_rate", "lr_schedule", "warmup_steps",
    "weight_decay", "max_grad_norm", "batch_size", "micro_batch_size", "max_steps", "save_every",
)


@dataclass
class Data:
    """Encoded examples: `train` is in the order of training, [max_steps * batch_size]; `heldout` is never trained on."""

    train: list[dict]
    heldout: list[dict]
    ledger: dict = field(default_factory=dict)  # of ledger.encode_traces
    sha256: str = ""


def training_order(lengths: list[int], batch_size: int, max_steps: int, seed: int, micro_batch_size: int) -> list[int]:
    """Indices of the examples of every step, [max_steps * batch_size].

    Each epoch is a fresh seeded permutation. Inside a batch, which keeps its examples and so its loss, they are dealt out so
    that its micro-batches have about the same number of tokens: the largest one decides the memory, and processes that
    share a batch wait for the slowest."""
    rng, order = random.Random(seed), []
    while len(order) < max_steps * batch_size:
        epoch = list(range(len(lengths)))
        rng.shuffle(epoch)
        order += epoch
    steps = [order[i * batch_size:(i + 1) * batch_size] for i in range(max_steps)]
    hands = batch_size // micro_batch_size
    return [i for step in steps for micro in _dealt(sorted(step, key=lambda j: (lengths[j], j)), hands) for i in micro]


def _dealt(sorted_by_length: list[int], hands: int) -> list[list[int]]:
    """As cards are dealt to players who sit in a row, there and back."""
    turns = [*range(hands), *reversed(range(hands))]
    return [[card for i, card in enumerate(sorted_by_length) if turns[i % len(turns)] == hand] for hand in range(hands)]


def prepare(p: Params) -> Data:
    """Load, encode and order the traces of a run; the held-out traces are the last n_heldout of them,
    less those of a problem that is trained on."""
    if is_baseline(p):
        raise ValueError(f"teacher: {p.run_name} is a baseline, which trains nothing; run eval.ipynb on it.")
    student.choose_backend(p)  # Unsloth, where it is used, must be imported before Transformers is
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
    order = training_order([len(e["input_ids"]) for e in train], p.batch_size, p.max_steps, p.seed,
                           p.micro_batch_size)
    if book["missing"]:
        print(f"{book['missing']} of the {p.n_examples} examples are missing: too long for max_length {p.max_length}, and "
              f"{p.dataset} has no others in reserve; the {len(train)} that there are make up every batch.")
    return Data([train[i] for i in order], heldout, book, provenance.sha256_of_json([rows, spare] if spare else rows))


def _tidy(folder: Path, p: Params) -> None:
    """Make what PEFT saves fit for others: the student's public name in place of a folder of this machine, and no empty
    card (card.py writes one after the evaluation)."""
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text()) | {"base_model_name_or_path": student.public_name(p)}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _recorder(p: Params, data: Data, run_dir: Path, start: int):
    """The callback that writes metrics, held-out losses and checkpoints, and moves the progress bar."""
    from tqdm.auto import tqdm
    from transformers import TrainerCallback

    tokens_at = [0]
    for step in range(p.max_steps):
        batch = data.train[step * p.batch_size:(step + 1) * p.batch_size]
        tokens_at.append(tokens_at[-1] + sum(len(e["input_ids"]) for e in batch))

    class Recorder(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            self.bar = tqdm(total=p.max_steps, initial=start, desc="training", unit="step", mininterval=5,
                            disable=train_parallel.is_worker())
            self.clock, self.heldout = time.perf_counter(), None

        def on_step_end(self, args, state, control, model=None, **kwargs):
            self.seconds = time.perf_counter() - self.clock
            due = state.global_step % p.save_every == 0
            self.heldout = heldout_loss(model, data.heldout, p.micro_batch_size) if due else None

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
            final = paths.checkpoint_dir(p, state.global_step)
            beside = final.with_name(final.name + ".partial")
            shutil.rmtree(beside, ignore_errors=True)
            model.save_pretrained(beside)
            _tidy(beside, p)
            proof.write(model, proof.text_of(data.train[0]), beside)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(beside, final)
            train_parallel.wait_for_all()
            # Only a state folder with this mark is resumed from: a kill may leave one half-written.
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / "complete").touch()
            self.clock = time.perf_counter()

        def on_train_end(self, args, state, control, **kwargs):
            self.bar.close()

    return Recorder()


def _follower():
    """The callback of a process that does not write: it waits where the first one does."""
    from transformers import TrainerCallback

    class Follower(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            train_parallel.wait_for_all()

    return Follower()


def last_state(run_dir: Path) -> tuple[int, Path | None]:
    """The newest complete state folder and its step; removes half-written ones. (0, None) if there is none."""
    found = []
    for folder in (run_dir / "state").glob("checkpoint-*"):
        if (folder / "complete").exists():
            found.append((int(folder.name.split("-")[1]), folder))
        else:
            shutil.rmtree(folder)
    return max(found, default=(0, None))


def _refuse_other_run(run_dir: Path, p: Params, data: Data) -> dict:
    """What an earlier start of this run left, {} if nothing. Raises ValueError if it was a different run."""
    file = run_dir / "provenance_train.json"
    if not file.exists():
        return {}
    before = json.loads(file.read_text())
    now = json.loads(json.dumps(asdict(p)))
    differing = [k for k in TRAINING_KEYS if before["parameters"].get(k) != now[k]]
    if before.get("data_sha256") != data.sha256:
        differing.append("dataset (its content)")
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
            continue
        if line["step"] <= step:
            kept.append(text + "\n")
    new = file.with_suffix(".partial")
    new.write_text("".join(kept))
    os.replace(new, file)


def fit(p: Params, data: Data, backend: str, run_dir: Path, start: int, state: Path | None) -> None:
    """Train from a state to the last step: in this process, or as one of several (train_parallel.py)."""
    model = student.attach_lora(student.load(p, backend), p, backend)
    if backend == "hf":
        patch(model)
    recorder = _recorder(p, data, run_dir, start) if train_parallel.is_first() else _follower()
    trainer = make_trainer(model, p, data.train, run_dir / "state", [recorder])
    trainer.train(resume_from_checkpoint=str(state) if state else None)


def train(p: Params, data: Data | None = None, notebook: Path | None = None) -> dict:
    """Train one run, or go on where it was interrupted, or leave a finished one alone. Returns its provenance.

    Raises ValueError if the folder holds a run of other parameters or other data and `overwrite` is false."""
    backend = student.choose_backend(p)
    train_parallel.check_devices(p)
    data = data or prepare(p)
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
    start, state = last_state(run_dir)
    _keep_metrics_up_to(run_dir / "metrics.jsonl", start)
    print(f"Training {run_dir.name} with {backend} on {student.device()}: "
          + (f"resuming at step {start} of {p.max_steps}" if start else f"{p.max_steps} steps of {p.batch_size}"))
    record = provenance.collect(p, notebook=notebook, backend=backend, data_sha256=data.sha256, ledger=data.ledger,
                                template=chat.template_for(p.student, p.chat_template).hash, resumed_at=start)
    record = provenance.follow(record, before)
    provenance.write(run_dir / "provenance_train.json", record)

    if start < p.max_steps:  # equal if the last state was written and the kill came just after
        job = dict(p=p, data=data, backend=backend, run_dir=run_dir, start=start, state=state)
        fit(**job) if p.train_processes == 1 else train_parallel.launch(p, job, run_dir)
    record = provenance.finish(record) | {"finished": True}
    provenance.write(run_dir / "provenance_train.json", record)
    return record


def load_metrics(p: Params):
    """metrics.jsonl as a pandas DataFrame, one row a step."""
    import pandas as pd

    return pd.read_json(paths.run_dir(p) / "metrics.jsonl", lines=True)
