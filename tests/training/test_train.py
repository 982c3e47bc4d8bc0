import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import types
from dataclasses import replace

import pytest
import torch
from helpers import adapter_hashes, adapter_hashes_of, tiny
from lora_gradients import gradients

from distill_nb.runtime import jsonl, paths
from distill_nb.students import chat, sources, student
from distill_nb.traces import load
from distill_nb.training import parallel, resume, train
from distill_nb.training.callbacks import MEASURED
from distill_nb.training.data import training_order

LLAMA, QWEN = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B-Base"


@pytest.mark.parametrize("name", [LLAMA, QWEN])
def test_gradients_do_not_depend_on_the_micro_batch(name, tmp_path, runs_dir):
    common = dict(
        student=name, batch_size=50, n_examples=50, max_steps=1, save_every=1, max_grad_norm=1e9
    )
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
        total += torch.nn.functional.cross_entropy(
            logits, labels, ignore_index=chat.IGNORE, reduction="sum"
        ).item()
        tokens += int((labels != chat.IGNORE).sum())
    train.train(p, data)
    assert train.load_metrics(p)["loss"][0] == pytest.approx(total / tokens, abs=2e-3)


def test_training_order_covers_each_epoch_once_and_keeps_batches_whatever_the_micro_batch():
    lengths = [5, 3, 9, 1, 7, 2]
    order = training_order(lengths, batch_size=3, max_steps=4, seed=0, micro_batch_size=3)
    assert sorted(order[:6]) == sorted(order[6:]) == list(range(6))
    assert order != training_order(lengths, 3, 4, seed=1, micro_batch_size=3)
    singly = training_order(lengths, 3, 4, seed=0, micro_batch_size=1)
    assert [set(singly[i : i + 3]) for i in range(0, 12, 3)] == [
        set(order[i : i + 3]) for i in range(0, 12, 3)
    ]


def test_micro_batches_of_a_batch_have_about_as_many_tokens():
    lengths = [int(4096 * (i / 200) ** 2) + 1 for i in range(200)]
    order = training_order(lengths, batch_size=50, max_steps=4, seed=0, micro_batch_size=5)
    for step in range(4):
        tokens = [
            sum(lengths[i] for i in order[j : j + 5]) for j in range(50 * step, 50 * step + 50, 5)
        ]
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


def test_a_finished_run_is_left_alone_and_a_different_one_refused(runs_dir, caplog):
    caplog.set_level("INFO", "distill_nb")
    p = tiny()
    train.train(p)
    before = adapter_hashes(p)
    train.train(p)
    assert "nothing to train" in caplog.text
    with pytest.raises(ValueError, match=r"learning_rate.*overwrite"):
        train.train(tiny(learning_rate=0.5))
    assert adapter_hashes(p) == before
    train.train(tiny(learning_rate=0.5, overwrite=True))
    assert set(adapter_hashes(p)) == set(before) and adapter_hashes(p) != before


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from helpers import tiny
    from distill_nb.training import callbacks, train
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
    "before the first checkpoint": "callbacks.heldout_loss = nth(callbacks.heldout_loss, 1)",
    "between two checkpoints": "callbacks.heldout_loss = nth(callbacks.heldout_loss, 2)",
    "while a checkpoint is written": "callbacks.proof.write = nth(callbacks.proof.write, 2)",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_with_the_same_bits_as_an_unbroken_one(
    moment, runs_dir, tmp_path, monkeypatch
):
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
    assert (
        resumed["step"].tolist() == [1, 2, 3, 4]
        and resumed["loss"].tolist() == metrics["loss"].tolist()
    )
    assert record["resumed_at"] == {"before the first checkpoint": 0}.get(moment, 2)


def test_the_notebook_shows_an_example_and_the_checkpoints_on_disk(finished, runs_dir):
    p = tiny()
    data = train.prepare(p)
    before, after = train.example_text(p, data)
    example, tokenizer = data.train[0], student.load_tokenizer(p)
    learnt = [int(label) for label in example["labels"] if label != chat.IGNORE]
    assert after == tokenizer.decode(learnt) and after and before.endswith("\n\n")
    assert before + after == tokenizer.decode(example["input_ids"])
    assert train.checkpoint_steps(p) == []
    shutil.copytree(finished, paths.run_dir(p))
    assert train.checkpoint_steps(p) == [2, 4]


def test_heldout_traces_are_of_other_problems(runs_dir, tmp_path):
    file = tmp_path / "traces.jsonl"
    file.write_text(
        "".join(json.dumps({"problem": f"p{i % 10}", "trace": f"t{i}"}) + "\n" for i in range(40))
    )
    p = tiny(dataset=str(file), n_examples=30, n_heldout=10)
    data = train.prepare(p)
    rows = load.traces_and_spare(p.dataset, p.teacher, p.domain, 40, p.seed)[0]
    trained = {r["id"] for r in rows[:30]}
    assert len(data.heldout) == sum(r["id"] not in trained for r in rows[30:]) < 10


def test_a_lora_target_that_the_student_does_not_have_is_named(runs_dir):
    with pytest.raises(ValueError, match=r"lora_targets.*no module named v_porj"):
        train.train(tiny(lora_targets=["q_proj", "v_porj"]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished tiny run, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(tmp_path_factory.mktemp("finished")))
        train.train(tiny())
        (paths.run_dir(tiny()) / "eval").mkdir()
        return paths.run_dir(tiny())


@pytest.mark.parametrize("cut", ["eval", "state", "checkpoints"])
def test_an_overwrite_that_is_cut_off_is_trained_again(cut, finished, runs_dir, monkeypatch):
    p = tiny(learning_rate=0.01)
    folder, rmtree = paths.run_dir(p), shutil.rmtree
    shutil.copytree(finished, folder)

    def cut_off(name, **kwargs):
        rmtree(name, **kwargs)
        if os.path.basename(name) == cut:
            raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(resume.shutil, "rmtree", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train.train(replace(p, overwrite=True))
    assert not (folder / cut).exists() and not (folder / "provenance_train.json").exists()
    if cut == "checkpoints":
        assert [f.name for f in folder.iterdir()] == [".lock"]
    else:
        with pytest.raises(
            ValueError, match=r"has checkpoints but no provenance_train\.json.*set overwrite: true"
        ):
            train.train(p)
    record = train.train(replace(p, overwrite=cut != "checkpoints"))
    assert (
        record["finished"]
        and record["resumed_at"] == 0
        and train.load_metrics(p)["learning_rate"][0] == 0.01
    )


def test_a_finished_run_that_has_lost_an_adapter_is_not_called_finished(finished, runs_dir):
    p = tiny()
    folder = paths.run_dir(p)
    shutil.copytree(finished, folder)
    first, second = (paths.checkpoint_dir(p, step) / "adapter_model.safetensors" for step in (2, 4))
    weights = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(
        ValueError,
        match=r"^run_name: the adapter of step 2 of sonnet_math_llama_4k is not the one that its "
        r"training wrote; put a copy back, or train it again with overwrite: true\.$",
    ):
        train.train(p)
    shutil.rmtree(second.parent)
    with pytest.raises(
        ValueError,
        match=r"^run_name: the adapter of step 4 of sonnet_math_llama_4k is not on disk and the "
        r"adapter of step 2 of sonnet_math_llama_4k is not the one",
    ):
        train.train(p)
    first.write_bytes(weights)
    shutil.copytree(finished / "checkpoints" / "step_00004", second.parent)
    assert (
        train.train(p)["finished"]
        and adapter_hashes(p)["step_00002"] == hashlib.sha256(weights).hexdigest()
    )


def test_lines_of_metrics_are_on_disk_before_the_state_that_follows_them(runs_dir, monkeypatch):
    p = tiny()
    file, fsync, seal, synced, sealed = (
        paths.run_dir(p) / "metrics.jsonl",
        os.fsync,
        train.disk.seal,
        [0],
        {},
    )

    def see(descriptor):
        fsync(descriptor)
        if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
            synced.append(file.read_text().count("\n"))

    monkeypatch.setattr(os, "fsync", see)
    monkeypatch.setattr(
        train.disk, "seal", lambda folder: (sealed.update({folder.name: synced[-1]}), seal(folder))
    )
    train.train(p)
    assert synced == [0, 1, 2, 3, 4] and sealed == {"checkpoint-2": 2, "checkpoint-4": 4}


@pytest.mark.parametrize("left", ["nothing", "half a line", "zeros"])
def test_a_state_after_a_lost_line_of_metrics_is_not_gone_on_from(left, finished, runs_dir, caplog):
    caplog.set_level("INFO", "distill_nb")
    p = tiny()
    folder = paths.run_dir(p)
    shutil.copytree(finished, folder)
    record = json.loads((folder / "provenance_train.json").read_text())
    (folder / "provenance_train.json").write_text(json.dumps(record | {"finished": False}))
    file, whole = folder / "metrics.jsonl", (folder / "metrics.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[1:]))
    with pytest.raises(
        ValueError,
        match=r"^metrics\.jsonl in sonnet_math_llama_4k has no line of step 1, and every state of "
        r"the run comes after that; put the file back, or set overwrite: true",
    ):
        train.train(p)
    assert {f.name for f in (folder / "state").iterdir()} == {"checkpoint-2", "checkpoint-4"}
    file.write_bytes(
        b"".join(lines[:2])
        + {"nothing": b"", "half a line": lines[2][:-9], "zeros": bytes(40) + b"\xff"}[left]
    )
    record = train.train(p)
    said = caplog.text
    assert (
        "state/checkpoint-4 is not used, and removed: metrics.jsonl has no line of step 3, which "
        "must be made again" in said
    ) and said.count("dropped a torn line") == (left != "nothing")
    assert record["resumed_at"] == 2 and adapter_hashes(p) == adapter_hashes_of(finished)

    def timeless(text):
        return [json.loads(line) | dict.fromkeys(MEASURED, 0) for line in text.splitlines()]

    assert timeless(file.read_bytes()) == timeless(whole)


@pytest.mark.parametrize(
    ("changes", "says", "logged"),
    [
        (dict(), "the loss of step 2", [1]),
        (dict(save_every=1), "the held-out loss of step 1", []),
        (dict(train_processes=2, micro_batch_size=1), "the loss of step 2", [1]),
    ],
)
def test_a_run_that_diverges_ends_and_keeps_no_such_step(changes, says, logged, runs_dir):
    p = replace(tiny(**changes), learning_rate=1e30)  # more than a parameter file may ask for
    with pytest.raises(
        ValueError,
        match=rf"^learning_rate: {says} is nan, so training has diverged; lower learning_rate",
    ):
        train.train(p)
    folder = paths.run_dir(p)
    assert [line["step"] for line in jsonl.read(folder / "metrics.jsonl")] == logged
    assert not json.loads((folder / "provenance_train.json").read_text()).get("finished")
    assert adapter_hashes(p) == {} and not list(folder.glob("state/*"))
    if p.train_processes > 1:
        assert "Traceback" in (folder / parallel.LOG).read_text()
        assert not (folder / parallel.WORKERS).exists()


def test_a_gpu_that_is_full_ends_with_what_to_set_and_the_run_goes_on_in_smaller_parts(
    finished, runs_dir, monkeypatch
):
    """No CPU runs out of a GPU's memory, so the exception is raised by hand, in a step after a
    checkpoint."""
    p, patch = tiny(), train.patch

    def full(model, backend):
        patch(model, backend)
        forward, calls = model.get_base_model().forward, [0]

        def fails(*args, **kwargs):
            calls[0] += model.training
            if calls[0] > 3 * p.batch_size // p.micro_batch_size - 1:
                raise torch.OutOfMemoryError(
                    "CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words"
                )
            return forward(*args, **kwargs)

        model.get_base_model().forward = fails

    monkeypatch.setattr(train, "patch", full)
    with pytest.raises(
        ValueError,
        match=r"^micro_batch_size: .* for 2 of these examples .*; set it to 1, which changes "
        r"memory, speed and rounding only, and start.* "
        r"\(CUDA out of memory\. Tried to allocate 2.00 GiB.\)$",
    ):
        train.train(p)
    smallest = replace(p, micro_batch_size=1, run_name="smallest")
    for recompute, remedy in (
        ("off", "set recompute to on"),
        ("on", "take a GPU with more memory"),
    ):
        with pytest.raises(
            ValueError, match=f" for 1 of these examples in one pass; {remedy}, and"
        ):
            train.train(replace(smallest, recompute=recompute))
    monkeypatch.setattr(train, "patch", patch)
    record = train.train(replace(p, micro_batch_size=1))
    assert record["resumed_at"] == 2 and record["finished"]
    assert [s["parameters"] for s in record["sessions"]] == [{"micro_batch_size": 2}]
    whole = jsonl.read(finished / "metrics.jsonl")
    for line, expected in zip(jsonl.read(paths.run_dir(p) / "metrics.jsonl"), whole, strict=True):
        assert (line["step"], line["tokens"]) == (expected["step"], expected["tokens"])
        assert line["loss"] == pytest.approx(expected["loss"], rel=2e-4)
    # all that was made before, and what is finished, is not made again
    assert adapter_hashes(p)["step_00002"] == adapter_hashes_of(finished)["step_00002"]
    assert train.train(p)["finished_at"] == record["finished_at"]


def test_data_that_has_changed_under_a_run_is_refused_whether_it_is_finished_or_not(
    runs_dir, tmp_path
):
    file = tmp_path / "traces.jsonl"
    rows = [
        {"problem": f"What is {i} + 7?", "trace": rf"That is \boxed{{{i + 7}}}."} for i in range(18)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    p = tiny(dataset=str(file))
    before = train.train(p)
    weights = adapter_hashes(p)
    file.write_text(file.read_text().replace("That is", "It is", 1))
    for finished in (True, False):
        (paths.run_dir(p) / "provenance_train.json").write_text(
            json.dumps(before | {"finished": finished})
        )
        with pytest.raises(
            ValueError,
            match=r"values of dataset \(its content: \w{12}, now \w{12}\); set overwrite: true",
        ):
            train.train(p)
        assert adapter_hashes(p) == weights
    assert train.train(replace(p, overwrite=True))["data_sha256"] != before["data_sha256"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("No or negligible GPU memory available for fused cross entropy."), True),
        (
            RuntimeError(
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
            ),
            True,
        ),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_full_gpu_is_known_by_its_words(error, expected):
    with (
        pytest.raises(
            ValueError if expected else type(error),
            match="micro_batch_size" if expected else str(error),
        ),
        train._enough_memory(tiny()),
    ):
        raise error


def test_unsloth_is_asked_for_the_student_itself_and_not_for_its_own_copy(monkeypatch):
    asked = {}
    model = types.SimpleNamespace(
        config=types.SimpleNamespace(use_cache=True), named_parameters=lambda: []
    )

    class FastLanguageModel:
        @staticmethod
        def from_pretrained(name, **arguments):
            asked.update(arguments, name=name)
            return model, None

    monkeypatch.setitem(
        sys.modules, "unsloth", types.SimpleNamespace(FastLanguageModel=FastLanguageModel)
    )
    p = tiny(student=LLAMA, student_size="full", dtype="bfloat16", load_in_4bit=True)
    assert student.load(p, "unsloth") is model and model.config.use_cache is False
    assert asked["name"] == sources.source(p) == LLAMA
    assert asked["use_exact_model_name"] is True and asked["offload_embedding"] is False
    assert asked["load_in_4bit"] is True and asked["dtype"] is torch.bfloat16


@pytest.mark.parametrize("name", [LLAMA, QWEN])
def test_recomputing_changes_rounding_alone_and_is_recorded(name, runs_dir, monkeypatch):
    losses, attach = {}, student.attach_lora
    for asked, decided in (("off", "auto"), ("on", "off"), ("auto", "on"), ("auto", "auto")):
        seen = []

        def attached(*args, seen=seen):
            model = attach(*args)
            seen.append(model.is_gradient_checkpointing)
            return model

        monkeypatch.setattr(student, "attach_lora", attached)
        p = tiny(student=name, recompute=asked, run_name=f"{asked}_{decided}")
        record = train.train(p, recompute=decided)  # heard where the run says auto
        on = asked == "on" or (asked, decided) == ("auto", "on")
        assert seen == [on] and record["recompute"] == ("on" if on else "off")
        assert record["parameters"]["recompute"] == asked
        losses[p.run_name] = train.load_metrics(p)["loss"].tolist()
    first = losses.pop("off_auto")
    assert len(first) == 4 and first[-1] < first[0]
    for found in losses.values():
        assert found == pytest.approx(first, abs=1e-5)


def test_a_run_goes_on_with_or_without_recomputing(runs_dir):
    p = tiny(max_steps=4, save_every=2)
    whole = train.train(replace(p, run_name="whole"))
    train.train(p, recompute="on")
    file = paths.run_dir(p) / "provenance_train.json"
    for later in ("state/checkpoint-4", "checkpoints/step_00004"):
        shutil.rmtree(paths.run_dir(p) / later)
    before = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in before.items() if k != "finished"}))
    record = train.train(replace(p, recompute="off"))
    assert record["finished"] and record["resumed_at"] == 2
    assert (record["recompute"], record["sessions"][0]["recompute"]) == ("off", "on")
    assert record["sessions"][0]["parameters"] == {"recompute": "auto"}
    expected = train.load_metrics(replace(p, run_name="whole"))["loss"].tolist()
    assert whole["recompute"] == "off"
    assert train.load_metrics(p)["loss"].tolist() == pytest.approx(expected, abs=1e-5)
