"""Pages of notebooks whose texts UTF-8 cannot hold."""

import json

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from distill_nb.report import notebook_page

HALF = "half \ud83d of a pair"
OUTPUTS = {
    "stream": new_output("stream", name="stdout", text=HALF),
    "html": new_output("display_data", {"text/html": f"<p>{HALF}</p>"}),
    "text": new_output("execute_result", {"text/plain": HALF}),
    "error": new_output("error", ename="E", evalue=HALF, traceback=[HALF]),
}


@pytest.mark.parametrize(
    "cell",
    [
        new_markdown_cell(HALF),
        new_code_cell(f"print({HALF!r}, '{HALF}')", execution_count=1),
        *(new_code_cell("1", outputs=[output]) for output in OUTPUTS.values()),
    ],
)
def test_a_page_shows_what_stands_around_half_a_surrogate_pair(cell, tmp_path):
    cells = [new_markdown_cell("# A title"), cell, new_markdown_cell("and the end")]
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps(new_notebook(cells=cells)))
    html = notebook_page.render(file).read_text(encoding="utf-8")
    shown = BeautifulSoup(html, "html.parser").get_text()
    assert "half \ufffd of a pair" in shown and "and the end" in shown


def test_a_notebook_in_another_encoding_is_refused(tmp_path):
    file = tmp_path / "a.ipynb"
    file.write_bytes(json.dumps(new_notebook(cells=[new_markdown_cell("é")])).encode("utf-16"))
    with pytest.raises(ValueError, match=r"is not a notebook: give the \.ipynb that papermill"):
        notebook_page.render(file)
