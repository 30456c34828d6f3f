"""The gateway's console files: pages, what may be kept, what pages may load, and what stays a problem."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from infra.gateway.app import create_app
from infra.gateway.gateway import Gateway
from infra.settings.settings import load

#: What browsers send when they navigate.
_PAGE = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(Gateway(load(nats_url="nats://127.0.0.1:1")))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/requests", "/requests/some-id", "/nodes?graph=a", "/index.html"])
async def test_every_page_is_the_one_page_and_is_asked_for_anew(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers=_PAGE)
    assert answer.status_code == 200
    assert '<div id="root">' in answer.text
    assert answer.headers["cache-control"] == "no-cache"


async def test_pages_load_nothing_from_elsewhere_and_run_files_alone(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/", headers=_PAGE)
    policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|https?://", answer.text)


async def test_hashed_files_are_kept_for_ever_and_code_is_compressed(http: httpx2.AsyncClient) -> None:
    page = (await http.get("/", headers=_PAGE)).text
    (script,) = re.findall(r'<script type="module" crossorigin src="(/assets/[^"]+\.js)"', page)
    answer = await http.get(script)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["content-encoding"] == "gzip"
    plain = await http.get(script, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == answer.text


@pytest.mark.parametrize("path", ["/assets/index-00000000.js", "/nowhere", "/favicon.ico"])
async def test_a_file_that_is_missing_is_a_problem(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "immutable" not in answer.headers.get("cache-control", "")


async def test_an_unknown_path_of_the_api_is_a_problem_for_a_browser_too(http: httpx2.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    first = {path.split("/")[1] for path in paths} | {"openapi.json"}
    for part in sorted(first):
        answer = await http.get(f"/{part}/there/is/nothing", headers=_PAGE)
        assert answer.status_code == 404, part
        # Paths of OpenAI's API have errors in its form.
        known = "application/json" if part == "v1" else "application/problem+json"
        assert answer.headers["content-type"] == known
    for path in ("/api", "/v1", "/api/v1/generations2"):
        assert (await http.get(path, headers=_PAGE)).status_code == 404


async def test_files_outside_the_console_are_not_served(http: httpx2.AsyncClient) -> None:
    for path in ("/../package.json", "/%2e%2e/package.json", "/assets/..%2f..%2fpackage.json"):
        assert (await http.get(path)).status_code == 404
