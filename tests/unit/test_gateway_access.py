"""Access to the gateway: tokens, sessions, limits, changes, and secrets that appear nowhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine

from contracts.errors import Misconfigured
from infra.gateway.app import create_app
from infra.gateway.authentication import COOKIE
from infra.gateway.gateway import Gateway
from infra.gateway.server import check_address
from infra.gateway.token_desk import issue_token
from infra.gateway.tokens import make_token
from infra.stores import access_tokens
from infra.stores.changes import list_changes
from infra.telemetry.dispatch import Telemetry
from tests.unit.access_fixtures import EVERYWHERE, HOST, World, bearer, empty, engine, settings_of, world

__all__ = ["empty", "engine", "world"]


async def test_without_tokens_this_machines_user_may_do_everything(world: World) -> None:
    found = (await world.http.get("/api/session")).json()
    assert (found["role"], found["via"], found["token_id"]) == ("admin", "local", None)
    # Clients of OpenAI always send a key.
    assert (await world.http.get("/api/health", headers=bearer("sk-anything"))).status_code == 200
    world.issue("viewer")
    assert (await world.http.get("/api/health")).status_code == 401


async def test_a_database_of_an_older_version_has_no_tokens(tmp_path: Path, world: World) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE access_tokens")
    assert (await world.http.get("/api/health")).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "{token}x",
        "{token}\t{token}",
        "us_aaaaaaaaaa_" + "x" * 43,
        "",
        "sk-anything",
        "\u00e9",
    ],
)
async def test_what_is_not_a_token_is_refused(world: World, header: str) -> None:
    token = world.issue()
    value = f"Bearer {header.format(token=token)}".encode("latin-1")
    answer = await world.http.get("/api/health", headers={b"Authorization": value})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")


async def test_only_one_bearer_counts(world: World) -> None:
    token = world.issue()
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    assert (await world.http.get("/api/health", headers=twice)).status_code == 401
    assert (
        await world.http.get("/api/health", headers={"Authorization": f"Basic {token}"})
    ).status_code == 401
    assert (
        await world.http.get("/api/health", headers={"Authorization": f"bearer {token}"})
    ).status_code == 200
    assert (await world.http.get(f"/api/health?token={token}")).status_code == 401


async def test_the_right_id_with_another_secret_is_refused(world: World) -> None:
    token = world.issue()
    forged = token[:14] + make_token().text[14:]
    assert (await world.http.get("/api/health", headers=bearer(forged))).status_code == 401


async def test_revoked_and_expired_tokens_open_nothing(world: World) -> None:
    admin, other = world.issue(), world.issue("viewer", expires="1h")
    token_id = other.split("_")[1]
    assert (await world.http.get("/api/health", headers=bearer(other))).status_code == 200

    world.gateway.clock = lambda: time.time() + 3601
    expired = await world.http.get("/api/health", headers=bearer(other))
    assert (expired.status_code, expired.json()["detail"]) == (401, f"token {token_id} has expired")
    world.gateway.clock = time.time

    revoked = await world.http.delete(f"/api/v1/tokens/{token_id}", headers=bearer(admin))
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    assert (await world.http.get("/api/health", headers=bearer(other))).status_code == 401
    # To revoke the last token opens nothing.
    await world.http.delete(f"/api/v1/tokens/{admin.split('_')[1]}", headers=bearer(admin))
    assert (await world.http.get("/api/health")).status_code == 401


async def test_a_token_is_shown_once_and_its_use_is_noted(world: World) -> None:
    admin = world.issue()
    made = await world.http.post(
        "/api/v1/tokens",
        json={"name": "editor", "role": "designer", "expires": "30d"},
        headers=bearer(admin),
    )
    body = made.json()
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert (body["role"], body["created_by"], body["last_used"]) == ("designer", admin.split("_")[1], None)
    used = await world.http.get("/api/session", headers=bearer(body["token"]))
    assert used.json()["role"] == "designer"
    await world.gateway.access.close()
    shown = await world.http.get(made.headers["Location"], headers=bearer(admin))
    listed = await world.http.get("/api/v1/tokens", headers=bearer(admin))
    secret = body["token"].split("_", 2)[2]
    assert shown.json()["last_used"] is not None
    assert secret not in shown.text + listed.text
    assert [each["name"] for each in listed.json()] == ["test", "editor"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x", "role": "king"}, "/role"),
        ({"name": "x", "expires": "soon"}, "/expires"),
        ({"name": " x"}, "/name"),
        ({"name": ""}, "/name"),
        ({}, "/name"),
    ],
)
async def test_a_token_that_cannot_be_made_names_its_field(world: World, body: dict, pointer: str) -> None:
    answer = await world.http.post("/api/v1/tokens", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert access_tokens.list_tokens(world.engine) == []


async def test_an_admin_of_a_workspace_has_only_its_tokens(world: World) -> None:
    world.issue()
    red, blue = world.issue(workspace="red"), world.issue("client", workspace="blue")
    listed = await world.http.get("/api/v1/tokens", headers=bearer(red))
    assert [each["workspace"] for each in listed.json()] == ["red"]
    for method in ("GET", "DELETE"):
        answer = await world.http.request(method, f"/api/v1/tokens/{blue.split('_')[1]}", headers=bearer(red))
        none = await world.http.request(method, "/api/v1/tokens/nobody", headers=bearer(red))
        assert answer.status_code == none.status_code == 404
    assert (await world.http.get("/api/session", headers=bearer(blue))).status_code == 200
    made = [
        await world.http.post("/api/v1/tokens", json={"name": "x", "workspace": which}, headers=bearer(red))
        for which in ("red", None, "blue")
    ]
    assert [each.status_code for each in made] == [201, 201, 403]
    assert {each.json()["workspace"] for each in made[:2]} == {"red"}


async def test_a_session_is_a_cookie_that_pages_cannot_read(world: World) -> None:
    token = world.issue("viewer", workspace="red")
    opened = await world.http.post("/api/session", json={"token": token}, headers={"Origin": HOST})
    cookie = opened.headers["Set-Cookie"]
    assert (opened.status_code, opened.json()["via"]) == (200, "session")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert token.split("_", 2)[2] not in cookie + opened.text

    who = (await world.http.get("/api/session")).json()
    assert (who["role"], who["workspace"], who["via"]) == ("viewer", "red", "session")
    assert access_tokens.count_sessions(world.engine) == 1
    # A change needs the origin.
    assert (await world.http.delete("/api/session")).status_code == 403
    foreign = await world.http.delete("/api/session", headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    value = world.http.cookies[COOKIE]
    assert (await world.http.delete("/api/session", headers={"Origin": HOST})).status_code == 204
    assert COOKIE not in world.http.cookies
    world.http.cookies.set(COOKIE, value)
    assert (await world.http.get("/api/session")).status_code == 401
    assert access_tokens.count_sessions(world.engine) == 0


async def test_behind_https_the_cookie_is_secure(world: World) -> None:
    headers = {"Origin": "https://localhost"}
    opened = await world.http.post("/api/session", json={"token": world.issue()}, headers=headers)
    assert "Secure" in opened.headers["Set-Cookie"].split("; ")


async def test_a_session_ends_with_its_token_and_with_its_time(world: World) -> None:
    admin = world.issue()
    token = world.issue("viewer")
    for end in ("time", "token"):
        opened = await world.http.post("/api/session", json={"token": token}, headers={"Origin": HOST})
        assert opened.status_code == 200
        assert (await world.http.get("/api/session")).status_code == 200
        if end == "time":
            world.gateway.clock = lambda: time.time() + 12 * 3600 + 1
        else:
            await world.http.delete(f"/api/v1/tokens/{token.split('_')[1]}", headers=bearer(admin))
        assert (await world.http.get("/api/session")).status_code == 401
        world.gateway.clock = time.time
    assert (await world.http.post("/api/session", json={"token": token})).status_code == 401


async def test_every_change_has_a_row_with_the_tokens_id(world: World) -> None:
    local = await world.http.post("/api/v1/tokens", json={"name": "first", "role": "admin"})
    first = local.json()
    second = await world.http.post(
        "/api/v1/tokens",
        json={"name": "x", "workspace": "red", "role": "admin"},
        headers=bearer(first["token"]),
    )
    await world.http.delete(f"/api/v1/tokens/{second.json()['id']}", headers=bearer(first["token"]))
    rows = [
        (each.action, each.target, each.token_id, each.via) for each in list_changes(world.engine, limit=9)
    ]
    assert rows == [
        ("tokens.revoke", second.json()["id"], first["id"], "token"),
        ("tokens.create", second.json()["id"], first["id"], "token"),
        ("tokens.create", first["id"], None, "local"),
    ]
    page = await world.http.get("/api/v1/changes?limit=2", headers=bearer(first["token"]))
    following = page.headers["Link"].partition(">")[0].lstrip("<")
    last = await world.http.get(following, headers=bearer(first["token"]))
    assert [each["action"] for each in (*page.json(), *last.json())] == [row[0] for row in rows]
    assert "Link" not in last.headers
    bound = world.issue(workspace="red")
    assert (await world.http.get("/api/v1/changes", headers=bearer(bound))).json() == []


async def test_a_change_is_not_made_without_its_row(world: World) -> None:
    admin = world.issue()
    assert (await world.http.get("/api/session", headers=bearer(admin))).status_code == 200
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE changes")
    answer = await world.http.post("/api/v1/tokens", json={"name": "x"}, headers=bearer(admin))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/audit-unavailable")
    assert len(access_tokens.list_tokens(world.engine)) == 1


async def test_known_tokens_work_while_the_database_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = world.issue()
    assert (await world.http.get("/api/session", headers=bearer(token))).status_code == 200
    with world.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE access_tokens RENAME COLUMN role TO part")
    world.gateway.access.forget()
    assert (await world.http.get("/api/session", headers=bearer(token))).status_code == 200
    assert (await world.http.get("/api/session")).status_code == 401
    # One report, however many requests.
    assert [type(each).__name__ for each in world.emitted].count("AccessUnread") == 1
    monkeypatch.setattr("infra.gateway.authentication._STALE_S", 0.0)
    later = await world.http.get("/api/session", headers=bearer(token))
    assert (later.status_code, later.json()["type"]) == (503, "/problems/audit-unavailable")


async def test_a_token_over_its_rate_gets_429_with_headers(tmp_path: Path, engine: Engine) -> None:
    gateway = Gateway(settings_of(tmp_path, rate=0.1, burst=2), telemetry=Telemetry())
    transport = httpx2.ASGITransport(app=create_app(gateway))
    async with httpx2.AsyncClient(transport=transport, base_url=HOST) as http:
        world = World(gateway, http, engine, [])
        token, other = world.issue(), world.issue()
        found = [await http.get("/api/session", headers=bearer(token)) for _ in range(3)]
        assert [each.status_code for each in found] == [200, 200, 429]
        assert [each.headers["RateLimit"].partition(";t=")[0] for each in found] == [
            '"token";r=1',
            '"token";r=0',
            '"token";r=0',
        ]
        assert 1 <= int(found[2].headers["Retry-After"]) <= 10
        assert found[2].headers["content-type"] == "application/problem+json"
        assert (await http.get("/api/session", headers=bearer(other))).status_code == 200
        assert gateway.limits.open_requests(token.split("_")[1]) == 0
    await gateway.access.close()
    gateway.database.close()


async def test_a_secret_appears_in_no_answer_event_or_row(world: World, tmp_path: Path) -> None:
    token = world.issue("admin")
    secret = token.split("_", 2)[2]
    said: list[str] = []
    tries: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/api/session", {"headers": bearer(token)}),
        ("GET", "/api/session", {"headers": bearer(token + "x")}),
        ("POST", "/api/session", {"json": {"token": token}}),
        ("POST", "/api/session", {"json": {"token": token + "x"}}),
        ("POST", "/api/session", {"json": {"token": [token]}}),
        (
            "POST",
            "/api/session",
            {"content": f'{{"token": "{token}"', "headers": {"Content-Type": "application/json"}},
        ),
    ]
    for method, path, options in tries:
        answer = await world.http.request(method, path, **options)
        said.append(answer.text + str(answer.headers))
    said += [repr(each) + str(each) for each in world.emitted]
    assert world.emitted
    assert secret not in "".join(said)
    await world.gateway.access.close()
    world.gateway.database.close()
    world.engine.dispose()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(secret.encode() not in content for content in files)


@pytest.mark.parametrize(
    ("tokens", "role", "expires", "why"),
    [
        ("off", "client", None, "gateway.tokens is off"),
        ("auto", None, None, "understudy tokens create"),
        ("required", "client", "1ms", "understudy tokens create"),
        ("auto", "client", None, None),
    ],
)
async def test_other_machines_reach_only_a_gateway_with_tokens(
    tmp_path: Path, engine: Engine, tokens: str, role: str | None, expires: str | None, why: str | None
) -> None:
    if role is not None:
        issued = issue_token(name="x", role=role, expires=expires, now_ms=round(time.time() * 1000) - 5)
        access_tokens.add_token(engine, issued.stored)
    settings = settings_of(tmp_path, host=EVERYWHERE, tokens=tokens)
    if why is None:
        await check_address(settings)
        return
    with pytest.raises(Misconfigured, match=why):
        await check_address(settings)


@pytest.mark.parametrize(
    ("options", "status"),
    [({"tokens": "off"}, 200), ({"tokens": "required"}, 401), ({"host": EVERYWHERE}, 401)],
)
async def test_the_settings_decide_whether_a_token_is_needed(
    tmp_path: Path, options: dict[str, str], status: int
) -> None:
    gateway = Gateway(settings_of(tmp_path / "none", **options), telemetry=Telemetry())
    transport = httpx2.ASGITransport(app=create_app(gateway))
    async with httpx2.AsyncClient(transport=transport, base_url=HOST) as http:
        assert (await http.get("/api/session")).status_code == status
