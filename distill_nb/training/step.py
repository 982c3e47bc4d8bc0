"""One optimiser step without needless work: micro-batches have no padding, attention stays inside
each example, and logits are computed only where there is something to learn, a chunk at a time.

`collate` lays the examples of a micro-batch end to end in one row, with their `packed_seq_lengths`.
Unsloth's Llama reads these and does the rest itself. Unsloth runs a mixture of experts by
Transformers' code, with an attention of its own that reads them, which `patch` switches on. To a
model of Transformers alone `patch` teaches them. Loss and gradients are those of padded batches but
for rounding (tests/training/test_step.py; bench/train.py has the gain on a CPU). None of this has
run on a GPU yet; bench/gpu_check.py compares and measures it there."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_nb.params import Params
from distill_nb.students.chat import IGNORE
from distill_nb.training import sharding

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, Trainer, TrainerCallback

ATTENTION = "distill_nb_packed"
LOGITS = 2**24  # logits that exist at once (vocabulary x tokens): 64 MiB in float32


def collate(examples: list[dict]) -> dict[str, torch.Tensor]:
    """Examples end to end, T tokens in all: input_ids, position_ids and labels int64 [1, T],
    packed_seq_lengths int32 [B]. An example's first token is no label: another comes before it."""
    import numpy as np
    import torch

    lengths = [len(e["input_ids"]) for e in examples]
    ids, labels = (
        torch.from_numpy(np.concatenate([e[key] for e in examples]).astype(np.int64))[None]
        for key in ("input_ids", "labels")
    )
    labels[0, np.cumsum(lengths) - lengths] = IGNORE
    return {
        "input_ids": ids,
        "labels": labels,
        "position_ids": torch.cat([torch.arange(n) for n in lengths])[None],
        "packed_seq_lengths": torch.tensor(lengths, dtype=torch.int32),
    }


def patch(model: PeftModel, backend: str = "hf") -> None:
    """Make a PEFT model take what `collate` makes. One of Transformers alone (`hf`) then returns
    only the loss; other batches go through it as before. Where its layers have sliding windows,
    attention uses a mask that Transformers makes (slower, with the same result)."""
    if backend == "unsloth":
        _patch_unsloth()
        return
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask
    from transformers.modeling_outputs import CausalLMOutputWithPast

    base = model.get_base_model()
    refuse_own_attention(base)
    windows = getattr(base.config, "sliding_window", None)
    own_attention = not windows and base.config._attn_implementation == "sdpa"
    if own_attention:
        AttentionInterface.register(ATTENTION, _attention)
        AttentionMaskInterface.register(ATTENTION, sdpa_mask)
        base.set_attn_implementation(ATTENTION)
    plain, loss_of = base.forward, loss_function()

    def forward(packed_seq_lengths: torch.Tensor | None = None, **batch) -> CausalLMOutputWithPast:
        if packed_seq_lengths is None:
            return plain(**batch)
        following = batch.pop("labels")[0, 1:]
        count = batch.pop("num_items_in_batch", None)
        if own_attention:
            # four dimensions: handed on as it is; empty: attention that would use it must fail
            batch["attention_mask"] = torch.empty(1, 1, 0, 0, device=following.device)
            batch["packed_lengths"] = packed_seq_lengths.tolist()
            batch["packed_ends"] = ends_of(packed_seq_lengths)
        hidden = base.get_decoder()(use_cache=False, **batch)[0][0]
        places = (following != IGNORE).nonzero()[:, 0]
        loss = loss_of(hidden[places], base.get_output_embeddings(), following[places])
        return CausalLMOutputWithPast(loss=loss / (len(places) if count is None else count))

    base.forward = forward


def refuse_own_attention(model: PreTrainedModel) -> None:
    """Raises ValueError for a student whose code does more with its attention where that is called
    sdpa. MiniMax M3 and DeepSeek V3.2 leave out tokens, by blocks or an index; with examples end to
    end, or under another name, they would leave out others."""
    code = inspect.getsource(sys.modules[type(model).__module__])
    if re.search(r'_attn_implementation (in|==) [^\n]*"sdpa"', code):
        raise ValueError(
            f"student: {type(model).__name__} has an attention of its own, and training here lays "
            "examples end to end, which would change what it sees; take another student."
        )


def _patch_unsloth() -> None:
    import torch

    if torch.cuda.is_available():  # its kernels are for GPUs
        # as its own trainers do; else a mixture of experts masks all of the row but the example
        from unsloth.utils import hf_packed_attention

        hf_packed_attention.enable_hf_packed_attention()


def ends_of(lengths: torch.Tensor) -> torch.Tensor:
    """int32 [B + 1]: 0, and where each of the examples of a row ends."""
    import torch

    return torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed_lengths: list[int] | None = None,
    packed_ends: torch.Tensor | None = None,
    **options,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Causal attention inside each example of a packed row: query [1, heads, T, d] to [1, T, heads,
    d]. As the kernels get no mask, they compute only the lower half of each example's square.
    Without packed_lengths it is Transformers' own. options: scaling and dropout, among others.

    Where torch has FlashAttention for them, one kernel takes all examples. Asked for one example
    after another, torch takes cuDNN's on an H100, which plans anew for each new length."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if packed_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    dropout, scale = options.get("dropout", 0.0), options.get("scaling")
    grouped = query.shape[1] != key.shape[1]
    if not dropout and flash_takes(query):
        rows = (x[0].transpose(0, 1) for x in (query, key, value))  # [T, heads, d]
        longest = max(packed_lengths)
        made = varlen_attention()(
            *rows,
            packed_ends,
            packed_ends,
            longest,
            longest,
            scale=scale,
            window_size=(-1, 0),  # causal
            enable_gqa=grouped,
        )
        return made[None], None
    examples = zip(*(x.split(packed_lengths, dim=2) for x in (query, key, value)), strict=True)
    each = [
        torch.nn.functional.scaled_dot_product_attention(
            *example, dropout_p=dropout, is_causal=True, scale=scale, enable_gqa=grouped
        )
        for example in examples
    ]
    return torch.cat(each, dim=2).transpose(1, 2), None


def flash_takes(query: torch.Tensor) -> bool:
    """Whether torch's FlashAttention takes such a tensor [1, heads, T, d]: on CUDA from compute
    capability 8 on, in 16 bits, with d a multiple of 8 and up to 256."""
    import torch

    return (
        query.is_cuda
        and query.dtype in (torch.bfloat16, torch.float16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 256
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(query.device)[0] >= 8
    )


def varlen_attention() -> Callable[..., torch.Tensor]:
    """torch's attention over the examples of a packed row, a wrapper of FlashAttention (Dao 2023,
    arXiv 2307.08691)."""
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn


def loss_function() -> Callable[[torch.Tensor, torch.nn.Module, torch.Tensor], torch.Tensor]:
    """A function of (hidden [N, H], head, labels [N]): the sum of cross-entropies in nats, float32.

    With a frozen head, the gradient of `hidden` is computed with the loss, and a chunk's logits are
    freed before the next (as in Liger Kernel's fused linear cross-entropy, arXiv 2410.10989)."""
    import torch

    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
        ) -> torch.Tensor:
            gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
            total, rows = torch.zeros((), device=hidden.device), max(1, LOGITS // len(weight))
            for i in range(0, len(hidden), rows):
                logits = (hidden[i : i + rows] @ weight.T).float()
                target = labels[i : i + rows, None]
                normaliser = logits.logsumexp(-1, keepdim=True)
                total += (normaliser - logits.gather(1, target)).sum()
                if gradient is not None:
                    probabilities = logits.sub_(normaliser).exp_()
                    probabilities.scatter_add_(1, target, torch.full_like(normaliser, -1.0))
                    gradient[i : i + rows] = probabilities.to(weight.dtype) @ weight
            ctx.save_for_backward(gradient)
            return total

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
            return ctx.saved_tensors[0] * upstream, None, None

    def loss_of(hidden: torch.Tensor, head: torch.nn.Module, labels: torch.Tensor) -> torch.Tensor:
        divided = hasattr(head, "unshard")  # by FSDP2, which makes a class from the layer's
        kind = type(head).__bases__[-1] if divided else type(head)
        plain = kind is torch.nn.Linear and head.bias is None
        if not plain or head.weight.requires_grad:  # adapted or quantised
            return torch.nn.functional.cross_entropy(head(hidden).float(), labels, reduction="sum")
        if divided:  # only its forward would do it; the backward pass ends with a reshard of all
            head.unshard()
        with torch.autocast(hidden.device.type, enabled=False):
            return Fused.apply(hidden.to(head.weight.dtype), head.weight, labels)

    return loss_of


def heldout_loss(model: PeftModel, examples: list[dict], micro_batch_size: int) -> float | None:
    """Mean cross-entropy in nats over all trained tokens of the examples; None without examples."""
    import torch

    if not examples:
        return None
    was_training, total, tokens = model.training, 0.0, 0
    model.eval()
    with torch.no_grad():
        for i in range(0, len(examples), micro_batch_size):
            batch = collate(examples[i : i + micro_batch_size])
            n = int((batch["labels"] != IGNORE).sum())
            batch = {k: v.to(model.device) for k, v in batch.items()}
            total += model(**batch).loss.item() * n
            tokens += n
    model.train(was_training)
    return total / tokens


def make_trainer(
    model: PeftModel,
    p: Params,
    examples: list[dict],
    state_dir: Path,
    callbacks: list[TrainerCallback],
) -> Trainer:
    """The Trainer of both back ends, over the examples in order. It logs every step, saves every
    `save_every`, shows no bar. Of several processes each takes every n-th micro-batch."""
    import torch
    from transformers import PrinterCallback, Trainer, TrainingArguments

    on_gpu = torch.cuda.is_available()
    args = TrainingArguments(
        output_dir=str(state_dir),
        max_steps=p.max_steps,
        per_device_train_batch_size=p.micro_batch_size,
        gradient_accumulation_steps=p.batch_size // (p.micro_batch_size * p.train_processes),
        learning_rate=p.learning_rate,
        lr_scheduler_type=p.lr_schedule,
        warmup_steps=p.warmup_steps,
        weight_decay=p.weight_decay,
        max_grad_norm=p.max_grad_norm,
        logging_steps=1,
        save_strategy="steps",
        save_steps=p.save_every,
        save_total_limit=2,
        report_to="none",
        seed=p.seed,
        data_seed=p.seed,
        disable_tqdm=True,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
        use_cpu=not on_gpu,
        bf16=on_gpu and p.dtype == "bfloat16",
        dataloader_pin_memory=on_gpu,
        optim="adamw_torch_fused" if on_gpu else "adamw_torch",
        logging_nan_inf_filter=False,
        ddp_find_unused_parameters=False,  # all adapters are used; reentrant checkpoints need this
        **(sharding.arguments(model) if p.sharding == "full" else {}),
    )
    # else Trainer splits each micro-batch of a single process among all GPUs
    args._n_gpu = min(args.n_gpu, 1)
    if p.sharding == "full" and not on_gpu:
        sharding.allow_cpu()
    trainer = Trainer(
        model=model, args=args, train_dataset=examples, data_collator=collate, callbacks=callbacks
    )
    trainer.remove_callback(PrinterCallback)
    if p.sharding == "full":
        sharding.keep_float32(trainer)
    return trainer
