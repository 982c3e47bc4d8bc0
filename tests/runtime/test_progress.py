"""Progress bars as text: their line ends, and one that is not shown has none."""

import io

import pytest

from distill_nb.runtime import progress


@pytest.fixture(autouse=True)
def as_text(monkeypatch):
    for name, value in progress.AS_TEXT.items():
        monkeypatch.setenv(name, value)


def test_a_bar_ends_its_line():
    out = io.StringIO()
    with progress.bar(total=2, desc="steps", file=out) as shown:
        shown.update(2)
    assert "steps: 100%" in out.getvalue() and out.getvalue().endswith("\n")


def test_a_bar_that_is_not_shown_is_closed_without_a_word(capsys):
    with progress.bar(total=2, disable=True) as hidden:
        hidden.update(2)
    assert capsys.readouterr() == ("", "")
