import random
import time

import pytest

from distill_nb import decontaminate, statements
from distill_nb.grading import visible_text
from distill_nb.grading.code import blocks


@pytest.mark.parametrize(("one", "other"), [
    (r"Find $x$ if $2x+1=5$.", "find  \\( x \\)\nif \\[ 2 x + 1 = 5 \\]"),
    (r"Compute $\dfrac{1}{2}\cdot\left(3+x\right)$", r"compute $\frac 1 2 \times (3 + x)$"),
    (r"$\frac12 + \sqrt2 + x^12$", r"$\frac{1}{2} + \sqrt{2} + x^{1}2$"), (r"$\dfrac1{2}$", r"$\frac{1}2$"),
    ("Find it. " * 9 + "[asy]draw((0,0)--(1,1));\nlabel(12);[/asy] Now then.", "Find it. " * 9 + "Now then."),
    (r"Let $xy\,z = 1{,}000$.", "Let $x y z = 1000$"),
    ("It costs 12,345 dollars.", r"It costs 12345 dollars"),
    (r"If $a\leq b$ and $c\neq d$", "If $a ≤ b$ and $c ≠ d$"),
    (r"$\text{The area}$ of it", "the area of it")])
def test_layout_is_no_difference(one, other):
    assert statements.words(one) == statements.words(other)
    assert statements.problem_id(one) == statements.problem_id(other)


@pytest.mark.parametrize(("one", "other"), [
    ("Find $x+1$", "Find $x-1$"), ("Add 12 and 3", "Add 1 and 23"), ("Find $x^2$", "Find $x_2$"), ("1,200", "1.200"),
    ("the points (1,200)", "the point 1200"), ("Find $a$", "Find $b$"), ("sin x", r"$\sin x$ y")])
def test_content_is_a_difference(one, other):
    assert statements.problem_id(one) != statements.problem_id(other)


@pytest.mark.parametrize(("text", "found"), [
    (r"pay \$5 for ab and \$7 for cd", "pay 5 for ab and 7 for cd"), ("$ab$$cd$ ef", "a b c d ef"), ("$$ab$$ cd", "a b cd"),
    (r"\(ab\) cd $ef", "a b cd ef"), (r"\[ab cd $ef$", "ab cd e f"), (r"\begin{align*}ab\end{align*} cd", "a b cd"),
    (r"$ab \text{cd} e$", "a b cd e"), (r"\(ab $ cd\) ef", "a b c d ef")])
def test_letters_of_formulas_are_words_of_their_own(text, found):
    assert " ".join(statements.words(text)) == found


@pytest.mark.parametrize("text", [r"\(", r"\[", r"\begin{align}", "$", "$ ", r"$\text{", "1,234", "\\", '"""', "```\n", "~"])
def test_no_text_takes_long(text):
    start = time.process_time()
    for function in (statements.words, decontaminate.described, visible_text, blocks):
        function(text * (100_000 // len(text)))
    assert time.process_time() - start < 8  # what is quadratic takes far longer


def test_ids_are_stable():
    assert statements.problem_id("What is $1+1$?") == "ed390ae6bdcc3959"
    assert statements.words("") == [] and len(statements.problem_id("")) == 16


TEXT = ("A farmer has 48 meters of fence and wants to enclose a rectangular field next to a straight river, so that no "
        "fence is needed along the river. What is the largest area in square meters that the farmer can "
        "enclose, if one side is 7?")


def near(*texts, threshold=0.8):
    seen = statements.NearDuplicates(threshold)
    found = []
    for i, text in enumerate(texts):
        words = statements.words(text)
        found.append(seen.first_like(str(i), statements.sketch(words), " ".join(statements.numbers(words))))
    return found


def test_a_rewording_is_a_near_duplicate_and_other_numbers_are_not():
    reworded = TEXT.replace("What is the largest", "Find the largest")
    first, second, other, unlike = near(TEXT, reworded, TEXT.replace("48", "52"), "What is the value of 48 minus 7?")
    assert first is None and second[0] == "0" and 0.8 <= second[1] <= 1 and other is None and unlike is None


def test_the_earliest_of_many_is_named_and_unrelated_texts_are_left_alone():
    rng = random.Random(0)
    vocabulary = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(500)]
    texts = [" ".join(rng.choices(vocabulary, k=40)) for _ in range(2000)]
    assert [m for m in near(*texts) if m] == []
    assert near(*texts, texts[17] + " more")[-1][0] == "17"
