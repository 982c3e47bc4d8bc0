"""What an adapter's config has beside what is applied: noted where it changes nothing."""

import json
import re
import shutil
import warnings

import pytest
import torch
from helpers import tiny

from distill_nb.students import check_adapter, merge, student

KINDS = {"dense": tiny(), "experts": tiny(student="Qwen/Qwen3-30B-A3B-Base")}
CONFIG = "adapter_config.json"
NOTED = {  # what changes nothing: keys of the config → what is noted
    "no new key": (dict(later=None, peft_version="99.0"), ""),
    "unsloth": (dict(unsloth_version="2025.3.1"), "has unsloth_version, which PEFT does not know"),
    "keys": (dict(new_group_size=32, unsloth_fixed=True), r"has new_group_size \(and 1 more\), wh"),
    "no version": (dict(scale_by=2.0, peft_version="x"), "has scale_by, which PEFT does not"),
    "runtime": (dict(runtime_config={"ephemeral_gpu_offload": False}), "has runtime_config, which"),
    "exclude": (dict(exclude_modules=["vision_tower"]), ""),
    "exclude by pattern": (dict(exclude_modules=".*vision.*"), ""),
    "target": (dict(target_modules=["c_attn"]), "names c_attn in target_modules, which is of no l"),
    "both": (
        dict(target_modules=["c_attn"], rank_pattern={"c_attn": 2}),
        "names c_attn in target_modules and c_attn in rank_pattern, which is of no layer here",
    ),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """kind → (folder of an adapter, the weights of the student with it merged)."""
    made = {}
    for kind, p in KINDS.items():
        folder = tmp_path_factory.mktemp(kind) / "adapter"
        adapted = student.attach_lora(student.load(p), p)
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
        adapted.save_pretrained(folder)
        config = json.loads((folder / CONFIG).read_text())
        config["base_model_name_or_path"] = p.student
        (folder / CONFIG).write_text(json.dumps(config))
        made[kind] = folder, student.load_for_generation(p, folder).state_dict()
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NOTED)
def test_what_changes_nothing_is_noted(name, kind, written, tmp_path, caplog):
    caplog.set_level("INFO", "distill_nb")
    p, (folder, before) = KINDS[kind], written[kind]
    folder = shutil.copytree(folder, tmp_path / "adapter")
    values, words = NOTED[name]
    config = json.loads((folder / CONFIG).read_text())
    for key, value in values.items():
        if key == "target_modules":
            config[key] = [*config[key], *value]
        else:
            config[key] = config.get(key, {}) | value if key == "rank_pattern" else value
    (folder / CONFIG).write_text(json.dumps(config))
    note = check_adapter.check(p, folder)
    assert re.search(words, note) if words else note == ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after = student.load_for_generation(p, folder).state_dict()
        merge.write_merged(p, folder, tmp_path / "merged")
    assert all(weight.equal(after[key]) for key, weight in before.items())
    assert "merged by PEFT" not in caplog.text
