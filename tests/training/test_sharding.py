import contextlib
import json
import shutil
import signal
import threading
import time

import psutil
import pytest
import torch
import transformers
from helpers import adapter, assert_the_same_training, tiny
from torch.distributed.checkpoint import FileSystemReader

from distill_nb.runtime import paths, stop
from distill_nb.students import student
from distill_nb.training import train

QWEN = "Qwen/Qwen3-30B-A3B-Base"
SHARED = dict(micro_batch_size=1, train_processes=2)


def dense(**changes):
    return tiny(**dict(micro_batch_size=1, max_steps=12, save_every=6) | changes)


def divided(**changes):
    return dense(**dict(train_processes=2, sharding="full") | changes)


def trained(p, folder):
    """Train below a folder; the run's metrics, adapters of half and end, and folder."""
    with pytest.MonkeyPatch.context() as m:
        m.setenv("DISTILL_NB_RUNS", str(folder))
        train.train(p)
        half, end = adapter(p, p.max_steps // 2), adapter(p, p.max_steps)
        return train.load_metrics(p), half, end, paths.run_dir(p)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return trained(dense(), tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return trained(divided(), tmp_path_factory.mktemp("full"))


def assert_the_same_proof(folder, other, step):
    found, expected = (
        json.loads((f / f"checkpoints/step_{step:05}/proof.json").read_text())
        for f in (folder, other)
    )
    assert found["tokens"] == expected["tokens"]
    for key in ("adapter", "base"):
        assert found[key] == pytest.approx(expected[key], abs=2e-5), key
    assert found["adapter"] != found["base"]


def test_a_divided_student_learns_what_a_whole_one_does(one, full):
    metrics, half, end, folder = one
    found, _, weights, other = full
    assert_the_same_training(found, metrics, weights, half, end)
    assert len(found["heldout_loss"].dropna()) == 2
    assert_the_same_proof(other, folder, 12)
    names, expected = (
        {f.name for f in run.glob("checkpoints/step_00012/*")} for run in (other, folder)
    )
    assert names == expected and {w.dtype for w in weights.values()} == {torch.float32}
    # each process had its own half: Accelerate can leave a model whole without a word
    state = FileSystemReader(other / "state" / "checkpoint-12" / "pytorch_model_fsdp_0")
    tensors = state.read_metadata().state_dict_metadata
    assert len(tensors) == len(weights) and {len(t.chunks) for t in tensors.values()} == {2}


def test_a_divided_mixture_of_experts_learns_what_a_whole_one_does(tmp_path):
    metrics, half, end, folder = trained(tiny(student=QWEN, micro_batch_size=1), tmp_path / "one")
    p = tiny(student=QWEN, sharding="full", **SHARED)
    found, _, weights, other = trained(p, tmp_path / "full")
    assert any(".experts." in name for name in weights)
    assert_the_same_training(found, metrics, weights, half, end)
    assert_the_same_proof(other, folder, 4)


def test_a_divided_student_computes_in_bfloat16_as_autocast_does(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    whole = trained(tiny(dtype="bfloat16", micro_batch_size=1), tmp_path / "whole")
    found, _, weights, _ = trained(
        tiny(dtype="bfloat16", sharding="full", **SHARED), tmp_path / "full"
    )
    assert_the_same_training(found, whole[0], weights, whole[1], whole[2])
    # neither a loss nor the adapters were rounded to bfloat16 on the way
    values = torch.tensor([*found["loss"], *found["heldout_loss"].dropna()])
    assert not torch.equal(values.bfloat16().float(), values)
    assert {w.dtype for w in weights.values()} == {torch.float32}


def test_a_divided_run_that_is_asked_to_end_goes_on_to_the_same_bits(full, runs_dir):
    p = divided()
    file = paths.run_dir(p) / "metrics.jsonl"

    def ask_all():  # as a cluster does: this process, torchrun and its workers
        while not file.exists() or file.read_text().count("\n") < 2:
            time.sleep(0.01)
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):  # a short-lived child
                process.send_signal(signal.SIGTERM)

    thread = threading.Thread(target=ask_all)
    thread.start()
    with pytest.raises(stop.Stopped, match=r"^Stopped by SIGTERM after step \d+ of 12: its state"):
        train.train(p)
    thread.join()
    with pytest.raises(ValueError, match=r"^sharding: .* stopped with full, .* set sharding to f"):
        train.train(dense())
    record = train.train(p)
    assert record["finished"] and 2 <= record["resumed_at"] < 12
    metrics, _, unbroken, _ = full
    assert train.load_metrics(p)["loss"].tolist() == metrics["loss"].tolist()
    assert all(torch.equal(weight, unbroken[key]) for key, weight in adapter(p, 12).items())


def test_a_state_of_a_whole_student_is_not_divided(one, runs_dir):
    p = divided()
    shutil.copytree(one[3], paths.run_dir(p))
    record = json.loads((paths.run_dir(p) / "provenance_train.json").read_text())
    del record["finished"]
    (paths.run_dir(p) / "provenance_train.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"^sharding: .* stopped with none, .* set sharding to n"):
        train.train(p)


def test_auto_is_transformers_where_the_student_is_divided(monkeypatch):
    monkeypatch.setattr(student, "device", lambda: "cuda")
    monkeypatch.setattr(student.compiler, "check", lambda device: None)
    monkeypatch.setattr(student.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "")  # what is set stays
    assert student.choose_backend(divided(backend="auto")) == "hf"


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B-Instruct", QWEN])
def test_the_other_processes_make_the_student_without_its_weights(name):
    p = tiny(student=name, dtype="bfloat16")
    found, expected = student.without_weights(p), student.load(p)
    shapes, others = (
        {k: (w.shape, w.dtype) for k, w in m.named_parameters()} for m in (found, expected)
    )
    assert shapes == others and found.config.to_dict() == expected.config.to_dict()
    buffers = dict(found.named_buffers())
    assert buffers and all(torch.equal(buffers[k], b) for k, b in expected.named_buffers())
    assert not found.config.use_cache


def test_room_for_weights_takes_no_memory_and_tied_weights_are_one(tmp_path):
    transformers.LlamaConfig(
        vocab_size=200_000,
        hidden_size=512,
        num_hidden_layers=1,
        num_attention_heads=8,
        tie_word_embeddings=True,
    ).save_pretrained(tmp_path)
    p = tiny(student=str(tmp_path), student_size="full", chat_template="llama3")
    before = psutil.Process().memory_info().rss
    model = student.without_weights(p)
    grown = psutil.Process().memory_info().rss - before
    assert model.num_parameters() * 4 > 400e6 and grown < 100e6
    assert model.lm_head.weight is model.model.embed_tokens.weight
