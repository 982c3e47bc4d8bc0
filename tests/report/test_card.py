"""Model cards: what the hub reads of them, and that every number is the run's own."""

import pytest
import yaml
from helpers import best, tiny

from distill_nb import params
from distill_nb.analysis import results
from distill_nb.evaluation import evaluate
from distill_nb.report import card
from distill_nb.runtime import paths
from distill_nb.training import train


@pytest.fixture
def evaluated(runs_dir):
    best()
    p = tiny()
    train.train(p)
    evaluate.evaluate(p)
    return p


def test_each_checkpoint_gets_a_card_that_the_hub_can_read(evaluated):
    from huggingface_hub import ModelCard

    files = card.write_cards(evaluated)
    assert [f.relative_to(paths.run_dir(evaluated)).as_posix() for f in files] == [
        "checkpoints/step_00002/README.md",
        "checkpoints/step_00004/README.md",
    ]
    text = files[1].read_text()
    read = ModelCard(text)
    metadata = read.data.to_dict()
    assert "base_model" not in metadata and metadata["library_name"] == "peft"
    assert "A LoRA adapter for a tiny random model of Llama's architecture, with two layers" in text
    assert "synthetic math problems and answers, which distill_nb generated without any" in text
    assert "Sonnet" not in text
    table = results.accuracy_table(paths.run_dir(evaluated).parent).set_index(["step", "benchmark"])
    assert {r.dataset_name: r.metric_value for r in read.data.eval_results} == {
        name: round(table.loc[(4, name), "accuracy"], 2) for name in evaluated.benchmarks
    }
    assert (
        "**Not the study's model.**" in text
        and "| learning_rate | 0.001 |" in text
        and "None" not in text
    )
    for name in evaluated.benchmarks:
        r = table.loc[(4, name)]
        assert f"{r.accuracy:.1f} [{r.lo:.1f}, {r.hi:.1f}] | {r.n} |" in text
    assert "nothing to choose, as all 3 problems of pocket_math are in one half" in text
    assert str(paths.runs()) not in text  # no path of this machine
    assert [f.read_text() for f in card.write_cards(evaluated)][1] == text


def test_a_full_run_names_its_teacher_and_its_data(evaluated):
    import json

    folder = paths.run_dir(evaluated)
    trained, made = (
        json.loads((folder / f"provenance_{kind}.json").read_text()) for kind in ("train", "eval")
    )
    trained["parameters"] |= {
        "scale": "full",
        "student_size": "full",
        "dataset": "r1_math",
        "teacher": "r1",
    }
    table = results.accuracy_table(folder.parent)
    table.loc[table["step"] == 4, "flagged"] = True
    text = card.card(table, 4, trained | {"git": None}, made, "By both rules it is step 4.")
    metadata = yaml.safe_load(text.split("---")[1])
    assert metadata["base_model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert metadata["datasets"] == ["open-r1/OpenR1-Math-220k"] and "math" in metadata["tags"]
    assert (
        "DeepSeek-R1's reasoning traces (math)" in text
        and "Not the study's" not in text
        and "* [" in text
    )
    assert "makes them too good. By both rules it is step 4." in text


def test_a_pocket_run_names_its_student_and_no_teacher(evaluated):
    import json

    folder = paths.run_dir(evaluated)
    trained, made = (
        json.loads((folder / f"provenance_{kind}.json").read_text()) for kind in ("train", "eval")
    )
    trained["parameters"] = dict(params.pocket_values())
    text = card.card(results.accuracy_table(folder.parent), 4, trained, made, "")
    name = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert yaml.safe_load(text.split("---")[1])["base_model"] == name
    assert f"A LoRA adapter for `{name}`" in text and "# pocket_math, step 4" in text
    assert not [word for word in ("Sonnet", "R1", "Llama", "4k") if word in text]


def test_a_baseline_gets_none(runs_dir):
    p = tiny(
        run_name="baseline",
        teacher="none",
        domain="none",
        dataset="none",
        n_examples=0,
        max_steps=0,
    )
    assert card.write_cards(p) == []
