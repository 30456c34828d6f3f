"""A browser, and one pipeline that most tests of the console share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

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


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Debian's Chromium instead of one that Playwright would download."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.fail("there is no Chromium: apt-get install chromium")
    return {"executable_path": found, "args": list(_ARGUMENTS)}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A pipeline with the scripted provider."""
    with run_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def console(site: Site, browser: Browser) -> Iterator[Page]:
    """A page of the console that may ask nobody but its gateway, and must report no error."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=site.url)
    with watched(context, site) as page:
        yield page
    context.close()


class watched:  # noqa: N801 - used as a function
    """A page whose foreign requests are refused, and whose errors fail the test."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self._context, self._site = context, site
        self.problems: list[str] = []

    def __enter__(self) -> Page:
        def decide(route: Any) -> None:
            if route.request.url.startswith((self._site.url, "data:", "blob:")):
                route.continue_()
            else:
                self.problems.append(f"asked for {route.request.url}")
                route.abort()

        self._context.route("**/*", decide)
        page = self._context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.set_default_timeout(15_000)
        return page

    def __exit__(self, *failure: object) -> None:
        if failure[0] is None:
            assert self.problems == []
