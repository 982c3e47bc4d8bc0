"""An adapter of another model is refused where that is certain, else said."""

import json
import re
import shutil

import pytest
from helpers import tiny

from distill_nb.students import base_model, sources

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
QWEN = "Qwen/Qwen3-30B-A3B-Base"
POCKET = "smollm2-135m-instruct"


def compare(student, base, folder, **settings):
    p = tiny(student=student, chat_template="llama3")
    return base_model.compare(p, folder, {"base_model_name_or_path": base} | settings)


@pytest.mark.parametrize(
    ("student", "base"),
    [
        (LLAMA, LLAMA),
        (LLAMA, "meta-llama/Llama-3.1-8B-Instruct/"),
        (LLAMA, "meta-llama/llama-3.1-8b-instruct"),
        (LLAMA, "meta-llama/Meta-Llama-3.1-8B-Instruct"),
        (LLAMA, "unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit"),
        (LLAMA, "unsloth/llama-3.1-8b-instruct-unsloth-bnb-4bit"),
        (LLAMA, "someone/Llama-3.1-8B-Instruct-GGUF"),
        (LLAMA, "someone/Llama-3.1-8B-Instruct-GPTQ-Int4"),
        (LLAMA, "unsloth/Llama-3.1-8B-Instruct-unsloth"),
        (f"{LLAMA}-FP8", LLAMA),
        (LLAMA, f"{LLAMA}@main"),
        (LLAMA, "/gone/models/Llama-3.1-8B-Instruct"),
        ("models/Llama-3.1-8B-Instruct", LLAMA),
        (POCKET, "HuggingFaceTB/SmolLM2-135M-Instruct"),
        (POCKET, POCKET),
        (POCKET, "unsloth/SmolLM2-135M-Instruct"),
    ],
)
def test_names_of_the_same_model(student, base, tmp_path):
    assert compare(student, base, tmp_path) == ""


@pytest.mark.parametrize(
    ("student", "base"),
    [
        (QWEN, "Qwen/Qwen3-30B-A3B-Instruct-2507"),
        (LLAMA, "meta-llama/Llama-3.1-8B"),
        (LLAMA, "unsloth/Llama-3.1-8B-bnb-4bit"),
        (LLAMA, "someone/Llama-3.1-8B-Math"),
        (POCKET, "HuggingFaceTB/SmolLM2-135M"),
    ],
)
def test_another_model_of_the_hub_is_refused_whoever_owns_it(student, base, tmp_path):
    with pytest.raises(
        ValueError,
        match=rf"^adapter: .*adapter_config.json names {base} as its base model, and student is "
        rf"{student}, which differ in more than the owner and a quantisation's suffix; set student "
        rf"to {base}, or correct base_model_name_or_path there if it is the same model under "
        "another name",
    ):
        compare(student, base, tmp_path)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (None, "names no base model; see that it was trained on"),
        ("", "names no base model"),
        (
            "/gone/models/checkpoint-500",
            f"names /gone/models/checkpoint-500 as its base model; see that {LLAMA} is",
        ),
        (f"{LLAMA}@0e9e39f", f"names revision 0e9e39f of {LLAMA}; see"),
    ],
)
def test_what_cannot_be_told_is_said(base, said, tmp_path):
    note = compare(LLAMA, base, tmp_path)
    assert re.search(said, note), note


def test_a_revision_in_a_key_of_its_own_is_said_too(tmp_path):
    assert "names revision v2 of" in compare(LLAMA, LLAMA, tmp_path, revision="v2")
    assert compare(LLAMA, LLAMA, tmp_path, revision="main") == ""


def test_a_folder_is_compared_by_its_config(tmp_path):
    own = sources.source(tiny())
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(own, same)
    p = tiny(student=str(same), student_size="full", chat_template="llama3")
    shutil.copytree(own, other)

    def compare(base):
        return base_model.compare(p, tmp_path, {"base_model_name_or_path": str(base)})

    assert compare(same) == "" and f"names {other} as its base" in compare(other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"intermediate_size": 256}))
    with pytest.raises(
        ValueError,
        match=r"names .*other as its base model, whose config.json has another intermediate_size",
    ):
        compare(other)
    (other / "config.json").write_text("{bad")
    assert f"names {other} as its base" in compare(other)
