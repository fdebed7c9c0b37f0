"""A real browser for the tests of the page; they are skipped, and say so, where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from minigrad import viz

from . import nets

ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


def launched(chromium, error):
    """The system's Chromium, else Playwright's own; without one, or what it needs, a skip."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is not None:
        return chromium.launch(executable_path=path, args=ARGS)
    own = Path(chromium.executable_path)
    if not own.exists():
        pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
    try:
        return chromium.launch(executable_path=own, args=ARGS)
    except error as failure:
        pytest.skip(f"Playwright's Chromium does not start here: {failure}"[:200])


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = launched(playwright.chromium, sync_api.Error)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens a page offline; at the end nothing may have been complained about."""
    complaints, requests, contexts = [], [], []

    def show(text, **options):
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        context = browser.new_context(
            **{"viewport": {"width": 1400, "height": 800}, "offline": True, **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text))
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("request", lambda r: requests.append(r.url))
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_selector("body[data-drawn]", timeout=30_000)
        return page

    yield show
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "blob:"))] == []


@pytest.fixture(scope="session")
def lstm():
    loss, params = nets.lstm(20)
    with viz.record(loss) as seen:
        loss.backward()
    return viz.draw_graph(loss, params=params, record=seen), seen, params
