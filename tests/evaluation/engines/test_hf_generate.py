"""A batch's answers are those of each prompt alone, by plain Transformers, though what the prompts
share is computed once and what has ended leaves the batch."""

from dataclasses import replace

import pytest
import torch
from helpers import tiny
from transformers import (
    AutoModelForCausalLM,
    LlamaForCausalLM,
    MiniMaxM3VLTextConfig,
    MistralConfig,
    MistralForCausalLM,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from distill_nb.evaluation.engines import hf_generate
from distill_nb.evaluation.engines.hf_generate import common_prefix, generate, grouped_heads
from distill_nb.students import student

SHARED = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
PROMPTS = [SHARED + [20 + i] * (1 + 3 * i) for i in range(6)]


@pytest.fixture(scope="module")
def tokenizer():
    return student.load_tokenizer(tiny())


@pytest.fixture
def model():
    return student.load_for_generation(tiny()).double()  # no rounding that a batch could change


def alone(model, prompt: list[int], n: int) -> list[int]:
    """n tokens by Transformers' own greedy loop, past any end token."""
    ids = torch.tensor([prompt])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return out[0, len(prompt) :].tolist()


def made(model, tokenizer, stop_ids, prompts=PROMPTS, **changes):
    p = replace(tiny(), **dict(max_new_tokens=50) | changes)
    seeds = list(range(len(prompts)))
    return generate(model, tokenizer, prompts, seeds, stop_ids, p)


def test_what_all_prompts_begin_with():
    assert common_prefix(PROMPTS) == len(SHARED)
    assert common_prefix([[1, 2, 3], [1, 2, 3]]) == 2  # an answer begins after the last token
    assert common_prefix([[1, 2], [1, 2, 3, 4]]) == 1
    assert common_prefix([[1], [1, 2]]) == 0 == common_prefix([[1, 2], [3, 2]])
    assert common_prefix([[1, 2, 3]]) == 0


def test_answers_are_those_of_each_prompt_alone(model, tokenizer, monkeypatch):
    whole = [alone(model, prompt, 50) for prompt in PROMPTS]
    # tokens at which some of the answers end, early and late, and others never
    stop_ids = [whole[0][3], whole[1][20]]
    sizes, plain = [], LlamaForCausalLM.generate
    monkeypatch.setattr(
        LlamaForCausalLM,
        "generate",
        lambda self, input_ids, **k: (sizes.append(len(input_ids)), plain(self, input_ids, **k))[1],
    )
    found = made(model, tokenizer, stop_ids)
    for (_, tokens, why), expected in zip(found, whole, strict=True):
        end = next((i for i, t in enumerate(expected) if t in stop_ids), None)
        assert tokens == expected[: None if end is None else end + 1]
        assert why == ("length" if end is None else "stop")
    assert {why for *_, why in found} == {"stop", "length"}
    assert sizes[0] == 6 and sizes[-1] < 6 and sizes == sorted(sizes, reverse=True)


def test_grouped_keys_and_values_are_not_copied(model, tokenizer, monkeypatch):
    """By the kernel that takes grouped heads with a mask; elsewhere Transformers is as before."""
    heads, plain = [], torch.nn.functional.scaled_dot_product_attention

    def noted(query, key, value, *masks, **options):
        heads.append((query.shape[1], key.shape[1], bool(options.get("enable_gqa"))))
        return plain(query, key, value, *masks, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    own, fewer = model.config.num_attention_heads, model.config.num_key_value_heads
    assert fewer < own and made(model, tokenizer, [300])
    assert set(heads) == {(own, fewer, True)}
    heads.clear()
    rows = torch.tensor([PROMPTS[0], PROMPTS[0]])
    mask = torch.ones_like(rows)
    mask[0, :3] = 0
    model(input_ids=rows, attention_mask=mask)
    assert set(heads) == {(own, own, False)}


@pytest.mark.parametrize("fewer", [2, 4])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tokens", [1, 5])
def test_attention_is_that_of_transformers(fewer, biased, masked, tokens):
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, n, t, 8) for n, t in ((4, tokens), (fewer, 9), (fewer, 9)))
    mask = torch.rand(3, 1, tokens, 9) < 0.7
    mask[..., 0] = True
    options = dict(scaling=0.3, position_bias=torch.randn(1, 4, tokens, 9) if biased else None)
    module = torch.nn.Module()
    module.num_key_value_groups = 4 // fewer
    given = module, query, key, value, mask if masked else None
    expected = sdpa_attention_forward(*given, **options)[0]
    assert torch.equal(hf_generate._attention(*given, **options)[0], expected)


def test_a_model_that_asks_for_its_attentions_name_masks_what_it_would(tokenizer):
    """MiniMax's sparse layers mask blocks of tokens under the names that they know alone."""
    torch.manual_seed(0)
    config = MiniMaxM3VLTextConfig(
        vocab_size=300, hidden_size=64, intermediate_size=64, num_hidden_layers=2, head_dim=16,
        num_attention_heads=4, num_key_value_heads=2, rotary_dim=16, num_local_experts=4,
        num_experts_per_tok=2, index_n_heads=2, index_head_dim=16, index_block_size=4,
        index_topk_blocks=2, index_local_blocks=1, layer_types=["minimax_m3_sparse"] * 2,
        mlp_layer_types=["dense"] * 2, pad_token_id=0, bos_token_id=1, eos_token_id=None,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).double().eval()
    assert model.config._attn_implementation == "sdpa"
    prompt = PROMPTS[4]
    expected = alone(model, prompt, 12)
    with grouped_heads():
        assert alone(model, prompt, 12) == expected
    assert not hf_generate._only_full_attention(model)  # padding would shift the blocks


def test_nothing_shared_and_one_prompt(model, tokenizer):
    prompts = [[30 + i, *PROMPTS[i]] for i in range(3)]
    found = made(model, tokenizer, [300], prompts)
    assert [tokens for _, tokens, _ in found] == [alone(model, x, 50) for x in prompts]
    assert made(model, tokenizer, [300], prompts[:1])[0][1] == alone(model, prompts[0], 50)


@pytest.mark.parametrize("stop_on_loop", [False, True])
def test_a_sample_does_not_depend_on_who_leaves_the_batch(model, tokenizer, stop_on_loop):
    how = dict(temperature=1.0, top_p=0.9, stop_on_loop=stop_on_loop)
    free = made(model, tokenizer, [300], **how)
    stop_ids = [free[0][1][2], free[3][1][18]]
    for (_, tokens, _), (_, expected, _) in zip(
        made(model, tokenizer, stop_ids, **how), free, strict=True
    ):
        end = next((i for i, t in enumerate(expected) if t in stop_ids), len(expected))
        assert tokens == expected[: end + 1]


def test_a_looping_answer_leaves_and_the_others_go_on(model, tokenizer, monkeypatch):
    class AtTwenty(hf_generate.LoopStop):
        """Says of the second prompt that it looped after 20 tokens."""

        def __call__(self, input_ids, scores, **_):
            if input_ids.shape[1] - self.prompt >= 20:
                self.ends[1] = 20
            return torch.tensor([self.ends[row] > 0 for row in self._rows])

    monkeypatch.setattr(hf_generate, "LoopStop", AtTwenty)
    whole = [alone(model, prompt, 50) for prompt in PROMPTS]
    found = made(model, tokenizer, [whole[0][3]], stop_on_loop=True)
    assert found[1][2] in ("loop", "stop") and found[1][1] == whole[1][: len(found[1][1])]
    assert len(found[1][1]) <= 20
    assert any(why == "length" and tokens == whole[i] for i, (_, tokens, why) in enumerate(found))


def test_a_sliding_window_is_not_filled_with_padding(tokenizer):
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, sliding_window=8,
    )  # fmt: skip
    model = MistralForCausalLM(config).double().eval()
    found = made(model, tokenizer, [299])
    expected = [alone(model, prompt, 50) for prompt in PROMPTS]
    ends = [x.index(299) + 1 if 299 in x else 50 for x in expected]
    assert [tokens for _, tokens, _ in found] == [
        x[:n] for x, n in zip(expected, ends, strict=True)
    ]
