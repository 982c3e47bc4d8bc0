"""The documentation: built from the repository and an executed run, without a warning or a network;
its reference says what the code says."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from chromium import opened

from distill_nb.evaluation import record_fields, records
from distill_nb.params import Params
from distill_nb.runtime import paths

SOMETIMES = ("not_generated", "failed_for_good")  # fields of few records

pytest.importorskip("myst_nb", reason="Sphinx and MyST-NB are not installed: make docs")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(the tiny run's folder, the built site)."""
    folder = tmp_path_factory.mktemp("docs")
    environment = os.environ | {"DISTILL_NB_RUNS": str(folder / "runs")}
    line = [sys.executable, "-m", "distill_nb", "run", "pocket_math.yaml", "tiny.yaml"]
    subprocess.run(line, cwd=paths.ROOT, env=environment, check=True, capture_output=True)
    run = folder / "runs" / "tiny" / "pocket_math"
    docs = folder / "docs"
    wanted = subprocess.run(
        ["git", "ls-files", "-z", "docs"], cwd=paths.ROOT, capture_output=True, check=True
    )
    for name in filter(None, wanted.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((paths.ROOT / name).read_bytes())
    line = [sys.executable, "-m", "sphinx", "-b", "html", "-n", "-W", "--keep-going", "-q"]
    done = subprocess.run(
        [*line, str(docs), str(folder / "html")],
        env=environment | {"DISTILL_NB_DOCS_RUN": str(run), "PYTHONPATH": str(paths.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return run, folder / "html"


def test_the_parameters_and_the_commands_are_those_of_the_code(made):
    _, site = made
    page = (site / "reference" / "generated" / "run_parameters.html").read_text()
    shown = re.findall(r'<tr[^>]*>\s*<td><p><code[^>]*><span class="pre">(\w+)</span>', page)
    assert shown == list(Params.__dataclass_fields__)
    said = subprocess.run(
        [sys.executable, "-m", "distill_nb", "--help"], capture_output=True, text=True, check=True
    )
    commands = re.findall(r"^  (\w+)  ", said.stdout.split("Commands:")[1], re.MULTILINE)
    page = (site / "reference" / "command_line.html").read_text()
    assert len(commands) > 10
    assert [c for c in commands if f'id="distill-nb-{c}"' not in page] == []


def test_the_fields_of_a_record_are_those_that_are_written(made):
    run, _ = made
    assert set(record_fields.OUTCOMES) == set(records.OUTCOMES)
    for benchmark in ("pocket_math", "pocket_code"):
        file = run / "eval" / "step_00002" / f"{benchmark}.jsonl"
        written = json.loads(file.read_text().splitlines()[0])
        assert list(written) == [k for k in record_fields.FIELDS if k not in SOMETIMES]


def test_the_notebooks_show_their_outputs(made):
    _, site = made
    page = (site / "notebooks" / "train.html").read_text()
    assert "at step 4; " in page and "<svg" in page


class Links(HTMLParser):
    """The values of href and src."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [v for name, v in attrs if name in ("href", "src") and v]
        assert tag not in ("script", "link") or not self.fetched(dict(attrs)), attrs

    @staticmethod
    def fetched(attributes: dict) -> bool:
        return (attributes.get("src") or attributes.get("href") or "").startswith("http")


def test_links_lead_to_pages_and_nothing_tells_of_the_machine(made):
    _, site = made
    pages = [page for page in site.rglob("*.html") if "sample" not in page.parts]
    assert len(pages) > 40 and not list((site / "_sources").glob("*"))
    for page in pages:
        text, links = page.read_text(encoding="utf-8"), Links()
        links.feed(text)
        for link in map(urlsplit, links.found):
            if not link.scheme and link.path:
                assert (page.parent / unquote(link.path)).exists(), f"{page.name}: {link.path}"
        assert str(paths.ROOT) not in text, page.name


def test_pages_fetch_nothing_and_fit_a_phone(made, browser):
    _, site = made
    for name in ("index.html", "tutorial.html", "notebooks/eval.html", "reference/api.html"):
        page, wrong = opened(browser, site, name, width=380)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380, name
        assert not wrong, f"{name}: {wrong}"
        page.context.close()
    page, _ = opened(browser, site, "index.html")
    page.click("text=the sample")
    page.wait_for_url("**/sample/report/index.html")
    assert page.title() and page.locator("text=pocket_math").count() > 0
    page.context.close()
