"""The rule on the problems of the real evaluation sets, which are not part of the repository."""

import gzip
import json
import re

import pytest

from distill_nb.traces.decontamination import evaluation_sets
from distill_nb.traces.decontamination.match import EvaluationProblems

CUT = re.compile(
    r"^\s*(?:>>>|assert |for "
    r"examp?b?le|examples?\s*:?\s*\d*:?\s*$|\[input/output\]|constraints?:?\s*$|"
    r"[A-Za-z_]\w*\(.*\)\s*(?:==|=>|➞|->)).*",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
NAMES = {
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
    "10": "ten",
}
FORMULA = re.compile(
    r"(\\begin\{align\*\}.*?\\end\{align\*\}|\$\$.*?\$\$|\\\(.*?\\\)|\\\[.*?\\\]|\[asy\].*?\[/asy\]"
    r"|(?<!\\)\$(?:[^$\\]|\\.)*\$)",
    re.DOTALL,
)


def in_formulas(text, change):
    return "".join(change(part) if i % 2 else part for i, part in enumerate(FORMULA.split(text)))


def in_prose(text, change):
    return "".join(part if i % 2 else change(part) for i, part in enumerate(FORMULA.split(text)))


def spaced(text):
    return (
        in_formulas(
            text, lambda f: rf"\( {f[1:-1]}\, \)" if f[:1] == f[-1:] == "$" != f[1:2] else f
        )
        .replace(r"\frac", r"\dfrac")
        .replace("\n", " \n  ")
    )


def renamed(text):
    names = dict(zip("abcdfhklmnpqrstuvxyz", "pqrstuvwacdefghbmzyx", strict=True))
    letter = re.compile(r"(?<![\\A-Za-z])[a-z](?![A-Za-z])")
    return in_formulas(
        text,
        lambda f: letter.sub(lambda m: names.get(m.group(), m.group()), f) if f[:1] == "$" else f,
    )


def spelled(text):
    number = re.compile(r"(?<![\w.^/,(\[+*-])\d+(?![\w./,)\]*+-])")
    return in_prose(text, lambda p: number.sub(lambda m: NAMES.get(m.group(), m.group()), p))


ALTERED = {
    "verbatim": lambda t: t,
    "spaced": spaced,
    "renamed": renamed,
    "spelled": spelled,
    "cut": lambda t: CUT.sub("", t),
    "dollar": lambda t: "Ann has $5 and would like to solve it. " + t,
    "framed": lambda t: (
        f"Problem: {t}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}."
    ),
    "embedded": lambda t: (
        f"My 3 friends sent me this, so I ask you now: {t}\nThank you, and give 2 proofs if you "
        "can, each with a drawing."
    ),
    "reworded": lambda t: re.sub(
        r"^(Write a (?:python )?function to (?:find )?|Find |What is |Compute |Return )",
        "Please determine ",
        t.strip(),
    ),
}
# what is not found: Simplify sqrt(242) and another of three words in a longer text; docstrings cut
# before they define anything
MISSED = {("math500", "dollar"): 1, ("math500", "embedded"): 2, ("humaneval_plus", "cut"): 4}


@pytest.mark.parametrize("name", ["math500", "aime", "humaneval_plus", "mbpp_plus"])
def test_a_real_evaluation_problem_is_found_whatever_is_done_to_it(name, data_dir):
    if name.endswith("plus"):
        pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    rows = rows_of(name, data_dir)
    evaluation, asked = EvaluationProblems(rows), {task_id: text for _, task_id, text in rows}
    if name.endswith("plus"):
        lines = gzip.decompress((data_dir / FILES[name]).read_bytes()).decode().splitlines()
        asked = {
            row["task_id"]: row["prompt"].strip().strip('"')
            if name == "mbpp_plus"
            else docstring(row["prompt"])
            for row in map(json.loads, lines)
        }
    for how, alter in ALTERED.items():
        if how == "cut" and not name.endswith("plus"):
            continue
        lost = []
        for task_id, text in asked.items():
            found = evaluation.match(alter(text))
            if not found or found.kind != "contaminated":
                lost.append(task_id)
        assert len(lost) <= MISSED.get((name, how), 0), (how, lost)


FILES = {
    "math500": "math500/math500.jsonl",
    "aime": "aime/aimo-validation-aime.jsonl",
    "humaneval_plus": "evalplus/HumanEvalPlus.jsonl.gz",
    "mbpp_plus": "evalplus/MbppPlus.jsonl.gz",
}


def rows_of(name, data_dir):
    return evaluation_sets.problems(name, str(data_dir / FILES[name]))


def docstring(prompt):
    return max(
        (re.findall(r'"""(.*?)"""|' + r"\'\'\'(.*?)\'\'\'", prompt, re.DOTALL) or [(prompt, "")])[
            -1
        ],
        key=len,
    )


@pytest.mark.parametrize("name", ["mbpp_plus", "humaneval_plus", "aime", "math500"])
def test_real_problems_of_one_set_are_not_taken_for_each_other(name, data_dir):
    if name.endswith("plus"):
        pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    rows = rows_of(name, data_dir)
    for second_look, most in ((False, FIRST_LOOK), (True, BOTH_LOOKS)):
        taken = []
        for part in range(2):
            evaluation = EvaluationProblems(rows[part::2], second_look)
            found = [(i, evaluation.match(text)) for _, i, text in rows[1 - part :: 2]]
            taken += [(i, m.task_id) for i, m in found if m and m.kind == "contaminated"]
        assert len(taken) <= most.get(name, 0), taken


# The same task twice in MBPP+, or a few words more; in HumanEval+ < > for ( ), Fib4 for FibFib.
FIRST_LOOK = {"mbpp_plus": 8, "humaneval_plus": 4}
# Tasks of one family beside them (docs/decontamination.md).
BOTH_LOOKS = {"mbpp_plus": 33, "humaneval_plus": 7}


def test_one_number_changed_of_a_real_problem_is_another_problem(data_dir):
    rows = [r for name in ("math500", "aime") for r in rows_of(name, data_dir)]
    evaluation, changed = EvaluationProblems(rows), 0
    for _, _, text in rows:
        text = re.sub(r"(?s)\[asy\].*?\[/asy\]", "", text)
        numbers = list(re.finditer(r"(?<![\d.])\d\d+(?![\d.])", text))
        if len(re.findall(r"\d+", text)) >= 5 and numbers:
            place = numbers[len(numbers) // 2]
            found = evaluation.match(
                f"{text[: place.start()]}{int(place.group()) + 2}{text[place.end() :]}"
            )
            assert found is None or found.kind == "same_template", text
            changed += 1
    assert changed > 100


def test_of_the_real_math_500_each_is_found_and_none_is_taken_for_another(data_dir):
    rows = evaluation_sets.problems("math500", str(data_dir / "math500" / "math500.jsonl"))
    halves = [rows[::2], rows[1::2]]
    for own, others in (halves, halves[::-1]):
        evaluation = EvaluationProblems(own)
        assert all(evaluation.match(text).kind == "contaminated" for _, _, text in own)
        taken = [(i, evaluation.match(text)) for _, i, text in others]
        assert [(i, str(m)) for i, m in taken if m and m.kind == "contaminated"] == []


def test_real_problems_of_training_sets_are_left_alone(data_dir):
    rows = evaluation_sets.problems("math500", str(data_dir / "math500" / "math500.jsonl"))
    rows += evaluation_sets.problems("aime", str(data_dir / "aime" / "aimo-validation-aime.jsonl"))
    evaluation = EvaluationProblems(rows)
    mbpp = evaluation_sets.problems("mbpp_plus", str(data_dir / "evalplus" / "MbppPlus.jsonl.gz"))
    mixed = [
        json.loads(line)
        for line in (data_dir / "traces" / "r1_mixed" / "pcmb_traces_filtered.jsonl")
        .read_text()
        .splitlines()
    ]
    texts = [text for *_, text in mbpp] + [
        str(row.get("question") or row.get("problem")) for row in mixed
    ]
    assert len(texts) > 500
    assert [
        str(m) for m in (evaluation.match(text) for text in texts) if m and m.kind == "contaminated"
    ] == []
