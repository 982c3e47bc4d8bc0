"""What analyze.ipynb and published.ipynb read, as strictly as a run's parameters."""

from dataclasses import asdict

import pytest

from distill_nb.analysis import margins, params
from distill_nb.study import notebooks

GIVEN = {"scale": "tiny", "select_on": "dev", "margin": 3}


def test_the_notebook_declares_what_is_read_and_the_default_margin():
    assert notebooks.declared("analyze") == set(GIVEN)
    text = notebooks.notebook_of("analyze").read_text(encoding="utf-8")
    assert f"margin: float = {margins.MARGIN}" in text
    found = params.from_notebook(GIVEN | {"In": [], "display": print})
    assert asdict(found) == GIVEN and isinstance(found.margin, float)


def test_the_published_study_has_a_margin_alone():
    assert notebooks.declared("published") == {"margin"}
    text = notebooks.notebook_of("published").read_text(encoding="utf-8")
    assert f"margin: float = {margins.MARGIN}" in text
    assert params.published_from_notebook({"margin": 3}).margin == 3.0
    with pytest.raises(ValueError, match=r"^notebook: scale = 'full' is no parameter"):
        params.published_from_notebook({"margin": 3.0, "scale": "full"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 0}, "notebook: margin is 0.0: write a number that is more than 0."),
        ({"margin": "5"}, "notebook: margin is the text '5' and not a number: write 5"),
        ({"margins": 5.0}, "notebook: margins = 5.0 is no parameter: write margin if that is"),
        ({"scale": "large"}, "notebook: scale is 'large': choose from full, pocket, tiny."),
        ({"learning_rate": 1.0}, "notebook: learning_rate = 1.0 is no parameter: take it out."),
    ],
)
def test_what_cannot_be_read_is_refused(changes, message):
    with pytest.raises(ValueError) as caught:
        params.from_notebook(GIVEN | changes)
    assert str(caught.value).startswith(message)
