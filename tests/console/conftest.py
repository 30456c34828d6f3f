"""A browser, and one pipeline that the tests of the console share."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from tests.console.site import Site, run_site

#: Chromium asks its maker for nothing.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
#: Milliseconds that a page may take for anything, on a busy machine.
_PATIENCE_MS = 30_000
expect.set_options(timeout=_PATIENCE_MS)


def find_chromium() -> str:
    """The browser's program."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.fail(
            "Chromium is not installed, and the console is tested in it: install it (Debian: apt-get install chromium; "
            "macOS: brew install --cask google-chrome), or leave these tests out: just test --ignore tests/console",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="package")
def browser() -> Generator[Browser]:
    """The system's Chromium instead of one that Playwright would download.

    It ends with this folder's tests: as long as it runs, its driver's event loop keeps others from running.
    """
    program = find_chromium()
    with sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=program, args=_ARGUMENTS)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """A pipeline with the scripted provider."""
    with run_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@contextmanager
def open_browser(browser: Browser, url: str, **options: Any) -> Generator[BrowserContext]:
    """A new user's browser that may ask nobody but a gateway; an error of a page fails the test."""
    problems: list[str] = []

    def decide(route: Route) -> None:
        if route.request.url.startswith((url, "data:", "blob:")):
            route.fallback()
        else:
            problems.append(f"asked for {route.request.url}")
            route.abort()

    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=url, **options)
    context.set_default_timeout(_PATIENCE_MS)
    context.route("**/*", decide)
    context.on("weberror", lambda error: problems.append(str(error.error)))
    try:
        yield context
    finally:
        context.close()
    assert problems == []


@pytest.fixture
def tabs(site: Site, browser: Browser) -> Generator[BrowserContext]:
    """A browser of its own; its pages share cookies, storage and locks."""
    with open_browser(browser, site.url) as context:
        yield context


@pytest.fixture
def console(tabs: BrowserContext) -> Page:
    """A page of the console."""
    return tabs.new_page()
