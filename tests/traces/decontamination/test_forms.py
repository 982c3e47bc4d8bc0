import pytest

from distill_nb.traces.decontamination.forms import words_of
from distill_nb.traces.decontamination.masked import masked_words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"It is $\frac{7}{80}$ of all", "It is 7/80 of all"),
        (r"Let $y = \frac{x+1}{x-2}$", "Let $y = (x+1)/(x-2)$"),
        (r"the angle $\frac{\pi}{4}$", r"the angle $\pi/4$"),
        ("Find $13^{47}$", "Find $13^47$"),
        ("Find $13^{47}$", "Find 13^47"),
        ("Find $2^{10}$", "Find 2**10"),
        ("the place $a_{10}$", "the place $a_10$"),
        ("Find $x^{12}$", "Find x<sup>12</sup>"),
        ("In the triangle $KLM$ the point", "In the triangle *KLM* the point"),
        ("In the triangle $KLM$ the point", "In the triangle KLM the point"),
        (r"In $\triangle KLM$ the side", "In triangle KLM the side"),
        (r"of $\overline{AB}$ and so on", "of AB and so on"),
        (r"Let $\vec{v}$ be", r"Let $\mathbf{v}$ be"),
        (r"Let $\vec{v}$ be", "Let $v$ be"),
        ("Let $a_1, a_2$ be", "Let $a_k, a_{n}$ be"),
        (r"Let $\alpha_1$ be", r"Let $\beta_2$ be"),
        (r"an angle of $60^\circ$", "an angle of 60 degrees"),
        (r"$5\%$ of it", "5 percent of it"),
        ("the n-th one", "the nth one"),
        ("the k'th one", "the kth one"),
        (r"the $n^{\text{th}}$ one", "the nth one"),
        ("a sub-sequence in upper case", "a subsequence in uppercase"),
        ("a two-digit one", "a two digit one"),
        (r"$x \leq 3$", "x <= 3"),
        ("an array of dictionaries", "a list of dicts"),
        ("the greatest one", "the largest one"),
    ],
)
def test_what_is_a_matter_of_form_is_no_difference(one, other):
    assert masked_words(words_of(one)) == masked_words(words_of(other))
    digits = [[w for w in words_of(text) if w[0].isdigit()] for text in (one, other)]
    assert digits[0] == digits[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find $a_{10}$", "Find $a_{20}$"),
        ("Find $1101_2$", "Find $1101_3$"),
        (r"Find $\log_2 9$", r"Find $\log_3 9$"),
        (r"Find $0.\overline{3}$", "Find $0.3$"),
        ("the non-repeated ones", "the repeated ones"),
        ("Solve ax + by = n", "Solve ax - by = n"),
        ("Find $ab-cd$", "Find $ab cd$"),
        ("and/or", r"$\frac{and}{or}$"),
        ("nobody", "somebody"),
        ("THE GCD", "the g c d"),
    ],
)
def test_what_is_asked_stays_a_difference(one, other):
    assert words_of(one) != words_of(other)


def test_a_text_in_capitals_keeps_its_words_and_no_one_is_nobody():
    assert words_of("FIND THE SUM OF ALL ODD NUMBERS") == words_of(
        "find the sum of all odd numbers"
    )
    assert words_of("no one or someone") == ["nobody", "or", "somebody"]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "gcd",
            ["greatest common divisor", "largest common factor", "GCD", "hcf", "GCF", r"$\gcd$"],
        ),
        ("gcd", ["highest common factor", "greatest common divisors"]),
        (
            "lcm",
            ["least common multiple", "lowest common multiple", "LCM", "smallest common multiples"],
        ),
    ],
)
def test_an_abbreviation_is_what_it_stands_for(name, texts):
    for text in texts:
        assert words_of(f"the {text} of 8 and 12") == ["the", name, "of", "8", "and", "12"], text
