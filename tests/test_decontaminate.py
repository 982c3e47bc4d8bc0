import json
import random
import re

import pytest
from test_benchmarks import part_of

from distill_nb import benchmarks, decontaminate, statements

PROBLEMS = {
    "p1": "Let $x$ and $y$ be positive real numbers such that $x + 2y = 12$. Find the greatest possible value of $x^2 y$ when "
          "both numbers are integers.",
    "p2": r"The function $f$ satisfies $f(\alpha) = \frac{3\alpha + 5}{\alpha - 2}$ for all real $\alpha \neq 2$. What is the "
          "sum of all values that it takes at 4 and 7?",
    "p3": r"Compute $\sin 60^\circ$.",
    "p4": "A train leaves the station at 60 miles per hour and another train leaves 2 hours later at 90 miles per hour. After "
          "how many hours does the second train catch up?"}


@pytest.fixture(scope="module")
def evaluation():
    return decontaminate.Evaluation([("math500", i, text) for i, text in PROBLEMS.items()])


def match(evaluation, text):
    return evaluation.match(statements.words(text))


@pytest.mark.parametrize(("name", "text"), [
    ("p1", PROBLEMS["p1"]),
    ("p2", PROBLEMS["p2"]), ("p3", PROBLEMS["p3"]), ("p4", PROBLEMS["p4"]),
    ("p1", PROBLEMS["p1"].replace("$x + 2y = 12$", r"\( x+2\,y=12 \)").replace("$x^2 y$", "$$x ^ {2}\\; y$$")),
    ("p1", re.sub(r"\$[^$]*\$", lambda m: m.group().replace("x", "a").replace("y", "b"), PROBLEMS["p1"])),
    ("p2", PROBLEMS["p2"].replace(r"\alpha", "t").replace("$f", "$g")),
    ("p4", "Here is a problem for my class of 31 pupils. " + PROBLEMS["p4"] + " Explain each step, and draw a diagram."),
    ("p4", PROBLEMS["p4"].replace("leaves the station", "departs from the station")),
    ("p1", PROBLEMS["p1"].upper().replace("FIND THE GREATEST", "DETERMINE THE LARGEST"))])
def test_a_planted_problem_is_found(evaluation, name, text):
    found = match(evaluation, text)
    assert (found.task_id, found.kind) == (name, "contaminated") and found.share >= 0.6


@pytest.mark.parametrize(("name", "text"), [
    ("p4", PROBLEMS["p4"].replace("60", "45").replace("90", "75").replace(" 2 ", " 3 ")),
    ("p3", r"Compute $\sin 30^\circ$.")])
def test_the_same_template_with_other_numbers_is_told_apart(evaluation, name, text):
    found = match(evaluation, text)
    assert (found.task_id, found.kind) == (name, "same_template")


def test_a_short_problem_inside_a_longer_one_is_none(evaluation):
    assert match(evaluation, r"Compute $\sin 60^\circ$ and then multiply the result by the area of a unit square.") is None
    assert match(evaluation, "") is None


def test_the_best_match_is_the_one_reported(evaluation):
    both = PROBLEMS["p4"].replace("60", "45").replace("90", "75").replace(" 2 ", " 3 ") + " " + PROBLEMS["p1"]
    assert match(evaluation, both).task_id == "p1"


def test_none_of_500_unrelated_problems_is_removed(evaluation):
    rng = random.Random(0)
    nouns = ["cat", "dog", "box", "cup", "tree", "road", "ship", "lamp", "ring", "door"]
    verbs = ["holds", "moves", "turns", "meets", "finds"]
    for _ in range(500):
        text = (f"Each {rng.choice(nouns)} {rng.choice(verbs)} {rng.randint(2, 99)} {rng.choice(nouns)}s, and every "
                f"{rng.choice(nouns)} {rng.choice(verbs)} $x + {rng.randint(2, 99)}y$ {rng.choice(nouns)}s. Find the "
                f"{rng.choice(['sum', 'product', 'greatest value', 'number'])} of all {rng.choice(nouns)}s.")
        assert match(evaluation, text) is None, text


def test_of_the_real_math_500_each_is_found_and_none_is_taken_for_another(data_dir):
    rows = decontaminate.problems("math500", str(data_dir / "math500" / "math500.jsonl"))
    halves = [rows[::2], rows[1::2]]
    for own, others in (halves, halves[::-1]):
        evaluation = decontaminate.Evaluation(own)
        assert all(match(evaluation, text).kind == "contaminated" for _, _, text in own)
        taken = [(i, match(evaluation, text)) for _, i, text in others]
        assert [(i, str(m)) for i, m in taken if m and m.kind == "contaminated"] == []


def test_real_problems_of_training_sets_are_left_alone(data_dir):
    rows = decontaminate.problems("math500", str(data_dir / "math500" / "math500.jsonl"))
    rows += decontaminate.problems("aime", str(data_dir / "aime" / "aimo-validation-aime.jsonl"))
    evaluation = decontaminate.Evaluation(rows)
    mbpp = decontaminate.problems("mbpp_plus", str(data_dir / "evalplus" / "MbppPlus.jsonl.gz"))
    mixed = [json.loads(line) for line in
             (data_dir / "traces" / "r1_mixed" / "pcmb_traces_filtered.jsonl").read_text().splitlines()]
    texts = [text for *_, text in mbpp] + [str(row.get("question") or row.get("problem")) for row in mixed]
    assert len(texts) > 500
    assert [str(m) for m in (match(evaluation, text) for text in texts) if m and m.kind == "contaminated"] == []


@pytest.mark.parametrize("name", ["math500", "aime", "humaneval_plus", "mbpp_plus", "livecodebench"])
def test_every_evaluation_set_gives_its_statements_without_our_instructions(name, tmp_path):
    if name.endswith("plus"):
        pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-ci")
    file, *_ = part_of(name, tmp_path)
    rows = decontaminate.problems(name, file)
    assert len(rows) >= 2 and {b for b, *_ in rows} == {name}
    for _, _, text in rows:
        assert text.strip() and benchmarks.BOXED not in text and "assert " not in text and ">>>" not in text


def test_a_missing_evaluation_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        decontaminate.problems("math500", str(tmp_path / "none.jsonl"))


def test_code_is_known_by_its_words():
    words = "Return the largest gap between neighbours of the sorted list a."
    prompt = f'def gap(a: list) -> int:\n    """{words}\n    >>> gap([1, 5, 7])\n    4\n    """\n'
    assert decontaminate.described(prompt).strip() == words
    assert decontaminate.described('"""\nWrite a function.\nassert f(1) == 2\n"""\n').strip() == "Write a function."
