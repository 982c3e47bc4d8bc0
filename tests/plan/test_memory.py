"""Memory by parts, and whether activations are recomputed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import tiny

from distill_nb import params
from distill_nb.plan import architectures, estimate, memory, plan
from distill_nb.runtime.devices import GIB
from distill_nb.students import sources
from distill_nb.training import step


def run(file, **changes):
    return params.validate(params.read_files(file) | changes)


def parts(p, layers=0):
    """What a GPU would hold of a run with full examples, or of its first layers; the step."""
    config, _ = architectures.config_of(p)
    config = architectures.with_layers(config, layers) if layers else config
    lengths = [p.max_length] * p.micro_batch_size
    made = memory.Step(config, p, lengths, sum(lengths), True)
    fixed = memory.fixed(p, architectures.count(config, p), True, config.num_hidden_layers)
    return fixed, made


@pytest.mark.parametrize(("layers", "allocated"), [(2, 5.93), (3, 7.28)])
def test_unsloths_layers_take_what_its_code_allocated(layers, allocated):
    """GiB, of Llama-3.1-8B without recomputation, as torch counted it beside stand-ins for CUDA's
    libraries: notes, which no command here makes again. `gpu_check.py` measures it on a GPU."""
    fixed, made = parts(run("run07.yaml", micro_batch_size=2), layers)
    peak = sum(fixed.values()) - fixed["CUDA"] + sum(made.adds(False).values())
    assert allocated < peak / GIB < 1.1 * allocated


@pytest.mark.parametrize(("backend", "low", "high"), [("unsloth", 66.6, 68.5), ("hf", 71, 72)])
def test_of_a_mixture_unsloth_moves_inputs_of_layers_to_the_host(backend, low, high):
    """66.6 GiB is extrapolated from what Unsloth's code allocated in two and three layers."""
    fixed, made = parts(run("run01.yaml", backend=backend))
    peak = sum(fixed.values()) - fixed["CUDA"] + sum(made.adds(True).values())
    assert low < peak / GIB < high
    moved = 2 * 5 * 4096 * 2048 * 47  # bfloat16, of all layers but one
    assert made.moved() == (moved if backend == "unsloth" else 0)


def test_unsloth_keeps_the_last_layers_input_and_two_buffers():
    _, ours = parts(run("run01.yaml", backend="hf"))
    _, theirs = parts(run("run01.yaml", backend="unsloth"))
    kept = ours.adds(True)["activations"] - theirs.adds(True)["activations"]
    assert kept == 2 * 5 * 4096 * 2048 * 45
    assert ours.adds(False) == theirs.adds(False)  # nothing is moved then


def test_several_processes_hold_gradients_twice(runs_dir, tmp_path):
    p = tiny(micro_batch_size=1)
    config, _ = architectures.config_of(p)
    counts = architectures.count(config, p)
    one, two = (memory.fixed(replace(p, train_processes=n), counts, True, 2) for n in (1, 2))
    assert "buckets" not in one and two["buckets"] == counts["bytes_of_adapters"]
    assert two["CUDA"] - one["CUDA"] == memory.NCCL
    # why: Trainer leaves this as it is in torch, and each bucket is then a copy
    from distill_nb.students import student

    trainer = step.make_trainer(student.attach_lora(student.load(p), p), p, [], tmp_path, [])
    assert trainer.accelerator.ddp_handler.gradient_as_bucket_view is False


@pytest.mark.parametrize(
    ("file", "device", "recompute"),
    [
        ("run07.yaml", "h100-80gb", False),
        ("run07.yaml", "a100-40gb", True),
        ("run01.yaml", "h100-80gb", True),
        ("run01.yaml", "h200-141gb", True),  # at its micro_batch_size
    ],
)
def test_auto_recomputes_where_activations_have_no_room(file, device, recompute):
    p = run(file)
    made = plan.estimate(p, device)
    assert made.recompute is recompute and made.fits
    ways = {way: plan.estimate(replace(p, recompute=way), device) for way in ("on", "off")}
    assert [ways[way].recompute for way in ("on", "off")] == [True, False]
    assert ways["off"].peak > ways["on"].peak and ways["off"].hours < ways["on"].hours
    room = memory.RESERVE * ways["off"].memory["activations"]
    assert (ways["off"].peak + room > ways["off"].available) is recompute


def test_the_plan_names_a_micro_batch_that_needs_no_recomputation():
    p = run("run07.yaml", micro_batch_size=10)
    made = plan.estimate(p, "h100-80gb")
    assert made.recompute
    said = "with micro_batch_size 2 all activations fit: recompute: off saves 31% of the operations"
    assert said in made.notes
    # with the padded-free step of Transformers, only one example fits
    hf = plan.estimate(replace(p, backend="hf"), "h100-80gb")
    assert hf.recompute and any("with micro_batch_size 1 all" in note for note in hf.notes)


def test_a_divided_student_has_its_share_and_what_is_gathered():
    p = run("run07.yaml", backend="hf", micro_batch_size=1, train_processes=2)
    config, _ = architectures.config_of(p)
    counts = architectures.count(config, p)
    whole, part = (
        memory.fixed(replace(p, sharding=value), counts, True, 32) for value in ("none", "full")
    )
    head = 2 * 128256 * 4096
    layer = (whole["weights"] - 2 * head) / 32
    assert part["weights"] == pytest.approx(whole["weights"] / 2 + 2 * layer + head, rel=1e-6)
    assert part["optimiser"] * 2 == whole["optimiser"] and "buckets" not in part
    # 25 micro-batches a step in each process: their gradients are summed whole
    assert part["gradients"] == 1.5 * whole["gradients"]
    once = replace(p, sharding="full", batch_size=2)
    assert memory.fixed(once, counts, True, 32)["gradients"] * 2 == whole["gradients"]


def test_a_student_that_is_too_large_for_one_gpu_is_told_to_be_divided(runs_dir):
    p = run("run01.yaml", backend="auto", micro_batch_size=1, train_processes=5)
    made = estimate.estimate(p, "a100-40gb")
    with pytest.raises(ValueError, match=r"^sharding: .*set micro_batch_size to 1 and sharding to"):
        plan.refuse(p, made)
    divided = estimate.estimate(replace(p, sharding="full"), "a100-40gb")
    assert divided.fits and divided.backend == "hf" and made.peak > 2 * divided.peak


def test_a_folder_with_a_config_alone_can_be_planned(tmp_path):
    source = Path(sources.source(tiny(student="meta-llama/Llama-3.1-8B-Instruct")))
    shutil.copy(source / "config.json", tmp_path)
    p = tiny(student=str(tmp_path), student_size="full", chat_template="llama3")
    config, where = architectures.config_of(p)
    assert config.num_hidden_layers == 2 and where == "its config.json"
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"^student: .*config\.json"):
        architectures.config_of(p)
