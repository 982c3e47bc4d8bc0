"""What vLLM's slots for adapters take, and when they are better merged."""

import json
import re
from dataclasses import replace

import pytest
import torch
from helpers import tiny
from safetensors.torch import save_file
from transformers import LlamaConfig, Qwen3MoeConfig

from distill_nb import params
from distill_nb.evaluation.engines import slots, start
from distill_nb.plan import architectures
from distill_nb.runtime import paths
from distill_nb.runtime.devices import GIB


def study(name, **changes):
    p = params.validate(params.read_files(paths.PARAMS_DIR / name) | changes)
    return p, architectures.config_of(p)[0]


def test_a_slot_has_both_matrices_of_every_layer_and_expert():
    common = dict(
        vocab_size=100,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    # embedding and head, q, k, v and o, each in + out
    outside, attention = 2 * (100 + 16), (16 + 16) + 2 * (16 + 8) + (16 + 16)
    _, each = slots.sizes(LlamaConfig(**common, tie_word_embeddings=False))
    assert each == outside + 3 * (attention + 3 * (16 + 24))
    moe = dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=12)
    _, each = slots.sizes(Qwen3MoeConfig(**common, **moe))
    router = 16 + 5
    assert each == outside + 3 * (attention + router + 5 * 3 * (16 + 12))


def test_the_study_at_real_size():
    p, config = study("run01.yaml")  # 128 experts, hidden 2048, width 768, 48 layers
    weights, each = slots.sizes(config)
    assert weights == 30_532_122_624
    experts = 48 * 128 * 3 * (2048 + 768)
    assert each - experts < 0.03 * each  # nearly all of it
    assert slots.rank_of(p, config) == 32  # in the attention; 4 on an expert, 8 for two of one's
    h100, h200 = 79 * GIB, 139 * GIB
    mode, why = slots.choose(p, config, h100)
    assert mode == "merged" and why.startswith(
        "6 slots for adapters of rank 32 take 19.0 GiB, more than a third of the 18.2 GiB"
    )
    mode, why = slots.choose(p, config, h200)
    assert mode == "multi" and "19.0 GiB, at most a third of the 75.2 GiB" in why
    # two GPUs share the weights, and not the slots
    mode, why = slots.choose(replace(p, tensor_parallel=2), config, h100)
    assert mode == "merged" and "19.0 GiB, more than a third of the 46.6 GiB" in why
    # all ranks as small as the experts'
    low = replace(p, lora_rank=8, lora_expert_rank=4)
    assert slots.choose(low, config, h100) == (
        "multi",
        "6 slots for adapters of rank 8 take 4.8 GiB, at most a third of the 18.2 GiB that the "
        "weights leave of a GPU",
    )
    assert slots.choose(p, config, 39 * GIB)[0] == "merged"  # the weights alone do not fit
    p, config = study("run09.yaml")
    for gib in (23.5, 39, 79, 139):
        assert slots.choose(p, config, int(gib * GIB))[0] == "multi"


@pytest.mark.parametrize(("rank", "mode"), [(33, "64"), (512, "512"), (513, "513")])
def test_a_rank_is_rounded_up_to_one_that_vllm_has(rank, mode):
    p, config = study("run09.yaml")
    found, why = slots.choose(p, config, 1000 * GIB, adapters=1, rank=rank)
    assert f"2 slots for adapters of rank {mode} take" in why
    assert found == ("merged" if rank > 512 else "multi")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"use_dora": True}, "its use_dora is True"),
        ({"modules_to_save": ["lm_head"]}, "its modules_to_save is ['lm_head']"),
        ({}, "it holds lm_head.weight, which is no LoRA weight"),
    ],
)
def test_an_adapter_that_vllm_does_not_serve_side_by_side_is_merged(
    settings, why, tmp_path, monkeypatch
):
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    save_file({"lm_head.weight": torch.ones(2)}, tmp_path / "adapter_model.safetensors")
    monkeypatch.setattr(start, "engine_name", lambda _: "vllm")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert start.adapter_choice(tiny(adapter=str(tmp_path), adapters="auto")) == ("merged", why)
    with pytest.raises(
        ValueError, match=f"^adapters: multi cannot serve .*, as {re.escape(why)}; set adapters to"
    ):
        start.adapter_choice(tiny(adapter=str(tmp_path), adapters="multi", engine="vllm"))
