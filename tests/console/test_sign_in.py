"""Signing in to the console: the token is in no address, no storage and no page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from infra.gateway.token_desk import issue_token
from infra.stores import access_tokens, database
from tests.console.conftest import open_browser
from tests.console.site import Site
from tests.ports import free_port

#: Everything of a page in which a text can be left.
_LEFT = """
async () => JSON.stringify([
  location.href, document.documentElement.outerHTML, [...document.querySelectorAll("input")].map((each) => each.value),
  { ...localStorage }, { ...sessionStorage }, document.cookie, history.state,
  await indexedDB.databases(), await caches.keys(),
])
"""


@contextmanager
def serve(site: Site, folder: Path) -> Generator[tuple[str, Engine]]:
    """A second gateway of a site's pipeline, which needs tokens; its URL, and the database that has them."""
    url = f"sqlite:///{folder / 'tokens.db'}"
    engine = database.engine_of(url)
    database.migrate(engine)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
    environment |= {
        "UNDERSTUDY_NATS_URL": site.nats_url,
        "UNDERSTUDY_NATS__KEYS": site.nats_keys,
        "UNDERSTUDY_DATABASE_URL": url,
        "UNDERSTUDY_DATA_DIR": str(folder),
        "UNDERSTUDY_GATEWAY__TOKENS": "required",
        "UNDERSTUDY_GATEWAY__PORT": str(free_port()),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "serve", "--json"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["http_url"], engine
    finally:
        process.terminate()
        process.wait(60)
        engine.dispose()


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_a_token_is_left_nowhere(site: Site, browser: Browser, tmp_path: Path) -> None:
    with serve(site, tmp_path) as (url, engine), open_browser(browser, url) as context:
        issued = issue_token(name="console", role="admin", now_ms=round(time.time() * 1000))
        access_tokens.add_token(engine, issued.stored)
        token, secret = issued.token.text, issued.token.secret
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto("/requests")
        sign_in(page, token[:-1] + ("a" if token[-1] != "a" else "b"))
        expect(page.get_by_role("alert")).to_contain_text("No valid token")
        sign_in(page, token)
        expect(page.get_by_role("navigation", name="Screens")).to_contain_text("admin")
        expect(page.get_by_role("heading", name="Requests")).to_be_visible()
        assert secret not in page.evaluate(_LEFT)
        (cookie,) = context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        assert secret not in cookie.get("value", "")

        page.get_by_role("link", name="Settings").click()
        page.get_by_label("Name").fill("a viewer")
        page.get_by_role("button", name="Create").click()
        shown = page.get_by_text(re.compile(r"^us_\w+"))
        made = shown.inner_text()
        page.reload()
        expect(page.get_by_role("cell", name="a viewer")).to_be_visible()
        left = page.evaluate(_LEFT)
        assert [
            each for each in (secret, made.rpartition("_")[2]) if each in left or each in str(asked)
        ] == []

        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token", exact=True)).to_be_visible()
        assert context.cookies() == []
