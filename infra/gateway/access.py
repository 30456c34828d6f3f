"""Access: who sends a request, what that role may do, and which workspace it sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import msgspec
from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request

from infra.gateway.limits import AccessLimits
from infra.gateway.problems import Problem, not_found
from infra.gateway.roles import AccessRole


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends a request."""

    role: AccessRole
    #: The token's id; ``None``: this machine's user, without a token.
    token_id: str | None = None
    #: The token's name; empty: this machine's user.
    name: str = ""
    #: The only workspace that it sees; ``None``: all.
    workspace: str | None = None
    #: How it is known.
    via: Literal["local", "token", "session"] = "local"
    #: It gets an error instead of a stand-in, as with the header ``Understudy-Require: live``.
    require_live: bool = False
    #: Hash of its session's secret; ``None``: it has no session.
    session_hash: str | None = None
    #: When its session or its token expires, in milliseconds since the epoch; ``None``: never.
    expires_ms: int | None = None


#: The user of a gateway without tokens, which listens on this machine alone.
LOCAL_USER: Final = Principal(role=AccessRole.ADMIN)

#: Finds out who sends a request; raises :class:`Problem` 401.
Authenticate = Callable[[Request], Awaitable[Principal]]


def require(role: AccessRole, *, everywhere: bool = False, unbound: AccessRole | None = None) -> Any:
    """The dependency of a route that needs a role; its value is the :class:`Principal`.

    Every route has one, except those of :mod:`infra.gateway.routes` that everybody may call.

    Args:
        role: the lowest role that may call it.
        everywhere: the route shows or changes what belongs to all workspaces, so a token of one workspace gets 403.
        unbound: the lowest role that a sender needs who is bound to no workspace; by default the same.
    """
    unbound = role if unbound is None else unbound

    async def check(request: Request) -> Principal:
        gateway = request.app.state.gateway
        authenticate: Authenticate = gateway.authenticate
        limits: AccessLimits = gateway.limits
        principal = await authenticate(request)
        limits.enter(principal.token_id, principal.workspace, request.scope)
        check_role(principal, unbound if principal.workspace is None else role)
        if everywhere:
            check_unbound(principal)
        return principal

    found: Any = check
    found.access = RouteAccess(role=role, everywhere=everywhere, unbound=unbound)
    return Depends(check)


class RouteAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call a route."""

    role: AccessRole
    #: Tokens of one workspace may not.
    everywhere: bool
    #: The lowest role that a sender needs who is bound to no workspace.
    unbound: AccessRole


def access_of(route: APIRoute) -> RouteAccess | None:
    """Who may call a route; ``None``: everybody."""
    left = [route.dependant]
    found: list[RouteAccess] = []
    while left:
        each = left.pop()
        left += each.dependencies
        access: RouteAccess | None = getattr(each.call, "access", None)
        if access is not None:
            found.append(access)
    if not found:
        return None
    return RouteAccess(
        role=max(each.role for each in found),
        everywhere=any(each.everywhere for each in found),
        unbound=max(each.unbound for each in found),
    )


def check_role(principal: Principal, role: AccessRole) -> None:
    """Refuse a principal whose role is too low.

    Raises:
        Problem: 403.
    """
    if principal.role < role:
        raise Problem(
            403,
            "forbidden",
            f"this needs the role {role.label}, the token has {principal.role.label}",
        )


def check_unbound(principal: Principal) -> None:
    """Refuse a principal that is bound to one workspace.

    Raises:
        Problem: 403.
    """
    if principal.workspace is not None:
        raise Problem(
            403,
            "forbidden",
            f"this concerns all workspaces, and the token belongs to workspace {principal.workspace}",
        )


def check_workspace(principal: Principal, workspace: str | None, what: str) -> None:
    """Refuse to show what belongs to another workspace: 404, as if it did not exist.

    Args:
        principal: who asks.
        workspace: the workspace of the stored thing.
        what: the thing, for the text, such as ``request r-1``.

    Raises:
        Problem: 404.
    """
    if principal.workspace is not None and principal.workspace != workspace:
        raise not_found(what)
