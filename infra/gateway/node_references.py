"""Stored nodes in requests: `"node": "bridge"` means the published configuration of the node with that id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts.duplicate_names import find_duplicates
from contracts.nodes.field_aliases import format_path
from contracts.request import RequestError, build_refusal
from infra.gateway.design_queries import read_designs
from infra.stores import designs
from infra.stores.designs import NO_WORKSPACE, DesignKey

if TYPE_CHECKING:
    from infra.gateway.gateway import Gateway

_FIELD: Final = "node"
_decode_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_optional: Final = msgspec.json.Decoder(str | None).decode


class _Asked(msgspec.Struct, frozen=True):
    """The node of a stored request."""

    node: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct, frozen=True):
    id: str | None = None


async def resolve_node(gateway: Gateway, body: bytes, *, joins: str | None) -> bytes:
    """A body with the node that it names by its id.

    Args:
        gateway: the gateway.
        body: of the request, in the sender's workspace.
        joins: the id of the request, where it may have been sent before: then the node is the one that was used.

    Raises:
        RequestError: there is no such node, or nothing of it is published.
        DatabaseError: nodes cannot be read.
        ClientError, Unavailable: the broker does not answer.
    """
    if b'"node"' not in body:
        return body
    try:
        fields = _decode_object(body)
        name = _decode_text(fields[_FIELD])
        workspace = _decode_optional(fields.get("workspace", b"null")) or NO_WORKSPACE
    except (msgspec.MsgspecError, KeyError, RecursionError, UnicodeDecodeError):
        # It is no name; the check says what is wrong.
        return body
    twice = find_duplicates(body)
    if twice:
        raise build_refusal(
            [(format_path(map(str, place)), "appears twice; keep one of them") for place in twice]
        )
    used = None if joins is None else await _find_used(gateway, joins, name)
    if used is None:
        used = await _find_published(gateway, workspace, name)
    return msgspec.json.encode(fields | {_FIELD: used})


async def _find_used(gateway: Gateway, request_id: str, name: str) -> msgspec.Raw | None:
    """The node with which a request was sent before; it may have been published anew since then."""
    async with gateway.wait(request_id):
        await gateway.require_broker()
        owner = await gateway.client.owner(request_id)
    if owner is None:
        return None
    try:
        node = msgspec.json.decode(owner.body, type=_Asked).node
        same = msgspec.json.decode(node, type=_Named).id == name
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return node if same else None


async def _find_published(gateway: Gateway, workspace: str, name: str) -> msgspec.Raw:
    key = DesignKey(kind="node", workspace=workspace, name=name)
    found = None
    if len(name) <= 64 and name.isprintable() and workspace.isprintable():  # noqa: PLR2004 - of an id
        found = await read_designs(gateway, lambda engine: designs.find_published(engine, key), missing=None)
    if found is None:
        where = f" in workspace {workspace!r}" if workspace else ""
        raise RequestError(
            _FIELD, f"there is no published node {name[:80]!r}{where}; publish it, or give a whole node"
        )
    if not found.disabled:
        return msgspec.Raw(found.content.encode())
    # The pipeline's own way to answer a disabled node: its fallback.
    node: dict[str, Any] = json.loads(found.content)
    return msgspec.Raw(json.dumps(node | {"enabled": False}).encode())
