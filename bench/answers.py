"""The page of all answers at full size, in Chromium: 1,142 problems, six steps, 8,000 tokens.

    python bench/answers.py [--tokens 8000]

Makes a run whose answers are drawn from a vocabulary with the frequencies of Zipf's law, writes
its page, and opens it from the disk: seconds to the first rows of the list, of the first search
and of later ones, to an open answer. Prints them and writes bench/results/answers.json. Needs
Playwright and Chromium, and 1 GB of disk for a while."""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from distill_nb.benchmarks import Task
from distill_nb.report import answers_page
from distill_nb.runtime import jsonl, provenance
from distill_nb.runtime.files import write_json

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"math500": 500, "mbpp_plus": 378, "humaneval_plus": 164, "livecodebench": 100}
STEPS = range(0, 600, 100)
WORDS = 60_000  # of the vocabulary; one in ten is a number
TOKENS_A_WORD = 1.4
RARE = "zebrafish"  # stands in one answer
QUERIES = (RARE, "so the answer", f'"{RARE} quagga"', "17")


def vocabulary(rng: np.random.Generator) -> np.ndarray:
    letters = np.array(list("etaoinshrdlucmfwyp"))
    words = ["".join(rng.choice(letters, rng.integers(2, 11))) for _ in range(WORDS)]
    words[::10] = [str(i) for i in range(len(words[::10]))]
    return np.array(words)


def make(run: Path, tokens: int) -> dict:
    """Write the records of a run; returns its tasks."""
    rng = np.random.default_rng(0)
    words, count = vocabulary(rng), int(tokens / TOKENS_A_WORD)
    frequency = 1 / np.arange(1, WORDS + 1)
    cumulative = np.cumsum(frequency / frequency.sum())
    tasks = {}
    for name, size in SIZES.items():
        for i in range(size):
            text = " ".join(words[np.searchsorted(cumulative, rng.random(60))])
            kind = "math" if name == "math500" else "code"
            tasks[name, f"{name}/{i}"] = Task(f"{name}/{i}", text, kind, gold="17")
    for step in STEPS:
        for name in SIZES:
            made = []
            for benchmark, task_id in tasks:
                if benchmark == name:
                    text = " ".join(words[np.searchsorted(cumulative, rng.random(count))])
                    rare = f" {RARE} quagga" if (step, task_id) == (300, "math500/77") else ""
                    outcome = ("correct", "wrong", "truncated")[rng.integers(3)]
                    made.append(
                        {
                            "step": step,
                            "benchmark": name,
                            "task_id": task_id,
                            "sample": 0,
                            **dict.fromkeys(answers_page.READINGS, outcome),
                            "detail": "",
                            "answer": "17",
                            "completion_tokens": tokens,
                            "finish_reason": "stop",
                            "seconds": 1.0,
                            "engine": "none",
                            "grader": "",
                            "completion": f"<think>{text}{rare}</think>So the answer is $17$.",
                        }
                    )
            jsonl.write(run / "eval" / f"step_{step:05d}" / f"{name}.jsonl", made)
    return tasks


def measure(page: Path) -> dict:
    from playwright.sync_api import sync_playwright

    found: dict = {"search": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(args=["--no-sandbox"], executable_path=chromium())
        opened = browser.new_context(offline=True).new_page()
        start = time.perf_counter()
        opened.goto(page.as_uri())
        opened.wait_for_selector(".row")
        found["first_rows"] = round(time.perf_counter() - start, 2)
        opened.wait_for_selector("body[data-ready]")
        for query in QUERIES:
            start = time.perf_counter()
            opened.fill("[name=q]", query)
            opened.wait_for_function("q => document.body.dataset.query === q", arg=query)
            taken = round(time.perf_counter() - start, 2)
            rows = int(opened.inner_text("#state").split(" ")[0].replace(",", ""))
            found["search"][query] = {"seconds": taken, "rows": rows}
        start = time.perf_counter()
        opened.locator(".row").first.click()
        opened.wait_for_selector(".pair h3")
        found["open"] = round(time.perf_counter() - start, 2)
        found["browser"] = browser.version
        browser.close()
    return found


def chromium() -> str:
    import shutil

    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, default=8000)
    tokens = parser.parse_args().tokens
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "bench" / "made"
        tasks = make(run, tokens)
        start = time.process_time()
        page = answers_page.write(run, tasks)
        written = round(time.process_time() - start, 1)
        size = sum(file.stat().st_size for file in (run / "answers").iterdir())
        result = {
            "device": provenance.device(),
            "answers": len(tasks) * len(STEPS),
            "tokens": tokens,
            "records_mb": round(sum(f.stat().st_size for f in run.rglob("*.jsonl")) / 1e6),
            "page_mb": round(page.stat().st_size / 1e6, 2),
            "scripts_mb": round(size / 1e6),
            "write_processor_seconds": written,
            **measure(page),
        }
    print(json.dumps(result, indent=1))
    write_json(ROOT / "bench" / "results" / "answers.json", result)


if __name__ == "__main__":
    main()
