"""Halves of surrogate pairs."""

import pytest

from distill_nb.runtime import files, text


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("plain é 😀", "plain é 😀"),
        ("a \ud83d b", "a \ufffd b"),
        ("\udc00", "\ufffd"),
        ("\ud83d" + "\ude00", "😀"),
        ("\ude00" + "\ud83d", "\ufffd\ufffd"),
    ],
)
def test_halves_become_the_replacement_character(written, found, tmp_path):
    assert text.clean(written) == found
    files.write_text(tmp_path / "a.txt", written)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == found


def test_the_place_of_a_half_is_found():
    assert text.place_of_half({"a": [1, None, {"b": "x\ud83d"}]}) == "a[2].b"
    assert text.place_of_half(["\ud83d"]) == "[0]" and text.place_of_half("\ud83d") == "text"
    assert text.place_of_half({"a": {"\ud83d": 1}}) == "a key of a"
    assert text.place_of_half({"a": ["😀", 1.5, True]}) == ""
