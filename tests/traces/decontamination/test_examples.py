import pytest

from distill_nb.traces.decontamination.examples import described, without_examples


def test_code_is_known_by_its_words():
    words = "Return the largest gap between neighbours of the sorted list a."
    prompt = f'def gap(a: list) -> int:\n    """{words}\n    >>> gap([1, 5, 7])\n    4\n    """\n'
    assert described(prompt).strip() == words
    assert (
        described('"""\nWrite a function.\nassert f(1) == 2\n"""\n').strip() == "Write a function."
    )
    assert without_examples(prompt + "    return max(a)\n").strip() == words


CONTEST = (
    "There are N towns on a line. Find the number of pairs of towns whose distance is at most K.\n"
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            CONTEST + "\nInput\n\nThe input gives N and K.\n\nOutput\n\nPrint the "
            "number.\n\nConstraints\n\n- 2 ≤ N ≤ 9\n\n"
            "Sample Input 1\n\n3 2\n\nSample Output 1\n\n2",
            CONTEST + "Input The input gives N and K. Output Print the number.",
        ),
        (
            CONTEST
            + "Constraints\n\n- N < 9\n\nInput\n\nIt gives N and K.\n\nSample Input 1:\n3 2\n",
            CONTEST + "Input It gives N and K.",
        ),
        (
            CONTEST + "\n-----Input-----\n\nOne line.\n\n-----Examples-----\nInput\n3 "
            "2\n\nOutput\n2\n\n-----Note-----\nTowns 1, 2.",
            CONTEST + "-----Input----- One line.",
        ),
        (
            CONTEST
            + " \nExample 1:\n\nInput: n = 3, k = 2\nOutput: 2\nExplanation: so\n \nExample "
            "2:\n\nInput: n = 1\n",
            CONTEST,
        ),
        (CONTEST + "### Examples:\n`f(3) -> 2`", CONTEST),
        (
            CONTEST + "Example: Input: 3 Output: 2\nfor examble:\nf(1) returns 2",
            CONTEST + "Example: Input: 3 Output: 2",
        ),
        (
            CONTEST
            + "f([3], 2) ➞ 2\nf(1, 2) => 2\n* f(3) == 4\nassert f(5) == 6\nf('a') = 'b'\nIf N is "
            "0, return 0.",
            CONTEST + "If N is 0, return 0.",
        ),
        ("Let f be so that\nf(x) = 2x + 1\nfor all x. Note that f(2) = 5.", None),
        ("$f(x) -> 2$ and\n$g(x) == 2$", None),
        ("Example:\nf(1) == 2", None),
        ("For example, 3 is odd.\nNote that 4 is not.", None),
        ("", None),
    ],
)
def test_examples_are_left_out_and_nothing_else(text, left):
    assert without_examples(text).split() == (text if left is None else left).split()
