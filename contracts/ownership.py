"""Ownership: whose data a request is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Final, cast

import msgspec

_PLAYER_CONTEXT: Final = ("player_context", "playerContext")
_PLAYER_ID: Final = ("player_id", "playerId")


class ScopeKind(StrEnum):
    """By what somebody's data is named."""

    ID = "id"
    PLAYER = "player"
    WORKSPACE = "workspace"


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's body says of its owner and of the request that it follows from."""

    workspace: str | None = None
    #: ``player_context.player_id``.
    player: str | None = None
    #: The request that it repeats, or the plot that it belongs to.
    parents: tuple[str, ...] = ()


def read_claims(body: bytes) -> Claims:
    """Read the claims of a stored request, also of one that was refused; empty where the body is no JSON object."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Claims()
    return claims_of(fields)


def claims_of(fields: Mapping[str, Any]) -> Claims:
    """The claims of a request's fields, in snake_case or camelCase."""
    context = _first(fields, _PLAYER_CONTEXT)
    player = _first(cast("dict[str, Any]", context), _PLAYER_ID) if isinstance(context, dict) else None
    parents = (_first(fields, names) for names in (("replay_of", "replayOf"), ("scene_of", "sceneOf")))
    return Claims(
        workspace=_text(fields.get("workspace")),
        player=_text(player),
        parents=tuple(each for each in map(_text, parents) if each is not None),
    )


class PurgeScope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose data: one request's, a player's or a workspace's."""

    kind: ScopeKind
    value: str

    def owns(self, request_id: str, claims: Claims) -> bool:
        """Whether a request is theirs by itself; what follows from it is theirs, too."""
        match self.kind:
            case ScopeKind.ID:
                return request_id == self.value
            case ScopeKind.PLAYER:
                return claims.player == self.value
            case ScopeKind.WORKSPACE:
                return claims.workspace == self.value

    def includes(self, request_id: str, claims: Claims, owned: Collection[str]) -> bool:
        """Whether a request is theirs, or follows from one of ``owned``."""
        return self.owns(request_id, claims) or any(each in owned for each in claims.parents)

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name] for name in names if name in fields), None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
