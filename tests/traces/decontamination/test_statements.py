import hashlib
import random
import time

import pytest

from distill_nb.grading.blocks import blocks
from distill_nb.grading.extract import visible_text
from distill_nb.traces.decontamination import examples, match, short_problems, statements


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"Find $x$ if $2x+1=5$.", "find  \\( x \\)\nif \\[ 2 x + 1 = 5 \\]"),
        (r"Compute $\dfrac{1}{2}\cdot\left(3+x\right)$", r"compute $\frac 1 2 \times (3 + x)$"),
        (r"$\frac12 + \sqrt2 + x^12$", r"$\frac{1}{2} + \sqrt{2} + x^{1}2$"),
        (r"$\dfrac1{2}$", r"$\frac{1}2$"),
        (
            "Find it. " * 9 + "[asy]draw((0,0)--(1,1));\nlabel(12);[/asy] Now then.",
            "Find it. " * 9 + "Now then.",
        ),
        (r"Let $xy\,z = 1{,}000$.", "Let $x y z = 1000$"),
        ("It costs 12,345 dollars.", r"It costs 12345 dollars"),
        (r"If $a\leq b$ and $c\neq d$", "If $a ≤ b$ and $c ≠ d$"),
        (r"$\text{The area}$ of it", "the area of it"),
        ("\ufeffFind\u200b the whole\u2060 num\u00adber", "find the whole number"),
        ("two of the twenty-five, or one hundred and six", "2 of the 25, or 106"),
        ("a hundred, five thousand", "a 100, 5000"),
        ("Ninety nine red", "99 red"),
        ("0.50 and .5 and 3.0", "0.5 and 0.5 and 3"),
        ("$99²$ and x₁ and 3½", r"$99^2$ and $x_1$ and 3$\frac12$"),
        ("Let α, π ≥ θ", r"Let $\alpha, \pi \ge \theta$"),
        ("an angle of 60° or 60º", r"an angle of $60^\circ$ or $60^{\circ}$"),
        ("1, 2, …, n", r"$1, 2, \ldots, n$"),
        ("1, 2, ..., n", r"$1, 2, \cdots, n$"),
        ("f′(x)", "f'(x)"),
        (r"$f^{\prime}(x)$", "$f'(x)$"),
        (r"$\lvert x\rvert$", "$|x|$"),
        (r"$[-500,500]$", r"$\left[ -500, 500 \right]$"),
        (r"$2^{10} + \sqrt{{x}}$", r"$2^{10}+\sqrt x$"),
        (r"$\{1, 2\}$", r"$\lbrace 1,2 \rbrace$"),
        (
            "$$x$$ costs $5 and more, say $10 or so, where $xy$ is $2x$",
            "$x$ costs 5 and more, say 10 or so, where $xy$ is $2x$",
        ),
    ],
)
def test_layout_is_no_difference(one, other):
    assert statements.words(one) == statements.words(other)
    assert statements.problem_id(one) == statements.problem_id(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find $x+1$", "Find $x-1$"),
        ("Add 12 and 3", "Add 1 and 23"),
        ("Find $x^2$", "Find $x_2$"),
        ("1,200", "1.200"),
        ("the points (1,200)", "the points 1200"),
        ("on [-500,500]", "on [-500500]"),
        ("Find $a$", "Find $b$"),
        ("sin x", r"$\sin x$ y"),
        ("$5!$", "$5$"),
        ("$|x|$", "$x$"),
        ("$2^{n+1}$", "$2^n+1$"),
        ("$f'(x)$", "$f(x)$"),
        (r"$\sqrt{x+1}$", r"$\sqrt{x}+1$"),
        ("$2(x+1)$", "$2x+1$"),
        ("$[1,2]$", "$(1,2)$"),
        ("$99²$", "$992$"),
        (r"$\frac{1}{x+1}$", r"$\frac{1}{x}+1$"),
        ("3½", r"$\frac{31}{2}$"),
        ("1, …, 9", "1, 9"),
    ],
)
def test_content_is_a_difference(one, other):
    assert statements.problem_id(one) != statements.problem_id(other)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"pay \$5 for ab and \$7 for cd", "pay 5 for ab and 7 for cd"),
        ("$ab$$cd$ ef", "a b c d ef"),
        ("$$ab$$ cd", "a b cd"),
        (r"\(ab\) cd $ef", "a b cd ef"),
        (r"\[ab cd $ef$", "ab cd e f"),
        (r"\begin{align*}ab\end{align*} cd", "a b cd"),
        (r"$ab \text{cd} e$", "a b cd e"),
        (r"\(ab $ cd\) ef", "a b c d ef"),
        ("$x^{a}}{$ ef", "x ^ a ef"),
        # a dollar sign before an amount opens nothing
        ("pay $5 for ab, then $ef$", "pay 5 for ab then e f"),
        ("pay $5 and $ef$", "pay 5 and e f"),
        ("$5, $6 and $7. With $ef$", "5 6 and 7 with e f"),
        ("has $5 now:\n\nlet $ef = 2$", "has 5 now let e f = 2"),
        (r"has $5 now. Let \[ef\] be $gh$", "has 5 now let e f be g h"),
        ("$5 for ab", "5 for ab"),
        # and these are formulas
        ("$5ab$ cd", "5 a b cd"),
        ("$2x + 3y$ cd", "2 x + 3 y cd"),
        (r"$5 \text{ cm}$ ef", "5 cm ef"),
        ("$10$ of $ab$", "10 of a b"),
        ("$2 < x$ and $ab$", "2 < x and a b"),
        ("one million million", "1000000 million"),
    ],
)
def test_letters_of_formulas_are_words_of_their_own(text, found):
    assert " ".join(statements.words(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        r"\(",
        r"\[",
        r"\begin{align}",
        "$",
        "$ ",
        r"$\text{",
        "1,234",
        "\\",
        '"""',
        "```\n",
        "~",
        "[asy]",
        "![",
        "![a](",
        "$1 ",
        "$1 ab ",
        "{",
        "x^{",
        "one million ",
        "hundred ",
        "f(1)=",
        ") ",
        ">>> f\n",
        "Note\n",
        "...",
        "²",
        "½",
        "^ \\prime",
        "step by step ",
        "answer",
        "find it. ",
        "reason step ",
        "def f: ''' ",
    ],
)
def test_no_text_takes_long(text):
    known = match.EvaluationProblems(
        [("math500", "p", "Find it now, then add 2."), ("math500", "q", "find it " * 20)]
    )
    start = time.process_time()
    long = text * (100_000 // len(text))
    for function in (
        statements.words,
        examples.described,
        examples.without_examples,
        visible_text,
        blocks,
    ):
        function(long)
    known.match(long)
    short_problems.key_of(statements.words(long)[: short_problems.FRAMED])
    assert time.process_time() - start < 8  # what is quadratic takes far longer


def test_ids_are_stable():
    assert statements.problem_id("What is $1+1$?") == "ed390ae6bdcc3959"
    assert statements.words("") == [] and len(statements.problem_id("")) == 16


def test_a_statement_without_words_breaks_nothing():
    words = statements.words("?!")
    assert words == statements.numbers(words) == [] and statements.shingles(words) == [""]
    assert match.EvaluationProblems([("math500", "p", "?!")]).match("?!")


def test_the_version_changes_with_what_words_are():
    texts = [
        r"Let $f'(x) = \dfrac{x^{n+1}}{2}$ on $[0, 1{,}000]$, where |x| ≤ ½ or 5!",
        "It costs $5, twenty-one more than $x$.",
        "```python\ndef f(a): return a[0] ** 2  # ...\n```",
        "α² + β₁ − 60°\n\n[asy]draw((0,0));[/asy] over 3.50",
        "\ufeffA soft\u00adened wo\u200brd",
        r"\[\sum_{i=1}^{10} \{a_i\} \neq \lvert b \rvert\] (1,200) \$3",
    ]
    words = [statements.words(text) for text in texts]
    found = repr([(w, statements.numbers(w), sorted(statements.shingles(w))) for w in words])
    digest = hashlib.sha256(found.encode()).hexdigest()[:12]
    # other words? then give them a new VERSION
    assert (statements.VERSION, digest) == ("statements-3", "1759f0b05f74")


TEXT = (
    "A farmer has 48 meters of fence and wants to enclose a rectangular field next to a straight "
    "river, so that no fence is needed along the river. What is the largest area in square meters "
    "that the farmer can enclose, if one side is 7?"
)


def near(*texts, threshold=0.8):
    seen = statements.NearDuplicates(threshold)
    found = []
    for i, text in enumerate(texts):
        words = statements.words(text)
        found.append(
            seen.first_like(str(i), statements.sketch(words), " ".join(statements.numbers(words)))
        )
    return found


def test_a_rewording_is_a_near_duplicate_and_other_numbers_are_not():
    reworded = TEXT.replace("What is the largest", "Find the largest")
    first, second, other, unlike = near(
        TEXT, reworded, TEXT.replace("48", "52"), "What is the value of 48 minus 7?"
    )
    assert (
        first is None
        and second[0] == "0"
        and 0.8 <= second[1] <= 1
        and other is None
        and unlike is None
    )


def test_numbers_and_operators_must_stand_in_the_same_order():
    text = TEXT + " Its sides satisfy $x^2 + y^2 = 5$."
    assert near(text, text.replace("+", "-"))[1] is None
    assert near(text, text.replace("48", "7", 1).replace("is 7", "is 48"))[1] is None
    assert near(text, text.replace("$x^2 + y^2 = 5$", "x² + y² = 5"))[1][0] == "0"
    # 2 is a number more, and
    assert near(text, text.replace("rectangular", "two-sided"))[1] is None
    # the hyphen is no operator
    assert statements.numbers(
        statements.words("a two-sided field, $-3x! < |y|$, of pages 5-7")
    ) == ["2", "-", "3", "!", "<", "|", "|", "5", "-", "7"]


def test_the_earliest_of_many_is_named_and_unrelated_texts_are_left_alone():
    rng = random.Random(0)
    vocabulary = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(500)]
    texts = [" ".join(rng.choices(vocabulary, k=40)) for _ in range(2000)]
    assert [m for m in near(*texts) if m] == []
    assert near(*texts, texts[17] + " more")[-1][0] == "17"


def test_all_that_are_alike_are_given_and_none_is_left_out_of_the_index():
    seen = statements.NearDuplicates(0.8)
    for name, text in (
        ("a", TEXT),
        ("b", TEXT.replace("48", "52")),
        ("c", "Something else altogether, with 48 and 7."),
    ):
        seen.add(name, statements.sketch(statements.words(text)))
    found = seen.all_like(statements.sketch(statements.words(TEXT)))
    assert [name for name, _ in found] == ["a", "b"] and found[0][1] == 1 and len(seen.seen) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "Write a python function to find smallest number in a list.",
            "Given a list, return its smallest number",
        ),
        (
            "Write a function to check if the given number is woodball or not.",
            "Check whether a number is woodball.",
        ),
        (
            "Return list of all prefixes of the string",
            "Problem 3: Write code that returns a list of all the string's prefixes. "
            "Please reason step by step, and put your final answer within \\boxed{}.",
        ),
        (
            r"Compute $\sin 60^\circ$.",
            r"What is $\sin 60^{\circ}$? Put your answer in \boxed{}. Explain your reasoning. "
            r"Thanks!",
        ),
    ],
)
def test_what_a_short_statement_is_about(one, other):
    assert (
        short_problems.key_of(statements.words(one))
        == short_problems.key_of(statements.words(other))
        is not None
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find the maximum of two numbers.", "Find the minimum of two numbers."),
        ("Find $x+2$", "Find $x-2$"),
        ("Find the nth hexagonal number.", "Find the nth octagonal number."),
        ("Compute 7 apples", "Compute 8 apples"),
        ("Is the number n prime?", "If the number n is prime, return x, and y otherwise."),
    ],
)
def test_what_it_is_not_about(one, other):
    assert short_problems.key_of(statements.words(one)) != short_problems.key_of(
        statements.words(other)
    )
    assert (
        short_problems.key_of(statements.words("word " * 80)) is None
        and short_problems.key_of(["find"]) is None
    )


def test_what_html_writes_for_a_sign_is_that_sign():
    plain = statements.words(r"Solve $-4 < 2(x-1) \le 8$ & say why")
    assert statements.words("Solve $-4 &lt; 2(x-1) &le; 8$ &amp; say&nbsp;why") == plain
    assert statements.words(r"\begin{array} a & lt; b \end{array}") == ["a", "lt", "b"]
