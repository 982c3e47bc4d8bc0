"""What a student's own files say on generation is written down, and said where it is not used."""

import json
import shutil

import pytest
from helpers import tiny

from distill_nb.evaluation import evaluate
from distill_nb.students import chat, generation, sources, student


@pytest.fixture
def planted(tmp_path, runs_dir):
    """A function: the parameters of the tiny student with another generation_config.json (text, or
    what it holds), and more keys in its config.json."""

    def made(file=None, config=None, **changes):
        folder = tmp_path / "student"
        shutil.copytree(sources.source(tiny()), folder, dirs_exist_ok=True)
        (folder / generation.FILE).unlink()
        if file is not None:
            text = file if isinstance(file, str) else json.dumps(file)
            (folder / generation.FILE).write_text(text)
        held = json.loads((folder / "config.json").read_text()) | (config or {})
        (folder / "config.json").write_text(json.dumps(held))
        return tiny(student=str(folder), student_size="full", chat_template="llama3", **changes)

    return made


def test_what_would_have_steered_is_named(planted):
    stops = chat.stop_ids(student.load_tokenizer(tiny()), chat.TEMPLATES["llama3"])
    usual = {  # bookkeeping, defaults, and the template's own stop tokens
        "_from_model_config": True,
        "transformers_version": "4.1",
        "bos_token_id": 1,
        "pad_token_id": 2,
        "eos_token_id": stops,
        "do_sample": False,
        "repetition_penalty": 1.0,
        "max_length": 20,
        "suppress_tokens": None,
    }
    assert generation.record(planted()) == {"file": None, "config": {}, "not_used": []}
    assert generation.record(planted(usual)) == {"file": usual, "config": {}, "not_used": []}
    steering = {"do_sample": True, "temperature": 0.6, "eos_token_id": [*stops, 7], "mine": 1}
    found = generation.record(planted(usual | steering))
    assert found["file"] == usual | steering
    assert found["not_used"] == ["do_sample", "eos_token_id", "mine", "temperature"]
    of_config = {"num_beams": 4, "temperature": 1.0, "eos_token_id": 7}
    found = generation.record(planted(None, of_config | {"text_config": {"top_k": 3}}))
    assert found["config"] == {"num_beams": 4, "eos_token_id": 7, "top_k": 3}
    assert found["not_used"] == ["eos_token_id", "num_beams", "top_k"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read (JSONDecodeError)"),
        ("[1]", "holds no JSON object"),
        ("[" * 10**5, "cannot be read (RecursionError)"),
        ('{"temperature": NaN, "x": 1e999}', {"temperature": "NaN", "x": "1e999"}),
        ('{"x": "\\ud800"}', {"x": "\ud800"}),
    ],
)
def test_a_damaged_file_is_in_the_provenance_of_an_evaluation(text, said, planted, caplog):
    caplog.set_level("INFO", "distill_nb")
    p = planted(text, teacher="none", domain="none", max_steps=0, benchmarks=["pocket_math"])
    record = evaluate.evaluate(p)
    assert record["finished"] and record["student_generation_config"]["file"] == said
    if isinstance(said, str):
        assert f"The student's generation_config.json is not used, and it {said}." in caplog.text


def test_an_evaluation_says_what_was_not_used(planted, caplog):
    caplog.set_level("INFO", "distill_nb")
    how = dict(teacher="none", domain="none", max_steps=0, benchmarks=["pocket_math"])
    p = planted({"repetition_penalty": 1.3, "min_p": 0.1}, **how)
    expected = {
        "file": {"repetition_penalty": 1.3, "min_p": 0.1},
        "config": {},
        "not_used": ["min_p", "repetition_penalty"],
    }
    assert evaluate.evaluate(p)["student_generation_config"] == expected
    assert (
        "Of the student's own generation settings min_p, repetition_penalty are not used: answers "
        "are made by this run's parameters alone."
    ) in caplog.messages
    again = evaluate.evaluate(tiny(**vars(p) | {"regrade": True}))
    assert again["student_generation_config"] == expected


def test_a_merged_student_has_no_file_where_the_student_has_none(planted, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / generation.FILE).write_text("{}")
    generation.copy(planted(), tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_vllm_gets_an_empty_file_always_at_the_same_place(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_NB_CACHE", str(tmp_path))
    folder = generation.nothing()
    assert folder == generation.nothing()
    assert json.loads((folder / generation.FILE).read_text()) == {}
