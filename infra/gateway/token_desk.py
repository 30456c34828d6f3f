"""Token desk: what the command line and the API do with tokens: create, list and revoke."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import timestamp
from contracts.errors import UnderstudyError
from infra.gateway.roles import parse_role
from infra.gateway.tokens import AccessToken, hash_secret, make_token
from infra.inspect.request_filter import parse_duration
from infra.stores.access_tokens import StoredToken

#: Characters of a token's name, and of a workspace's.
MAX_NAME = 100
MAX_WORKSPACE = 64


class TokenError(UnderstudyError):
    """A token that cannot be created; the text names the field."""


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token: the only time that its secret is known."""

    token: AccessToken
    stored: StoredToken


def issue_token(
    *,
    name: str,
    role: str,
    now_ms: int,
    workspace: str | None = None,
    expires: str | None = None,
    require_live: bool = False,
    created_by: str | None = None,
) -> IssuedToken:
    """A new token, not stored yet.

    Args:
        name: what it is for.
        role: the name of a role.
        now_ms: milliseconds since the epoch.
        workspace: the only workspace that it sees; ``None``: all.
        expires: after which time, such as ``30d``; ``None``: never.
        require_live: its clients get an error instead of a stand-in.
        created_by: id of the token that asks.

    Raises:
        TokenError: a value is not allowed.
    """
    try:
        parse_role(role)
    except ValueError as error:
        raise TokenError(f"role {role!r} {error}") from None
    _check_text("name", name, MAX_NAME)
    if workspace is not None:
        _check_text("workspace", workspace, MAX_WORKSPACE)
    try:
        expires_ms = None if expires is None else now_ms + parse_duration(expires)
    except ValueError as error:
        raise TokenError(f"expires {expires!r} {error}") from None
    if expires_ms == now_ms:
        raise TokenError(f"expires {expires!r} is no time at all")
    token = make_token()
    stored = StoredToken(
        token_id=token.token_id,
        secret_hash=hash_secret(token.secret),
        name=name,
        role=role,
        workspace=workspace,
        require_live=require_live,
        created_ms=now_ms,
        created_by=created_by,
        expires_ms=expires_ms,
    )
    return IssuedToken(token=token, stored=stored)


def token_to_json(stored: StoredToken, now_ms: int) -> dict[str, Any]:
    """A token as JSON, without its hash."""
    return {
        "id": stored.token_id,
        "name": stored.name,
        "role": stored.role,
        "workspace": stored.workspace,
        "require_live": stored.require_live,
        "state": state_of(stored, now_ms),
        "created": _time(stored.created_ms),
        "created_by": stored.created_by,
        "expires": _time(stored.expires_ms),
        "revoked": _time(stored.revoked_ms),
        "last_used": _time(stored.used_ms),
    }


def issued_to_json(issued: IssuedToken, now_ms: int) -> dict[str, Any]:
    """A new token as JSON, with the text that its owner keeps."""
    return {"token": issued.token.text, **token_to_json(issued.stored, now_ms)}


def state_of(stored: StoredToken, now_ms: int) -> str:
    """``valid``, ``expired`` or ``revoked``."""
    if stored.revoked_ms is not None:
        return "revoked"
    return "valid" if stored.is_valid(now_ms) else "expired"


def _check_text(field: str, value: str, most: int) -> None:
    if not 1 <= len(value) <= most or not value.isprintable() or value != value.strip():
        raise TokenError(f"{field} must have 1 to {most} printable characters and no space at its ends")


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else timestamp.format_ms(time_ms, "seconds")
