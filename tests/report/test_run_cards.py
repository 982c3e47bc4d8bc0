"""The cards of runs: what they say of time, speed, memory and data."""

import numpy as np
import pandas as pd
import pytest
from simulated_runs import POCKET, given_of, write_run

from bench.simulated_records import Student, Study
from distill_nb.analysis import results
from distill_nb.report import run_cards, run_folder
from distill_nb.report.run_folder import State
from distill_nb.runtime import files, jsonl

MATH = given_of("run09.yaml", "pocket.yaml", run_name="a_run")


def card_of(folder):
    records = results.load_records(folder.parent, texts=False)
    speeds = run_cards.answering_speeds(records)
    run, table = run_folder.read(folder), results.accuracy_of(records)
    return run_cards.card(run, State("done"), table, speeds)


@pytest.fixture
def folder(tmp_path):
    study = Study(np.random.default_rng(0), POCKET, Student(0.4))
    return write_run(tmp_path, MATH, study, Student(0.9))


def test_the_facts_of_a_run(folder):
    card = card_of(folder)
    assert card["name"] == "a_run"
    assert dict(card["facts"]) == {
        "traces": "Generator (pocket, 180)",
        "student": "smollm2-135m-instruct",
        "trained on": "math",
        "learning rate": "1e-3",
        "steps": "30",
        "seed": "0",
        "training took": "1.9 minutes",
        "evaluation took": "61 seconds",
        "training speed": "180 tokens/s",
        "answering, base student": "100 tokens/s",
        "answering, checkpoints": "80 tokens/s",
    }


def test_its_curves(folder):
    loss, accuracy = card_of(folder)["curves"]
    assert loss["label"] == "loss 0.87 → 0.05"
    assert "a_run: 0.87 nats a token at step 1, 0.05 at step 30." in loss["svg"]
    table = results.accuracy_table(folder.parent)
    own = table[table["benchmark"] == "pocket_math"].sort_values("step")["accuracy"]
    ends = f"{own.iloc[0]:.0f} → {own.iloc[-1]:.0f}%"
    assert accuracy["label"] == f"math {ends}" and accuracy["svg"].count("<circle") == 4


def test_the_speed_is_that_of_all_steps_and_memory_the_most_of_them(folder):
    lines = [
        {
            "step": 1,
            "loss": 2.0,
            "tokens": 100,
            "tokens_per_second": 50.0,
            "memory_peak_bytes": 2**30,
        },
        {
            "step": 2,
            "loss": 1.0,
            "tokens": 400,
            "tokens_per_second": 150.0,
            "memory_peak_bytes": 3 * 2**29,
        },
    ]
    jsonl.write(folder / "metrics.jsonl", lines)
    facts = dict(card_of(folder)["facts"])
    assert facts["training speed"] == "100 tokens/s"  # 400 tokens in 2 + 2 seconds
    assert facts["peak memory"] == "1.5 GiB"


@pytest.mark.parametrize(
    "sessions, said",
    [
        ([], "60 seconds"),
        ([{"seconds": 60.0}], "2 minutes"),
        ([{"seconds": None}], "60 seconds and interrupted sessions"),
    ],
)
def test_the_time_of_all_sessions(sessions, said):
    assert run_cards.took({"seconds": 60.0, "sessions": sessions}) == said


def test_a_run_under_way_has_no_time_and_no_accuracy(tmp_path):
    study = Study(np.random.default_rng(0), POCKET)
    made = card_of(write_run(tmp_path, MATH, study, trained_to=12))
    assert {what for what, _ in made["facts"]} == {
        "traces", "student", "trained on", "learning rate", "steps", "seed", "training speed",
    }  # fmt: skip
    assert [curve["label"] for curve in made["curves"]] == ["loss 0.87 → 0.14"]


def test_a_run_of_which_little_is_on_record(folder):
    files.write_json(folder / "provenance_train.json", {"parameters": {}})
    (folder / "metrics.jsonl").unlink()
    (folder / "provenance_eval.json").unlink()
    card = card_of(folder)
    assert {what for what, _ in card["facts"]} == {
        "answering, base student", "answering, checkpoints",
    }  # fmt: skip
    assert len(card["curves"]) == 1


def test_answers_without_seconds_have_no_speed():
    assert run_cards.answering_speeds(pd.DataFrame({"folder": ["a"], "step": [0]})).empty
    assert run_cards.answering_speeds(pd.DataFrame()).empty
