"""What an evaluation finds on disk: what is said and recorded of its adapters."""

import json
import shutil

from helpers import tiny

from distill_nb.evaluation import evaluate
from distill_nb.runtime import paths
from distill_nb.students import check_adapter
from distill_nb.training import train


def test_what_cannot_be_told_of_an_adapters_base_is_said_and_recorded(tmp_path, runs_dir, caplog):
    caplog.set_level("INFO", "distill_nb")
    few = dict(max_steps=2, benchmarks=["pocket_math"], benchmark_limit=1, max_new_tokens=4)
    train.train(tiny(**few))
    away = tmp_path / "away"
    shutil.copytree(paths.checkpoint_dir(tiny(**few), 2), away)
    config = json.loads((away / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny2-llama-llama3"
    assert evaluate.evaluate(tiny(**few, engine="hf"))["adapter_base"] == {}
    config |= {"base_model_name_or_path": "/gone/a-llama", "unsloth_version": "2025.3.1"}
    (away / "adapter_config.json").write_text(json.dumps(config))
    p = tiny(**few, engine="hf", run_name="elsewhere", adapter=str(away))
    said = (
        f"{away}/adapter_config.json has unsloth_version, which PEFT does not know and ignores. "
        f"{away}/adapter_config.json names /gone/a-llama as its base model; see that "
        "meta-llama/Llama-3.1-8B-Instruct is the same."
    )
    assert evaluate.evaluate(p)["adapter_base"] == {"2": said} and said in caplog.messages


def test_only_adapters_with_answers_to_come_are_looked_at(tmp_path, runs_dir, monkeypatch):
    few = dict(max_steps=2, benchmarks=["pocket_math"], benchmark_limit=1, max_new_tokens=4)
    train.train(tiny(**few))
    away = tmp_path / "away"
    shutil.copytree(paths.checkpoint_dir(tiny(**few), 2), away)
    config = json.loads((away / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/gone/a-llama"
    (away / "adapter_config.json").write_text(json.dumps(config))
    looked, check = [], check_adapter.check
    monkeypatch.setattr(
        check_adapter, "check", lambda p, folder: looked.append(folder) or check(p, folder)
    )
    for p in (tiny(**few), tiny(**few, run_name="elsewhere", adapter=str(away))):
        first = evaluate.evaluate(p)
        assert first["finished"] and looked
        looked.clear()
        assert evaluate.evaluate(p) == first and not looked
        file = paths.records_file(p, 2, "pocket_math")
        file.write_text("")
        again = evaluate.evaluate(p)
        assert again["adapter_base"] == first["adapter_base"] and looked
        looked.clear()
