"""Gradients of a first training step, for the tests of training and of students."""

import torch
from transformers import TrainerCallback

from distill_nb.students import student
from distill_nb.training import step as train_step
from distill_nb.training import train


def gradients(p, tmp_path):
    """The LoRA gradients of the first optimiser step, through the Trainer that training uses."""
    data = train.prepare(p)
    model = student.attach_lora(student.load(p), p)
    for name, weight in model.named_parameters():  # B starts at zero, and with it A's gradient
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02, generator=torch.Generator().manual_seed(1))
    seen = {}

    class Grab(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            seen.update(
                {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}
            )

    train_step.patch(model)
    trainer = train_step.make_trainer(model, p, data.train, tmp_path / "state", [Grab()])
    trainer.train()
    return seen
