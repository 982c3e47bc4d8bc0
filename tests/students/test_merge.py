"""A merged student, written tensor by tensor, is the one that PEFT makes in memory; what is not
handled goes through PEFT, and what finds no place is refused."""

import json
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import namedtuple

import pytest
import torch
from helpers import random_adapter, tiny
from safetensors.torch import load_file, save_file

from distill_nb.runtime import disk, paths
from distill_nb.students import merge, sources, student, weights

QWEN = "Qwen/Qwen3-30B-A3B-Base"
KINDS = {"dense": ({}, "llama3"), "experts": ({"student": QWEN}, "qwen3")}
ATTENTION = ["q_proj", "o_proj"]
TENSORS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


@pytest.fixture
def student_in(tmp_path, runs_dir):
    """A function: the parameters of a tiny student that is saved to a folder of its own."""

    def made(kind, dtype="float32", in_file="float32", tied=False, name="student", **how):
        changes, template = KINDS[kind]
        model = student.load(tiny(**changes)).to(getattr(torch, in_file))
        if tied:
            model.config.tie_word_embeddings = True
            model.tie_weights()
        folder = tmp_path / name
        model.save_pretrained(folder, **how)
        student.load_tokenizer(tiny(**changes)).save_pretrained(folder)
        return tiny(student=str(folder), student_size="full", chat_template=template, dtype=dtype)

    return made


def adapter_of(p, folder, dtype="float32", **how):
    """A random adapter of PEFT's on attention, in a dtype."""
    file = random_adapter(p, folder, **dict(target_modules=ATTENTION) | how) / merge.LORA
    save_file({k: w.to(getattr(torch, dtype)) for k, w in load_file(file).items()}, file)
    return folder


def of_experts(**how):
    """LoraConfig's arguments for an adapter on experts too, with a rank for each tensor."""
    return {
        "target_parameters": TENSORS,
        "rank_pattern": {TENSORS[0]: 6, TENSORS[1]: 3},
        "alpha_pattern": {TENSORS[0]: 24, TENSORS[1]: 5},
    } | how


def both(p, adapter, tmp_path):
    """(what is written, what PEFT makes in memory), as Transformers' tensors."""
    merge.write_merged(p, adapter, tmp_path / "merged")
    written = tiny(
        student=str(tmp_path / "merged"),
        student_size="full",
        chat_template=p.chat_template,
        dtype=p.dtype,
    )
    expected = student.load_for_generation(p, adapter, where="cpu").state_dict()
    return student.load(written, where="cpu").state_dict(), expected


def differing(found, expected):
    assert found.keys() == expected.keys()
    return {name for name in found if not found[name].equal(expected[name])}


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("in_file", ["float32", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_dense_student_gets_the_bits_of_peft(
    dtype, in_file, sharded, student_in, tmp_path, caplog
):
    caplog.set_level("INFO", "distill_nb")
    how = {"max_shard_size": "60KB"} if sharded else {}
    p = student_in("dense", dtype, in_file, **how)
    # a second adapter dtype, and ranks and scales of their own for some layers
    patterns = {"rank_pattern": {"q_proj": 4}, "alpha_pattern": {"layers.1.self_attn.o_proj": 3}}
    adapter = adapter_of(p, tmp_path / "adapter", in_file, **patterns)
    found, expected = both(p, adapter, tmp_path)
    assert differing(found, expected) == set()
    base = student.load(p, where="cpu").state_dict()
    changed = {f"model.layers.{n}.self_attn.{t}.weight" for n in (0, 1) for t in ATTENTION}
    assert differing(found, base) == changed
    files = sorted(f.name for f in (tmp_path / "merged").glob("*.safetensors"))
    assert files == sorted(f.name for f in (tmp_path / "student").glob("*.safetensors"))
    assert (len(files) > 3) == sharded
    stored = {e.name: e for f in files for e in weights.entries(tmp_path / "merged" / f)}
    assert {e.dtype for e in stored.values()} == {"F32" if dtype == "float32" else "BF16"}
    size = sum(e.size for e in stored.values())
    assert size == sum(w.numel() * w.element_size() for w in found.values())
    if sharded:
        index = json.loads((tmp_path / "merged" / sources.INDEX).read_text())
        theirs = json.loads((tmp_path / "student" / sources.INDEX).read_text())
        assert index["weight_map"] == theirs["weight_map"]
        assert index["metadata"]["total_size"] == size
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    theirs = json.loads((tmp_path / "student" / "config.json").read_text())
    assert config == theirs | {"dtype": dtype}
    assert f"adapter is merged: {size / 2**30:.2f} GiB written in " in caplog.text
    assert "by PEFT" not in caplog.text


@pytest.mark.parametrize("layout", ["each", "fused"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_experts_are_merged_in_both_layouts_of_files(dtype, layout, student_in, tmp_path, caplog):
    caplog.set_level("INFO", "distill_nb")
    how = {"save_original_format": layout == "each", "max_shard_size": "60KB"}
    p = student_in("experts", dtype, **how)
    adapter = adapter_of(p, tmp_path / "adapter", **of_experts())
    found, expected = both(p, adapter, tmp_path)
    other = differing(found, expected)
    experts = {f"model.layers.{n}.{tensor}" for n in (0, 1) for tensor in TENSORS}
    base = student.load(p, where="cpu").state_dict()
    if dtype == "float32":
        assert other == set()
    else:  # PEFT rounds what it adds to experts, then the sum
        assert other <= experts
        for name in other:
            mine, theirs = found[name].float(), expected[name].float()
            added = (theirs - base[name].float()).abs()
            # half a unit in the last place of each that is rounded: of ours the sum
            allowed = (mine.abs() + theirs.abs() + 1.01 * added) * 2**-8
            assert ((mine - theirs).abs() <= allowed).all()
    assert differing(found, base) == experts | {
        f"model.layers.{n}.self_attn.{t}.weight" for n in (0, 1) for t in ATTENTION
    }
    for name in experts:  # every expert's
        moved = (found[name] - base[name]).abs().amax((1, 2))
        assert len(moved) == 4 and (moved > 1e-3).all()
    names = {
        e.name for f in (tmp_path / "merged").glob("*.safetensors") for e in weights.entries(f)
    }
    assert ("model.layers.0.mlp.experts.2.gate_proj.weight" in names) == (layout == "each")
    assert ("model.layers.0.mlp.experts.gate_up_proj" in names) == (layout == "fused")
    assert "by PEFT" not in caplog.text


@pytest.mark.parametrize("tensor", TENSORS)
def test_experts_of_which_one_tensor_is_adapted(tensor, student_in, tmp_path):
    p = student_in("experts")
    adapter = adapter_of(p, tmp_path / "adapter", target_parameters=[tensor], use_rslora=True)
    found, expected = both(p, adapter, tmp_path)
    assert differing(found, expected) == set()
    base = student.load(p).state_dict()
    assert f"model.layers.1.{tensor}" in differing(found, base)


def test_tied_embeddings_stay_tied(student_in, tmp_path, caplog):
    caplog.set_level("INFO", "distill_nb")
    p = student_in("dense", tied=True)
    found, expected = both(p, adapter_of(p, tmp_path / "adapter"), tmp_path)
    assert differing(found, expected) == set() and "by PEFT" not in caplog.text
    (file,) = (tmp_path / "merged").glob("*.safetensors")
    assert "lm_head.weight" not in {e.name for e in weights.entries(file)}
    assert found["lm_head.weight"].equal(found["model.embed_tokens.weight"])


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"use_dora": True}, "its use_dora is True"),
        ({"bias": "lora_only"}, "its bias is lora_only"),
        ({"modules_to_save": ["lm_head"]}, r"its modules_to_save is \['lm_head'\]"),
        (
            {"target_modules": ["q_proj", "embed_tokens"]},
            "it is on model.embed_tokens, .* Embedding",
        ),
        ({"trainable_token_indices": [1, 5]}, r"its trainable_token_indices is \[1, 5\]"),
    ],
)
def test_what_is_not_handled_goes_through_peft(how, why, student_in, tmp_path, caplog):
    caplog.set_level("INFO", "distill_nb")
    p = student_in("dense")
    found, expected = both(p, adapter_of(p, tmp_path / "adapter", **how), tmp_path)
    assert differing(found, expected) == set()
    assert differing(found, student.load(p).state_dict())
    (said,) = [m for m in caplog.messages if "merged by PEFT" in m]
    assert re.search(why, said), said


def test_no_tensor_of_an_adapter_is_left_out(student_in, tmp_path):
    p = student_in("dense")
    adapter = adapter_of(p, tmp_path / "adapter")
    held = load_file(adapter / merge.LORA)
    key = next(iter(held))
    other = {key.replace("layers.0", "layers.7"): held[key].clone()}
    save_file(held | other, adapter / merge.LORA)
    with pytest.raises(
        ValueError, match=r"adapter does not fit .*layers\.7\..* is of no layer; nam"
    ):
        merge.write_merged(p, adapter, tmp_path / "merged")
    save_file({k: w for k, w in held.items() if k != key}, adapter / merge.LORA)
    with pytest.raises(ValueError, match=r"layers\.0\..* is not in the adapter"):
        merge.write_merged(p, adapter, tmp_path / "merged")
    assert not [f for f in tmp_path.iterdir() if "merged" in f.name]


def test_a_folder_that_holds_something_is_not_written_to(student_in, tmp_path):
    p = student_in("dense")
    with pytest.raises(ValueError, match="student: it is not empty; name a new folder"):
        merge.write_merged(p, tmp_path / "adapter", tmp_path / "student")


def test_a_disk_without_room_is_found_before_anything_is_written(student_in, tmp_path, monkeypatch):
    p = student_in("dense")
    adapters = [adapter_of(p, tmp_path / "lora"), adapter_of(p, tmp_path / "dora", use_dora=True)]
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**30, 2**30, 2**10))
    monkeypatch.setattr(weights, "write", lambda *_: pytest.fail("it was written to"))
    for adapter in adapters:
        with pytest.raises(
            disk.DiskFull,
            match=r"merged\.partial: the student with the adapter merged takes 0\.00 GiB, and the "
            r"disk has 0\.00 GiB free: make room, or name .*DISTILL_NB_CACHE\), and start again",
        ):
            merge.write_merged(p, adapter, tmp_path / "merged")
    assert not [f for f in tmp_path.iterdir() if "merged" in f.name]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from distill_nb import params
    from distill_nb.students import merge, weights
    write, files = weights.write, []

    def one_and_a_half(file, found, parts):
        files.append(file)
        if len(files) == 2:
            file.write_bytes(bytes(100))
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, found, parts)

    weights.write = one_and_a_half
    p = params.validate(eval(sys.argv[1]))
    merge.write_merged(p, Path(sys.argv[2]), Path(sys.argv[3]))
"""


def test_a_killed_merge_leaves_nothing_that_is_taken_for_a_student(student_in, tmp_path):
    from dataclasses import asdict

    p = student_in("dense", max_shard_size="60KB")
    adapter, folder = adapter_of(p, tmp_path / "adapter"), tmp_path / "merged"
    words = [sys.executable, "-c", textwrap.dedent(KILLED), repr(asdict(p)), adapter, folder]
    done = subprocess.run(words, env=paths.child_environment(), capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not folder.exists() and len(list(tmp_path.glob("merged.partial/*.safetensors"))) == 2
    found, expected = both(p, adapter, tmp_path)
    assert differing(found, expected) == set()
    assert not (tmp_path / "merged.partial").exists()


def test_a_file_that_lacks_a_part_is_an_error(tmp_path):
    found = [weights.Entry("a", "F32", (2, 3)), weights.Entry("b", "BF16", (5,))]
    parts = [torch.arange(6.0).reshape(2, 3), torch.arange(5).bfloat16()]
    weights.write(tmp_path / "whole", found, [parts[0][0], parts[0][1], parts[1]])
    read = load_file(tmp_path / "whole")
    assert read["a"].equal(parts[0]) and read["b"].equal(parts[1])
    assert weights.entries(tmp_path / "whole") == found
    with pytest.raises(RuntimeError, match=r"bytes are written, not 34"):
        weights.write(tmp_path / "torn", found, parts[:1])
