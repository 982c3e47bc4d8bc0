import hashlib
import json
import subprocess
import sys
import textwrap

import pytest
import torch
from helpers import tiny
from transformers import TrainerCallback

from distill_nb import chat, paths, student, traces, train, train_step

LLAMA, QWEN = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B-Base"


def adapter_hashes(p):
    """sha256 of the adapter's weights at every checkpoint of a run."""
    return {f.parent.name: hashlib.sha256(f.read_bytes()).hexdigest()
            for f in sorted(paths.run_dir(p).glob("checkpoints/step_*/adapter_model.safetensors"))}


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
            seen.update({n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None})

    train_step.patch(model)
    trainer = train_step.make_trainer(model, p, data.train, tmp_path / "state", [Grab()])
    trainer.train()
    return seen


@pytest.mark.parametrize("name", [LLAMA, QWEN])
def test_gradients_do_not_depend_on_the_micro_batch(name, tmp_path, runs_dir):
    common = dict(student=name, batch_size=50, n_examples=50, max_steps=1, save_every=1, max_grad_norm=1e9)
    whole = gradients(tiny(micro_batch_size=50, **common), tmp_path)
    assert len(whole) > 8 and max(g.abs().max() for g in whole.values()) > 1e-4
    for micro in (1, 5):
        parts = gradients(tiny(micro_batch_size=micro, **common), tmp_path)
        for key, g in whole.items():
            torch.testing.assert_close(parts[key], g, rtol=1e-3, atol=1e-6)


def test_the_loss_is_the_mean_over_the_trained_tokens_of_the_whole_batch(tmp_path, runs_dir):
    p = tiny(max_steps=1, save_every=1, batch_size=4, micro_batch_size=2)
    data = train.prepare(p)
    model = student.load(p)
    total, tokens = 0.0, 0
    for e in data.train:
        e = {k: v.tolist() for k, v in e.items()}
        logits = model(torch.tensor([e["input_ids"]])).logits[0, :-1]
        labels = torch.tensor(e["labels"][1:])
        total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=chat.IGNORE, reduction="sum").item()
        tokens += int((labels != chat.IGNORE).sum())
    train.train(p, data)
    assert train.load_metrics(p)["loss"][0] == pytest.approx(total / tokens, abs=2e-3)


def test_training_order_covers_each_epoch_once_and_keeps_batches_whatever_the_micro_batch():
    lengths = [5, 3, 9, 1, 7, 2]
    order = train.training_order(lengths, batch_size=3, max_steps=4, seed=0, micro_batch_size=3)
    assert sorted(order[:6]) == sorted(order[6:]) == list(range(6))
    assert order != train.training_order(lengths, 3, 4, seed=1, micro_batch_size=3)
    singly = train.training_order(lengths, 3, 4, seed=0, micro_batch_size=1)
    assert [set(singly[i:i + 3]) for i in range(0, 12, 3)] == [set(order[i:i + 3]) for i in range(0, 12, 3)]


def test_micro_batches_of_a_batch_have_about_as_many_tokens():
    lengths = [int(4096 * (i / 200) ** 2) + 1 for i in range(200)]
    order = train.training_order(lengths, batch_size=50, max_steps=4, seed=0, micro_batch_size=5)
    for step in range(4):
        tokens = [sum(lengths[i] for i in order[j:j + 5]) for j in range(50 * step, 50 * step + 50, 5)]
        assert max(tokens) < 1.2 * sum(tokens) / 10


@pytest.mark.parametrize("name", [LLAMA, QWEN])
def test_a_run_leaves_checkpoints_metrics_and_provenance(name, runs_dir):
    p = tiny(student=name)
    record = train.train(p)
    assert sorted(adapter_hashes(p)) == ["step_00002", "step_00004"]
    metrics = train.load_metrics(p)
    assert metrics["step"].tolist() == [1, 2, 3, 4]
    assert metrics["heldout_loss"].notna().tolist() == [False, True, False, True]
    assert metrics["learning_rate"].is_monotonic_decreasing or p.warmup_steps
    assert record["finished"] and record["backend"] == "hf"
    config = json.loads((paths.checkpoint_dir(p, 4) / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (p.lora_rank, p.lora_alpha)


def test_a_finished_run_is_left_alone_and_a_different_one_refused(runs_dir, capsys):
    p = tiny()
    train.train(p)
    before = adapter_hashes(p)
    train.train(p)
    assert "nothing to train" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"learning_rate.*overwrite"):
        train.train(tiny(learning_rate=0.5))
    assert adapter_hashes(p) == before
    train.train(tiny(learning_rate=0.5, overwrite=True))
    assert set(adapter_hashes(p)) == set(before) and adapter_hashes(p) != before


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from helpers import tiny
    from distill_nb import train, train_records
    die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
    count = 0
    def nth(function, n):
        def wrapped(*args, **kwargs):
            global count
            count += 1
            return die() if count == n else function(*args, **kwargs)
        return wrapped
    {patch}
    train.train(tiny())
"""
MOMENTS = {
    "before the first checkpoint": "train_records.heldout_loss = nth(train_records.heldout_loss, 1)",
    "between two checkpoints": "train_records.heldout_loss = nth(train_records.heldout_loss, 2)",
    "while a checkpoint is written": "train_records.proof.write = nth(train_records.proof.write, 2)",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_with_the_same_bits_as_an_unbroken_one(moment, runs_dir, tmp_path, monkeypatch):
    p = tiny()
    with monkeypatch.context() as m:
        m.setenv("DISTILL_NB_RUNS", str(tmp_path / "unbroken"))
        train.train(p)
        unbroken, metrics = adapter_hashes(p), train.load_metrics(p)
    script = textwrap.dedent(KILLED).format(tests=str(paths.ROOT / "tests"), patch=MOMENTS[moment])
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert not json.loads((paths.run_dir(p) / "provenance_train.json").read_text()).get("finished")
    record = train.train(p)
    assert adapter_hashes(p) == unbroken
    resumed = train.load_metrics(p)
    assert resumed["step"].tolist() == [1, 2, 3, 4] and resumed["loss"].tolist() == metrics["loss"].tolist()
    assert record["resumed_at"] == {"before the first checkpoint": 0}.get(moment, 2)


def test_heldout_traces_are_of_other_problems(runs_dir, tmp_path):
    file = tmp_path / "traces.jsonl"
    file.write_text("".join(json.dumps({"problem": f"p{i % 10}", "trace": f"t{i}"}) + "\n" for i in range(40)))
    p = tiny(dataset=str(file), n_examples=30, n_heldout=10)
    data = train.prepare(p)
    rows = traces.load_traces(p.dataset, p.teacher, p.domain, 40, p.seed)
    trained = {r["id"] for r in rows[:30]}
    assert len(data.heldout) == sum(r["id"] not in trained for r in rows[30:]) < 10


def test_a_lora_target_that_the_student_does_not_have_is_named(runs_dir):
    with pytest.raises(ValueError, match=r"lora_targets.*no module named v_porj"):
        train.train(tiny(lora_targets=["q_proj", "v_porj"]))
