"""IFEval's instructions, by the checks of if-verifiable where it is installed."""

import json
import subprocess
import sys

import pytest

from distill_nb.benchmarks import Task
from distill_nb.grading import instructions
from distill_nb.grading.graders import grade, grade_all


@pytest.fixture
def checks():
    try:
        instructions.check()
    except ValueError as error:
        pytest.skip(str(error))


def task(*given):
    names, kwargs = zip(*given, strict=True)
    return Task("t", "Write.", "instructions", tests=json.dumps([names, kwargs]))


TWO = task(("punctuation:no_comma", {}), ("keywords:existence", {"keywords": ["cat"]}))


@pytest.mark.parametrize(
    ("completion", "ending", "outcome", "loose", "detail"),
    [
        ("My cat sleeps.", "stop", "correct", "correct", ""),
        ("<think>Well, hm.</think> My cat sleeps.", "stop", "correct", "correct", ""),
        ("Here, as asked:\nMy cat sleeps.", "stop", "wrong", "correct", "punctuation:no_comma"),
        ("My dog, a beagle.", "stop", "wrong", "wrong", "punctuation:no_comma, keywords:existence"),
        ("My cat sleeps.", "length", "correct", "correct", ""),
        ("<think>My cat", "stop", "no_answer", "no_answer", "no text"),
        ("<think>My cat", "length", "truncated", "truncated", "no text"),
    ],
)
def test_all_instructions_must_be_followed(completion, ending, outcome, loose, detail, checks):
    made = grade(TWO, completion, ending)
    assert (made.outcome, made.lenient_outcome) == (outcome, loose) and detail in made.detail
    assert made.second_outcome == made.outcome


def test_sentences_words_languages_and_forms_are_checked(checks):
    given = [
        (("length_constraints:number_sentences", {"num_sentences": 3, "relation": "at least"}),
         "One. Two! Three?", "One. Two."),
        (("length_constraints:number_words", {"num_words": 4, "relation": "less than"}),
         "only three words", "here there are five words"),
        (("language:response_language", {"language": "de"}),
         "Der Hund schläft heute auf dem großen Sofa im Wohnzimmer.",
         "The dog is sleeping on the big sofa in the living room today."),
        (("detectable_format:json_format", {}), '{"a": 1}', "a: 1"),
        (("change_case:english_lowercase", {}),
         "the dog is sleeping on the sofa", "The dog is sleeping on the sofa"),
    ]  # fmt: skip
    for instruction, good, bad in given:
        made = grade_all([task(instruction)] * 2, [good, bad], ["stop"] * 2)
        assert [g.outcome for g in made] == ["correct", "wrong"], instruction
    assert made[0].answer == "1 of 1 instructions followed"


def test_a_check_that_fails_is_an_error_of_ours(checks):
    made = grade(task(("no:such_instruction", {})), "text")
    assert made.outcome == "grader_error" and "KeyError" in made.detail


def test_what_is_missing_is_one_sentence():
    program = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'if_verifiable' else find(name, *a)\n"
        "from distill_nb.grading import instructions\n"
        "instructions.check()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip().endswith(
        "benchmarks: ifeval needs if_verifiable; install it with pip install -e '.[ifeval]' -c "
        "constraints.txt."
    )
