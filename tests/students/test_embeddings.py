"""Adapters on the embedding and the head: a merged student says what PEFT says unmerged, whether
the two are one tensor or two, and one tensor is no target of a training."""

import json
import re

import pytest
import torch
from helpers import needs_vllm, random_adapter, tiny
from safetensors.torch import load_file, save_file

from distill_nb.evaluation import evaluate
from distill_nb.evaluation.engines import start, types
from distill_nb.evaluation.proofs import proved
from distill_nb.runtime import paths
from distill_nb.students import embeddings, merge, proof, sources, student, targets
from distill_nb.training import data, train

IDS = torch.arange(1, 40)[None]
# of LoraConfig; whether a tied student stays tied
ADAPTERS = {
    "head": (dict(target_modules=["q_proj", "lm_head"]), False),
    "embedding": (dict(target_modules=["q_proj", "embed_tokens"]), False),
    "both": (dict(target_modules=["q_proj", "embed_tokens", "lm_head"]), False),
    "a pattern": (dict(target_modules=r".*\.q_proj|lm_head"), False),
    "all linear": (dict(target_modules="all-linear"), True),  # PEFT leaves the head out
    "DoRA": (dict(target_modules=["lm_head"], use_dora=True), False),
    "a tensor, the head's": (dict(target_parameters=["lm_head.weight"]), False),
    "a tensor, the embedding's": (dict(target_parameters=["embed_tokens.weight"]), False),
    "tied": (dict(target_modules=["embed_tokens"], ensure_weight_tying=True), True),
    "whole head": (dict(target_modules=["q_proj"], modules_to_save=["lm_head"]), False),
    "whole embedding": (dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"]), False),
    "whole, tied": (
        dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True),
        True,
    ),
    "tokens": (dict(target_modules=["q_proj"], trainable_token_indices=[1, 5]), True),
    "tokens of the head": (
        dict(target_modules=["q_proj"], trainable_token_indices={"lm_head": [1, 5]}),
        False,
    ),
}
STUDENTS = {  # hub name, template
    "llama": ("meta-llama/Llama-3.1-8B", "llama3"),
    "smollm2": ("smollm2-135m-instruct", "smollm2"),
    "experts": ("Qwen/Qwen3-30B-A3B-Base", "qwen3"),
}


@pytest.fixture
def student_in(tmp_path, runs_dir):
    """A function: the parameters of a tiny student in a folder of its own, tied or not."""

    def made(kind, tied, **changes):
        name, template = STUDENTS[kind]
        small = tiny(student=name, chat_template=template)
        model = student.load(small)
        if tied:
            model.config.tie_word_embeddings = True
            model.tie_weights()
            model.lm_head.weight.data.mul_(5)  # as far apart as those of a trained student
        folder = tmp_path / f"{kind} {tied}"
        model.save_pretrained(folder)
        student.load_tokenizer(small).save_pretrained(folder)
        return tiny(student=str(folder), student_size="full", chat_template=template, **changes)

    return made


@torch.no_grad()
def compare(p, adapter, folder):
    """Merge an adapter in memory and into a folder: both must say what PEFT says unmerged, which
    must differ from the base. Returns the folder's parameters."""
    from peft import PeftModel

    base = student.load(p)(IDS).logits
    expected = PeftModel.from_pretrained(student.load(p), str(adapter)).eval()(IDS).logits
    assert (expected - base).abs().max() > 0.1
    in_memory = student.load_for_generation(p, adapter)
    torch.testing.assert_close(in_memory(IDS).logits, expected, rtol=1e-5, atol=1e-4)
    merge.write_merged(p, adapter, folder)
    written = tiny(student=str(folder), student_size="full", chat_template=p.chat_template)
    torch.testing.assert_close(student.load(written)(IDS).logits, expected, rtol=1e-5, atol=1e-4)
    return written


@pytest.mark.parametrize("how", ADAPTERS)
@pytest.mark.parametrize(("kind", "tied"), [("llama", False), ("smollm2", True)])
def test_what_is_merged_says_what_peft_says_unmerged(how, kind, tied, student_in, tmp_path):
    p = student_in(kind, tied)
    settings, stays_tied = ADAPTERS[how]
    written = compare(p, random_adapter(p, tmp_path / "adapter", **settings), tmp_path / "merged")
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    held = load_file(tmp_path / "merged" / sources.WEIGHTS)
    assert config["tie_word_embeddings"] == ("lm_head.weight" not in held) == (tied and stays_tied)
    assert embeddings.tied(student.load(written)) == (tied and stays_tied)


@pytest.mark.parametrize("tied", [False, True])
def test_the_same_of_a_mixture_of_experts(tied, student_in, tmp_path):
    p = student_in("experts", tied)
    of_experts = dict(target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])
    for name in ("head", "both"):
        adapter = random_adapter(p, tmp_path / name, **ADAPTERS[name][0] | of_experts)
        compare(p, adapter, tmp_path / f"merged {name}")


@pytest.mark.parametrize("kind", STUDENTS)
@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_a_tied_student_has_no_such_targets(kind, target, student_in, monkeypatch):
    wanted = ["q_proj", target]
    if kind == "experts":
        wanted += ["down_proj"]
    p = student_in(kind, True, lora_targets=wanted)
    monkeypatch.setattr(data.load, "split", lambda *_: pytest.fail("data were prepared"))
    said = (
        rf"^lora_targets: the embedding and the head of .* are one tensor \(tie_word_embeddings\), "
        rf"and an adapter on {target} would make them differ; remove it\.$"
    )
    with pytest.raises(ValueError, match=said):
        data.prepare(p)
    with pytest.raises(ValueError, match=said):
        student.attach_lora(student.load(p), p)


def test_what_is_no_linear_layer_is_no_target(runs_dir):
    def refuse(p):
        targets.refuse(student.on_meta(student.config(p)), p)

    for wrong, kind in (("norm", "LlamaRMSNorm"), ("mlp", "LlamaMLP"), ("layers", "ModuleList")):
        with pytest.raises(
            ValueError, match=f"^lora_targets: {wrong} of .* is a {kind}, and only linear layers"
        ):
            refuse(tiny(lora_targets=["q_proj", wrong]))
    with pytest.raises(ValueError, match=r"lora_targets: gate of .* is a Qwen3MoeTopKRouter"):
        refuse(tiny(student=STUDENTS["experts"][0], lora_targets=["gate", "down_proj"]))


def test_unsloth_trains_no_adapter_there(monkeypatch):
    monkeypatch.setattr(student.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(student, "device", lambda: "cuda")
    monkeypatch.setattr(student.compiler, "check", lambda _: None)
    monkeypatch.setattr(student, "_expand_segments", lambda: None)
    both = ["q_proj", "embed_tokens", "lm_head"]
    with pytest.raises(
        ValueError, match=r"^lora_targets: Unsloth trains embed_tokens and lm_head whole .* to hf"
    ):
        student.choose_backend(tiny(backend="unsloth", lora_targets=both))
    assert student.choose_backend(tiny(backend="auto", lora_targets=both)) == "hf"


@pytest.mark.parametrize("kind", ["llama", "experts"])
def test_an_untied_student_is_trained_there_and_proved(kind, runs_dir, tmp_path):
    name, template = STUDENTS[kind]
    wanted = ["q_proj", "embed_tokens", "lm_head"]
    if kind == "experts":
        wanted += ["gate_proj", "up_proj", "down_proj"]
    p = tiny(
        student=name,
        chat_template=template,
        lora_targets=wanted,
        lora_experts=kind == "experts",
        learning_rate=0.02,
        benchmarks=["pocket_math"],
        max_new_tokens=8,
        save_every=4,
    )
    train.train(p)
    adapter = paths.checkpoint_dir(p, 4)
    held = load_file(adapter / merge.LORA)
    assert {"lm_head.lora_B.weight", "model.embed_tokens.lora_embedding_B"} <= {
        key.removeprefix("base_model.model.") for key in held
    }
    assert not [key for key in held if "lora_" not in key]  # no copy of the student's own
    (made,) = evaluate.evaluate(p)["adapter_proof"]
    assert made["passed"] and made["error"] < 1e-4 and made["effect"] > 0.01
    compare(p, adapter, tmp_path / "merged")
    base = student.load(p)
    with torch.no_grad():
        expected = student.load_for_generation(p, adapter)(IDS).logits
        for part in ("lm_head", "embed_tokens"):  # both were trained, and both count
            save_file({k: w * (part not in k) for k, w in held.items()}, adapter / merge.LORA)
            without = student.load_for_generation(p, adapter)(IDS).logits
            assert (expected - without).abs().max() > 1e-2
            assert (base(IDS).logits - without).abs().max() > 1e-2


def test_what_vllm_cannot_serve_side_by_side_is_merged(student_in, tmp_path, monkeypatch):
    p = student_in("llama", False)
    said = {
        "whole head": r"its modules_to_save is \['lm_head'\]",
        "tokens": r"its trainable_token_indices is \[1, 5\]",
        "DoRA": "its use_dora is True",
        "a tensor, the head's": "its target_parameters has lm_head.weight",
    }
    for name in said:
        random_adapter(p, tmp_path / name, **ADAPTERS[name][0])
    monkeypatch.setattr(types, "installed_vllm", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, why in said.items():
        how = vars(p) | dict(engine="vllm", adapter=str(tmp_path / name))
        with pytest.raises(ValueError, match=f"^adapters: multi cannot .*, as {why}; set adapters"):
            start.adapter_mode(tiny(**how | {"adapters": "multi"}))
        mode, because = start.adapter_choice(tiny(**how | {"adapters": "auto"}))
        assert mode == "merged" and re.fullmatch(why, because)


@needs_vllm
@pytest.mark.parametrize(("tied", "mode"), [(True, "merged"), (True, "multi"), (False, "multi")])
def test_vllm_serves_them_as_peft_does(tied, mode, student_in, tmp_path):
    p = student_in("smollm2", tied, engine="vllm", adapters=mode)
    adapters = {4: random_adapter(p, tmp_path / "adapter", **ADAPTERS["both"][0])}
    references = {4: proof.of(p, adapters[4], IDS[0].tolist())}
    with start.start(p, adapters, [[1, 2]], [IDS[0].tolist()]) as engine:
        (made,) = [m for _, some in proved(p, engine, [4], references) for m in some]
    assert made.passed and made.error < 1e-4 and made.effect > 0.1


@pytest.mark.parametrize("how", ["head", "all linear"])
def test_a_head_of_its_own_that_the_config_calls_tied(how, student_in, tmp_path):
    p = student_in("llama", False)
    file = tmp_path / "llama False" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tie_word_embeddings": True}))
    assert not embeddings.tied(student.load(p))  # Transformers goes by the weights
    compare(p, random_adapter(p, tmp_path / "adapter", **ADAPTERS[how][0]), tmp_path / "merged")
