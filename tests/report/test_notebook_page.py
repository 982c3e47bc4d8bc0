"""Pages: self-contained, the code folded, progress bars in their final state, links that
resolve."""

import base64
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import pytest
import simulated_scale
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from distill_nb.report import index_page, notebook_page

PIXEL = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    )
).decode()


def stream(text, name="stderr"):
    return new_output("stream", name=name, text=text)


def save(folder, cells, name="train", **metadata):
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=metadata), folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def small_notebook(folder, name="train"):
    table = "<table><tr><td>47.9</td></tr></table>"
    dot = new_output(
        "display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": 'A "dot" < 1'}}
    )
    return save(
        folder,
        [
            new_markdown_cell(
                "# Train: a <student>\n\nSee [the paper](https://example.org/paper)."
            ),
            new_code_cell("learning_rate = 0.111", metadata={"tags": ["parameters"]}),
            new_code_cell(
                '# Parameters\nlearning_rate = 0.222\nother_parameters = {"seed": 0.333}\n',
                metadata={"tags": ["injected-parameters"]},
            ),
            new_code_cell(
                "hidden_call()",
                metadata={"tags": ["hide-input"]},
                outputs=[
                    stream("\r  0%|          | 0/3\r 67%|██████▋   | 2/3"),
                    stream("said in between\n", "stdout"),
                    stream("\r100%|██████████| 3/3\n"),
                    dot,
                    new_output("display_data", {"text/html": table, "text/plain": "47.9"}),
                    new_output("display_data", {"application/javascript": "alert(1)"}),
                ],
            ),
            new_code_cell("visible_call()"),
        ],
        name,
    )


class Page(HTMLParser):
    """Text outside and inside <details>, and every attribute that a browser follows."""

    def __init__(self, path):
        super().__init__()
        self.depth, self.folded, self.shown, self.links, self.loads, self.tags = (
            0,
            "",
            "",
            [],
            [],
            [],
        )
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.depth += tag == "details"
        if tag == "a":
            self.links.append(attrs.get("href"))
        self.loads += [attrs["src"]] if "src" in attrs else []
        self.loads += [attrs["href"]] if tag == "link" else []

    def handle_endtag(self, tag):
        self.depth -= tag == "details"

    def handle_data(self, data):
        if self.depth:
            self.folded += data
        else:
            self.shown += data


def test_a_page_loads_nothing_and_reads_on_a_phone(tmp_path):
    html = notebook_page.render(small_notebook(tmp_path / "pocket" / "a_run"))
    page, text = Page(html), html.read_text(encoding="utf-8")
    assert html == tmp_path / "pocket" / "a_run" / "train.html"
    assert [load[:22] for load in page.loads] == ["data:image/png;base64,"]
    assert not re.search(
        r'src="http|<link|@import|(?<!Object)url\(|require\.js|requirejs|mathjax|mermaid',
        text,
        re.IGNORECASE,
    )
    assert ("html", {"lang": "en"}) in page.tags
    assert (
        "meta",
        {"name": "viewport", "content": "width=device-width, initial-scale=1"},
    ) in page.tags
    assert "<title>Train: a &lt;student&gt;</title>" in text
    (image,) = [a for tag, a in page.tags if tag == "img"]
    assert image["alt"] == 'A "dot" < 1' and "No description" not in text
    (box,) = [a for tag, a in page.tags if a.get("class") == "wide"]
    assert (box["role"], box["tabindex"], box["aria-label"]) == ("region", "0", "table: Train: a")
    assert "max-width: 100%" in text and "47.9" in page.shown and "alert(1)" not in text
    assert len(text) < 40_000, "the page carries more than its own style"


def test_code_and_parameters_are_folded_and_only_declared_ones_are_there(tmp_path):
    page = Page(notebook_page.render(small_notebook(tmp_path)))
    assert "hidden_call" in page.folded and "hidden_call" not in page.shown
    assert "0.111" in page.folded and "0.222" in page.folded
    assert "0.333" not in page.folded + page.shown, "a parameter that the notebook does not declare"
    assert "visible_call" in page.shown
    assert (
        page.folded.count("show code") == 2
        and page.folded.count("show parameters of this run") == 1
    )
    assert any(tag == "button" and a.get("id") == "all-code" for tag, a in page.tags)
    assert "show all code" in page.shown


def test_a_notebook_that_was_not_executed_gets_no_page(tmp_path):
    notebook = save(tmp_path, [new_code_cell("learning_rate = 0.111")])
    with pytest.raises(ValueError, match=r"train\.ipynb was not executed: run it with papermill"):
        notebook_page.render(notebook)


def test_headings_have_addresses_and_a_list_and_the_runs_name(tmp_path):
    texts = ["# Train", "## One thing", "## One thing", "### A part", "## Last"]
    scale = tmp_path / "tiny" / "my_run"
    (scale / "eval").mkdir(parents=True)
    html = notebook_page.render(save(scale, [new_markdown_cell(text) for text in texts]))
    soup = BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser")
    assert soup.h1.get_text() == "Train · my_run #"
    assert [h["id"] for h in soup.find_all(["h2", "h3"])] == [
        "one-thing", "one-thing-2", "a-part", "last",
    ]  # fmt: skip
    listed = [(a["href"], a.get_text()) for a in soup.select(".contents a")]
    assert listed[1:3] == [("#one-thing-2", "One thing"), ("#a-part", "A part")]
    assert len(listed) == 4


def test_an_svg_has_its_words_a_caption_and_its_data(tmp_path):
    words = "Two bars of 1.5 points. The first is higher."
    picture = new_output(
        "display_data",
        {"image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg'/>"},
        metadata={"image/svg+xml": {"alt": words, "csv": 'a,b\n1,"<x>"\n'}},
    )
    html = notebook_page.render(save(tmp_path, [new_code_cell("1", outputs=[picture])]))
    soup = BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser")
    assert soup.img["alt"] == words and soup.figure["data-csv"] == 'a,b\n1,"<x>"\n'
    assert unquote(soup.img["src"].partition(",")[2]).startswith("<svg")
    assert soup.figcaption.get_text() == "Figure 1. Two bars of 1.5 points."


def test_columns_of_numbers_stand_at_the_right(tmp_path):
    table = (
        "<table><thead><tr><th>name</th><th>%</th><th>mixed</th></tr></thead><tbody>"
        "<tr><td>a</td><td>47.9* [35, 61]</td><td>1</td></tr>"
        "<tr><td>b</td><td>—</td><td>x</td></tr></tbody></table>"
    )
    output = new_output("display_data", {"text/html": table})
    html = notebook_page.render(save(tmp_path, [new_code_cell("1", outputs=[output])]))
    soup = BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser")
    right = ["number" in (cell.get("class") or []) for cell in soup.select("th, td")]
    assert right == [False, True, False] * 3


def test_only_the_final_state_of_a_bar_is_shown(tmp_path):
    page = Page(notebook_page.render(small_notebook(tmp_path)))
    assert "100%|██████████| 3/3" in page.shown and "said in between" in page.shown
    assert "67%" not in page.shown and "0/3" not in page.shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\nlines\n", "plain\nlines\n"),
        ("a: 0%\ra: 50%\ra: 100%\n", "a: 100%\n"),
        ("long text\rshort    \n", "short\n"),
        ("before\r\nafter", "before\nafter"),
        (
            "outer 0%\n\rinner 0%\rinner 100%\x1b[A\router 50%\n\rinner 7%  \x1b[A\router 99%",
            "outer 99%\ninner 7%",
        ),
    ],
)
def test_collapse_shows_what_a_terminal_would(text, shown):
    assert notebook_page.collapse(text) == shown


def test_widgets_become_their_text(tmp_path):
    view = {notebook_page.WIDGET_VIEW: {"model_id": "box"}, "text/plain": " 0%| | 0/30"}
    gone = {notebook_page.WIDGET_VIEW: {"model_id": "closed"}, "text/plain": " 0%| | 0/9"}
    hidden = {notebook_page.WIDGET_VIEW: {"model_id": "inner"}, "text/plain": " 0%| | 0/7"}
    state = {
        "box": {
            "state": {
                "_model_name": "HBoxModel",
                "children": ["IPY_MODEL_l", "IPY_MODEL_b", "IPY_MODEL_r"],
            }
        },
        "inner": {
            "state": {
                "_model_name": "HBoxModel",
                "children": ["IPY_MODEL_l"],
                "layout": "IPY_MODEL_no",
            }
        },
        "no": {"state": {"_model_name": "LayoutModel", "visibility": "hidden"}},
        "l": {"state": {"_model_name": "HTMLModel", "value": "Training: 100%"}},
        "b": {"state": {"_model_name": "FloatProgressModel", "value": 30.0, "max": 30.0}},
        "r": {"state": {"_model_name": "HTMLModel", "value": " 30/30 [01:50&lt;00:00]"}},
    }
    cell = new_code_cell(
        "x", outputs=[new_output("display_data", data) for data in (view, gone, hidden)]
    )
    page = Page(
        notebook_page.render(
            save(tmp_path, [cell], widgets={notebook_page.WIDGET_STATE: {"state": state}})
        )
    )
    assert "Training: 100% 30/30 [01:50<00:00]" in page.shown
    assert page.shown.count("Training") == 1
    assert not re.search("0/30|0/9|0/7", page.shown.replace("30/30", ""))


def test_a_page_that_would_load_something_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"train\.ipynb has a cell or output that loads .*example\.org/x\.png"
    ):
        notebook_page.render(save(tmp_path, [new_markdown_cell("![x](https://example.org/x.png)")]))
    assert not (tmp_path / "train.html").exists()


def test_what_is_no_notebook_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.ipynb does not exist"):
        notebook_page.render(tmp_path / "missing.ipynb")
    (tmp_path / "text.ipynb").write_text("no notebook")
    with pytest.raises(ValueError, match=r"text\.ipynb is not a notebook"):
        notebook_page.render(tmp_path / "text.ipynb")


def test_local_images_are_embedded(tmp_path):
    (tmp_path / "dot.png").write_bytes(base64.b64decode(PIXEL))
    page = Page(notebook_page.render(save(tmp_path, [new_markdown_cell("![a dot](dot.png)")])))
    assert page.loads == [f"data:image/png;base64,{PIXEL}"]


def run_folder(scale, name, finished=True, **params):
    folder = scale / name
    folder.mkdir(parents=True)
    record = {
        "parameters": {
            "teacher": "sonnet",
            "student": "smollm2-135m-instruct",
            "domain": "math",
            "seed": 0,
            "max_steps": 30,
        }
        | params,
        "finished": finished,
    }
    (folder / "provenance_train.json").write_text(json.dumps(record))
    return folder


def cards_of(text) -> dict[str, str]:
    """Run → its card, of a landing page."""
    cards = text.split('<section class="card">')[1:]
    names = [re.search(r"<h3[^>]*>([^<]*) <", card)[1] for card in cards]
    return {n: card.partition("</section>")[0] for n, card in zip(names, cards, strict=True)}


def test_links_to_notebooks_lead_to_their_pages(tmp_path):
    text = "See [the published study](published.ipynb) and [a site](https://example.org/x.ipynb)."
    folder = tmp_path / "somewhere"
    cells = [new_markdown_cell(f"# Our runs\n\n{text}")]
    page = notebook_page.render(save(folder, cells, "analyze"))
    assert [link for link in Page(page).links if "example" not in link] == ["#our-runs"]
    assert "See the published study and" in page.read_text()  # there is none yet
    save(folder, cells, "published")
    page = notebook_page.render(folder / "analyze.ipynb")
    assert "published.html" in Page(page).links
    # a report has both pages in time
    report = notebook_page.render(save(tmp_path / "pocket" / "report", cells, "analyze"))
    assert "published.html" in Page(report).links


def test_index_lists_every_run_and_its_links_resolve(tmp_path):
    scale = tmp_path / "pocket"
    notebook_page.render(small_notebook(run_folder(scale, "a_run", dataset="pocket")))
    small_notebook(scale / "a_run", "eval")
    run_folder(scale, "a_run_seed3", finished=False, seed=3, domain="<code>")
    (scale / "base_only" / "eval").mkdir(parents=True)
    (scale / "_base" / "eval").mkdir(parents=True)
    notebook_page.render(small_notebook(scale / "report", "analyze"))
    index = index_page.index(scale)
    page, text = Page(index), index.read_text(encoding="utf-8")
    links = [link for link in page.links if not link.startswith("#")]
    assert index == scale / "report" / "index.html"
    assert links == ["analyze.html", "../a_run/train.html"] and "3 runs: " in text
    assert all((index.parent / target).is_file() for target in links) and not page.loads
    for html in (scale / "a_run" / "train.html", scale / "report" / "analyze.html"):
        (back,) = [target for target in Page(html).links if target.endswith("index.html")]
        assert (html.parent / back).resolve() == index
    cards = cards_of(text)
    assert list(cards) == ["a_run", "a_run_seed3", "base_only"]
    assert (
        '<a href="../a_run/train.html">training</a> · '
        '<span class="missing">evaluation: executed, not rendered</span>' in cards["a_run"]
    )
    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", cards["a_run"])
    assert facts == [
        ("traces", "Generator (pocket)"),
        ("student", "smollm2-135m-instruct"),
        ("trained on", "math"),
        ("steps", "30"),
        ("seed", "0"),
    ]
    assert "<dd>&lt;code&gt;</dd>" in cards["a_run_seed3"] and "<dd>3</dd>" in cards["a_run_seed3"]
    assert (
        '<span class="missing">training: begun, no page</span> · '
        '<span class="missing">evaluation: not executed</span>' in cards["a_run_seed3"]
    )
    assert "stopped</span> training, step 0 of 30" in cards["a_run_seed3"]
    for name, done in (("a_run_seed3", True), ("base_only", False)):
        record = {"finished": done, "parameters": {"teacher": "none", "dataset": "none"}}
        (scale / name / "provenance_eval.json").write_text(json.dumps(record))
    cards = cards_of(index_page.index(scale).read_text(encoding="utf-8"))
    assert "evaluation: done, no page" in cards["a_run_seed3"]
    # a baseline is never trained
    assert "training" not in cards["base_only"]
    assert '<span class="missing">evaluation: begun, no page</span>' in cards["base_only"]
    assert "stopped</span> evaluation<" in cards["base_only"]
    assert text.count("is no model: its traces") == 1
    assert "No run of this scale has been evaluated yet." in text
    assert "The generator is no model: its traces" in text


def test_index_of_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is not a folder: give runs/<scale>"):
        index_page.index(tmp_path / "missing")


def test_an_index_of_tiny_runs_says_what_they_are(tmp_path):
    run_folder(tmp_path / "tiny", "a_run", dataset="pocket")
    text = index_page.index(tmp_path / "tiny").read_text(encoding="utf-8")
    assert "the students are random models" in text and "is no model: its traces" not in text
    assert "problems" not in text  # none was asked yet
    for sizes, said in (
        ({"math500": 12, "mbpp_plus": 9}, "Benchmarks have 9 to 12 problems."),
        ({"math500": 3}, "A benchmark has 3 problems."),
    ):
        scale = tmp_path / said / "tiny"
        simulated_scale.write(scale, ("run07.yaml",), sizes, (2,))
        text = index_page.index(scale).read_text(encoding="utf-8")
        assert f"generated. {said} The numbers mean nothing." in " ".join(text.split())


def test_the_index_leads_to_the_sets_of_traces(tmp_path):
    folder = tmp_path / "tiny" / "traces" / "r1_math"
    folder.mkdir(parents=True)
    (folder / "funnel.json").write_text('{"rows": 1234, "kept": 1000, "rejected": {}}')
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Traces")])
    nbformat.write(nb, folder / "traces.ipynb")
    assert "executed, not rendered" in index_page.index(tmp_path / "tiny").read_text()
    made = notebook_page.render(folder / "traces.ipynb")
    page = index_page.index(tmp_path / "tiny").read_text()
    assert 'href="../traces/r1_math/traces.html"' in page and "1,000" in page and "1,234" in page
    assert 'href="../../report/index.html"' in made.read_text()
