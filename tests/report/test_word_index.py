"""The index of words, read back as the page reads it."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from distill_nb.report.word_index import LONGEST, WordIndex, words


def read(data: bytes) -> dict[str, list[int]]:
    """Word → numbers of its texts, by the format that the module's docstring states."""
    (size,) = struct.unpack_from("<I", data)
    vocabulary = data[4 : 4 + size].decode().split("\n") if size else []
    at = 4 + size + -size % 4
    (n,) = struct.unpack_from("<I", data, at)
    starts = struct.unpack_from(f"<{n + 1}I", data, at + 4)
    numbers = data[at + 4 * (n + 2) :]
    found = {}
    for word, start, end in zip(vocabulary, starts[:-1], starts[1:], strict=True):
        number, value, shift, of_word = -1, 0, 0, []
        for byte in numbers[start:end]:
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                number += value
                of_word.append(number)
                value = shift = 0
        found[word] = of_word
    assert n == len(vocabulary) and starts[-1] == len(numbers)
    return found


def test_words_are_lower_case_and_cut():
    assert words(r"So \boxed{12} = x_1, Größe Ω; 数学") == {
        "so", "boxed", "12", "x_1", "größe", "ω", "数学",
    }  # fmt: skip
    assert words("a" * 99) == {"a" * LONGEST}


def test_numbers_of_every_size_come_back():
    index = WordIndex()
    for number in (0, 1, 127, 128, 129, 20_000, 3_000_000, 300_000_000):
        index.add(number, "all " + ("even" if number % 2 == 0 else "odd"))
    index.add(1, "twice all")
    assert read(index.encoded()) == {
        "all": [0, 1, 127, 128, 129, 20_000, 3_000_000, 300_000_000],
        "even": [0, 128, 20_000, 3_000_000, 300_000_000],
        "odd": [1, 127, 129],
        "twice": [1],
    }
    assert read(WordIndex().encoded()) == {}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12), st.integers(0, 2**20))
def test_a_word_is_found_where_it_stands_and_nowhere_else(texts, gap):
    index = WordIndex()
    for i, text in enumerate(texts):
        index.add(i * (gap + 1), text)
    expected: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        for word in words(text):
            expected.setdefault(word, []).append(i * (gap + 1))
    assert read(index.encoded()) == expected
