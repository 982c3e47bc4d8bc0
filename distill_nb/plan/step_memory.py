"""The memory of one training step, tried with tensors that have shapes and no data (torch's
FakeTensorMode).

The student's own code, PEFT's and step.py's run as in training, and every storage is counted from
its making to its end; so what is found is what training allocates, without its weights and in
seconds."""

from __future__ import annotations

import contextlib
import weakref

from distill_nb.params import Params
from distill_nb.plan import architectures
from distill_nb.training import step as train_step


def activations(
    config, p: Params, lengths: list[int], trained: int, *, checkpointing: bool, autocast: bool
) -> dict[str, int]:
    """Bytes that a micro-batch's forward and backward pass add to weights, adapters and gradients,
    at their peak: `layers` without the loss, `loss` for what it adds to that.

    lengths: of the micro-batch's examples, tokens; trained: of these, with a label. autocast: to
    bfloat16, as on a GPU. All layers are alike, so two depths are tried, and the rest is a straight
    line through them."""
    total = config.num_hidden_layers
    # without it the first layer keeps more than the others
    few, more = (1, 2) if checkpointing else (2, 3)

    def peaks(depth: int, with_loss: bool) -> list[int]:
        return _peaks(
            architectures.with_layers(config, depth),
            p,
            lengths,
            trained,
            checkpointing,
            autocast,
            with_loss,
        )

    if total <= more:
        layers, whole = peaks(total, True)
        return {"layers": layers, "loss": max(0, whole - layers)}
    (layers, whole), (next_layers,) = peaks(few, True), peaks(more, False)
    return {
        "layers": layers + (next_layers - layers) * (total - few),
        "loss": max(0, whole - layers),
    }


def _peaks(
    config,
    p: Params,
    lengths: list[int],
    trained: int,
    checkpointing: bool,
    autocast: bool,
    with_loss: bool,
) -> list[int]:
    """[without the loss] or [without the loss, with it]: bytes above what is there before."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = architectures.on_meta(config, p, checkpointing)
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
                made = train_step.loss_function()(
                    hidden[places], base.get_output_embeddings(), labels
                )
            made.backward()

        step(False)  # makes the gradients of the adapters, which stay
        peaks = []
        for loss_too in (False, True)[: 1 + with_loss]:
            with _Storages() as storages:
                step(loss_too)
            peaks.append(storages.peak)
    return peaks


def _Storages():
    """A context in which the bytes of all storages that are made are counted; `peak` is the most at
    once."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Storages(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.alive, self.now, self.peak = {}, 0, 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            before = {
                id(x.untyped_storage())
                for x in tree_leaves((args, kwargs))
                if isinstance(x, torch.Tensor)
            }
            out = function(*args, **(kwargs or {}))
            for x in tree_leaves(out):
                if (
                    isinstance(x, torch.Tensor) and id(x.untyped_storage()) not in before
                ):  # no view, nothing in place
                    self.made(x.untyped_storage())
            return out

        def made(self, storage) -> None:
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
def _grouped_products():
    """Matrix products of each expert with its own tokens, for tensors without data: how many tokens
    each expert has, which Transformers' products ask, is not known, and decides nothing about
    memory."""
    import torch
    from transformers.integrations import moe

    class Grouped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, tokens, weight):
            ctx.save_for_backward(tokens, weight)
            return tokens.new_empty(len(tokens), weight.shape[-1])

        @staticmethod
        def backward(ctx, gradient):
            return tuple(
                torch.empty_like(x) if needed else None
                for x, needed in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=True)
            )

    kept, moe._grouped_mm = (
        moe._grouped_mm,
        lambda tokens, weight, offs: Grouped.apply(tokens.to(weight.dtype), weight),
    )
    try:
        yield
    finally:
        moe._grouped_mm = kept
