"""Any two checkpoints beside each other: what is compared, what is said, and the page."""

import numpy as np
import pytest
from answer_records import inspected
from click.testing import CliRunner

from distill_nb.__main__ import main
from distill_nb.analysis import pairing
from distill_nb.report import answers_page
from distill_nb.runtime import files, jsonl

N = 200


def write(runs, run, step, right, samples=1, **parameters):
    """A run's answers to N problems, right where `right` says so."""
    folder = runs / "tiny" / run
    records = [
        inspected(step, f"t/{i}", sample, "correct" if right[i] else "wrong")
        | {"lenient_outcome": "correct" if right[i] else "wrong", "run_name": run}
        for i in range(len(right))
        for sample in range(samples)
    ]
    jsonl.write(folder / "eval" / f"step_{step:05d}" / "math500.jsonl", records)
    files.write_json(folder / "provenance_train.json", {"parameters": parameters})
    return folder


@pytest.fixture
def two(runs_dir):
    """Run `one` is right on 120 of 200; `two` on 30 of these less, and on 4 others."""
    at = np.arange(N)
    write(runs_dir, "one", 0, at < 80, learning_rate=1e-4, dataset="a")
    write(runs_dir, "one", 20, at < 120, learning_rate=1e-4, dataset="a")
    write(runs_dir, "two", 20, ((at >= 30) & (at < 124)), learning_rate=2e-4, dataset="a")
    return runs_dir / "tiny"


def compare(*words):
    return CliRunner().invoke(main, ["compare", *map(str, words)])


def test_the_last_checkpoints_of_two_runs_are_compared(two):
    answers_page.write(two / "one", {})
    done = compare("one", "two")
    assert done.exit_code == 0, done.output
    page = two / "report" / "compare_one_20_and_two_20.html"
    text = page.read_text(encoding="utf-8")
    assert "MATH-500: 60.0% and 47.0%, -13.0 points" in text
    assert "on 200 problems" in text and ": the first is better by more than 5 points" in text
    assert "Each is one run." in text
    assert ">learning rate<" in text and ">0.0001<" in text and ">0.0002<" in text
    assert ">dataset<" not in text  # is the same
    assert text.count("answers.html#left=") == 35  # one of all, and 34 that flipped
    assert "t%2F123" in text and "correct → wrong" in text


def test_the_base_and_a_checkpoint_of_one_run(two):
    found = pairing.pair("one@base", str(two / "one"))
    assert (found.first.step, found.second.step) == (0, 20) and found.left_out == []
    assert len(found.records) == 2 * N and set(found.records["step"]) == {0, 1}
    done = compare("one@base", "one@20", "--to", two / "page.html")
    text = (two / "page.html").read_text(encoding="utf-8")
    assert done.exit_code == 0 and "40.0% and 60.0%, +20.0 points" in text
    assert "the second is better" in text and "Each is one run." not in text


def test_only_problems_and_samples_of_both_are_compared(runs_dir):
    write(runs_dir, "one", 10, np.ones(8), samples=3)
    write(runs_dir, "two", 10, np.zeros(5), samples=2)
    found = pairing.pair("one", "two")
    assert len(found.records) == 2 * 5 * 2
    assert found.left_out == ["MATH-500: 24 and 10 answers, 10 of both are compared."]


def test_other_problems_under_one_name_are_no_pair(runs_dir):
    for run, problem in (("one", "same"), ("two", "other")):
        folder = write(runs_dir, run, 10, np.ones(6))
        file = folder / "eval" / "step_00010" / "math500.jsonl"
        records = jsonl.read(file)
        jsonl.write(
            file, [r | {"problem": problem if i < 2 else f"p{i}"} for i, r in enumerate(records)]
        )
    found = pairing.pair("one", "two")
    assert len(found.records) == 2 * 4
    assert found.left_out == ["2 answers are to problems that differ under one name."]


@pytest.mark.parametrize(
    "words, said",
    [
        (("one", "none"), "there is no run none with answers below"),
        (("one", "two@30"), "no answers at that step, only at 20"),
        (("one", "one@20"), "are the same checkpoint"),
        (("one", "two@last"), "after @ comes a step or base, as in two@20"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_sentence(two, words, said):
    done = compare(*words)
    assert done.exit_code == 1 and said in done.output and len(done.output.splitlines()) == 1


def test_a_name_in_two_scales_needs_the_folder(two):
    (two.parent / "pocket" / "one" / "eval").mkdir(parents=True)
    assert "have this name: give the folder" in compare("one", "two").output
    assert compare(two / "one", "two").exit_code == 0


def test_nothing_in_common_is_said(two):
    write(two.parent, "three", 20, np.ones(3))
    file = two / "three" / "eval" / "step_00020" / "math500.jsonl"
    jsonl.write(file.with_name("aime.jsonl"), [r | {"benchmark": "aime"} for r in jsonl.read(file)])
    file.unlink()
    assert "have no answers to the same problems" in compare("one", "three").output


def test_what_is_on_record_is_compared(two):
    table = pairing.differences(
        pairing.Place(two / "one", 0), pairing.Place(two / "two", 20)
    ).set_index("what")
    assert table.loc["learning_rate"].to_list() == ["0.0001", "0.0002"]
    assert table.loc["step"].to_list() == ["0", "20"]
