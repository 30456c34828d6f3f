"""Access: who sends a request, what that role may do, and which workspace it sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, Final

import msgspec
from fastapi import Depends
from starlette.requests import Request

from infra.gateway.problems import Problem, not_found


class AccessRole(IntEnum):
    """What a token may do; each role may do all that the roles below it may."""

    #: Create requests, read its own.
    CLIENT = 1
    #: Read everything of its workspace.
    VIEWER = 2
    #: Change nodes and test them.
    DESIGNER = 3
    #: Cancel, replay, drop.
    OPERATOR = 4
    #: Tokens.
    ADMIN = 5


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends a request."""

    role: AccessRole
    #: The token's id; ``None``: this machine's user, without a token.
    token_id: str | None = None
    #: The only workspace that it sees; ``None``: all.
    workspace: str | None = None


#: Whoever reaches a gateway without tokens: it listens on this machine alone.
LOCAL_USER: Final = Principal(role=AccessRole.ADMIN)

#: Finds out who sends a request; raises :class:`Problem` 401.
Authenticate = Callable[[Request], Awaitable[Principal]]


async def authenticate_local(request: Request) -> Principal:
    """Everybody is this machine's user: for a gateway without tokens, whose ``Host`` is checked."""
    del request
    return LOCAL_USER


def require(role: AccessRole) -> Any:
    """The dependency of a route that needs a role; its value is the :class:`Principal`."""

    async def check(request: Request) -> Principal:
        authenticate: Authenticate = request.app.state.gateway.authenticate
        principal = await authenticate(request)
        check_role(principal, role)
        return principal

    return Depends(check)


def check_role(principal: Principal, role: AccessRole) -> None:
    """Refuse a principal whose role is too low.

    Raises:
        Problem: 403.
    """
    if principal.role < role:
        raise Problem(
            403,
            "forbidden",
            f"this needs the role {role.name.lower()}, the token has {principal.role.name.lower()}",
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
