"""The landing page of a scale: what came out, where each run is, and the way to every page; in a
browser, too."""

import json
import os
import platform
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
import simulated_runs
from chromium import opened
from conftest import ODD

from distill_nb import params
from distill_nb.report import failures, index_page, run_pairs
from distill_nb.runtime import files, lock

TWO = (("pocket_math.yaml", "pocket_math"), ("pocket_code.yaml", "pocket_code"))


def two(scale, first=None, second=None):
    """Two pocket runs; first, second: how each is written (simulated_runs.write_run)."""
    (a, math), (b, code) = TWO
    simulated_runs.pocket(scale, (a, math, first or {}), (b, code, second or {}))
    return scale


def texts(page: str) -> str:
    """The words of a page."""
    body = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def sentence_of(page: str) -> str:
    return unescape(re.search(r'<p class="sentence">(.*?)</p>', page)[1])


def test_links_lead_to_folders_with_odd_names(tmp_path):
    scale = tmp_path / ODD / "pocket"
    folder = scale / f"{ODD} #1 50%20 <b>"  # a run that was copied by hand
    folder.mkdir(parents=True)
    record = {"parameters": dict(params.pocket_values()), "finished": True}
    (folder / "provenance_train.json").write_text(json.dumps(record))
    (folder / "train.html").touch()
    page = index_page.index(scale)
    text = page.read_text()
    (address,) = re.findall(r'<a href="([^"]*train\.html)">training</a>', text)
    assert not re.search(r"[ '\"#<é]", address)
    assert (page.parent / unquote(unescape(address))).samefile(folder / "train.html")
    assert "<b>" not in text


def test_one_run(tmp_path):
    simulated_runs.pocket(tmp_path, ("pocket_math.yaml", "pocket_math", {}))
    page = index_page.html(tmp_path)
    assert re.fullmatch(
        r"Math 0 → \d\d%, a gain, in format or length as much as in skill; "
        r"code \d\d → \d\d%, inconclusive\.",
        sentence_of(page),
    )
    assert "1 run: 1 done." in page and "As of" not in page
    assert page.count('<section class="card">') == 1 and "The same as a table" not in page
    assert 'data-csv="run,student,teacher,domain,benchmark,step,accuracy' in page
    assert "Figure 1. Accuracy of every run by step" in page


def test_two_runs_of_which_one_is_being_trained(tmp_path):
    scale = two(tmp_path, second={"trained_to": 12})
    about = {"host": platform.node(), "pid": os.getpid(), "doing": "being trained", "since": "?"}
    (scale / "pocket_code" / lock.FILE).write_text(json.dumps(about))
    page = index_page.html(scale)
    assert sentence_of(page).startswith("Math 0 → ")
    assert "2 runs: 1 done, 1 running. As of 20" in texts(page)
    assert "running training, step 12 of 30" in texts(page)
    assert "done evaluated 3 of 3 checkpoints" in texts(page)
    assert page.count('<svg aria-label="') + page.count('<svg class="spark"') == 3
    table = texts(page).partition("All runs")[2]
    assert "pocket_code running training, step 12 of 30 Generator (pocket, 180)" in table


def test_before_anything_is_evaluated_it_says_so(tmp_path):
    two(tmp_path, {"evaluated_to": -1}, {"trained_to": 3})
    page = index_page.html(tmp_path)
    assert sentence_of(page).startswith("No evaluation of a checkpoint is finished yet")
    assert "<figure" not in page and "Comparisons" not in page
    assert "2 runs: 1 waiting, 1 stopped." in texts(page)
    assert "No run of this scale has been evaluated yet." in page


def test_a_run_that_failed(tmp_path):
    two(tmp_path, second={"trained_to": 12})
    failures.keep(tmp_path / "pocket_code", "train", 1, ["RuntimeError: no room"], 0.0)
    page = texts(index_page.html(tmp_path))
    assert "2 runs: 1 done, 1 failed." in page and "RuntimeError: no room" in page
    assert "failed train, step 12 of 30" in page
    assert "training: begun, no page · evaluation: not executed" in page


def test_the_margin_is_that_of_the_analysis(tmp_path):
    simulated_runs.pocket(tmp_path, ("pocket_math.yaml", "pocket_math", {}))
    assert sentence_of(index_page.html(tmp_path)).endswith("inconclusive.")
    record = {"parameters": {"margin": 60.0}}
    files.write_json(tmp_path / "report" / "provenance_analyze.json", record)
    assert sentence_of(index_page.html(tmp_path)).endswith("equivalent.")


def test_the_pages_of_the_report_are_named_in_their_order(tmp_path):
    folder = tmp_path / "pocket" / "report"
    folder.mkdir(parents=True)
    for name in ("zeta", "published", "alpha", "compare_a_1_and_b_1", "index"):
        (folder / f"{name}.html").write_text("<title>t</title>")
    page = index_page.html(folder.parent)
    links = re.findall(r'<a href="([^"#]*)">([^<]*)</a>', page.partition("<h2")[0])
    assert links == [
        ("published.html", "The published study"),
        ("alpha.html", "alpha"),
        ("zeta.html", "zeta"),
    ]
    assert "Analysis of these runs: not executed" in page
    assert '<a href="compare_a_1_and_b_1.html">t</a>' in page
    (folder / "analyze.html").write_text("")
    (folder / "paper.pdf").write_text("")
    page = index_page.html(folder.parent).partition("<h2")[0]
    assert re.findall(r'<a href="([^"#]*)">', page) == [
        "analyze.html", "published.html", "paper.pdf", "alpha.html", "zeta.html",
    ]  # fmt: skip


def test_the_end_of_a_stage_renews_the_page_and_says_what_has_not_begun(tmp_path):
    scale = two(tmp_path, second={"trained_to": 12})
    index_page.renew(scale, {"pocket_math", "pocket_code", "third"})
    page = (scale / "report" / "index.html").read_text(encoding="utf-8")
    assert "Not begun yet: third." in page and "3 runs: 1 done, 1 waiting, 1 stopped." in page
    assert not list((scale / "report").glob("compare_*")), "that would take its time"
    assert "distill-nb compare pocket_math@base pocket_math@30" in page
    two(scale)
    index_page.index(scale)  # whoever writes it next knows the plan
    page = (scale / "report" / "index.html").read_text(encoding="utf-8")
    assert "3 runs: 2 done, 1 waiting." in page
    address = "compare_pocket_math_0_and_pocket_math_30.html"
    assert f'<a href="{address}">' in page and (scale / "report" / address).is_file()


def test_a_page_that_cannot_be_written_is_no_failure_of_the_stage(tmp_path, caplog):
    scale = two(tmp_path)
    records = next(scale.glob("pocket_math/eval/step_00000/*.jsonl"))
    records.write_text("{\n" + records.read_text())
    index_page.renew(scale)
    assert "was not written: " in caplog.text and "line 1 is damaged" in caplog.text
    index_page.renew(tmp_path / "missing" / "scale")
    (scale / "report").write_text("in the way")
    index_page.renew(scale, {"a"})
    assert caplog.text.count("was not written: ") >= 2


# ---- in a browser


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two runs with their comparisons, and a page of each kind that a card may lead to."""
    scale = two(tmp_path_factory.mktemp("two") / "pocket")
    for place in ("train.html", "eval.html", "answers.html", "checkpoints/step_00030/README.md"):
        file = scale / "pocket_math" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("<title>a page</title>")
    index_page.index(scale)
    return scale


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The study under way: of ten runs two are being evaluated, one failed, one is trained."""
    scale = tmp_path_factory.mktemp("ten") / "full"
    simulated_runs.ten(
        scale,
        llama8b_code_4k={"evaluated_to": 300, "keep": 0.5},
        sonnet_math_llama_4k={"evaluated_to": -1},
        sonnet_code_llama_4k={"trained_to": 140},
    )
    failures.keep(scale / "sonnet_code_llama_4k", "train", 1, ["RuntimeError: no room"], 0.0)
    about = {"host": platform.node(), "pid": os.getpid(), "doing": "being evaluated"}
    (scale / "llama8b_code_4k" / lock.FILE).write_text(json.dumps(about))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pairs, "MOST", 2)
        index_page.index(scale)
    return scale


def seen(browser, scale, width, **options):
    return opened(browser, scale, "report/index.html", width=width, **options)


def assert_sound(page, wrong, scale):
    """Nothing failed to load, every link leads to a file, and the page is small."""
    assert wrong == []
    for link in page.eval_on_selector_all("a[href]", "links => links.map(a => a.href)"):
        file, _, anchor = unquote(link).removeprefix("file://").partition("#")
        assert Path(file).is_file(), link
        assert not anchor or page.locator(f'[id="{anchor}"]').count() == 1, link
    assert (scale / "report" / "index.html").stat().st_size < 2_000_000


def test_two_runs_in_a_browser(browser, small):
    page, wrong = seen(browser, small, 1400)
    assert page.locator(".sentence").inner_text().startswith("pocket_code: code ")
    assert page.locator("figure.figure img").evaluate("i => i.complete && i.naturalWidth > 300")
    assert page.locator(".card").count() == 2 and page.locator(".card .spark").count() == 4
    links = page.locator(".card", has_text="pocket_math").locator(".pages a").all_inner_texts()
    assert links == ["training", "evaluation", "answers", "model card"]
    with page.expect_download() as saved:
        page.locator("figure.figure + .downloads button", has_text="CSV").click()
    rows = Path(saved.value.path()).read_text().splitlines()
    assert rows[0].startswith("run,student,teacher") and len(rows) == 1 + 2 * 2 * 4
    assert_sound(page, wrong, small)
    pairs = page.locator(".pairs li")
    assert (
        "math +" in pairs.first.inner_text() and "the second is better" in pairs.first.inner_text()
    )
    pairs.locator("a", has_text="pocket_math: base student and step 30").click()
    assert page.locator("h1").inner_text().startswith("Compare: pocket_math, base")
    page.context.close()


def test_ten_runs_in_a_browser(browser, large):
    page, wrong = seen(browser, large, 1400)
    said = page.locator(".sentence").inner_text()
    assert re.match(r"8 runs, each at its last checkpoint: in their own domain \d+ gains?", said)
    assert page.locator(".card").count() == 13
    states = page.locator(".card .state").all_inner_texts()
    assert sum(state.startswith("done") for state in states) == 10
    assert "running evaluation, evaluated 2 of 5 checkpoints, 3,997 of 6,852 problems" in states
    assert "failed train, step 140 of 500" in states
    assert "waiting trained, not evaluated yet" in states
    assert page.locator(".card h3").last.inner_text().startswith("baseline_qwen_instruct")
    pairs = page.locator(".pairs li")
    names = pairs.all_text_contents()
    assert names[1].startswith(
        "math_4k_lr5, step 500, and sonnet_math_qwen_4k, step 500: HumanEval+ "
    )
    assert len([name for name in names if "base student" not in name]) == 2
    assert pairs.locator("a").count() == 2 and "distill-nb compare" in names[2]
    assert_sound(page, wrong, large)
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_but_boxes_is_wider_than_the_screen(browser, small, large, scheme):
    for scale in (small, large):
        page, wrong = seen(browser, scale, 380, color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        wide = """all => all.filter(e => e.getBoundingClientRect().right > 381
            && !e.closest('.wide, .figure, pre')).map(e => e.outerHTML.slice(0, 200))"""
        assert page.eval_on_selector_all("main *", wide) == [] and wrong == []
        page.context.close()
