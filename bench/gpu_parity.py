"""Whether training by Unsloth is training by Transformers and PEFT: gradients at real width, and
the tiny students' whole training."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from gpu_models import (
    LOSS_TOLERANCE,
    STUDENTS,
    emit,
    examples_of,
    failure,
    fill,
    loaded,
    tiny_params,
)
from gpu_steps import batch, free

LAYERS = {"dense": 2, "moe": 4}  # at real width
ALIKE = 0.98  # cosine similarity of all gradients together, at least


def gradients(size: str, backend: str, layers: int, length: int, folder: Path) -> None:
    """The loss and the gradients of the adapters in one training step of each student at real width
    with few layers, by one back end. The weights, A, B and the batch are the same by both."""
    from safetensors.torch import save_file

    from distill_nb.students import student

    student.choose_backend(tiny_params("dense", backend=backend))
    longest = batch(size, length)[1]
    lengths = [longest // 2, longest // 4, longest // 4]  # of a row
    for kind in STUDENTS:
        row = {"row": f"{kind} {backend}", "kind": kind, "way": backend}
        try:
            changes = {"batch_size": len(lengths), "micro_batch_size": len(lengths)}
            depth = layers or LAYERS[kind]
            p, network, _ = loaded(size, kind, depth, folder, backend, False, **changes)
            fill(network, "lora_")  # B too, so that A gets a gradient
            p = replace(p, max_steps=1, save_every=1, max_grad_norm=0.0)
            loss, found = one_step(p, network, examples_of(p, lengths))
            save_file(found, folder / f"gradients_{kind}_{backend}.safetensors")
            row |= {"layers": network.config.num_hidden_layers, "tokens": sum(lengths)}
            row |= {"loss": loss, "tensors": len(found), "says": f"{row['row']}: loss {loss:.4f}"}
            del network, found
            if backend == "hf":
                row |= compare_gradients(kind, folder)
        except Exception as error:
            row |= failure(error)
        free()
        emit(row)


def one_step(p, network, examples: list[dict]) -> tuple[float, dict]:
    """The loss of a training step, and the gradients before the optimiser moves anything."""
    import training
    from transformers import TrainerCallback

    from distill_nb.training import step

    found: dict = {}

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, *args, **kwargs):
            for name, weight in network.named_parameters():
                if weight.grad is not None:
                    found[name] = weight.grad.detach().float().cpu().contiguous()

    clock = training.stopwatch()
    step.patch(network, p.backend)
    with tempfile.TemporaryDirectory() as state:
        step.make_trainer(network, p, examples, Path(state), [clock, Keep()]).train()
    return clock.losses[0], found


def compare_gradients(kind: str, folder: Path) -> dict:
    """How alike the gradients by Unsloth are to those by hf: cosine similarity of all together, of
    the least alike tensor, and of A's and B's apart; and how long they are."""
    import torch
    from safetensors.torch import load_file

    theirs = folder / f"gradients_{kind}_unsloth.safetensors"
    if not theirs.exists():
        return {}
    found, expected = load_file(theirs), load_file(folder / f"gradients_{kind}_hf.safetensors")
    if found.keys() != expected.keys():
        names = sorted(found.keys() ^ expected.keys())[:3]
        return {"failed": f"other tensors have gradients, such as {', '.join(names)}"}

    def alike(names: list[str]) -> float:
        a, b = (torch.cat([g[name].flatten() for name in names]) for g in (found, expected))
        return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0).item()

    each = {name: alike([name]) for name in expected}
    worst = min(each, key=each.__getitem__)
    length = [sum(g.double().square().sum().item() for g in x.values()) for x in (found, expected)]
    made = {
        "cosine": alike(list(expected)),
        "cosine_a": alike([name for name in expected if "lora_A" in name]),
        "cosine_b": alike([name for name in expected if "lora_B" in name]),
        "worst": worst,
        "worst_cosine": each[worst],
        "length_ratio": (length[0] / length[1]) ** 0.5 if length[1] else None,
    }
    made["says"] = f"{kind}: cosine {made['cosine']:.5f}, of the worst {made['worst_cosine']:.4f}"
    return made | ({} if made["cosine"] >= ALIKE else {"failed": "the gradients differ"})


def compare_losses(rows: list[dict]) -> None:
    """Add to rows of Unsloth how far its loss is from hf's, of the same student."""
    made = [row for row in rows if "loss" in row]  # the others were skipped, or failed
    expected = {row["kind"]: row["loss"] for row in made if row["way"] == "hf"}
    for row in made:
        if row["way"] == "unsloth" and row["kind"] in expected:
            row["loss_difference"] = abs(row["loss"] - expected[row["kind"]])
            if not row["loss_difference"] <= LOSS_TOLERANCE["bfloat16"]:
                row["failed"] = f"its loss is {row['loss_difference']:.3g} nats from hf's"


def parity(size: str, ways: str, folder: Path) -> None:
    """Train both tiny students by some ways; losses, and the adapters' weights at the end below
    `folder`."""
    dtypes = ("float32", "bfloat16") if size == "full" else ("float32",)
    steps = 20 if size == "full" else 4
    for way in ways.split(","):
        for kind in STUDENTS:
            for dtype in dtypes:
                emit(parity_row(steps, kind, way, dtype, folder))


def parity_row(steps: int, kind: str, way: str, dtype: str, folder: Path, **changes) -> dict:
    """The row of a tiny student's training: its losses, or why there are none."""
    row = {"row": f"{kind} {way} {dtype}", "kind": kind, "way": way, "dtype": dtype}
    try:
        losses = parity_losses(steps, kind, way, dtype, folder, **changes)
    except Exception as error:
        return row | failure(error)
    return row | {"losses": losses, "says": f"{row['row']}: {losses[0]:.3f} to {losses[-1]:.3f}"}


def four_bits(way: str, folder: Path) -> None:
    """Train both tiny students with load_in_4bit by one way; they must learn. On CUDA only."""
    import math

    for kind in STUDENTS:
        row = parity_row(10, kind, way, "bfloat16", folder, load_in_4bit=True)
        losses = row.get("losses", [])
        if losses and (not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]):
            row["failed"] = "its loss does not fall"
        emit(row)


def processes(size: str) -> None:
    """Both tiny students in two processes, with a GPU each where there are two, against the same in
    one: each with the whole student, and with the student divided; losses of every step. On a CPU
    the tests do the same, and here each kind is tried in one way."""
    from distill_nb.training import train

    ways = [(kind, value) for kind in STUDENTS for value in ("none", "full")]
    for kind, sharding in ways if size == "full" else (ways[0], ways[-1]):
        backend = "auto" if sharding == "none" else "hf"
        p = tiny_params(kind, run_name=f"{kind}_{sharding}_one", backend=backend)
        several = dict(run_name=f"{kind}_{sharding}_two", train_processes=2, sharding=sharding)
        runs = [p, replace(p, **several)]
        row = {"row": f"{kind} sharding {sharding}", "kind": kind}
        try:
            for run in runs:
                train.train(run)
            one, two = (train.load_metrics(run)["loss"].tolist() for run in runs)
            apart = max(abs(a - b) for a, b in zip(one, two, strict=True))
            says = f"{row['row']}: {apart:.2g} apart"
            row |= {"losses": two, "loss_difference": apart, "says": says}
            if not apart <= LOSS_TOLERANCE["float32"]:
                row["failed"] = "the losses differ"
        except Exception as error:
            row |= failure(error)
        emit(row)


def parity_losses(
    steps: int, kind: str, way: str, dtype: str, folder: Path, **changes
) -> list[float]:
    """Train a tiny student; its losses. Leaves the adapter's weights in `folder`."""
    import training
    from safetensors.torch import save_file

    from distill_nb.students import student
    from distill_nb.training import step, train

    p = tiny_params(
        kind,
        backend="unsloth" if way == "unsloth" else "hf",
        dtype=dtype,
        max_steps=steps,
        save_every=steps,
        n_examples=4 * steps,
        **changes,
    )
    backend = student.choose_backend(p)
    data = train.prepare(p)
    model = student.attach_lora(student.load(p, backend), p, backend)
    clock, state = training.stopwatch(), folder / f"state_{kind}_{dtype}_{way}"
    if way == "plain":
        pad_id = student.load_tokenizer(p).pad_token_id
        trainer = training.plain_trainer(model, p, data.train, state, pad_id, False, [clock])
    else:
        step.patch(model, backend)
        trainer = step.make_trainer(model, p, data.train, state, [clock])
    trainer.train()
    weights = {
        n: w.detach().float().cpu().contiguous()
        for n, w in model.named_parameters()
        if "lora_" in n
    }
    save_file(weights, folder / f"{kind}_{dtype}_{way}.safetensors")
    return clock.losses


def compare_parity(rows: list[dict], folder: Path) -> None:
    """Add to the rows of parity how far each way is from hf: in losses, and in weights B by how far
    those moved at most."""
    from safetensors.torch import load_file

    made = [row for row in rows if "losses" in row]  # the others were skipped, or failed
    losses = {(r["kind"], r["dtype"], r["way"]): r["losses"] for r in made}
    for row in made:
        key = (row["kind"], row["dtype"])
        if row["way"] == "hf" or (*key, "hf") not in losses:
            continue
        apart = max(abs(a - b) for a, b in zip(row["losses"], losses[(*key, "hf")], strict=True))
        found, expected = (
            load_file(folder / f"{'_'.join(key)}_{way}.safetensors") for way in (row["way"], "hf")
        )
        row |= {"loss_difference": apart, "same_names": found.keys() == expected.keys()}
        if not row["same_names"]:
            row["failed"] = "its adapter has other weights than hf's"
            continue
        moved = {n: w for n, w in expected.items() if "lora_B" in n}
        row["weight_difference"] = max(
            (found[n] - w).abs().max().item() for n, w in moved.items()
        ) / max(w.abs().max().item() for w in moved.values())
        if not apart <= LOSS_TOLERANCE[row["dtype"]]:
            row["failed"] = f"its losses are up to {apart:.3g} nats from hf's"
