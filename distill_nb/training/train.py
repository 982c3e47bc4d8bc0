"""Supervised fine-tuning on traces: one Transformers Trainer for both back ends; checkpoints;
resume.

Examples come tokenised and masked from chat.py; step.py has what a step does. The loss is the mean
over all trained tokens of the batch of `batch_size` examples, whatever the micro-batch and the
number of processes: Trainer divides each micro-batch's summed loss by the token count of the whole
accumulated batch.

On disk, below the run's folder:
  checkpoints/step_00100/  a PEFT adapter, written beside and renamed, so it is whole or absent
  state/checkpoint-100/    Trainer's optimiser, schedule and random state, for resuming; the last two are kept. A run that is
                           asked to stop (stop.py) leaves one of the step that it is at, and no adapter
  metrics.jsonl            one line a step
  provenance_train.json    what made it; "finished" is set when the last step is on disk
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distill_nb.params import Params, is_baseline
from distill_nb.runtime import devices, disk, lock, paths, provenance, stop
from distill_nb.students import adapters, chat, sources, student
from distill_nb.traces import ledger as traces_ledger
from distill_nb.traces import load
from distill_nb.training import parallel, resume
from distill_nb.training.callbacks import follower, recorder
from distill_nb.training.step import make_trainer, patch


@dataclass
class Data:
    """Encoded examples: `train` is in the order of training, [max_steps * batch_size]; `heldout` is
    never trained on."""

    train: list[dict]
    heldout: list[dict]
    ledger: dict = field(default_factory=dict)  # of ledger.encode_traces
    sha256: str = ""
    tokens_sha256: str = ""  # of what is trained on, in its order: ids and labels
    student_version: str = ""  # of hub.check_student


def training_order(
    lengths: list[int], batch_size: int, max_steps: int, seed: int, micro_batch_size: int
) -> list[int]:
    """Indices of the examples of every step, [max_steps * batch_size].

    Each epoch is a fresh seeded permutation. Inside a batch, which keeps its examples and so its
    loss, they are dealt out so that its micro-batches have about the same number of tokens: the
    largest one decides the memory, and processes that share a batch wait for the slowest."""
    rng, order = random.Random(seed), []
    while len(order) < max_steps * batch_size:
        epoch = list(range(len(lengths)))
        rng.shuffle(epoch)
        order += epoch
    steps = [order[i * batch_size : (i + 1) * batch_size] for i in range(max_steps)]
    hands = batch_size // micro_batch_size
    return [
        i
        for step in steps
        for micro in _dealt(sorted(step, key=lambda j: (lengths[j], j)), hands)
        for i in micro
    ]


def _dealt(sorted_by_length: list[int], hands: int) -> list[list[int]]:
    """As cards are dealt to players who sit in a row, there and back."""
    turns = [*range(hands), *reversed(range(hands))]
    return [
        [card for i, card in enumerate(sorted_by_length) if turns[i % len(turns)] == hand]
        for hand in range(hands)
    ]


def prepare(p: Params) -> Data:
    """Load, encode and order the traces of a run; the held-out traces are the last n_heldout of
    them, less those of a problem that is trained on."""
    if is_baseline(p):
        raise ValueError(
            f"teacher: {p.run_name} is a baseline, which trains nothing; run eval.ipynb on it."
        )
    student.choose_backend(p)  # Unsloth, where it is used, must be imported before Transformers is
    version = sources.check_student(p)
    tokenizer = student.load_tokenizer(p)
    template = chat.template_for(p.student, p.chat_template)
    taken, held, spare = load.load_split(
        p.dataset, p.teacher, p.domain, p.n_examples, p.n_heldout, p.seed, p.scale
    )
    spare, rows = spare if p.overlong == "drop" else [], taken + held
    train, book = traces_ledger.encode_traces(
        tokenizer, template, taken, p.max_length, p.overlong, spare
    )
    heldout, _ = traces_ledger.encode_traces(tokenizer, template, held, p.max_length, p.overlong)
    if not train:
        raise ValueError(
            f"max_length: none of the {len(rows)} traces of {p.dataset} fits {p.max_length} "
            "tokens; "
            "raise max_length or set overlong to truncate."
        )
    order = training_order(
        [len(e["input_ids"]) for e in train], p.batch_size, p.max_steps, p.seed, p.micro_batch_size
    )
    if book["missing"]:
        print(
            f"{book['missing']} of the {p.n_examples} examples are missing: too long for "
            f"max_length {p.max_length}, and "
            f"{p.dataset} has no others in reserve; the {len(train)} that there are make up every "
            "batch."
        )
    train = [train[i] for i in order]
    rows = [rows, spare] if spare else rows
    return Data(
        train, heldout, book, provenance.sha256_of_json(rows), tokens_sha256(train), version
    )


def tokens_sha256(examples: list[dict]) -> str:
    """64 hex digits of the ids and labels of encoded examples, in their order."""
    found = hashlib.sha256()
    for e in examples:
        for key in ("input_ids", "labels"):
            found.update(len(e[key]).to_bytes(8, "little") + np.asarray(e[key], "<i4").tobytes())
    return found.hexdigest()


def fit(
    p: Params, data: Data, backend: str, run_dir: Path, start: int, state: Path | None, stopping
) -> None:
    """Train from a state to the last step: in this process, or as one of several (parallel.py).
    Raises stop.Stopped where stopping() says what asks it to end before."""
    model = student.attach_lora(student.load(p, backend), p, backend)
    patch(model, backend)
    callback = (
        recorder(p, data, run_dir, start, stopping)
        if parallel.is_first()
        else follower(p, stopping)
    )
    with _enough_memory(p):
        _until_stopped(
            make_trainer(model, p, data.train, run_dir / "state", [callback]),
            state,
            callback,
            stopping,
        )


@contextlib.contextmanager
def _enough_memory(p: Params):
    """A GPU that runs out of memory is a ValueError that says what to set. No state is saved then:
    an optimiser's step may be half done."""
    said = ""
    try:
        yield
    except RuntimeError as error:
        if not devices.out_of_memory(error):
            raise
        said = str(error).partition("\n")[0]
    if said:  # raised here: an exception that has another as its context keeps the memory of both
        share = p.batch_size // p.train_processes
        smaller = max((n for n in range(1, p.micro_batch_size) if share % n == 0), default=0)
        remedy = (
            f"set it to {smaller}, which changes nothing else"
            if smaller
            else "take a GPU with more memory"
        )
        raise ValueError(
            f"micro_batch_size: the GPU has too little memory for {p.micro_batch_size} of these "
            "examples in one "
            f"pass; {remedy}, and start the run again: it goes on from its last checkpoint. "
            f"({said})"
        )


def train(p: Params, data: Data | None = None, notebook: Path | None = None) -> dict:
    """Train one run, or go on where it was interrupted, or leave a finished one alone. Returns its
    provenance.

    Raises ValueError if the folder holds a run of other parameters or other data, or one that has
    lost an adapter or lines of its metrics, and `overwrite` is false, if another process is at it,
    if it diverges, or if a GPU runs out of memory; stop.Stopped once it was asked to end and has
    saved its state; disk.DiskFull."""
    backend = student.choose_backend(p)
    parallel.check_devices(p)
    data = data or prepare(p)
    run_dir = paths.run_dir(p)
    with lock.alone(run_dir, "being trained"), disk.room(run_dir), stop.listening() as stopping:
        return _train(p, data, notebook, backend, stopping)


def _train(p: Params, data: Data, notebook: Path | None, backend: str, stopping) -> dict:
    """`train`, once nobody else is at it."""
    run_dir = paths.run_dir(p)
    if p.overwrite:
        resume.start_again(run_dir)
    before = resume.refuse_other_run(run_dir, p, data)
    if before.get("finished"):
        adapters.refuse_lost_adapters(run_dir, before, adapters.adapters_on_disk(run_dir))
        print(
            f"{run_dir.name} is finished ({p.max_steps} steps); nothing to train. overwrite: true "
            "trains it again."
        )
        return before
    run_dir.mkdir(parents=True, exist_ok=True)
    start, state = resume.last_state(run_dir, resume.saved_steps(p))
    resume.keep_metrics_up_to(run_dir / "metrics.jsonl", start)
    print(
        f"Training {run_dir.name} with {backend} on {student.device()}: "
        + (
            f"resuming at step {start} of {p.max_steps}"
            if start
            else f"{p.max_steps} steps of {p.batch_size}"
        )
    )
    record = provenance.collect(
        p,
        notebook=notebook,
        entry="distill_nb.training.train",
        backend=backend,
        data_sha256=data.sha256,
        ledger=data.ledger,
        tokens_sha256=data.tokens_sha256,
        student_version=data.student_version,
        template=chat.template_for(p.student, p.chat_template).hash,
        resumed_at=start,
    )
    record = provenance.follow(record, before)
    provenance.write(run_dir / "provenance_train.json", record)

    if start < p.max_steps:  # equal if the last state was written and the kill came just after
        job = dict(p=p, data=data, backend=backend, run_dir=run_dir, start=start, state=state)
        if p.train_processes == 1:
            fit(**job, stopping=stopping)
        else:
            parallel.launch(p, job, run_dir, stopping)
    record = provenance.finish(record) | {
        "finished": True,
        "adapters_sha256": {
            str(step): adapters.sha256_of_adapter(paths.checkpoint_dir(p, step))
            for step in resume.saved_steps(p)
        },
    }
    provenance.write(run_dir / "provenance_train.json", record)
    return record


def _until_stopped(trainer, state: Path | None, recorder, stopping) -> None:
    """Train to the end. Raises stop.Stopped where stopping() ends it before, with the state of the
    last whole step on disk."""
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
        raise stop.Stopped(
            f"Stopped by {stopping() or 'another process'} after step {step} of {steps}: "
            + (
                "its state is on disk, and the run goes on there when it is started again."
                if step
                else "nothing was lost, and the run begins when it is started again."
            )
        ) from None


def at_checkpoints(metrics, p: Params):
    """The rows of `load_metrics` at which an adapter was saved, as texts, four digits of what is no
    whole number."""
    rows = metrics[metrics["step"].isin(resume.saved_steps(p))].astype(object)
    return rows.map(
        lambda v: "" if v != v else f"{v:.4g}" if isinstance(v, float) and v % 1 else f"{v:.0f}"
    )


def example_text(p: Params, data: Data) -> tuple[str, str]:
    """(prompt, trained part) of the first example, decoded."""
    tokenizer, example = student.load_tokenizer(p), data.train[0]
    trained = sum(label != chat.IGNORE for label in example["labels"])
    ids = example["input_ids"]
    return tokenizer.decode(ids[:-trained]), tokenizer.decode(ids[-trained:])


def checkpoint_steps(p: Params) -> list[int]:
    """Steps of the checkpoints on disk, ascending."""
    return [step for step in resume.saved_steps(p) if paths.checkpoint_dir(p, step).is_dir()]


def load_metrics(p: Params):
    """metrics.jsonl as a pandas DataFrame, one row a step."""
    import pandas as pd

    return pd.read_json(paths.run_dir(p) / "metrics.jsonl", lines=True)
