"""Benchmarks that the published study did not have: AIME 2025, GPQA Diamond, IFEval, from local
files of the hub's shape."""

import csv
import json

import pytest

from distill_nb.benchmarks import gpqa_diamond, loading
from distill_nb.params import BENCHMARKS, STUDY
from distill_nb.traces.decontamination import evaluation_sets

NEW = ("aime25", "gpqa_diamond", "ifeval")
AIME = [{"id": str(i), "problem": f"What is {i} + 30?", "answer": str(i + 30)} for i in range(30)]
OPTIONS = ["4 m", "5 m", "6 m", "7 m"]


def gpqa_rows(n):
    keys = gpqa_diamond.OPTIONS
    return [
        {"Record ID": f"rec{i:03d}", "Question": f"How long is rod {i}?\nIn metres."}
        | dict(zip(keys, OPTIONS, strict=True))
        for i in range(n)
    ]


def write(path, rows):
    if path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_they_are_known_and_not_of_the_study():
    assert set(NEW) <= set(BENCHMARKS) and not set(NEW) & set(STUDY)
    assert STUDY == ("math500", "aime", "mbpp_plus", "humaneval_plus", "livecodebench")


def test_aime_2025_has_thirty_problems_with_integers(tmp_path):
    tasks = loading.load("aime25", write(tmp_path / "test.jsonl", AIME))
    assert len(tasks) == 30 and (tasks[4].task_id, tasks[4].gold) == ("2025-4", "34")
    assert tasks[4].prompt.startswith("What is 4 + 30?\n\nPut the final answer in")
    about = loading.describe("aime25", str(tmp_path / "test.jsonl"))
    assert about["whole"] and not about["as_published"] and about["prompt_version"] == "math-1"
    zeros = [AIME[0] | {"answer": "007"}]
    (part,) = loading.load("aime25", write(tmp_path / "aime25.part.jsonl", zeros))
    assert (part.task_id, part.gold) == ("part/2025-0", "7")
    for wrong in ({"answer": "7.5"}, {"id": "x"}, {"problem": " "}):
        with pytest.raises(ValueError, match="line 1 is no AIME problem with a number as id"):
            loading.load("aime25", write(tmp_path / "bad.part.jsonl", [AIME[0] | wrong]))
    with pytest.raises(ValueError, match="29 rows are not the 30 problems of aime25"):
        loading.load("aime25", write(tmp_path / "test.jsonl", AIME[1:]))


@pytest.mark.parametrize("name", ["gpqa.part.csv", "gpqa.part.jsonl"])
def test_gpqa_shuffles_its_options_by_the_task_id(name, tmp_path):
    file = write(tmp_path / name, gpqa_rows(60))
    tasks = loading.load("gpqa_diamond", file)
    assert tasks == loading.load("gpqa_diamond", file)
    assert {task.gold for task in tasks} == set("ABCD")
    fewer = loading.load("gpqa_diamond", write(tmp_path / f"x.{name}", gpqa_rows(60)[30:]))
    assert fewer == tasks[30:]  # the order of one does not hang on the others
    for task in tasks:
        assert task.kind == "choice" and task.task_id.startswith("part/rec")
        shown = dict(line.split(") ") for line in task.prompt.splitlines()[-4:])
        assert sorted(shown.values()) == OPTIONS and shown[task.gold] == "4 m"
    assert r"as in 'Answer: A' or \boxed{A}." in tasks[0].prompt
    assert gpqa_diamond.question(tasks[7]) == "How long is rod 7?\nIn metres."
    statements = evaluation_sets.problems("gpqa_diamond", file)
    assert statements[7] == ("gpqa_diamond", "part/rec007", "How long is rod 7?\nIn metres.")


def test_of_equal_options_either_letter_is_right(tmp_path):
    rows = gpqa_rows(1)
    rows[0]["Incorrect Answer 2"] = "4 m"
    (task,) = loading.load("gpqa_diamond", write(tmp_path / "gpqa.part.csv", rows))
    shown = dict(line.split(") ") for line in task.prompt.splitlines()[-4:])
    assert len(task.gold) == 2 and {shown[letter] for letter in task.gold} == {"4 m"}


def test_a_row_of_gpqa_without_an_option_is_named(tmp_path):
    rows = gpqa_rows(3)
    rows[1]["Incorrect Answer 3"] = " "
    with pytest.raises(ValueError, match=r"row 2 has no text 'Incorrect Answer 3'; use the file"):
        loading.load("gpqa_diamond", write(tmp_path / "gpqa.part.csv", rows))


def test_a_gated_data_set_is_one_sentence(monkeypatch):
    from huggingface_hub import errors

    from distill_nb.runtime import hub

    def refuse(*_, **__):
        raise errors.GatedRepoError("gated", response=_Response())

    monkeypatch.setattr(hub, "reach", refuse)
    words = (
        r"benchmarks: gpqa_diamond: .*is gated: ask for access on its page and log in with "
        r"`hf auth login`.*set benchmark_files to \{gpqa_diamond: a local copy of gpqa_diamond.csv"
    )
    with pytest.raises(ValueError, match=words):
        loading.load("gpqa_diamond")


class _Response:
    """What an error of huggingface_hub carries."""

    status_code, headers, request = 403, {}, None


IFEVAL = {
    "key": 1000, "prompt": "Write without commas. Name a cat.",
    "instruction_id_list": ["punctuation:no_comma", "keywords:existence"],
    "kwargs": [{}, {"keywords": ["cat"], "relation": None}],
}  # fmt: skip


def test_ifeval_keeps_the_instructions_of_each_prompt(tmp_path):
    (task,) = loading.load("ifeval", write(tmp_path / "ifeval.part.jsonl", [IFEVAL]))
    assert (task.task_id, task.kind, task.prompt) == (
        "part/1000", "instructions", IFEVAL["prompt"],
    )  # fmt: skip
    assert json.loads(task.tests) == [IFEVAL["instruction_id_list"], [{}, {"keywords": ["cat"]}]]
    for wrong in ({"kwargs": [{}]}, {"instruction_id_list": []}, {"instruction_id_list": "x"}):
        with pytest.raises(ValueError, match="line 1 has no key, or not one of kwargs for each"):
            loading.load("ifeval", write(tmp_path / "bad.part.jsonl", [IFEVAL | wrong]))
