"""A student's own generation settings change no answer, in either engine."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import needs_vllm, tiny

from distill_nb.evaluation.engines import hf, start
from distill_nb.evaluation.engines.types import Request
from distill_nb.students import chat, generation, merge, sources, student

PROMPTS = [[1, 2, 3], [4, 5], [6, 7, 8, 9, 10], [11], [12, 13], [14, 15, 16]]
# what Transformers would follow in generation_config.json
STEERING = [
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 1},
    {"num_beams": 3},
    {"num_beams": 2, "num_return_sequences": 2},
    {"suppress_tokens": list(range(40, 200))},
    {"begin_suppress_tokens": list(range(200))},
    {"bad_words_ids": [[n] for n in range(40, 200)]},
    {"sequence_bias": [[[70], 100.0]]},
    {"forced_eos_token_id": 70},
    {"exponential_decay_length_penalty": [2, 50.0]},
    {"min_new_tokens": 12, "eos_token_id": 70},
    {"eos_token_id": list(range(260))},
    {"pad_token_id": 70, "bos_token_id": 71},
    {"max_new_tokens": 3},
    {"max_length": 4},
    {"max_time": 1e-9},
    {"stop_strings": ["a", "e", "i"]},
    {"do_sample": True, "temperature": 5.0, "top_k": 3, "top_p": 0.5},
    {"min_p": 0.9},
    {"typical_p": 0.2},
    {"epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "do_sample": True},
    {"top_h": 0.2, "do_sample": True},
    {"guidance_scale": 3.0},
    {"penalty_alpha": 0.6, "top_k": 4},
    {"dola_layers": "low"},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    {"force_words_ids": [[70]], "num_beams": 2},
    {"prompt_lookup_num_tokens": 3},
    {"assistant_early_exit": 1},
    {"watermarking_config": {"greenlist_ratio": 0.1, "bias": 50.0}},
    {"token_healing": True},
    {"renormalize_logits": True, "remove_invalid_values": True},
    {"cache_implementation": "static", "compile_config": {"fullgraph": True}},
    {"cache_implementation": "no such cache"},
    {"use_cache": False},
    {"use_mtp": True},
    {"return_dict_in_generate": True, "output_scores": True, "output_logits": True},
    {"prefill_chunk_size": 1},
    {"a key of nobody": {"x": 1}, "to_dict": 5},
    {"num_beams": -3, "max_new_tokens": -1},  # Transformers refuses these
]


@pytest.fixture
def planted(tmp_path, runs_dir):
    """A function: the parameters of the tiny student with a generation_config.json, and more keys
    in its config.json."""

    def made(text=None, config=None, **changes):
        source, folder = Path(sources.source(tiny())), tmp_path / "student"
        folder.mkdir(exist_ok=True)
        for file in source.iterdir():
            if file.is_file() and not (folder / file.name).exists():
                os.link(file, folder / file.name)
        for name in (generation.FILE, "config.json"):
            (folder / name).unlink(missing_ok=True)
        held = json.loads((source / "config.json").read_text()) | (config or {})
        (folder / "config.json").write_text(json.dumps(held))
        if text is not None:
            (folder / generation.FILE).write_text(text)
        how = dict(student_size="full", chat_template="llama3", max_new_tokens=12) | changes
        return tiny(student=str(folder), **how)

    return made


def answers(p):
    """What the hf engine says: greedy, and sampled."""
    found = []
    for temperature in (0.0, 1.0):
        engine = hf.HfEngine(replace(p, temperature=temperature, eval_batch_size=4), {})
        next(engine.serve([]))
        requests = [Request(i, 0, ids, i) for i, ids in enumerate(PROMPTS)]
        made = {a.number: a for batch in engine.answers(requests) for a in batch}
        found.append({n: (a.tokens, a.finish_reason, a.error) for n, a in made.items()})
    assert len(found[0]) == len(PROMPTS) and found[0] != found[1]
    return found


def test_no_setting_of_a_students_file_changes_an_answer(planted):
    expected = answers(planted())
    for settings in STEERING:
        assert answers(planted(json.dumps(settings))) == expected, settings


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"temperature": NaN}', "\ufeff{}"])
def test_a_damaged_file_changes_no_answer(text, planted):
    assert answers(planted(text)) == answers(planted())


@pytest.mark.parametrize("with_file", [True, False])
def test_no_such_key_of_a_config_changes_an_answer(with_file, planted):
    text, expected = "{}" if with_file else None, answers(planted())
    for settings in (
        {"repetition_penalty": 1.3, "num_beams": 2},
        {"suppress_tokens": list(range(40, 200)), "max_length": 4},
        {"eos_token_id": 70, "do_sample": True},
        {"return_dict": False, "output_hidden_states": True},
    ):
        assert answers(planted(text, settings)) == expected, settings


def test_a_merged_student_has_the_file_of_the_student(planted, tmp_path):
    from peft import LoraConfig, get_peft_model

    p = planted('{"num_beams": 2, "damaged": ')
    for name, more in (("streamed", {}), ("by PEFT", {"use_dora": True})):
        adapted = get_peft_model(student.load(p), LoraConfig(target_modules=["q_proj"], **more))
        adapted.save_pretrained(tmp_path / f"adapter {name}")
        merge.write_merged(p, tmp_path / f"adapter {name}", tmp_path / name)
        assert (tmp_path / name / generation.FILE).read_text() == '{"num_beams": 2, "damaged": '


@needs_vllm
def test_vllm_says_what_hf_says_whatever_the_students_files_hold(planted):
    requests = [Request(i, 0, ids, i) for i, ids in enumerate(PROMPTS)]
    without = answers(planted())[0]
    stops = chat.stop_ids(student.load_tokenizer(tiny()), chat.TEMPLATES["llama3"])
    early = next(t for t in without[0][0] if t not in stops)
    settings = {"repetition_penalty": 1.3, "eos_token_id": early, "max_new_tokens": 2}
    p = planted(json.dumps(settings | {"early_stopping": "at once"}), {"num_beams": 2})
    with start.start(replace(p, engine="vllm"), {}, PROMPTS) as engine:
        next(engine.serve([]))
        found = {a.number: a for batch in engine.answers(requests) for a in batch}
    assert {n: (a.tokens, a.finish_reason, a.error) for n, a in found.items()} == without
    assert answers(p)[0] == without
