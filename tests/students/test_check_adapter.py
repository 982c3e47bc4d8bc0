"""An adapter that is not whole, or is of another student, is refused in one sentence at once."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from helpers import tiny
from safetensors.torch import load_file, save_file

from distill_nb.evaluation import evaluate
from distill_nb.runtime import paths
from distill_nb.students import check_adapter, integrity, merge, proof, student
from distill_nb.training import train

QWEN = "Qwen/Qwen3-30B-A3B-Base"
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
KINDS = {"dense": tiny(), "experts": tiny(student=QWEN)}
TENSORS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
HOW = {
    "dense": dict(target_modules=["q_proj", "o_proj", "down_proj"]),
    "experts": dict(
        target_modules=["q_proj", "o_proj"],
        target_parameters=TENSORS,
        rank_pattern={TENSORS[0]: 6, TENSORS[1]: 3},
        alpha_pattern={TENSORS[0]: 24, TENSORS[1]: 5},
    ),
}
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 530792\n"
Q = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
LORA_B = Q.replace("lora_A", "lora_B")


def write(kind, folder, **how):
    """An adapter of PEFT's on a tiny student, with random weights."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(**dict(r=8, init_lora_weights=False) | HOW[kind] | how)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        get_peft_model(student.load(KINDS[kind]), config).save_pretrained(folder)
    settings(base_model_name_or_path=KINDS[kind].student)(folder)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return {kind: write(kind, tmp_path_factory.mktemp(kind) / "adapter") for kind in KINDS}


@pytest.fixture
def adapter_in(written, tmp_path):
    """A function: a copy of the adapter of a kind."""
    return lambda kind: Path(shutil.copytree(written[kind], tmp_path / "adapter"))


def settings(without=(), **values):
    def change(folder):
        held = json.loads((folder / CONFIG).read_text()) | values
        kept = {key: value for key, value in held.items() if key not in without}
        (folder / CONFIG).write_text(json.dumps(kept))

    return change


def tensors(change):
    def edit(folder):
        held = load_file(folder / WEIGHTS)
        change(held)
        save_file(held, folder / WEIGHTS)

    return edit


def put(name, text):
    return lambda folder: (folder / name).write_text(text)


def cut(folder):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def without_half(held):
    for name in sorted(held)[::2]:
        held.pop(name)


def misnamed(old, new, only=""):
    def change(held):
        for name in [name for name in held if only in name]:
            held[name.replace(old, new)] = held.pop(name)

    return change


FAULTS = {
    "no weights": (lambda f: (f / WEIGHTS).unlink(), f"has no {WEIGHTS}; copy it there"),
    "empty": (put(WEIGHTS, ""), f"{WEIGHTS} is empty"),
    "pointer": (put(WEIGHTS, POINTER), f"{WEIGHTS} is a Git LFS pointer"),
    "cut": (cut, f"{WEIGHTS} is damaged or cut off"),
    "no tensors": (tensors(dict.clear), r"\(and \d+ more\) is not in the adapter"),
    "no config": (lambda f: (f / CONFIG).unlink(), f"{CONFIG} is not there"),
    "config": (put(CONFIG, "{bad"), f"{CONFIG} is not valid JSON"),
    "config is a list": (put(CONFIG, "[]"), f"{CONFIG} holds a list"),
    "config is a pointer": (put(CONFIG, POINTER), f"{CONFIG} is a Git LFS pointer"),
    "no kind": (settings(without=["peft_type"]), "peft_type in .* is None, and only LORA"),
    "prompts": (settings(peft_type="PROMPT_TUNING"), "is PROMPT_TUNING, and only LORA can be"),
    "ia3": (settings(peft_type="IA3"), "is IA3, and only LORA"),
    "other kind": (settings(peft_type="NEW"), "is NEW, and only LORA"),
    "no rank": (settings(without=["r"]), "r in .* is None, and must be a whole n"),
    "rank is text": (settings(r="8"), "r in .* is '8', and must be a whole number from 1 on"),
    "rank is no whole number": (settings(r=8.0), "r in .* is 8.0, and must be a whole number from"),
    "no alpha": (settings(without=["lora_alpha"]), "lora_alpha in .* is None, and must be a"),
    "alpha is text": (settings(lora_alpha="16"), "lora_alpha in .* is '16', and must be a number"),
    "alpha is NaN": (settings(lora_alpha=float("nan")), "lora_alpha in .* is nan"),
    "rank": (
        settings(r=4),
        r"q_proj\.lora_A\.weight is \[8, 64\], and by its .* and the student \[4, 64\]\); n",
    ),
    "wide": (tensors(lambda held: held.update({Q: torch.ones(8, 65)})), r"is \[8, 65\], and by"),
    "scale is text": (settings(use_rslora="false"), "use_rslora in .* is 'false', not true or"),
    "no such module": (settings(modules_to_save=["score"]), "modules_to_save in .* has score, wh"),
    "pissa": (settings(init_lora_weights="pissa"), "init_lora_weights in .* is pissa, which chan"),
    "pissa by steps": (settings(init_lora_weights="pissa_niter_4"), "is pissa_niter_4, which"),
    "olora": (settings(init_lora_weights="olora"), "is olora, which changes"),
    "lora_ga": (settings(init_lora_weights="lora_ga"), "is lora_ga, which changes"),
    "new init": (settings(init_lora_weights="new"), "is new, which changes"),
    "alora": (settings(alora_invocation_tokens=[1]), r"alora_invocation_tokens in .* is \[1\], wh"),
    "a sampler": (
        settings(monteclora_config={}),
        r"monteclora_config in .* is \{\}, .* not applied",
    ),
    "two lines": (
        settings(alora_invocation_tokens="a\nb"),
        "alora_invocation_tokens in .* is a b,",
    ),
    "layers twice": (settings(layer_replication=[[0, 2]]), "layer_replication in .* not applied"),
    "new key": (
        settings(scale_by=2.0, peft_version="99.1.0.dev0@0e9e39f"),
        f"{CONFIG} has scale_by, which PEFT .* ignores, and PEFT 99.1.0.dev0@0e9e39f, which saved "
        "it, may not; install that PEFT, or remove the key where it changes nothing",
    ),
    "half": (tensors(without_half), r"\(and \d+ more\) is not in the adapter; name the student"),
    "one": (tensors(lambda held: held.pop(Q)), rf": {Q} is not in the adapter"),
    "misnamed": (tensors(misnamed("self_attn", "attn", "layers.1.")), r"\.attn\..* is of no layer"),
    "adapter's name": (tensors(misnamed(".weight", ".new.weight")), "is of no layer"),
    "more layers": (
        tensors(lambda held: held.update({Q.replace("1", "7", 1): held[Q] + 1})),
        "layers.7",
    ),
    "narrow": (
        settings(target_modules=["q_proj"]),
        r"\(and \d+ more\) is of no layer; name the student",
    ),
    "wide targets": (
        settings(target_modules=["q_proj", "o_proj", "down_proj", "v_proj"]),
        r"v_proj.*is not in the adapter.*whose target_modules must name only",
    ),
    "no targets": (settings(target_modules=["c_attn"], target_parameters=None), "does not fit"),
    "first layer": (settings(layers_to_transform=[0]), r"layers\.1\..* is of no layer"),
    "patterns": (
        lambda f: settings(alpha_pattern={"k_proj": 3})(f),
        "alpha_pattern in .* has k_proj, which is no layer",
    ),
    "bias": (settings(modules_to_save=["lm_head"]), "lm_head.* is not in the adapter"),
    "dora": (
        settings(use_dora=True),
        "lora_magnitude_vector.* is not in|does not work with use_dora",
    ),
    "NaN": (
        tensors(lambda held: held[LORA_B].fill_(float("nan"))),
        rf"{LORA_B} in .*{WEIGHTS} holds NaN or infinity, so its training diverged",
    ),
    "infinity": (tensors(lambda held: held[Q][:1].fill_(-float("inf"))), "holds NaN or infinity"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault, kind, adapter_in, runs_dir):
    change, words = FAULTS[fault]
    p, folder = KINDS[kind], adapter_in(kind)
    assert check_adapter.check(p, folder) == ""
    change(folder)
    with pytest.raises(ValueError, match=rf"^adapter: .*{words}") as error:
        check_adapter.check(p, folder)
    assert str(error.value).count("\n") == 0


def test_an_adapter_is_looked_at_again_only_after_a_change(adapter_in, monkeypatch):
    p, folder = KINDS["dense"], adapter_in("dense")
    targets = [*HOW["dense"]["target_modules"], "c_attn"]
    settings(target_modules=targets, base_model_name_or_path=None)(folder)
    note, read, looked = check_adapter.check(p, folder), integrity.tensors, []
    monkeypatch.setattr(integrity, "tensors", lambda file: looked.append(file) or read(file))
    assert check_adapter.check(p, folder) == note != "" and not looked
    tensors(lambda held: held[Q].add_(1))(folder)
    assert check_adapter.check(p, folder) == note and looked
    with pytest.raises(ValueError, match=r"^adapter: .* does not fit"):  # of another student
        check_adapter.check(KINDS["experts"], folder)


def test_faults_of_adapters_on_experts(adapter_in):
    p, folder = KINDS["experts"], adapter_in("experts")
    whole = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
    inner = "base_model.model.model.layers.0.mlp.experts.base_layer.lora_A.weight"
    faults = [
        (settings(target_parameters=TENSORS[:1]), r"is \[12, 32\], and by its .* \[24, 64\]"),
        (settings(target_parameters=None), "is of no layer"),
        (settings(target_parameters=[*TENSORS, "mlp.new"]), "target_parameters in .* has mlp.new"),
        (settings(rank_pattern={}), r"is \[24, 64\], and by its .* \[32, 64\]"),
        (tensors(lambda held: held.pop(inner)), f"{inner} is not in the adapter"),
        (tensors(misnamed(".base_layer", "")), r"is \[24, 64\], and by"),
    ]
    for change, words in faults:
        change(folder)
        with pytest.raises(ValueError, match=rf"^adapter: .*{words}"):
            check_adapter.check(p, folder)
        for name, content in whole.items():
            (folder / name).write_bytes(content)


SOUND = [
    {},
    {"use_rslora": True},
    {"use_dora": True},
    {"bias": "lora_only"},
    {"layers_to_transform": [1]},
    {"target_modules": r".*\.(q|k)_proj"},
    {"init_lora_weights": "orthogonal"},
    {"target_modules": ["q_proj", "lm_head"]},
    {"target_modules": ["embed_tokens", "o_proj"]},
    {"modules_to_save": ["lm_head"]},
    {"trainable_token_indices": [1, 5]},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", SOUND)
def test_sound_adapters_pass(how, kind, tmp_path):
    parts = {"target_parameters": None, "rank_pattern": {}, "alpha_pattern": {}}
    folder = write(kind, tmp_path / "adapter", **(parts if how else {}) | how)
    assert check_adapter.check(KINDS[kind], folder) == ""
    settings(a_later_versions_key=None)(folder)
    held = load_file(folder / WEIGHTS)
    torch.save(held, folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()
    assert check_adapter.check(KINDS[kind], folder) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_own_checkpoints_pass(kind, runs_dir):
    p = tiny(student=KINDS[kind].student, max_steps=2)
    train.train(p)
    folder = paths.checkpoint_dir(p, 2)
    assert check_adapter.check(p, folder) == "" and check_adapter.merged_only(folder) == ""
    (folder / "proof.json").unlink()
    assert check_adapter.check(p, folder) == ""


def test_an_adapter_with_a_tensor_for_each_expert_passes_if_whole(adapter_in):
    """The layout of Transformers 4, which PEFT converts."""
    p, folder = KINDS["experts"], adapter_in("experts")
    experts = {f"layers.{layer}.mlp.experts.{n}" for layer in range(2) for n in range(4)}
    widths = {"gate_proj": (64, 32), "up_proj": (64, 32), "down_proj": (32, 64)}
    each = {
        f"base_model.model.model.{expert}.{part}.lora_{side}.weight": torch.rand(shape)
        for expert in experts
        for part, (width, out) in widths.items()
        for side, shape in (("A", (4, width)), ("B", (out, 4)))
    }
    values = {"target_parameters": None, "rank_pattern": {}, "alpha_pattern": {}, "r": 4}
    settings(**values, target_modules=[*widths])(folder)
    save_file(each, folder / WEIGHTS)
    assert check_adapter.check(p, folder) == ""
    before, after = student.load(p), student.load_for_generation(p, folder)
    changed = {
        name
        for (name, one), other in zip(before.named_parameters(), after.parameters(), strict=True)
        if not one.equal(other)
    }
    assert changed == {f"model.layers.{n}.{tensor}" for n in range(2) for tensor in TENSORS}
    lost = "base_model.model.model.layers.1.mlp.experts.3."
    for part in ("down_proj.lora_B", "down_proj", "up_proj", ""):
        kept = {name: tensor for name, tensor in each.items() if lost + part not in name}
        assert len(kept) < len(each)
        save_file(kept, folder / WEIGHTS)
        with pytest.raises(
            ValueError, match=r"^adapter: .* does not fit .*; name the student that"
        ):
            check_adapter.check(p, folder)


def test_the_load_itself_is_looked_at_too(adapter_in):
    p, folder = KINDS["dense"], adapter_in("dense")
    tensors(lambda held: held.pop(Q))(folder)
    with pytest.raises(ValueError, match=f"{Q} is not in the adapter"):
        student.load_for_generation(p, folder)
    tensors(misnamed("layers.1.", "layers.7."))(folder)
    with pytest.raises(ValueError, match="is of no layer"):
        proof.reference(p, folder, [1, 2, 3])


def test_before_anything_is_generated_or_written(adapter_in, runs_dir, tmp_path, monkeypatch):
    folder = adapter_in("dense")
    tensors(without_half)(folder)
    p = tiny(adapter=str(folder))
    monkeypatch.setattr(student, "load", lambda *_, **__: pytest.fail("it was loaded"))
    monkeypatch.setattr(evaluate, "load_tasks", lambda *_: pytest.fail("tasks were read"))
    with pytest.raises(ValueError, match="is not in the adapter"):
        evaluate.evaluate(p)
    with pytest.raises(ValueError, match="is not in the adapter"):
        merge.write_merged(p, folder, tmp_path / "merged")
    assert not runs_dir.exists() and not (tmp_path / "merged").exists()


def test_own_checkpoints_are_looked_at_before_answers(runs_dir, monkeypatch):
    p = tiny(max_steps=2, engine="hf")
    train.train(p)
    settings(target_modules=["q_proj"])(paths.checkpoint_dir(p, 2))
    monkeypatch.setattr(student, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(ValueError, match=r"^adapter: .*step_00002 .* is of no layer"):
        evaluate.evaluate(p)
