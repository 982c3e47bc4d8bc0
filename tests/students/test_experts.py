"""Adapters on a mixture of experts: what is trained, and that vLLM's own loader reads what is
written for it."""

import json
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import peft
import pytest
import torch
from helpers import needs_vllm, tiny
from lora_gradients import gradients
from safetensors.torch import load_file

from distill_nb.evaluation.engines import vllm
from distill_nb.evaluation.engines.vllm import VllmEngine
from distill_nb.runtime import paths
from distill_nb.students import experts, sources, student
from distill_nb.training import step, train

QWEN = "Qwen/Qwen3-30B-A3B-Base"
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}


def moe(**changes):
    return tiny(student=QWEN, learning_rate=0.05, **changes)


@pytest.mark.parametrize("recompute", ["off", "on"])
def test_the_experts_weights_are_made_once_in_a_pass(recompute, monkeypatch):
    p = moe(recompute=recompute)
    row = {"input_ids": np.arange(40), "labels": np.arange(40)}
    made = []
    proxy = peft.tuners.lora.layer._LoraFactorsProxy
    forward = proxy.forward
    monkeypatch.setattr(proxy, "forward", lambda self, w: made.append(1) or forward(self, w))

    def trained():
        model = student.attach_lora(student.load(p), p).train()
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(1))
        step.patch(model)
        made.clear()
        loss = model(**step.collate([row])).loss
        loss.backward()
        return loss.item(), {n: w.grad for n, w in model.named_parameters() if w.requires_grad}

    tensors, passes = 4, 2 if recompute == "on" else 1
    loss, gradients = trained()
    assert len(made) == tensors * passes
    monkeypatch.setattr(experts, "multiply_once", lambda model: None)
    expected, theirs = trained()
    assert len(made) == 2 * tensors * passes  # else PEFT no longer needs it
    assert loss == expected and all(torch.equal(gradients[n], g) for n, g in theirs.items())


def layer_of(name):
    """`self_attn.q_proj` of a weight's long name."""
    return name.split("layers.0.")[1].split(".lora_")[0]


@pytest.mark.parametrize("lora_experts", [True, False])
def test_experts_are_trained_where_asked_and_the_router_never(lora_experts, tmp_path, runs_dir):
    p = moe(lora_experts=lora_experts)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The following rank_pattern")
        found = gradients(p, tmp_path)
    adapted = {
        layer_of(name) for name, g in found.items() if "layers.0." in name and g.abs().max() > 0
    }
    # PEFT's names for down_proj and gate_up_proj
    inside = {"mlp.experts", "mlp.experts.base_layer"}
    assert adapted == {f"self_attn.{t}" for t in ATTENTION} | (inside if lora_experts else set())
    # no weight of the student itself, its router among them
    assert all("lora_" in name for name in found)

    train.train(p)
    before, after = (
        student.load(p).state_dict(),
        student.load_for_generation(p, paths.checkpoint_dir(p, 4)).state_dict(),
    )
    changed = {
        name.split("layers.0.")[1]
        for name in before
        if "layers.0." in name and not before[name].equal(after[name])
    }
    tensors = {"mlp.experts.gate_up_proj", "mlp.experts.down_proj"}
    assert changed == {f"self_attn.{t}.weight" for t in ATTENTION} | (
        tensors if lora_experts else set()
    )
    if lora_experts:
        delta = (
            after["model.layers.0.mlp.experts.down_proj"]
            - before["model.layers.0.mlp.experts.down_proj"]
        )
        assert (delta.abs().amax((1, 2)) > 1e-4).all()  # every expert's


def test_ranks_and_scales_are_those_of_one_experts_projection(runs_dir):
    p = moe(lora_rank=8, lora_alpha=8, lora_experts=True)
    model = student.attach_lora(student.load(p), p)
    layers = {
        layer_of(n): m
        for n, m in model.named_modules()
        if "layers.0." in n and hasattr(m, "lora_A") and m.lora_A
    }
    found = {name: (m.r["default"], m.scaling["default"]) for name, m in layers.items()}
    # 2 of 4 experts see a token: rank 8 / 2, and in gate_up_proj that of two projections
    assert found == {f"self_attn.{t}": (8, 1.0) for t in ATTENTION} | {
        "mlp.experts": (4, 2.0),
        "mlp.experts.base_layer": (8, 2.0),
    }
    assert experts.rank(moe(lora_expert_rank=3), model.config) == 3
    assert experts.rank(moe(lora_rank=1), model.config) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            dict(lora_experts=True, lora_targets=["q_proj", "gate_proj"]),
            "lora_targets: the experts have gate_proj with up_proj",
        ),
        (dict(lora_experts=True, lora_targets=["q_proj"]), "lora_targets: the experts have"),
        (
            dict(lora_experts=False, lora_targets=["down_proj"]),
            "lora_targets: down_proj are in .* those of its experts",
        ),
        (
            dict(lora_experts=True, lora_dropout=0.1),
            "lora_dropout: PEFT has no dropout before the experts' adapters",
        ),
    ],
)
def test_targets_that_experts_cannot_have_are_refused(changes, words, runs_dir):
    p = moe(**changes)
    with pytest.raises(ValueError, match=words):
        student.attach_lora(student.load(p), p)


def test_four_bits_are_refused_without_cuda(runs_dir, monkeypatch):
    with pytest.raises(
        ValueError,
        match=r"load_in_4bit: 4-bit weights are trained on CUDA only.*set load_in_4bit to false",
    ):
        train.prepare(tiny(load_in_4bit=True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(student.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="load_in_4bit: bitsandbytes is not installed here"):
        student.choose_backend(tiny(load_in_4bit=True, backend="hf"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny mixture of experts trained with large steps; its parameters, its checkpoint, and every
    weight's delta."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(tmp_path_factory.mktemp("experts")))
        p = moe(lora_experts=True, lora_rank=8, engine="vllm", max_new_tokens=12)
        train.train(p)
        adapter = paths.checkpoint_dir(p, 4)
        before, after = (
            student.load(p).state_dict(),
            student.load_for_generation(p, adapter).state_dict(),
        )
        yield (
            p,
            adapter,
            {
                name: after[name] - before[name]
                for name in before
                if not before[name].equal(after[name])
            },
        )


def test_an_adapter_written_by_expert_has_the_same_deltas(trained, tmp_path):
    _, adapter, deltas = trained
    assert experts.are_adapted(adapter)
    experts.write_per_expert(adapter, tmp_path / "out")
    assert not experts.are_adapted(tmp_path / "out")
    found, config = (
        load_file(tmp_path / "out" / "adapter_model.safetensors"),
        json.loads((tmp_path / "out" / "adapter_config.json").read_text()),
    )
    prefix = "base_model.model.model.layers.1.mlp.experts"
    width = 32
    for expert in range(4):
        for part, expected in (
            ("gate_proj", deltas["model.layers.1.mlp.experts.gate_up_proj"][expert, :width]),
            ("up_proj", deltas["model.layers.1.mlp.experts.gate_up_proj"][expert, width:]),
            ("down_proj", deltas["model.layers.1.mlp.experts.down_proj"][expert]),
        ):
            a, b = (found[f"{prefix}.{expert}.{part}.lora_{side}.weight"] for side in "AB")
            rank = 4 if part == "down_proj" else 8
            assert len(a) == rank and config["rank_pattern"][rf".*\.experts\.\d+\.{part}"] == rank
            scale = config["alpha_pattern"][rf".*\.experts\.\d+\.{part}"] / rank
            torch.testing.assert_close(scale * b @ a, expected, rtol=1e-4, atol=1e-6)
    assert (tmp_path / "out" / "proof.json").read_text() == (adapter / "proof.json").read_text()
    assert vllm.adapter_rank(tmp_path / "out") == 8  # what vLLM must have room for


@pytest.mark.parametrize("targets", [["down_proj"], ["gate_proj", "up_proj"]])
def test_projections_without_an_adapter_get_one_of_zeros(targets, runs_dir, tmp_path):
    p = moe(lora_targets=["q_proj", *targets], max_steps=2)
    train.train(p)
    experts.write_per_expert(paths.checkpoint_dir(p, 2), tmp_path / "out")
    found = load_file(tmp_path / "out" / "adapter_model.safetensors")
    prefix = "base_model.model.model.layers.0.mlp.experts.3"
    shapes = {"gate_proj": (64, 32), "up_proj": (64, 32), "down_proj": (32, 64)}  # in, out
    rank = 2 if targets == ["down_proj"] else 4
    for part, (width_in, width_out) in shapes.items():
        a, b = (found[f"{prefix}.{part}.lora_{side}.weight"] for side in "AB")
        assert (a.shape, b.shape) == ((rank, width_in), (width_out, rank))
        assert bool(b.any()) == (part in targets)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert set(config["rank_pattern"].values()) == {rank} and len(config["rank_pattern"]) == 3


LOADED = """
    import sys
    from vllm import LLM
    from vllm.config.lora import LoRAConfig
    from vllm.lora.layers import FusedMoEWithLoRA
    from vllm.lora.lora_model import LoRAModel
    from vllm.lora.model_manager import LoRAModelManager
    from vllm.lora.peft_helper import PEFTHelper
    from vllm.lora.utils import get_supported_lora_modules, process_packed_modules_mapping

    def load(model, folder):
        # what WorkerLoRAManager._load_adapter and LoRAModelManager do, less the layers, which need
        # Triton
        manager = LoRAModelManager.__new__(LoRAModelManager)
        manager.model, manager.modules, manager.packed_modules = model, {}, {}
        manager.is_pooling_model = manager._is_non_gated_moe = False
        manager._enable_moe_shared_loras = manager._enable_mixed_moe_lora_format = False
        manager.packed_modules_mapping = process_packed_modules_mapping(model)
        supported = get_supported_lora_modules(model)
        packed = manager.packed_modules_mapping
        expected = {name for module in supported for name in packed.get(module, [module])}
        helper = PEFTHelper.from_local_dir(folder, 4096)
        helper.validate_legal(LoRAConfig(max_lora_rank=8))
        expected.add("experts")
        lora = LoRAModel.from_local_checkpoint(
            folder, expected, helper, lora_model_id=1, device="cpu"
        )
        for name, module in model.named_modules():
            if name.rpartition(".")[2] in manager.packed_modules_mapping:
                manager._register_packed_modules(name)
        manager._create_merged_loras_inplace(lora)
        return lora

    def deltas(model, folders):
        import torch
        out, fused = folders
        found = {}
        for name, lora in load(model, out).loras.items():
            pairs = [(lora.lora_a, lora.lora_b)]
            if isinstance(lora.lora_a, list):
                pairs = zip(lora.lora_a, lora.lora_b)
            found[name] = [b.float() @ a.float() for a, b in pairs]
        torch.save(found, out + "/deltas.pt")
        manager = LoRAModelManager.__new__(LoRAModelManager)
        manager.is_pooling_model = manager._enable_mixed_moe_lora_format = False
        manager.modules = {"model.layers.0.mlp.experts": FusedMoEWithLoRA.__new__(FusedMoEWithLoRA)}
        try:
            manager._validate_moe_lora_format(load(model, fused))
        except ValueError as error:
            return str(error)

    if __name__ == "__main__":
        options = dict(dtype="float32", enforce_eager=True, max_model_len=64)
        llm = LLM(model=sys.argv[1], skip_tokenizer_init=True, **options)
        (refusal,) = llm.apply_model(lambda model: deltas(model, sys.argv[2:]))
        print("REFUSAL", refusal)
"""


@needs_vllm
def test_vllms_own_loader_reads_every_experts_adapter(trained, tmp_path):
    """As far as it goes on a CPU: names, ranks, scales and packing; its layers for a mixture of
    experts need Triton."""
    from distill_nb.evaluation.engines.vllm import CPU_ENVIRONMENT, QUIET

    p, adapter, deltas = trained
    experts.write_per_expert(adapter, tmp_path / "out")
    script = tmp_path / "loaded.py"
    script.write_text(textwrap.dedent(LOADED))
    done = subprocess.run(
        [sys.executable, str(script), sources.source(p), str(tmp_path / "out"), str(adapter)],
        env=QUIET | CPU_ENVIRONMENT | paths.child_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = torch.load(tmp_path / "out" / "deltas.pt")
    expected = {}
    for layer in (0, 1):
        attention, inside = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp.experts"
        expected[f"{attention}.qkv_proj"] = [
            deltas[f"{attention}.{t}.weight"] for t in ("q_proj", "k_proj", "v_proj")
        ]
        expected[f"{attention}.o_proj"] = [deltas[f"{attention}.o_proj.weight"]]
        gate, up = deltas[f"{inside}.gate_up_proj"].chunk(2, dim=1)
        # vLLM's w1, w2, w3: [experts, out, in]
        expected[inside] = [gate, deltas[f"{inside}.down_proj"], up]
    assert set(found) == set(expected)
    for name, parts in expected.items():
        assert len(parts) == len(found[name])
        for mine, theirs in zip(parts, found[name], strict=True):
            torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-6)
    # PEFT's own layout it refuses: hence write_per_expert
    assert (
        "contains fused 3D MoE weights for 'model.layers.0.mlp.experts'"
        in done.stdout.split("REFUSAL ")[1]
    )


@needs_vllm
def test_the_engine_is_given_adapters_by_expert(trained, monkeypatch):
    p, adapter, _ = trained
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    engine = VllmEngine(p, {4: adapter}, "multi", 100)
    served = engine._settings["adapters"][4]
    assert (
        not experts.are_adapted(paths.resolve(served))
        and engine._settings["engine"]["max_lora_rank"] == 8
    )
    engine.__exit__()
    assert not paths.resolve(served).exists()
