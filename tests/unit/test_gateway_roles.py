"""Roles of the gateway: every route has one, refuses lower ones, and the document says so."""

from __future__ import annotations

import re

import pytest
from fastapi.routing import APIRoute

from infra.gateway.access import access_of
from infra.gateway.roles import ROLES, AccessRole
from infra.gateway.routes import ROUTERS
from tests.unit.access_fixtures import World, bearer, empty, engine, world

__all__ = ["empty", "engine", "world"]

#: Routes that everybody may call.
OPEN = {
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/problems/{slug}"),
    # Its body is the token.
    ("POST", "/api/session"),
}


def all_routes() -> list[tuple[str, APIRoute]]:
    return [
        (method, route)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


def path_of(route: APIRoute) -> str:
    return re.sub(r"\{[^}]+\}", "7", route.path)


def test_every_route_has_a_role_or_is_known_to_be_open() -> None:
    without = {(method, route.path) for method, route in all_routes() if access_of(route) is None}
    assert without == OPEN


@pytest.mark.parametrize(
    ("method", "route"),
    [pytest.param(*each, id=f"{each[0]} {each[1].path}") for each in all_routes()],
)
async def test_a_route_refuses_lower_roles_and_senders_without_a_token(
    world: World, method: str, route: APIRoute, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is no broker; who is let in need not wait for it.
    monkeypatch.setattr("infra.gateway.gateway._AWAY_S", 0)
    access, path = access_of(route), path_of(route)
    token = {role: world.issue(role.label) for role in AccessRole}
    nobody = await world.http.request(method, path)
    if access is None:
        assert nobody.status_code not in {401, 403}
        return
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    for role in AccessRole:
        answer = await world.http.request(method, path, headers=bearer(token[role]))
        if role < access.unbound:
            assert answer.status_code == 403, (role, answer.text)
            assert answer.json()["detail"].startswith(f"this needs the role {access.unbound.label}")
        else:
            assert answer.status_code not in {401, 403}, (role, answer.text)
    bound = await world.http.request(method, path, headers=bearer(world.issue("admin", workspace="red")))
    assert (bound.status_code == 403) == access.everywhere
    lowest = bearer(world.issue(access.role.label, workspace="red"))
    lowly = await world.http.request(method, path, headers=lowest)
    assert (lowly.status_code == 403) == access.everywhere


async def test_the_document_says_which_role_an_operation_needs(world: World) -> None:
    document = (await world.http.get("/openapi.json")).json()
    roles = {
        (method.upper(), path): operation.get("x-role")
        for path, each in document["paths"].items()
        for method, operation in each.items()
    }
    assert roles["POST", "/generate"] == "client"
    assert roles["DELETE", "/api/v1/tokens/{token_id}"] == "admin"
    assert {each for each, role in roles.items() if role is None} == OPEN
    assert {role for role in roles.values() if role} <= set(ROLES)
