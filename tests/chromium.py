"""Headless Chromium, driven by Playwright, and pages opened in it without a network."""

import os
import shutil

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


# Chromium's shared memory may be 64 MB in a container; as root it has no sandbox of its own.
OPTIONS = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def launched():
    """() → the browser, closed at the end; skips where there is none. Where it has ended, as one
    does that is killed for memory, it is started anew, so that one test fails by it, not all."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: make setup"
    )
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: make setup-ci installs it where it may")
    with api.sync_playwright() as playwright:
        running = []

        def browser():
            if not (running and running[-1].is_connected()):
                new = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
                running.append(new)
            return running[-1]

        yield browser
        for each in running:
            each.close()


def opened(browser, pages, name, width=1280, **options):
    """A page without a network, and the list of what went wrong on it: requests, messages,
    errors."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
    page, wrong = context.new_page(), []
    page.on(
        "request",
        lambda r: (
            wrong.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None
        ),
    )
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("crash", lambda _: wrong.append("the page crashed"))
    page.goto((pages / name).as_uri())
    return page, wrong
