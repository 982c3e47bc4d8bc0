from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import tiny
from transformers import AutoModelForCausalLM, MiniMaxM3VLTextConfig

from distill_nb.students import chat, proof, student
from distill_nb.training import step

LLAMA, QWEN = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B-Base"


def adapted(name, **changes):
    """A tiny student whose adapter is not zero."""
    p = tiny(student=name, **changes)
    model = student.attach_lora(student.load(p), p)
    for key, weight in model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(1))
    return model


def examples(lengths=(30, 7, 50), n_prompt=5):
    rng = np.random.default_rng(0)
    made = [{"input_ids": rng.integers(0, 250, n).astype(np.int32)} for n in lengths]
    for e in made:
        e["labels"] = np.where(
            np.arange(len(e["input_ids"])) < n_prompt, chat.IGNORE, e["input_ids"]
        )
    return made


def padded(rows):
    size = (len(rows), max(len(e["input_ids"]) for e in rows))
    batch = {
        "input_ids": torch.zeros(size, dtype=torch.int64),
        "attention_mask": torch.zeros(size, dtype=torch.int64),
        "labels": torch.full(size, chat.IGNORE),
    }
    for i, e in enumerate(rows):
        n = len(e["input_ids"])
        for key, values in (
            ("input_ids", e["input_ids"]),
            ("attention_mask", np.ones(n)),
            ("labels", e["labels"]),
        ):
            batch[key][i, :n] = torch.as_tensor(values)
    return batch


def loss_and_gradients(model, batch, **more):
    model.zero_grad()
    loss = model(**batch, **more).loss
    loss.backward()
    return loss.item(), {
        n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None
    }


def test_a_micro_batch_is_one_row_without_padding():
    rows = examples((3, 2), n_prompt=0)
    batch = step.collate(rows)
    assert batch["input_ids"].tolist() == [[*rows[0]["input_ids"], *rows[1]["input_ids"]]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch["packed_seq_lengths"].tolist() == [3, 2]
    ignored = [label == chat.IGNORE for label in batch["labels"][0].tolist()]
    assert ignored == [True, False, False, True, False]  # a first token follows nothing
    assert rows[1]["labels"][0] != chat.IGNORE  # the example itself is left as it is


@pytest.mark.parametrize("name", [LLAMA, QWEN])
def test_loss_and_gradients_are_those_of_padded_batches(name, monkeypatch):
    monkeypatch.setattr(step, "LOGITS", 7 * 300)  # several chunks
    model, rows = adapted(name), examples()
    loss, gradients = loss_and_gradients(model, padded(rows))
    step.patch(model)
    ours, found = loss_and_gradients(model, step.collate(rows))
    assert ours == pytest.approx(loss, abs=1e-5)
    assert found.keys() == gradients.keys() and len(found) >= 8
    for key, gradient in gradients.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=1e-6)
    items, _ = loss_and_gradients(model, step.collate(rows), num_items_in_batch=torch.tensor(1000))
    assert items == pytest.approx(loss * (30 + 7 + 50 - 3 * 5) / 1000, rel=1e-4)


@pytest.mark.parametrize("name", [LLAMA, QWEN])
def test_examples_of_a_row_do_not_see_each_other(name):
    model = adapted(name)
    step.patch(model)
    rows = examples()
    together = model(**step.collate(rows)).loss.item() * (30 + 7 + 50 - 3 * 5)
    alone = sum(model(**step.collate([e])).loss.item() * (len(e["input_ids"]) - 5) for e in rows)
    assert together == pytest.approx(alone, rel=1e-5)


def per_example(query, key, value, ends_q, ends_k, longest_q, longest_k, **options):
    """What torch's varlen_attn computes on CUDA alone: attention [T, heads, d] within each example,
    by its definition."""
    assert options["window_size"] == (-1, 0)  # causal
    lengths = ends_q.diff().tolist()
    assert torch.equal(ends_q, ends_k) and ends_q.dtype == torch.int32
    assert longest_q == longest_k == max(lengths)
    assert options["enable_gqa"] == (query.shape[1] != key.shape[1])
    each = query.shape[1] // key.shape[1]
    made = []
    for q, k, v in zip(*(x.split(lengths) for x in (query, key, value)), strict=True):
        k, v = (x.repeat_interleave(each, dim=1) for x in (k, v))
        scores = torch.einsum("ihd,jhd->hij", q, k) * options["scale"]
        later = torch.ones(len(q), len(q)).triu(1).bool()
        made.append(torch.einsum("hij,jhd->ihd", scores.masked_fill(later, -1e9).softmax(-1), v))
    return torch.cat(made)


@pytest.mark.parametrize("name", [LLAMA, QWEN])
def test_one_kernel_for_all_examples_gives_the_same(name, monkeypatch):
    model, rows = adapted(name), examples()
    step.patch(model)
    loss, gradients = loss_and_gradients(model, step.collate(rows))
    calls = []

    def varlen(*args, **options):
        calls.append(args[0].shape)
        return per_example(*args, **options)

    monkeypatch.setattr(step, "flash_takes", lambda query: True)
    monkeypatch.setattr(step, "varlen_attention", lambda: varlen)
    ours, found = loss_and_gradients(model, step.collate(rows))
    assert len(calls) == model.config.num_hidden_layers and calls[0][0] == 30 + 7 + 50
    assert ours == pytest.approx(loss, abs=1e-5)
    for key, gradient in gradients.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "capability", "takes"),
    [
        ({}, 9, True),
        ({"is_cuda": False}, 9, False),
        ({"dtype": torch.float32}, 9, False),
        ({"shape": (1, 4, 87, 256)}, 8, True),
        ({"shape": (1, 4, 87, 264)}, 9, False),
        ({"shape": (1, 4, 87, 100)}, 9, False),  # torch pads no head here
        ({}, 7, False),
    ],
)
def test_flash_attention_is_asked_for_what_it_takes(changes, capability, takes, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (capability, 0))
    about = {"is_cuda": True, "dtype": torch.bfloat16, "shape": (1, 4, 87, 128), "device": "cuda"}
    assert step.flash_takes(SimpleNamespace(**about | changes)) == takes


def test_torchs_kernel_takes_these_arguments():
    """On a CPU its shapes alone can be checked."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        query, key = (torch.empty(87, heads, 16, dtype=torch.bfloat16) for heads in (4, 2))
        ends = step.ends_of(torch.empty(3, dtype=torch.int32))
        made = step.varlen_attention()(
            query, key, key, ends, ends, 50, 50, scale=0.25, window_size=(-1, 0), enable_gqa=True
        )
    assert (made.shape, ends.shape) == (query.shape, (4,))
    assert step.ends_of(torch.tensor([30, 7, 50])).tolist() == [0, 30, 37, 87]


def test_a_student_with_sliding_windows_is_masked_by_transformers():
    model, rows = adapted(LLAMA), examples()
    expected, _ = loss_and_gradients(model, padded(rows))
    model.get_base_model().config.sliding_window = 1000
    step.patch(model)
    assert model.get_base_model().config._attn_implementation == "sdpa"
    assert loss_and_gradients(model, step.collate(rows))[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", [LLAMA, QWEN])
def test_recomputing_activations_changes_nothing(name):
    model, rows = adapted(name), examples()
    loss, gradients = loss_and_gradients(model, padded(rows))
    model = adapted(name, recompute="on").train()
    step.patch(model)
    ours, found = loss_and_gradients(model, step.collate(rows))
    assert model.is_gradient_checkpointing and ours == pytest.approx(loss, abs=1e-5)
    for key, gradient in gradients.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=1e-6)


def test_mixed_precision_as_on_a_gpu_differs_by_rounding_alone():
    rows = examples()
    exact, gradients = loss_and_gradients(adapted(LLAMA), padded(rows))
    model = adapted(LLAMA, dtype="bfloat16", recompute="on").train()  # adapters stay float32
    step.patch(model)
    with torch.autocast("cpu", torch.bfloat16):
        loss, found = loss_and_gradients(model, step.collate(rows))
    assert loss == pytest.approx(exact, abs=0.01)
    for key, gradient in gradients.items():
        assert found[key].dtype == torch.float32
        assert (
            torch.nn.functional.cosine_similarity(found[key].flatten(), gradient.flatten(), dim=0)
            > 0.99
        ), key


def test_a_head_that_is_trained_gets_its_gradient():
    model, rows = adapted(LLAMA), examples()
    model.get_output_embeddings().weight.requires_grad_()
    loss, gradients = loss_and_gradients(model, padded(rows))
    step.patch(model)
    ours, found = loss_and_gradients(model, step.collate(rows))
    assert ours == pytest.approx(loss, abs=1e-5) and any("lm_head" in key for key in found)
    for key, gradient in gradients.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=1e-6)


def test_whole_sequences_go_through_a_patched_model_as_before():
    model, ids = adapted(LLAMA), examples()[0]["input_ids"].tolist()
    at = proof.places(ids)
    before = proof.token_logprobs(model, ids, at), model(**padded(examples())).logits
    step.patch(model)
    assert proof.token_logprobs(model, ids, at) == pytest.approx(before[0], abs=1e-6)
    torch.testing.assert_close(model(**padded(examples())).logits, before[1])


def test_heldout_loss_is_the_mean_over_tokens_whatever_the_micro_batch():
    model, rows = adapted(LLAMA), examples()
    expected = loss_and_gradients(model, padded(rows))[0]
    step.patch(model)
    model.train()
    assert [step.heldout_loss(model, rows, n) for n in (1, 2, 3)] == pytest.approx(
        [expected] * 3, abs=1e-5
    )
    assert model.training and step.heldout_loss(model, [], 2) is None


def test_an_attention_that_packed_rows_would_change_is_refused():
    config = MiniMaxM3VLTextConfig(
        vocab_size=99, hidden_size=64, intermediate_size=64, num_hidden_layers=1, head_dim=16,
        num_attention_heads=4, num_key_value_heads=2, rotary_dim=16, num_local_experts=4,
        num_experts_per_tok=2, index_n_heads=2, index_head_dim=16,
        layer_types=["minimax_m3_sparse"], mlp_layer_types=["dense"],
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    name = type(model).__name__
    model.get_base_model = lambda: model  # as PEFT's has it
    with pytest.raises(ValueError, match=f"^student: {name} has an attention of its own, and tr"):
        step.patch(model)
    assert model.config._attn_implementation == "sdpa"
