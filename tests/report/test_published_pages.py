"""The pages of a scale, copied for a web server: all that they lead to, and nothing else."""

import pytest

from distill_nb.report import answers_page, published_pages


def page(file, *links):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f'<a href="{link}">x</a>' for link in links))


@pytest.fixture
def scale(tmp_path):
    folder = tmp_path / "pocket"
    page(folder / "report" / "index.html", "../a%20run/eval.html#top", "https://x.org/y", "#here")
    page(folder / "a run" / "eval.html", "answers.html", "../report/index.html", "data:,x")
    page(folder / "a run" / answers_page.PAGE, "eval.html")
    for name in ("index.js", "text_1.js"):
        page(folder / "a run" / answers_page.FOLDER / name)
    page(folder / "report" / answers_page.RUNS)
    for name in ("a run/eval.ipynb", "a run/state/x.pt", "a run/eval/step_00000/b.jsonl"):
        page(folder / name)
    return folder


def test_what_the_pages_lead_to_is_copied_and_nothing_else(scale, tmp_path):
    to = tmp_path / "out"
    page(to / "old.html")
    files = published_pages.copy(scale, to)
    found = sorted(f.relative_to(to).as_posix() for f in to.rglob("*") if f.is_file())
    assert found == [
        "a run/answers.html",
        "a run/answers/index.js",
        "a run/answers/text_1.js",
        "a run/eval.html",
        "index.html",
        "report/answers_runs.js",
        "report/index.html",
    ]
    assert len(files) == len(found) - 1  # index.html leads to the report
    assert (to / "a run" / "eval.html").read_text() == (scale / "a run" / "eval.html").read_text()


@pytest.mark.parametrize("link", ["missing.html", "../../secret.html"])
def test_a_link_to_nothing_or_out_of_the_scale_is_told(scale, tmp_path, link):
    page(tmp_path / "secret.html")
    page(scale / "a run" / "eval.html", link)
    with pytest.raises(ValueError, match=rf"eval\.html: its link {link} leads to no file of this"):
        published_pages.copy(scale, tmp_path / "out")


def test_without_a_report(tmp_path):
    with pytest.raises(ValueError, match="there is no report yet; start a run first"):
        published_pages.copy(tmp_path, tmp_path / "out")
