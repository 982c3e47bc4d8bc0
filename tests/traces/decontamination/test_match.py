import random
import re

import pytest

from distill_nb import benchmarks
from distill_nb.study import tiny
from distill_nb.traces.decontamination import evaluation_sets
from distill_nb.traces.decontamination.match import SIMILAR, EvaluationProblems

PROBLEMS = {
    "p1": "Let $x$ and $y$ be positive real numbers such that $x + 2y = 12$. Find the greatest "
    "possible value of $x^2 y$ when both numbers are integers.",
    "p2": r"The function $f$ satisfies $f(\alpha) = \frac{3\alpha + 5}{\alpha - 2}$ for all real "
    r"$\alpha \neq 2$. What is the "
    "sum of all values that it takes at 4 and 7?",
    "p3": r"Compute $\sin 60^\circ$.",
    "p4": "A train leaves the station at 60 miles per hour and another train leaves 2 hours later "
    "at 90 miles per hour. After how many hours does the second train catch up?",
}


@pytest.fixture(scope="module")
def evaluation():
    return EvaluationProblems([("math500", i, text) for i, text in PROBLEMS.items()])


def match(evaluation, text):
    return evaluation.match(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p1", PROBLEMS["p1"]),
        ("p2", PROBLEMS["p2"]),
        ("p3", PROBLEMS["p3"]),
        ("p4", PROBLEMS["p4"]),
        (
            "p1",
            PROBLEMS["p1"]
            .replace("$x + 2y = 12$", r"\( x+2\,y=12 \)")
            .replace("$x^2 y$", "$$x ^ {2}\\; y$$"),
        ),
        (
            "p1",
            re.sub(
                r"\$[^$]*\$",
                lambda m: m.group().replace("x", "a").replace("y", "b"),
                PROBLEMS["p1"],
            ),
        ),
        ("p2", PROBLEMS["p2"].replace(r"\alpha", "t").replace("$f", "$g")),
        (
            "p4",
            "Here is a problem for my class of 31 pupils. "
            + PROBLEMS["p4"]
            + " Explain each step, and draw a diagram.",
        ),
        ("p4", PROBLEMS["p4"].replace("leaves the station", "departs from the station")),
        ("p1", PROBLEMS["p1"].upper().replace("FIND THE GREATEST", "DETERMINE THE LARGEST")),
        ("p1", "A book costs $5. " + PROBLEMS["p1"]),
        ("p1", PROBLEMS["p1"].replace("$x^2 y$", "$x²y$")),
        ("p2", PROBLEMS["p2"].replace(r"\alpha", "α").replace(r"\neq", "≠")),
        ("p4", PROBLEMS["p4"].replace(" ", " \u200b").replace("tr", "t\u00adr")),
        ("p3", "\ufeff" + PROBLEMS["p3"].replace("p", "p\u2060")),
        (
            "p4",
            PROBLEMS["p4"].replace("60", "sixty").replace("90", "ninety").replace(" 2 ", " two "),
        ),
        (
            "p3",
            r"Problem: Compute $\sin 60^\circ$. Please reason step by step, and put your final "
            r"answer within \boxed{}.",
        ),
        ("p3", "Compute sin 60°"),
        ("p3", r"This is easy. Compute $\sin 60^\circ.$ And then say why that is so, and draw it."),
    ],
)
def test_a_planted_problem_is_found(evaluation, name, text):
    found = match(evaluation, text)
    assert (found.task_id, found.kind) == (name, "contaminated") and found.share >= 0.6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p4", PROBLEMS["p4"].replace("60", "45").replace("90", "75").replace(" 2 ", " 3 ")),
        ("p4", PROBLEMS["p4"].replace("90", "75")),
        ("p4", PROBLEMS["p4"].replace("60", "2 ").replace(" 2 hours", " 60 hours")),
        ("p3", r"Compute $\sin 30^\circ$."),
        ("p3", r"Problem 60: Compute $\sin 30^\circ$."),
    ],
)
def test_the_same_template_with_other_numbers_is_told_apart(evaluation, name, text):
    found = match(evaluation, text)
    assert (found.task_id, found.kind) == (name, "same_template")


def test_a_short_problem_inside_a_longer_one_is_none(evaluation):
    assert (
        match(
            evaluation,
            r"Compute $\sin 60^\circ$ and then multiply the result by the area of a unit square.",
        )
        is None
    )
    assert match(evaluation, "") is None


def test_the_best_match_is_the_one_reported(evaluation):
    both = (
        PROBLEMS["p4"].replace("60", "45").replace("90", "75").replace(" 2 ", " 3 ")
        + " "
        + PROBLEMS["p1"]
    )
    assert match(evaluation, both).task_id == "p1"


def test_none_of_500_unrelated_problems_is_removed(evaluation):
    rng = random.Random(0)
    nouns = ["cat", "dog", "box", "cup", "tree", "road", "ship", "lamp", "ring", "door"]
    verbs = ["holds", "moves", "turns", "meets", "finds"]
    for _ in range(500):
        text = (
            f"Each {rng.choice(nouns)} {rng.choice(verbs)} {rng.randint(2, 99)} "
            f"{rng.choice(nouns)}s, and every {rng.choice(nouns)} {rng.choice(verbs)} $x + "
            f"{rng.randint(2, 99)}y$ {rng.choice(nouns)}s. Find the "
            f"{rng.choice(['sum', 'product', 'greatest value', 'number'])} of all "
            f"{rng.choice(nouns)}s."
        )
        assert match(evaluation, text) is None, text


@pytest.mark.parametrize(
    "name", ["math500", "aime", "humaneval_plus", "mbpp_plus", "livecodebench"]
)
def test_every_evaluation_set_gives_its_statements_without_our_instructions(name, tmp_path):
    if name.endswith("plus"):
        pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    rows = evaluation_sets.problems(name, str(tiny.write(name, tmp_path)))
    assert len(rows) >= 2 and {b for b, *_ in rows} == {name}
    for _, _, text in rows:
        assert (
            text.strip()
            and benchmarks.BOXED not in text
            and "assert " not in text
            and ">>>" not in text
        )


def test_a_missing_evaluation_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        evaluation_sets.problems("math500", str(tmp_path / "none.jsonl"))


CONTEST = (
    "There are N towns on a line. Find the number of pairs of towns whose distance is at most K.\n"
)


def test_programming_problems_are_found_without_their_examples_or_with_others():
    evaluation = EvaluationProblems(
        [
            (
                "livecodebench",
                "towns",
                CONTEST
                + "\nInput\n\nThe input gives N and K.\n\nConstraints\n\n- 2 ≤ N ≤ 9\n- K ≤ 100\n\n"
                "Sample Input 1\n\n3 2\n1 5 6\n\nSample Output 1\n\n2\n\nSample Input 2\n\n4 17 21 "
                "8 9\n",
            ),
            (
                "humaneval_plus",
                "gap",
                "Return the largest gap of the sorted list.\n    >>> gap([1, 5, 7])\n    4\n",
            ),
            (
                "mbpp_plus",
                "nth",
                "Write a function to find the nth hexagonal number.\nassert f(10) == 190",
            ),
        ]
    )
    for task, text in (
        ("towns", CONTEST),
        (
            "towns",
            "-----Statement-----\n" + CONTEST + "-----Examples-----\nInput\n7 7\nOutput\n1\n",
        ),
        (
            "gap",
            'def gap(a):\n    """Return the largest gap of the sorted list.\n\n    gap([3, 9]) == '
            '6\n"""',
        ),
        ("gap", "Given a sorted list, find its largest gap.\n\nExamples:\ngap([3, 9]) -> 6"),
        (
            "nth",
            "Create a Python method that returns the nth hexagonal number\nassert hexagonal(3) == "
            "15",
        ),
    ):
        found = match(evaluation, text)
        assert (found.task_id, found.kind) == (task, "contaminated"), text
    assert (
        match(evaluation, "Write a function to find the nth octagonal number.\nassert f(10) == 280")
        is None
    )


def test_siblings_of_a_set_with_a_frame_of_its_own_are_told_apart():
    kinds = [
        "smallest",
        "tallest",
        "oldest",
        "greenest",
        "longest",
        "newest",
        "cheapest",
        "widest",
        "darkest",
        "rarest",
    ]
    texts = {
        kind: f"Write a function to find the {kind} item in a given list of items."
        for kind in kinds
    }
    evaluation = EvaluationProblems(
        [("mbpp_plus", kind, text) for kind, text in texts.items() if kind != "oldest"]
    )
    assert (
        match(evaluation, texts["oldest"]) is None
        and match(evaluation, texts["newest"]).task_id == "newest"
    )
    embedded = (
        f"I ask my class of pupils every year to do this. {texts['newest']} They like it, and so "
        "will you, I hope."
    )
    assert match(evaluation, embedded).task_id == "newest"


def test_an_evaluation_problem_like_another_is_not_lost():
    rng = random.Random(3)
    words = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in rng.sample(range(600), 40)]
    one = [*words[:20], "17", *words[20:], "31"]
    other = [*words[:20], "18", *words[20:], "32"]
    evaluation = EvaluationProblems(
        [("math500", "one", " ".join(one)), ("math500", "other", " ".join(other))]
    )
    for name, text in (("one", one), ("other", other)):
        text = [w if i % 10 != 4 else f"new{w}" for i, w in enumerate(text)]
        # half of its 4-grams are left: MinHash alone finds it
        found = match(evaluation, " ".join(text))
        assert (found.task_id, found.kind) == (name, "contaminated") and found.share >= SIMILAR


def test_a_drawing_may_be_missing():
    text = (
        "In the figure a circle meets the square ABCD in the point P. What is the angle APB in "
        "degrees?"
    )
    evaluation = EvaluationProblems(
        [("math500", "p", text + "[asy]draw((0,0)--(12,5)); label(7);[/asy]")]
    )
    for copy in (
        text,
        "Here is the first problem of the week. "
        + text
        + "[asy]draw((0,0)--(12,5)); label(7);[/asy]",
    ):
        assert match(evaluation, copy).kind == "contaminated"


def test_one_changed_number_of_many_is_another_problem_and_a_missing_one_is_not():
    text = (
        "A shop sold 12 hats on Monday, 15 hats on Tuesday, 18 hats on Wednesday, 22 hats on "
        "Thursday and 31 hats on Friday, and each hat cost 40 coins. How many coins did the shop "
        "take on the best day of the week?"
    )
    evaluation = EvaluationProblems([("math500", "hats", text)])
    for number in ("12", "15", "18", "22", "31", "40"):
        assert match(evaluation, text.replace(number, "57")).kind == "same_template"
    assert (
        match(evaluation, text.replace("12", "x").replace("15", "12").replace("x", "15")).kind
        == "same_template"
    )
    assert (
        match(evaluation, text.replace(", and each hat cost 40 coins", "")).kind == "contaminated"
    )


def test_a_changed_one_is_another_number_too():
    text = (
        "Let $a, b, c, d$ be positive real numbers. Find the least value of "
        r"$\frac{1}{a} + \frac{1}{b} + \frac{1}{c} + \frac{1}{d}$."
    )
    evaluation = EvaluationProblems([("math500", "sum", text)])
    found = match(evaluation, text.replace("{1}{c}", "{4}{c}").replace("{1}{d}", "{18}{d}"))
    assert found is None or found.kind == "same_template"
    longer = f"{text} Then find the least value of $\\frac{{7}}{{a}} + \\frac{{9}}{{b}}$."
    assert match(evaluation, longer).kind == "contaminated"
