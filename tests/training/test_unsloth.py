"""The real Unsloth on the CPU against Transformers + PEFT. There it uses Transformers' layers with
a loss and defaults of its own, so what is compared is everything around its CUDA kernels; the
kernels are compared by bench/gpu_check.py. `make setup-ci` installs its release 2026.10.9, and the
GPU extra 2026.10.7 (see Makefile)."""

import importlib.util
import json
import subprocess
import sys
import textwrap

import pytest
from helpers import tiny
from safetensors.torch import load_file

from distill_nb.runtime import paths

STUDENTS = {"dense": "meta-llama/Llama-3.1-8B-Instruct", "moe": "Qwen/Qwen3-30B-A3B-Base"}
# Adam's first steps move each weight by about the learning rate, whatever the size of its gradient,
# so that rounding of a gradient near zero shows: a share of how far weights moved, instead of an
# absolute tolerance.
LOSS, MOVED = 1e-4, 0.02

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("unsloth") is None,
    reason="Unsloth is not installed: make setup-ci installs it",
)
TRAIN = """
    import json, sys
    sys.path.insert(0, {tests!r})
    from helpers import tiny
    from distill_nb.runtime import paths
    from distill_nb.students import student
    from distill_nb.training import step as train_step, train
    backend, students = sys.argv[1], json.loads(sys.argv[2])
    for kind, name in students.items():
        p = tiny(student=name, backend=backend, run_name=f"{{kind}}_{{backend}}")
        student.choose_backend(p)
        collate, rows = train_step.collate, []
        def noted(examples):
            rows.append([e["input_ids"].tolist() for e in examples])
            return collate(examples)
        train_step.collate = noted
        attach = student.attach_lora
        def attached(*args):
            model = attach(*args)
            start = {{}}
            for n, w in model.named_parameters():
                if w.requires_grad:
                    of_all = [w.double().sum().item(), w.double().norm().item()]
                    start[n] = [list(w.shape), str(w.dtype), *of_all]
            (paths.run_dir(p) / "start.json").write_text(json.dumps(start))
            return model
        student.attach_lora = attached
        train.train(p)
        train_step.collate, student.attach_lora = collate, attach
        (paths.run_dir(p) / "batches.json").write_text(json.dumps(rows))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folders of the runs: (kind, backend) → run folder. A process for each backend: Unsloth
    patches Transformers for good."""
    with pytest.MonkeyPatch.context() as m:
        m.setenv("DISTILL_NB_RUNS", str(tmp_path_factory.mktemp("unsloth")))
        m.setenv("UNSLOTH_COMPILE_LOCATION", str(tmp_path_factory.mktemp("compiled")))
        script = textwrap.dedent(TRAIN).format(tests=str(paths.ROOT / "tests"))
        for backend in ("hf", "unsloth"):
            done = subprocess.run(
                [sys.executable, "-c", script, backend, json.dumps(STUDENTS)],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        return {
            (kind, backend): paths.run_dir(tiny(run_name=f"{kind}_{backend}"))
            for kind in STUDENTS
            for backend in ("hf", "unsloth")
        }


def both(trained, kind, file):
    return [
        json.loads((trained[kind, backend] / file).read_text()) for backend in ("hf", "unsloth")
    ]


@pytest.mark.parametrize("kind", STUDENTS)
def test_unsloth_starts_from_the_same_adapter(trained, kind):
    hf, unsloth = both(trained, kind, "start.json")
    assert hf.keys() == unsloth.keys() and any(".lora_A." in name for name in hf)
    if kind == "moe":
        # the router is frozen
        assert any("experts" in name for name in hf) and not any(".gate." in name for name in hf)
    for name, (shape, dtype, total, norm) in hf.items():
        assert unsloth[name][:2] == [shape, dtype], name
        assert unsloth[name][2:] == pytest.approx([total, norm], rel=1e-6), name


@pytest.mark.parametrize("kind", STUDENTS)
def test_unsloth_sees_the_same_batches_in_the_same_order(trained, kind):
    hf, unsloth = both(trained, kind, "batches.json")
    # 4 steps of 2 micro-batches, and the held-out ones twice
    assert len(hf) == 2 * 4 + 2 and hf == unsloth


@pytest.mark.parametrize("kind", STUDENTS)
def test_unsloth_has_the_same_losses_and_ends_with_the_same_adapter(trained, kind):
    hf, unsloth = (
        [
            json.loads(line)
            for line in (trained[kind, backend] / "metrics.jsonl").read_text().splitlines()
        ]
        for backend in ("hf", "unsloth")
    )
    assert [line["step"] for line in unsloth] == [1, 2, 3, 4]
    for ours, theirs in zip(hf, unsloth, strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], abs=LOSS)
        assert theirs["heldout_loss"] == pytest.approx(ours["heldout_loss"], abs=LOSS)
        assert (
            theirs["tokens"] == ours["tokens"] and theirs["learning_rate"] == ours["learning_rate"]
        )
    assert hf[-1]["loss"] < hf[0]["loss"] - 0.01
    start, reference, found = (
        load_file(trained[kind, backend] / "checkpoints" / step / "adapter_model.safetensors")
        for backend, step in (("hf", "step_00002"), ("hf", "step_00004"), ("unsloth", "step_00004"))
    )
    assert found.keys() == reference.keys()
    for name, weight in found.items():
        moved = (reference[name] - start[name]).abs().max()
        assert moved > 1e-5 and (weight - reference[name]).abs().max() < MOVED * moved, name
    assert (
        json.loads((trained[kind, "unsloth"] / "provenance_train.json").read_text())["backend"]
        == "unsloth"
    )


PACKED = """
    import json, sys
    sys.path.insert(0, {tests!r})
    from helpers import tiny
    from distill_nb.students import student
    from distill_nb.training import step as train_step
    student.choose_backend(tiny(backend="unsloth"))
    import unsloth.models  # on a GPU it imports them itself
    import torch
    from training.test_step import adapted, examples, padded
    model, rows = adapted({student!r}), examples()
    found = [model(**padded(rows)).loss.item()]
    on_gpu, torch.cuda.is_available = torch.cuda.is_available, lambda: True
    train_step.patch(model, "unsloth")
    torch.cuda.is_available = on_gpu
    found.append(model(**train_step.collate(rows)).loss.item())
    from unsloth.utils import hf_packed_attention as packed
    stats = dict(packed.HF_PACKED_ATTENTION_STATS)
    knows = hasattr(packed, "BLOCK_VARLEN_KWARG")
    print("FOUND", json.dumps([found, stats["fast"], stats["fallback"], knows]))
"""


def test_a_mixtures_packed_rows_reach_unsloths_attention_for_them(tmp_path, monkeypatch):
    """Which has no kernel for a CPU, and takes Transformers' with a mask there. bench/gpu_check.py
    counts it on a GPU."""
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UNSLOTH_COMPILE_LOCATION", raising=False)
    script = textwrap.dedent(PACKED).format(
        tests=str(paths.ROOT / "tests"), student=STUDENTS["moe"]
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("FOUND ")), None)
    assert line, done.stdout + done.stderr
    (before, packed), fast, fallback, knows = json.loads(line.removeprefix("FOUND "))
    # its two layers
    assert packed == pytest.approx(before, abs=1e-5) and (fast, fallback) == (0, 2)
    assert knows  # its compiled layers take packed rows
    assert [f.name for f in tmp_path.iterdir()] == ["cache"] and (
        tmp_path / "cache" / "unsloth_compiled"
    ).is_dir()
