"""The pages of a small but complete report in a real browser: headless Chromium, driven by
Playwright.

One math and one code run at tiny size, with a replicate, go through the real notebooks; outcomes
are then written over (a random model answers nothing), so that answers flip, and every page is
looked at."""

import hashlib
import itertools
import json
from pathlib import Path

import pytest
from chromium import opened
from test_notebooks import papermill

from distill_nb import params
from distill_nb.evaluation import evaluate
from distill_nb.report import accessible, index_page, markup, notebook_page
from distill_nb.runtime import jsonl, paths
from distill_nb.training import train

MATH, CODE = "sonnet_math_llama_4k", "llama8b_code_4k"
PAGES = [
    f"{MATH}/train.html",
    *(f"{run}/eval.html" for run in (MATH, CODE)),
    "report/analyze.html",
    "report/published.html",
    "traces/r1_math/traces.html",
    "report/index.html",
]
every_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def pages(chromium_process, tmp_path_factory) -> Path:
    """The folder of a scale with its report."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(folder / "runs"))
        scale, changes = folder / "runs" / "tiny", {"benchmark_limit": 12}
        for run, seed in (("run09", 0), ("run08", 0), ("run09", 1)):
            p = params.validate(
                params.read_files(f"{run}.yaml", "tiny.yaml") | changes | {"seed": seed}
            )
            out = paths.run_dir(p)
            out.mkdir(parents=True)
            if f"{p.run_name}/train.html" in PAGES and not seed:
                executed(papermill("train", out / "train.ipynb", run, "tiny", **changes))
            else:
                train.train(p)
            evaluate.evaluate(p)
            for file in [*scale.glob("_base/*/*.jsonl"), *out.glob("eval/step_*/*.jsonl")]:
                jsonl.write(file, [told(record) for record in jsonl.read(file)])
            if not seed:
                executed(papermill("eval", out / "eval.ipynb", run, "tiny", **changes))
        (scale / "traces" / "r1_math").mkdir(parents=True)
        executed(
            papermill(
                "traces",
                scale / "traces" / "r1_math" / "traces.ipynb",
                "traces_r1_math",
                "traces_tiny",
            )
        )
        (scale / "report").mkdir(exist_ok=True)
        executed(
            papermill("analyze", scale / "report" / "analyze.ipynb", scale="tiny", select_on="dev")
        )
        executed(papermill("published", scale / "report" / "published.ipynb"))
        for page in PAGES[:-1]:
            notebook_page.render((scale / page).with_suffix(".ipynb"))
        index_page.index(scale)
    return scale


def executed(done) -> None:
    assert done.returncode == 0, done.stderr[-3000:]


def told(record: dict) -> dict:
    """A record with an outcome that depends on its problem and step alone."""
    draw = hashlib.sha256(f"{record['task_id']} {record['step']}".encode()).digest()[0] % 4
    outcome = ("correct", "correct", "wrong", "truncated")[draw]
    return record | {
        "outcome": outcome,
        "lenient_outcome": "correct" if outcome == "wrong" and record["step"] else outcome,
        "second_outcome": outcome,
        "completion": f"It is <b>{draw}</b>.",
        "answer": str(draw),
    }


@every_page
def test_a_page_loads_alone_and_every_link_resolves(browser, pages, name):
    page, wrong = opened(browser, pages, name)
    assert wrong == [] and page.evaluate("document.documentElement.lang") == "en"
    assert (pages / name).stat().st_size < 2_000_000
    links = page.eval_on_selector_all("a[href]", "links => links.map(a => a.href)")
    assert links
    for link in links:
        file, _, anchor = link.removeprefix("file://").partition("#")
        assert link.startswith(("file:", "https:")), link
        if link.startswith("file:"):
            assert Path(file).is_file(), link
            assert not anchor or f'id="{anchor}"' in Path(file).read_text(), link
    page.context.close()


def test_the_table_of_contents_stays_in_view_and_leads_to_headings(browser, pages):
    page, _ = opened(browser, pages, "report/analyze.html", width=1500)
    entries = page.locator(".contents a")
    assert entries.count() > 5
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    box = page.locator(".contents").bounding_box()
    assert box and 0 <= box["y"] < 900  # in the window, though the page is at its end
    entry = entries.nth(3)
    heading = page.locator(f"id={entry.get_attribute('href')[1:]}")
    entry.click()
    page.wait_for_function("id => location.hash === '#' + id", arg=heading.get_attribute("id"))
    assert 0 <= heading.bounding_box()["y"] < 900
    page.context.close()


def test_the_index_leads_to_every_page_and_names_what_is_synthetic(browser, pages):
    page, _ = opened(browser, pages, "report/index.html")
    links = page.eval_on_selector_all("a[href]", "links => links.map(a => decodeURI(a.href))")
    assert {(pages / name).as_uri() for name in PAGES[:-1]} <= set(links)
    text = page.inner_text("main")
    assert (
        "Generator, thinking" in text
        and "sonnet" not in text.replace(MATH, "")
        and "the students are random models" in text
    )
    assert f"{MATH}_seed1" in text and "training: done, no page" in text
    page.context.close()


@every_page
def test_figures_have_words_tables_have_heads_and_headings_have_order(browser, pages, name):
    page, _ = opened(browser, pages, name)
    words = page.eval_on_selector_all(
        "img, svg", "all => all.map(e => e.getAttribute('alt') || e.getAttribute('aria-label'))"
    )
    assert all(text and len(text) > 40 and "No description" not in text for text in words), words
    assert len(set(words)) == len(words)
    least = {"traces": 1, "train": 1, "eval": 3, "analyze": 5, "published": 7, "index": 7}
    assert len(words) >= least[Path(name).stem]
    heads = page.eval_on_selector_all("th", "all => all.map(th => th.scope)")
    assert heads and set(heads) <= {"col", "row"}
    assert (
        page.eval_on_selector_all(
            "table", "all => all.filter(t => t.tBodies[0].rows.length === 0).length"
        )
        == 0
    )
    levels = page.eval_on_selector_all(
        "h1, h2, h3, h4, h5, h6", "all => all.map(h => +h.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    page.context.close()


@every_page
def test_on_a_phone_only_boxes_scroll(browser, pages, name):
    page, _ = opened(browser, pages, name, width=360)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    boxes = page.eval_on_selector_all(
        ".wide, .figure",
        """all => all.filter(b => b.scrollWidth > b.clientWidth).map(b => [
        b.tabIndex, b.getAttribute("role"), b.getAttribute("aria-label")])""",
    )
    assert boxes and all(tab == 0 and role == "region" and label for tab, role, label in boxes), (
        boxes
    )
    cut = """all => all.filter(
        e => e.getBoundingClientRect().right > 361 && !e.closest('.wide, .figure, .flips pre')
      ).map(e => e.outerHTML.slice(0, 200))"""
    assert page.eval_on_selector_all("main *", cut) == []
    page.context.close()


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const parts = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = rgb => rgb.slice(0, 3).map(c => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = parts(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = {};
  document.querySelectorAll("details").forEach(d => { d.open = true; });
  document.querySelectorAll("body, main *").forEach(e => {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || ["SCRIPT", "STYLE", "OPTION"].includes(e.tagName)) return;
    const ink = light(parts(getComputedStyle(e).color));
    const [a, b] = [ink, light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const text = e.textContent.slice(0, 40);
    if (ratio < 4.5) found[`${e.tagName} ${e.className}`] = `${ratio.toFixed(2)} ${text}`;
  });
  return found;
}"""


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_a_light_and_a_dark_screen(browser, pages, name, scheme):
    page, _ = opened(browser, pages, name, color_scheme=scheme)
    assert page.evaluate(CONTRAST) == {}
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    page.context.close()


def column(page, table: int, number: int) -> list[str]:
    return page.evaluate(
        """([t, i]) => [...document.querySelectorAll("table")[t].tBodies[0].rows]
        .map(row => row.cells[i].textContent.trim())""",
        [table, number],
    )


SAMPLE = {
    "name": ["b", "a", "c", "d", "e"],
    "accuracy": ["9.1 [4, 20]", "—", "47.9* [35, 61]", "100.0 [90, 100]", "−3.5"],
    "p": ["2.0e-04", "0.03", "", "1", "nan"],
}


def test_tables_sort_by_click_and_by_key(browser, pages, tmp_path):
    cells = (
        "".join(f"<td>{cell}</td>" for cell in row) for row in zip(*SAMPLE.values(), strict=True)
    )
    rows = "".join(f"<tr>{row}</tr>" for row in cells)
    heads = "".join(f"<th>{name}</th>" for name in SAMPLE)
    html = markup.fill(
        "runs.html.j2",
        scale="s",
        sentence="",
        sizes="",
        counts="0 runs",
        waiting=[],
        written="",
        pages=[],
        figure=None,
        cards=[],
        facts="",
        generated=False,
        comparisons=[],
        failed=[],
        sets=[],
        accuracy=f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>",
        differences=[],
    )
    (tmp_path / "page.html").write_text(accessible.page(html))
    page, wrong = opened(browser, tmp_path, "page.html")
    head = page.locator("table").nth(0).locator("th").nth(1)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, 0, 1) == ["−3.5", "9.1 [4, 20]", "47.9* [35, 61]", "100.0 [90, 100]", "—"]
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, 0, 1) == ["100.0 [90, 100]", "47.9* [35, 61]", "9.1 [4, 20]", "−3.5", "—"]
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") is None and column(page, 0, 0) == SAMPLE["name"]
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert column(page, 0, 2) == ["2.0e-04", "0.03", "1", "", "nan"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert column(page, 0, 0) == ["a", "b", "c", "d", "e"]
    assert page.locator("th[aria-sort]").count() == 1 and wrong == []
    page.context.close()


@every_page
def test_everything_is_reached_and_seen_by_tab(browser, pages, name):
    page, wrong = opened(browser, pages, name)
    wanted = page.evaluate("""() => {
      const stops = "a[href], button, select, summary, input, [tabindex='0']";
      const all = [...document.querySelectorAll(stops)];
      const seen = all.filter(e => e.checkVisibility() && !e.hidden);
      seen.forEach((e, i) => { e.dataset.stop = i; });
      return seen.length;
    }""")
    assert wanted
    reached = set()
    for _ in range(wanted + 40):  # Chromium stops at every box that scrolls, too
        page.keyboard.press("Tab")
        stop, outline = page.evaluate("""[document.activeElement.dataset.stop ?? "",
            getComputedStyle(document.activeElement).outlineStyle]""")
        if stop:
            assert outline != "none", page.evaluate(
                "document.activeElement.outerHTML.slice(0, 200)"
            )
            reached.add(stop)
    assert len(reached) == wanted and wrong == []
    page.context.close()


@pytest.mark.parametrize("run", [MATH, CODE])
def test_code_and_flips_open_and_filter_by_key(browser, pages, run):
    page, wrong = opened(browser, pages, f"{run}/eval.html")
    button, folds = page.locator("#all-code"), page.locator("details.code")
    button.focus()
    page.keyboard.press("Enter")
    assert (
        folds.evaluate_all("all => all.every(d => d.open)")
        and button.inner_text() == "hide all code"
    )
    page.keyboard.press("Space")
    assert folds.evaluate_all("all => all.every(d => !d.open)")
    folds.first.locator("summary").focus()
    page.keyboard.press("Enter")
    assert folds.first.evaluate("d => d.open")
    shown = page.locator(".flips details:visible")
    before = shown.count()
    assert before > 2 and page.locator(".flips output").inner_text() == f"{before} shown"
    page.locator(".flips select").nth(1).focus()
    page.keyboard.press("ArrowDown")
    kind = page.locator(".flips select").nth(1).input_value()
    assert kind and 0 < shown.count() < before
    assert shown.evaluate_all("all => [...new Set(all.map(d => d.dataset.kind))]") == [kind]
    shown.first.locator("summary").focus()
    page.keyboard.press("Enter")
    assert (
        "base: " in shown.first.inner_text()
        and "It is <b>" in shown.first.inner_text()
        and wrong == []
    )
    page.context.close()


def test_the_analysis_has_both_domains_both_rules_and_the_replicates(browser, pages):
    page, _ = opened(browser, pages, "report/analyze.html")
    text = page.inner_text("main")
    heads = page.locator("h2").all_inner_texts()
    assert [head.removesuffix(" #") for head in heads] == ["Verdicts", "Figures", "Tables"]
    assert page.locator("main li b").first.inner_text() in (MATH, CODE)  # before any figure
    for run in (MATH, CODE):
        assert f"{run}: best by " in text and " on one half of the problems is step " in text
    assert "answers sd" in text and "Generator math" in text
    page.locator("details", has_text="Every checkpoint by another grader").last.click()
    assert "second verdict" in page.inner_text("main")
    assert "129 published cells was run here" in text
    assert (
        json.loads((pages / "report" / "provenance_analyze.json").read_text())["parameters"][
            "select_on"
        ]
        == "dev"
    )
    page.context.close()


def test_the_published_study_and_our_runs_lead_to_each_other(browser, pages):
    page, wrong = opened(browser, pages, "report/published.html")
    heads = page.locator("h2").all_inner_texts()
    assert [head.removesuffix(" #") for head in heads] == ["Verdicts", "Figures", "Tables"]
    verdicts = page.locator("main ol > li > em").all_inner_texts()
    assert len(verdicts) == 7 and verdicts[0] == "confounded"
    page.get_by_role("link", name="Our own runs").click()
    assert page.url == (pages / "report" / "analyze.html").as_uri()
    page.get_by_role("link", name="The published study", exact=True).first.click()
    assert page.url == (pages / "report" / "published.html").as_uri() and wrong == []
    page.context.close()
