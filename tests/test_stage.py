"""One stage: the call of Papermill, refusals, and the stand-in teacher."""
import json
import urllib.request

import pytest

from distill_nb import made_of, paths, stage, stand_in, study, traces_pocket
from distill_nb.study import Stage


def test_the_call_is_papermills_with_the_runs_parameter_files(runs_dir):
    words = stage.command(Stage("pocket", "llama8b_math_4k", "train"), runs_dir / "out.ipynb", overwrite=True)
    assert words[1:5] == ["-m", "papermill", str(paths.ROOT / "notebooks" / "train.ipynb"), str(runs_dir / "out.ipynb")]
    files = [words[i + 1].rpartition("/")[2] for i, word in enumerate(words) if word == "-f"]
    assert files == ["run07.yaml", "pocket.yaml"] and words[-2:] == ["-y", '{"overwrite": true}']
    words = stage.command(Stage("tiny", "llama8b_math_4k", "train"), runs_dir / "out.ipynb")
    assert '{"dataset": "r1_math"}' in words and "overwrite" not in " ".join(words)


def test_a_stage_that_changed_since_it_was_planned_is_refused(runs_dir):
    with pytest.raises(ValueError, match=r"llama8b_math_4k/train: what it is made of has changed since it was planned"):
        stage.run(Stage("tiny", "llama8b_math_4k", "train"), planned="0" * 16)
    assert not runs_dir.exists()


def test_the_fixtures_are_a_stage(runs_dir):
    fixtures = Stage("tiny", "fixtures", "fixtures")
    assert stage.main(["run", "tiny", "fixtures/fixtures", "--made", made_of.hash_of(fixtures)]) == 0
    assert made_of.has_results(fixtures) and len(list(fixtures.dir().glob("*.part.jsonl"))) == 5
    for bad in (["run", "tiny"], ["run", "tiny", "train"]):
        with pytest.raises(SystemExit):
            stage.main(bad)
    with pytest.raises(SystemExit, match="no file in papermill_params/ has the run_name nothing"):
        stage.main(["run", "tiny", "nothing/train"])


def test_more_gpus_than_there_are_are_refused_before_anything_starts(runs_dir, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SystemExit, match="1 are wanted and 0 are here"):
        stage.main(["run", "tiny", "llama8b_math_4k/train", "--gpus", "1"])
    assert not list(runs_dir.rglob("*.ipynb"))


def test_the_stand_in_answers_its_own_problems_in_the_other_teachers_words():
    for domain, mark in (("math", r"\boxed{"), ("code", "```python")):
        for row in traces_pocket.pocket_traces("r1", domain, 27, 0)[:3]:
            answer = stand_in.answer(f"Please: {row['problem']}", 27)
            assert mark in answer and "<think>" not in answer and (not row["answer"] or f"{{{row['answer']}}}" in answer)
    assert stand_in.answer("What is the capital of France?", 27) == ""


def test_the_stand_in_speaks_messages_and_nothing_else():
    row = traces_pocket.pocket_traces("r1", "math", 27, 0)[0]
    with stand_in.serving(27) as url:
        def post(path):
            body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": row["problem"]}]}
            return urllib.request.urlopen(urllib.request.Request(url + path, json.dumps(body).encode()), timeout=30)

        made = json.loads(post("/v1/messages").read())
        assert made["content"][0]["text"] == stand_in.answer(row["problem"], 27) and made["stop_reason"] == "end_turn"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            post("/v1/messages/batches")


def test_only_tiny_sets_of_the_api_teacher_ask_the_stand_in():
    assert study.asks_the_stand_in(Stage("tiny", "traces/sonnet_math", "traces"))
    for other in (Stage("full", "traces/sonnet_math", "traces"), Stage("tiny", "traces/r1_math", "traces"),
                  Stage("tiny", "sonnet_math_llama_4k", "train")):
        assert not study.asks_the_stand_in(other)
