"""The examples that a run trains on, encoded and in the order of training, and held-out ones."""

import hashlib
import logging
import random
import time
from dataclasses import dataclass, field

import numpy as np

from distill_nb.params import Params, is_baseline
from distill_nb.runtime import provenance, tracking
from distill_nb.students import chat, check_student, student, targets
from distill_nb.traces import ledger as traces_ledger
from distill_nb.traces import load

log = logging.getLogger(__name__)


@dataclass
class Data:
    """Encoded examples: `train` in the order of training, [max_steps * batch_size]; `heldout`."""

    train: list[dict]
    heldout: list[dict]
    ledger: dict = field(default_factory=dict)  # of ledger.encode_traces
    sha256: str = ""
    tokens_sha256: str = ""  # of what is trained on, in its order: ids and labels
    student_version: str = ""  # of check_student.check
    seconds: float = 0.0  # that `prepare` took


def prepare(p: Params) -> Data:
    """Load, encode and order a run's traces; held out are the last n_heldout, without problems that
    are trained on.

    Raises ValueError for a tracker that is not installed, for a baseline, for a student that is not
    whole, for layers that cannot get an adapter, and where no trace fits max_length."""
    if is_baseline(p):
        raise ValueError(
            f"teacher: {p.run_name} is a baseline, which trains nothing; run eval.ipynb on it."
        )
    tracking.check(p.track)
    began = time.perf_counter()
    student.choose_backend(p)  # Unsloth, where it is used, must be imported before Transformers is
    version = check_student.check(p)
    student.import_for_training()
    targets.refuse(student.on_meta(student.config(p)), p)
    tokenizer = student.load_tokenizer(p)
    template = chat.template_for(p.student, p.chat_template)
    taken, held, spare = load.split(
        p.dataset, p.teacher, p.domain, p.n_examples, p.n_heldout, p.seed, p.scale
    )
    if p.overlong != "drop":
        spare = []
    train, ledger = traces_ledger.encode_traces(
        tokenizer, template, taken, p.max_length, p.overlong, spare
    )
    heldout, _ = traces_ledger.encode_traces(tokenizer, template, held, p.max_length, p.overlong)
    rows = taken + held
    if not train:
        remedy = "raise max_length"
        if (
            p.overlong == "drop"
            and traces_ledger.encode_traces(tokenizer, template, taken, p.max_length, "truncate")[0]
        ):
            remedy += ", or set overlong to truncate"
        raise ValueError(
            f"max_length: none of the {len(rows)} traces of {p.dataset} fits {p.max_length} "
            f"tokens{', not even cut' * (p.overlong == 'truncate')}; {remedy}."
        )
    if ledger["missing"]:
        log.info(
            f"{ledger['missing']} of the {p.n_examples} examples are missing: too long for "
            f"max_length {p.max_length}, and {p.dataset} has no others in reserve; the "
            f"{len(train)} that there are make up every batch."
        )
    lengths = [len(e["input_ids"]) for e in train]
    order = training_order(lengths, p.batch_size, p.max_steps, p.seed, p.micro_batch_size)
    train = [train[i] for i in order]
    sha256 = provenance.sha256_of_json([rows, spare] if spare else rows)
    made = Data(train, heldout, ledger, sha256, tokens_sha256(train), version)
    made.seconds = time.perf_counter() - began
    return made


def training_order(
    lengths: list[int], batch_size: int, max_steps: int, seed: int, micro_batch_size: int
) -> list[int]:
    """Indices of the examples of every step, [max_steps * batch_size].

    Each epoch is a fresh seeded permutation. A batch keeps its examples, and so its loss; they are
    dealt to micro-batches of about equal tokens, as the largest decides the memory, and processes
    that share a batch wait for the slowest."""
    rng = random.Random(seed)
    shuffled: list[int] = []
    while len(shuffled) < max_steps * batch_size:
        epoch = list(range(len(lengths)))
        rng.shuffle(epoch)
        shuffled += epoch
    order = []
    for step in range(max_steps):
        batch = shuffled[step * batch_size : (step + 1) * batch_size]
        batch.sort(key=lambda i: (lengths[i], i))
        for micro_batch in _dealt(batch, batch_size // micro_batch_size):
            order += micro_batch
    return order


def _dealt(cards: list[int], hands: int) -> list[list[int]]:
    """As cards are dealt to players who sit in a row, there and back."""
    turns = [*range(hands), *reversed(range(hands))]
    return [
        [card for i, card in enumerate(cards) if turns[i % len(turns)] == hand]
        for hand in range(hands)
    ]


def tokens_sha256(examples: list[dict]) -> str:
    """64 hex digits of the ids and labels of encoded examples, in their order."""
    found = hashlib.sha256()
    for e in examples:
        for key in ("input_ids", "labels"):
            found.update(len(e[key]).to_bytes(8, "little") + np.asarray(e[key], "<i4").tobytes())
    return found.hexdigest()
