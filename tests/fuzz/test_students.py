"""One field of a sound student's or adapter's folder is changed: it does what it did, or what the
changed field is there for, or is refused in one sentence that names the file."""

import json
import shutil
from dataclasses import replace

import fuzz_cases
import pytest
import torch
from helpers import tiny
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from distill_nb.students import check_adapter, check_student, experts, sources, student

IDS = torch.arange(5, 25)[None]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
STUDENTS = {
    "llama": ("meta-llama/Llama-3.1-8B-Instruct", "llama3"),
    "qwen3": ("Qwen/Qwen3-30B-A3B-Base", "qwen3"),
}
# keys of an adapter's config that are there to change what it does
SCALES = {"lora_alpha", "use_rslora", "alpha_pattern", "rank_pattern"}


class Sound(tuple):
    """What `sound` gives, shown in one word where a case fails."""

    def __repr__(self):
        return "sound"


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def sound(request, tmp_path_factory):
    """(parameters, folder of a tiny student, folder of its adapter, their logits)."""
    folder = tmp_path_factory.mktemp(request.param)
    name, template = STUDENTS[request.param]
    shutil.copytree(sources.source(tiny(student=name)), folder / "student")
    p = tiny(student=str(folder / "student"), student_size="full", chat_template=template)
    adapted = student.attach_lora(student.load(p), p)
    torch.manual_seed(0)
    for weight_name, weight in adapted.named_parameters():
        if "lora_B" in weight_name:
            torch.nn.init.normal_(weight, std=0.1)
    adapted.save_pretrained(folder / "adapter")
    return Sound((p, folder, logits(p), logits(p, folder / "adapter")))


def logits(p, adapter=None):
    with torch.no_grad():
        return student.load_for_generation(p, adapter, where="cpu")(IDS).logits


def unmerged(p, adapter):
    """What PEFT makes of an adapter, without merging it."""
    from peft import PeftModel

    with torch.no_grad(), experts.without_false_alarm():
        model = PeftModel.from_pretrained(student.load(student.unquantised(p)), str(adapter))
        return model.eval()(IDS).logits


@st.composite
def changed_json(draw, mapping, more=()):
    """A copy of a mapping with one key set, renamed or removed; and the key."""
    changed = json.loads(json.dumps(mapping))
    key = draw(st.sampled_from(sorted({*mapping, *more})))
    change = draw(st.sampled_from(["set", "set", "near", "remove"]))
    if change == "set" or key not in changed:
        changed[key] = draw(fuzz_cases.values)
    elif change == "near":
        changed[key] = draw(st.sampled_from(near(changed[key])))
    else:
        del changed[key]
    return changed, key


def near(value):
    """Values of the same kind as a value."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value - 1, value * 2, -value, 0, str(value)]
    if isinstance(value, str):
        return [value + "x", value[:-1], value.upper(), ""]
    if isinstance(value, list):
        return [value[:-1], value[1:], value * 2, [*value, "x"], []]
    if isinstance(value, dict):
        return [{}, value | {"x": 1}]
    return [1, "x", True, []]


def damaged(draw, data):
    """Bytes of a file that was damaged."""
    kind = draw(st.sampled_from(["cut", "empty", "pointer", "longer", "flip", "text"]))
    at = draw(st.integers(0, min(len(data) - 1, 4000)))
    return {
        "cut": data[: draw(st.integers(0, len(data) - 1))],
        "empty": b"",
        "pointer": POINTER,
        "longer": data + b"\0",
        "flip": data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :],
        "text": b"{}",
    }[kind]


def copy_of(folder, name):
    """A copy of a folder beside it, in place of the one before."""
    target = folder / f"changed_{name}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder / name, target)
    return target


@fuzz_cases.search(12)
@given(data=st.data())
def test_an_adapters_config(sound, data):
    p, folder, _, before = sound
    adapter = copy_of(folder, "adapter")
    file = adapter / check_adapter.CONFIG
    more = ("loftq_config", "trainable_token_indices", "layer_replication", "x", "corda_config")
    changed, key = data.draw(changed_json(json.loads(file.read_text()), more))
    file.write_text(json.dumps(changed))
    _, refused = fuzz_cases.outcome(lambda: check_adapter.check(p, adapter), "changed_adapter")
    if refused:
        return
    found = logits(p, adapter)
    torch.testing.assert_close(found, unmerged(p, adapter), atol=2e-4, rtol=1e-4)
    if key not in SCALES:
        torch.testing.assert_close(found, before, atol=2e-4, rtol=1e-4)


@fuzz_cases.search(12)
@given(data=st.data())
def test_an_adapters_weights(sound, data):
    p, folder, _, before = sound
    adapter = copy_of(folder, "adapter")
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    name = data.draw(st.sampled_from(sorted(weights)))
    weight = weights.pop(name)
    changes = ["drop", "rename", "shape", "nan", "inf", "copy", "dtype", "bytes"]
    change = data.draw(st.sampled_from(changes))
    if change == "rename":
        at = data.draw(st.integers(0, len(name) - 1))
        weights[name[:at] + data.draw(st.sampled_from(["", "x", "."])) + name[at + 1 :]] = weight
    elif change == "shape":
        others = [weight.T.contiguous(), weight[:-1], weight[..., None], weight[0]]
        weights[name] = data.draw(st.sampled_from(others))
    elif change in ("nan", "inf"):
        weight.view(-1)[data.draw(st.integers(0, weight.numel() - 1))] = float(change)
        weights[name] = weight
    elif change == "copy":
        weights |= {name: weight, name + ".copy": weight.clone()}
    elif change == "dtype":
        dtypes = [torch.float64, torch.bfloat16, torch.int8]
        weights[name] = weight.to(data.draw(st.sampled_from(dtypes)))
    if change == "bytes":
        file.write_bytes(damaged(data.draw, file.read_bytes()))
    else:
        save_file(weights, file)
    _, refused = fuzz_cases.outcome(lambda: check_adapter.check(p, adapter), "changed_adapter")
    if not refused:
        exact = change not in ("dtype", "bytes")  # a number may have been rounded, or a bit flipped
        found = logits(p, adapter)
        torch.testing.assert_close(found, unmerged(p, adapter), atol=2e-4, rtol=1e-4)
        if exact:
            torch.testing.assert_close(found, before, atol=2e-4, rtol=1e-4)
        assert found.isfinite().all()


@fuzz_cases.search(12)
@given(data=st.data())
def test_a_students_config(sound, data):
    p, folder, before, _ = sound
    changed_p = replace(p, student=str(copy_of(folder, "student")))
    file = folder / "changed_student" / "config.json"
    more = ("quantization_config", "rope_scaling", "auto_map", "num_experts", "text_config", "x")
    changed, key = data.draw(changed_json(json.loads(file.read_text()), more))
    file.write_text(json.dumps(changed))
    _, refused = fuzz_cases.outcome(lambda: check_student.check(changed_p), "changed_student")
    if refused:
        return
    found = logits(changed_p)
    # a config may ask for what is no number, as rms_norm_eps: -1 does
    assert torch.allclose(found, logits(changed_p), 0, 0, equal_nan=True), f"{key}: loads differ"
    assert found.shape == before.shape


@fuzz_cases.search(12)
@given(data=st.data())
def test_a_students_files(sound, data):
    p, folder, before, _ = sound
    changed_p = replace(p, student=str(copy_of(folder, "student")))
    every = sorted((folder / "changed_student").iterdir())
    # what that one says is never used
    file = data.draw(st.sampled_from([f for f in every if f.name != "generation_config.json"]))
    whole = file.read_bytes()
    change = data.draw(st.sampled_from(["gone", "damaged", "folder", "tensor"]))
    if change == "gone":
        file.unlink()
    elif change == "folder":
        file.unlink()
        file.mkdir()
    elif change == "damaged" or file.suffix != ".safetensors":
        file.write_bytes(damaged(data.draw, whole))
    else:
        weights = load_file(file)
        name = data.draw(st.sampled_from(sorted(weights)))
        weight = weights.pop(name)
        others = [{}, {name + "x": weight}, {name: weight[..., :-1].clone()}]
        save_file(weights | data.draw(st.sampled_from(others)), file, metadata={"format": "pt"})
    _, refused = fuzz_cases.outcome(lambda: check_student.check(changed_p), "changed_student")
    if refused:
        return
    student.load_tokenizer(changed_p)
    found = logits(changed_p)
    assert torch.equal(found, logits(changed_p)), f"{file.name}: two loads differ"
    if file.suffix != ".safetensors" and file.name != "config.json":
        assert torch.equal(found, before), file.name
