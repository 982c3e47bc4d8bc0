"""The page of all answers in a real browser, with made records of two runs of one scale."""

import csv
import json
import re

import pytest
from chromium import opened
from test_browser import CONTRAST

from distill_nb.benchmarks import Task
from distill_nb.evaluation.records import OUTCOMES
from distill_nb.report import answers_page, notebook_page
from distill_nb.runtime import jsonl

PROBLEMS, STEPS = 30, (0, 10, 20)
TASKS = {
    **{
        ("math500", f"algebra/{i}"): Task(
            f"algebra/{i}", f"Find $x^{{{i}}}$ of problem {i}.", "math", gold=f"\\frac{{{i}}}{{7}}"
        )
        for i in range(PROBLEMS)
    },
    **{
        ("pocket_code", f"pocket_code/{i}"): Task(
            f"pocket_code/{i}", f"Write f{i}.", "code", tests=f"assert f{i}(2) == {i}\n"
        )
        for i in range(PROBLEMS)
    },
}


def record(benchmark: str, i: int, step: int, sample: int, run: str) -> dict:
    """Problem i is right from step 10 × (i mod 3) on, and problem 7 is cut off at the end."""
    outcome = "correct" if step >= 10 * (i % 3) else "wrong"
    if i == 7 and step == 20:
        outcome = "truncated"
    text = f"<think>wondering about {run} {step}</think>So $\\sqrt{{{i}}}$ <b>is</b> it"
    if benchmark == "pocket_code":
        text = f"Here:\n```python\ndef f{i}(x):\n    return {i}  # at {step}\n```\nDone."
    if (benchmark, i, step) == ("math500", 11, 10):
        text += " zebrafish quickly\nquagga"
    return {
        "step": step,
        "benchmark": benchmark,
        "task_id": f"{'algebra' if benchmark == 'math500' else benchmark}/{i}",
        "sample": sample,
        "outcome": outcome,
        "lenient_outcome": "correct" if outcome == "truncated" else outcome,
        "second_outcome": outcome,
        "detail": "input 2: another value than expected" if outcome == "wrong" else "",
        "answer": f"{i}/7" if benchmark == "math500" else f"def f{i}(x): …",
        "finish_reason": "length" if outcome == "truncated" else "stop",
        "completion_tokens": 100 + i + step,
        "seconds": 0.5,
        "completion": text,
        "engine": "hf",
        "grader": "5",
    }


@pytest.fixture(scope="module")
def scale(tmp_path_factory):
    scale = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers_page, "CHUNK", 8000)
        for run, samples in (("first", 2), ("second run", 1)):
            for step in STEPS:
                for benchmark in ("math500", "pocket_code"):
                    jsonl.write(
                        scale / run / "eval" / f"step_{step:05d}" / f"{benchmark}.jsonl",
                        [
                            record(benchmark, i, step, sample, run)
                            for i in range(PROBLEMS)
                            for sample in range(samples)
                        ],
                    )
            answers_page.write(scale / run, TASKS)
    return scale


def ready(browser, scale, run="first", anchor="", **options):
    page, wrong = opened(browser, scale, f"{run}/answers.html", **options)
    if anchor:
        page.goto(f"{(scale / run / 'answers.html').as_uri()}#{anchor}")
        page.reload()
    page.wait_for_selector("body[data-ready]")
    return page, wrong


def state(page) -> str:
    return page.inner_text("#state")


def choose(page, name: str, label: str) -> None:
    page.locator(f"[name={name}]").select_option(label=label)


def test_one_folder_holds_all_that_the_page_reads(scale):
    folder = scale / "first" / "answers"
    names = sorted(file.name for file in folder.iterdir())
    assert names[0] == "index.js" and names[-1].startswith("words_") and len(names) > 4
    page = (scale / "first" / "answers.html").read_text(encoding="utf-8")
    assert len(page) < 2_000_000 and "http-equiv" not in page
    assert not notebook_page.FETCHES.search(page)
    again = {file.name: file.stat().st_mtime_ns for file in folder.glob("*_*.js")}
    (folder / "text_0123456789abcdef.js").write_text("stale")
    answers_page.write(scale / "first", TASKS)  # other chunks now, and the same words
    left = {file.name: file.stat().st_mtime_ns for file in folder.glob("*_*.js")}
    assert len(left) == 2 and again[names[-1]] == left[names[-1]]
    assert answers_page.write(scale / "nothing", TASKS) is None


def test_the_list_counts_and_filters(browser, scale):
    page, wrong = ready(browser, scale)
    # 2 samples × 2 benchmarks × 30 problems; right at once are those with i mod 3 = 0
    assert state(page) == "120 of 120 answers; right: 40 at base, 116 at step 20."
    choose(page, "b", "MATH-500")
    assert state(page).startswith("60 of 120 answers; right: 20 at base, 58")
    choose(page, "change", "gained: right only on the right")
    assert state(page).startswith("38 of 120")
    choose(page, "right", "step 10")
    assert state(page).startswith("20 of 120 answers; right: 0 at base, 20 at step 10")
    page.get_by_role("button", name="clear").click()
    page.wait_for_function("document.getElementById('state').textContent.startsWith('120 of')")
    page.locator("[name=or]").select_option("truncated")
    assert state(page).startswith("4 of 120")
    page.locator("[name=or]").select_option("")
    choose(page, "change", "graders disagree")
    assert state(page).startswith("4 of 120")
    choose(page, "change", "any")
    page.locator("[name=min]").fill("148")
    assert state(page).startswith("8 of 120")
    choose(page, "sort", "longest on the right")
    assert page.locator(".row").first.inner_text().startswith("MATH-500 algebra/29")
    assert wrong == []
    page.context.close()


def test_words_and_phrases_are_found_in_problems_and_in_any_answer(browser, scale):
    page, wrong = ready(browser, scale)

    def found(query: str) -> str:
        page.locator("[name=q]").fill(query)
        page.wait_for_function("q => document.body.dataset.query === q", arg=query)
        return state(page).split(" ")[0]

    assert found("zebrafish") == "2" and found("ZEBRA quagga") == "2"
    assert found("zebrafish base") == "0"
    assert found('"zebrafish quickly\nquagga"'.replace("\n", " ")) == "0"
    assert found('"zebrafish quickly"') == "2" and found('"quickly zebrafish"') == "0"
    assert found("problem find") == "60" and found("another value") == "80"
    assert found("29") == "4"  # whole, as it is short: the problem, and f29 is another word
    assert found("zebrafish") == "2"
    page.locator(".row").first.click()
    page.locator("[name=right]").select_option(label="step 10")
    page.wait_for_selector("text=zebrafish quickly")
    assert page.evaluate("CSS.highlights.get('found').size") >= 1
    assert wrong == []
    page.context.close()


def test_an_answer_is_shown_in_full_beside_another_run(browser, scale):
    page, wrong = ready(browser, scale)
    choose(page, "b", "MATH-500")
    page.locator(".row", has_text="algebra/7, sample 1").click()
    page.wait_for_selector(".pair h3")
    left, right = page.locator(".pair > section").all()
    assert left.locator("h3").inner_text() == "✗ base: wrong"
    assert right.locator("h3").inner_text() == "✂ step 20: truncated"
    assert "input 2: another value than expected" in left.inner_text()
    assert "ended by length" in right.inner_text() and "answer 7/7" in right.inner_text()
    assert "lenient reading: correct" in right.inner_text()
    assert "<b>is</b> it" in right.inner_text() and right.locator("b").count() == 0
    assert right.locator("math msqrt").count() == 1
    assert page.locator(".problem math").count() == 1
    assert page.locator(".gold").inner_text() == "Right answer: \\frac{7}{7}"
    fold = right.locator("details")
    assert not fold.evaluate("d => d.open") and "thinking" in fold.inner_text()
    fold.locator("summary").click()
    right.get_by_text("wondering about first 20").wait_for()
    page.locator(".row", has_text=re.compile(r"algebra/7\b(?!,)")).first.click()
    page.wait_for_selector("h2:text-is('algebra/7')")
    page.locator("[name=left]").select_option(json.dumps(["second run", 20], separators=(",", ":")))
    page.wait_for_selector("text=second run, step 20: truncated")
    page.locator(".row", has_text="algebra/7, sample 1").click()
    page.wait_for_selector("text=There is no answer here yet")  # it has one sample
    page.locator("[name=b]").select_option("pocket_code")
    page.locator(".row", has_text="pocket_code/5").first.click()
    page.wait_for_selector(".pair pre .hljs-keyword")
    page.get_by_text("tests", exact=True).click()
    assert page.locator("details pre").inner_text() == "assert f5(2) == 5\n"
    page.get_by_role("button", name="plain text").click()
    page.wait_for_selector("text=```python")
    assert wrong == []
    page.context.close()


def test_a_list_that_is_drawn_anew_under_the_pointer_loses_no_click(browser, scale):
    page, wrong = ready(browser, scale)
    row = page.locator(".row", has_text="algebra/2, sample 1")
    row.hover()
    page.mouse.down()
    page.locator("#list").evaluate("list => { list.scrollTop += 5; }")
    frame = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(frame)
    page.mouse.up()
    page.wait_for_selector("h2:text-is('algebra/2, sample 1')", timeout=5000)
    page.locator("#list").evaluate("list => { list.scrollTop = 2000; }")
    page.wait_for_function("document.querySelector('.row').id !== 'row0'")  # drawn anew again
    assert wrong == []
    page.context.close()


def test_a_link_and_the_keys_lead_to_an_answer(browser, scale):
    page, wrong = ready(browser, scale)
    choose(page, "b", "pocket_code")
    choose(page, "left", "step 10")
    page.locator("#list").press("j")
    page.wait_for_selector("h2:text('pocket_code/0')")
    for _ in range(3):
        page.keyboard.press("j")
    page.keyboard.press("k")
    page.wait_for_selector("h2:text-is('pocket_code/1')")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    address = page.url
    page.context.close()
    page, more = ready(browser, scale, anchor=address.partition("#")[2])
    assert page.locator("h2").inner_text() == "pocket_code/1"
    assert state(page).startswith("60 of 120") and "at step 10" in state(page)
    assert page.locator(".row[aria-selected=true]").inner_text().startswith("pocket_code/1")
    assert wrong + more == []
    page.context.close()


def test_the_rows_are_saved_as_csv(browser, scale, tmp_path):
    page, wrong = ready(browser, scale, run="second run")
    choose(page, "b", "MATH-500")
    with page.expect_download() as download:
        page.get_by_role("button", name="download CSV").click()
    download.value.save_as(tmp_path / "answers.csv")
    rows = list(csv.DictReader((tmp_path / "answers.csv").open(encoding="utf-8")))
    assert len(rows) == PROBLEMS and rows[7]["task_id"] == "algebra/7"
    assert (rows[7]["left_outcome"], rows[7]["right_outcome"]) == ("wrong", "truncated")
    assert rows[7]["right_tokens"] == "127" and rows[7]["right_answer"] == "7/7"
    assert wrong == []
    page.context.close()


@pytest.mark.parametrize("width, scheme", [(1400, "light"), (380, "dark")])
def test_the_page_fits_and_reads(browser, scale, width, scheme):
    page, wrong = ready(browser, scale, width=width, color_scheme=scheme)
    page.locator(".row").first.click()
    page.wait_for_selector(".pair h3")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == {}
    page.locator("#filters input").first.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert wrong == []
    page.context.close()


def test_a_lost_folder_is_said(browser, scale, tmp_path):
    (tmp_path / "answers.html").write_bytes((scale / "first" / "answers.html").read_bytes())
    page, _ = opened(browser, tmp_path, "answers.html")
    page.wait_for_selector("text=Keep the folder answers beside this page")
    page.context.close()


def test_every_outcome_has_a_sign():
    assert set(answers_page.SIGNS) == set(OUTCOMES)
