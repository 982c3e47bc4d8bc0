"""Kernel configurations of a near GPU: which is lent, by which name, and that vLLM reads it."""

import json
import subprocess
import sys

import pytest
import torch
from helpers import needs_vllm, tiny

from distill_nb.evaluation.engines import start, tuned, types
from distill_nb.runtime import paths

H100 = "NVIDIA H100 80GB HBM3"
TILES = '{"1": {"BLOCK_SIZE_M": 16}}'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of this test alone."""
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path / "cache"))


def gpu(monkeypatch, name):
    """As on a machine with one GPU of this name."""
    monkeypatch.delenv(tuned.FOLDER, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)


@pytest.fixture
def student(tmp_path):
    """A folder with the width of Qwen3-30B-A3B's experts in its config."""
    config = dict(model_type="qwen3_moe", num_experts=128, moe_intermediate_size=768)
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    changes = dict(student_size="full", chat_template="qwen3", dtype="bfloat16", engine="vllm")
    return tiny(student=str(folder), **changes)


@pytest.fixture
def vllm_files(tmp_path, monkeypatch):
    """A folder like vLLM's, with a file for the H200 alone."""
    (tmp_path / "E=128,N=768,device_name=NVIDIA_H200.json").write_text(TILES)
    monkeypatch.setattr(tuned, "vllm_files", lambda: tmp_path)
    monkeypatch.setattr(types, "vllm_version", lambda: "1.2")
    return tmp_path


def test_an_h100_gets_the_file_of_an_h200_under_its_own_name(
    student, vllm_files, monkeypatch, caplog
):
    caplog.set_level("INFO", "distill_nb")
    gpu(monkeypatch, H100)
    folder = paths.cache() / "vllm_tuned" / "1.2"
    assert tuned.environment(student, "merged") == {"VLLM_TUNED_CONFIG_FOLDER": str(folder)}
    assert {f.name: f.read_text() for f in folder.iterdir()} == {
        "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json": TILES
    }
    assert caplog.messages == [
        "vLLM has no tuned configuration for these experts on NVIDIA_H100_80GB_HBM3: it gets "
        "NVIDIA_H200's."
    ]
    assert tuned.record(student, "merged") == {
        "moe_config": "NVIDIA_H200's of vLLM 1.2, under the name of NVIDIA_H100_80GB_HBM3"
    }


def test_vllm_is_left_alone_where_the_file_would_not_fit_or_is_not_missing(
    student, vllm_files, monkeypatch
):
    gpu(monkeypatch, "NVIDIA A100-SXM4-80GB")
    assert tuned.lent(student, "merged") is None
    gpu(monkeypatch, H100)
    halved = tiny(**vars(student) | dict(tensor_parallel=2))
    assert tuned.lent(halved, "merged") is None  # each GPU has 384 of the width, which has no file
    half = vllm_files / "E=128,N=384,device_name=NVIDIA_H200.json"
    half.write_text(TILES)
    assert tuned.lent(halved, "merged") == ("NVIDIA_H100_80GB_HBM3", "NVIDIA_H200", half)
    assert tuned.lent(student, "multi") is None
    assert tuned.lent(tiny(dtype="bfloat16"), "merged") is None  # no experts
    assert tuned.lent(tiny(**vars(student) | dict(dtype="float32")), "merged") is None
    with monkeypatch.context() as here:
        here.setenv(tuned.FOLDER, "/my/own")
        assert tuned.lent(student, "merged") is None and tuned.environment(student, "merged") == {}
    with monkeypatch.context() as here:
        here.setattr(torch.cuda, "is_available", lambda: False)
        assert tuned.lent(student, "merged") is None and tuned.record(student, "merged") == {}
    own = vllm_files / "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json"
    assert tuned.lent(student, "merged") is not None
    own.write_text(TILES)
    assert tuned.lent(student, "merged") is None


@needs_vllm
def test_the_engines_processes_get_the_folder(vllm_files, monkeypatch):
    gpu(monkeypatch, H100)
    p = tiny(student="Qwen/Qwen3-30B-A3B-Base", dtype="bfloat16", engine="vllm", adapters="merged")
    without = start.start(p, {}, [[1, 2]])._environments()
    (vllm_files / "E=4,N=32,device_name=NVIDIA_H200.json").write_text(TILES)
    (environment,) = start.start(p, {}, [[1, 2]])._environments()
    assert tuned.FOLDER not in without[0]
    assert environment[tuned.FOLDER] == str(paths.cache() / "vllm_tuned" / "1.2")


READS = """
import gc, json, sys
gc.disable()  # of thousands of modules none is garbage
from vllm.model_executor.layers.fused_moe import fused_moe
fused_moe.get_device_name_as_file_name = lambda: "NVIDIA_H100_80GB_HBM3"
json.dump(fused_moe.get_moe_configs(128, 768, None), open(sys.argv[1], "w"))
"""


@needs_vllm
def test_vllm_has_no_file_for_this_student_on_an_h100_and_reads_what_it_gets(
    student, tmp_path, monkeypatch
):
    gpu(monkeypatch, H100)
    device, near, file = tuned.lent(student, "merged")
    assert (device, near) == ("NVIDIA_H100_80GB_HBM3", "NVIDIA_H200")
    # half the width has a file of its own
    assert tuned.lent(tiny(**vars(student) | dict(tensor_parallel=2)), "merged") is None
    environment = paths.child_environment() | tuned.environment(student, "merged")
    command = [sys.executable, "-c", READS, str(tmp_path / "read")]
    subprocess.run(command, check=True, env=environment)
    read = json.loads((tmp_path / "read").read_text())
    assert read == json.loads(file.read_text()) and len(read) > 10
