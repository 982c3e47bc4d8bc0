"""What bench/train.py and bench/gpu_check.py share: lengths as of R1's traces, the peer, a step's
FLOPs."""

from __future__ import annotations

import random
import time
from pathlib import Path


def r1_lengths(count: int, max_length: int, seed: int = 0, whole: int = 4096) -> list[int]:
    """Tokens of `count` examples, spread as 200 real traces of deepseek-reasoner
    (plan/trace_lengths.py) cut at `whole` tokens, and scaled so that `whole` becomes max_length.
    Stratified, so that few examples already have the spread; shuffled."""
    from distill_nb.plan import trace_lengths

    tokens = trace_lengths.r1_tokens(count)
    lengths = [round(min(n, whole) * max_length / whole) for n in tokens]
    random.Random(seed).shuffle(lengths)
    return lengths


def examples(tokenizer, template, lengths: list[int], seed: int = 0) -> list[dict]:
    """Worked answers of the pocket run, strung together and cut to the given numbers of tokens, as
    ledger.example does."""
    from distill_nb.students import chat
    from distill_nb.traces import ledger, pocket

    rows = pocket.pocket_traces("r1", "math", 64 + len(lengths), seed)
    made = []
    for i, length in enumerate(lengths):
        text, n = "", 0
        while (
            n < length
        ):  # the tokens of a part alone are not fewer than in the whole by more than a few
            part = rows[(i * 7 + len(text)) % len(rows)]["trace"]
            text += part + "\n"
            n += len(tokenizer(part, add_special_tokens=False)["input_ids"])
        ((ids, n_prompt),) = chat.encode_many(
            tokenizer, template, [chat.messages_of(rows[i] | {"trace": text + text[:400]})]
        )
        made.append(ledger.example(ids, min(n_prompt, length // 2), length))
    return made


def pad(rows: list[dict], pad_id: int) -> dict:
    """The peer's collator: right-padded to the longest, [B, L]."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def padded(key, value):
        return pad_sequence(
            [torch.as_tensor(r[key], dtype=torch.int64) for r in rows],
            batch_first=True,
            padding_value=value,
        )

    ids = padded("input_ids", pad_id)
    lengths = torch.tensor([len(r["input_ids"]) for r in rows])
    return {
        "input_ids": ids,
        "labels": padded("labels", -100),
        "attention_mask": (torch.arange(ids.shape[1])[None] < lengths[:, None]).long(),
    }


def plain_trainer(
    model, p, rows: list[dict], folder: Path, pad_id: int, grouped: bool, callbacks=()
):
    """What a script with Transformers and PEFT does: Trainer, padded micro-batches; grouped: its
    group_by_length.

    Otherwise the order of the batches is ours, so that their losses can be compared."""
    import torch
    from transformers import PrinterCallback, Trainer, TrainingArguments

    on_gpu = torch.cuda.is_available()
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=p.max_steps,
        per_device_train_batch_size=p.micro_batch_size,
        gradient_accumulation_steps=p.batch_size // p.micro_batch_size,
        learning_rate=p.learning_rate,
        lr_scheduler_type=p.lr_schedule,
        warmup_steps=p.warmup_steps,
        weight_decay=p.weight_decay,
        max_grad_norm=p.max_grad_norm,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        seed=p.seed,
        disable_tqdm=True,
        remove_unused_columns=False,
        train_sampling_strategy="group_by_length" if grouped else "sequential",
        use_cpu=not on_gpu,
        bf16=on_gpu and p.dtype == "bfloat16",
        optim="adamw_torch",
        logging_nan_inf_filter=False,
    )
    args._n_gpu = min(args.n_gpu, 1)  # one GPU, as ours
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=rows,
        data_collator=lambda b: pad(b, pad_id),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def stopwatch():
    """A callback with .wall and .cpu seconds of each step, and .losses."""
    import torch
    from transformers import TrainerCallback

    def now():
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    class Stopwatch(TrainerCallback):
        wall, cpu, losses = (), (), ()

        def on_train_begin(self, *args, **kwargs):
            self.last = now()

        def on_step_end(self, *args, **kwargs):
            wall, cpu = now()
            self.wall, self.cpu = [*self.wall, wall - self.last[0]], [*self.cpu, cpu - self.last[1]]
            self.last = wall, cpu

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" in logs:
                self.losses = [*self.losses, logs["loss"]]

    return Stopwatch()


def step_flops(p, lengths: list[int], labelled: int, recomputed: bool) -> float:
    """Floating-point operations of LoRA steps over examples of these lengths, without padding:
    estimate.flops, but for the head, which need only work on labelled tokens.

    With N weights in the matrices that a token meets, that is 2N forward and 2N backward for each
    token, as frozen weights get no gradient, and 2N again where activations are recomputed;
    adapters and attention are added."""
    from distill_nb.plan import architectures, estimate

    config, _ = architectures.config_of(p)
    counts = architectures.count(config, p)
    layers = estimate.flops(
        counts | {"head_parameters": 0},
        config,
        sum(lengths),
        sum(n * n for n in lengths),
        checkpointing=recomputed,
    )
    return layers + 4 * counts["head_parameters"] * labelled


def peak_memory() -> float:
    """GiB at the most: allocated on the GPU, or resident in this process."""
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
