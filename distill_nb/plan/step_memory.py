"""The memory of one training step, tried with tensors that have shapes and no data (torch's
FakeTensorMode).

The student's own code, PEFT's and that of training/step.py run as in training, and every storage is
counted while it lives. So what is found is what training allocates, in seconds and without the
student's weights."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.plan import architectures
from distill_nb.training import step as train_step

if TYPE_CHECKING:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from transformers import PretrainedConfig


def activations(
    config: PretrainedConfig,
    p: Params,
    lengths: list[int],
    trained: int,
    *,
    checkpointing: bool,
    autocast: bool,
) -> dict[str, int]:
    """Bytes that a micro-batch's forward and backward pass add to weights, adapters and gradients,
    at their peak: `layers` without the loss, and `loss` for what it adds to that.

    lengths: tokens of each of the micro-batch's examples; trained: of all these, with a label.
    autocast: to bfloat16, as on a GPU. All layers are alike, so two depths are tried, and the rest
    is a straight line through them."""
    total = config.num_hidden_layers
    # without checkpointing the first layer keeps more than the others
    few, more = (1, 2) if checkpointing else (2, 3)

    def peaks(depth: int, with_loss: bool) -> list[int]:
        model = architectures.on_meta(architectures.with_layers(config, depth), p, checkpointing)
        return _peaks(model, lengths, trained, autocast, with_loss)

    if total <= more:
        layers, whole = peaks(total, True)
        return {"layers": layers, "loss": max(0, whole - layers)}
    (layers, whole), (deeper,) = peaks(few, True), peaks(more, False)
    return {"layers": layers + (deeper - layers) * (total - few), "loss": max(0, whole - layers)}


def _peaks(
    model: torch.nn.Module, lengths: list[int], trained: int, autocast: bool, with_loss: bool
) -> list[int]:
    """[without the loss] or [without the loss, with it]: bytes above what is there before."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    train_step.patch(model)
    base = model.get_base_model()
    with (
        FakeTensorMode(),
        _grouped_products(),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        for module in model.modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    module._parameters[name] = torch.nn.Parameter(
                        torch.empty(weight.shape, dtype=weight.dtype), weight.requires_grad
                    )
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
        base.tie_weights()
        ids = torch.zeros(1, sum(lengths), dtype=torch.int64)
        labels, places = (torch.zeros(trained, dtype=torch.int64) for _ in range(2))

        def step(loss_too: bool) -> None:
            hidden = base.get_decoder()(
                input_ids=ids,
                position_ids=ids,
                use_cache=False,
                attention_mask=torch.empty(1, 1, 0, 0),
                packed_lengths=list(lengths),
            )[0][0]
            made = hidden.sum()
            if loss_too:
                made = train_step._loss_function()(
                    hidden[places], base.get_output_embeddings(), labels
                )
            made.backward()

        step(False)  # makes the gradients of the adapters, which stay
        peaks = []
        for loss_too in (False, True)[: 1 + with_loss]:
            with _count_storages() as storages:
                step(loss_too)
            peaks.append(storages.peak)
    return peaks


def _count_storages() -> TorchDispatchMode:
    """A context that counts the bytes of all storages made in it; `peak` is the most at once."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    def storages_of(tree: object) -> list[torch.UntypedStorage]:
        return [x.untyped_storage() for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]

    class Storages(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.alive: dict[int, weakref.ref] = {}
            self.now = self.peak = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # noqa: ANN001 - torch's
            before = {id(storage) for storage in storages_of((args, kwargs))}
            out = function(*args, **(kwargs or {}))
            for storage in storages_of(out):
                if id(storage) not in before:  # no view, nothing in place
                    self.made(storage)
            return out

        def made(self, storage: torch.UntypedStorage) -> None:
            key, size = id(storage), storage.nbytes()
            if key not in self.alive:
                self.alive[key] = weakref.ref(storage, lambda _: self.gone(key, size))
                self.now += size
                self.peak = max(self.peak, self.now)

        def gone(self, key: int, size: int) -> None:
            if self.alive.pop(key, None) is not None:
                self.now -= size

    return Storages()


@contextlib.contextmanager
def _grouped_products() -> Iterator[None]:
    """Matrix products of each expert with its own tokens, for tensors without data. Transformers'
    own ask how many tokens each expert has: that is not known here, and memory does not depend on
    it."""
    import torch
    from transformers.integrations import moe

    class Grouped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, tokens, weight):  # noqa: ANN001 - torch's
            ctx.save_for_backward(tokens, weight)
            return tokens.new_empty(len(tokens), weight.shape[-1])

        @staticmethod
        def backward(ctx, gradient):  # noqa: ANN001 - torch's
            return tuple(
                torch.empty_like(x) if needed else None
                for x, needed in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=True)
            )

    kept = moe._grouped_mm
    moe._grouped_mm = lambda tokens, weight, offs: Grouped.apply(tokens.to(weight.dtype), weight)
    try:
        yield
    finally:
        moe._grouped_mm = kept
