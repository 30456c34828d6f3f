"""`/api/v1/nodes/{node_id}/…`: what designers do with a node: preview, test, invalidate, duplicate, disable."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from infra.app import node_desk
from infra.app import preview as previews
from infra.gateway import answers, design_bodies, node_documents
from infra.gateway import designs as desk
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.changes import record_change
from infra.gateway.design_queries import read_designs
from infra.gateway.designs import Workspace, design_to_json
from infra.gateway.documents import problems
from infra.gateway.gateway import Gateway, Here
from infra.gateway.lookup import workspace_of
from infra.gateway.node_checks import require_sound
from infra.gateway.problems import Problem, parameter_problem
from infra.inspect import archive
from infra.stores import cache_listing, designs
from infra.stores.cache_listing import CacheFilter
from infra.stores.designs import DesignKey, StoredDesign

router: Final = APIRouter(prefix="/api/v1/nodes/{node_id}", tags=["nodes"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
_Designer = Annotated[Principal, require(AccessRole.DESIGNER)]
_Version = Annotated[
    int | None, Query(ge=1, le=2**31 - 1, description="A version of the node; default: the draft.")
]


class DuplicateOrder(BaseModel):
    """The id of the copy."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(max_length=64)


_DuplicateBody = Annotated[
    DuplicateOrder, Body(openapi_examples={"copy": {"summary": "A copy", "value": {"id": "bridge_2"}}})
]


@router.post(
    "/preview",
    summary="What a request of the node would send",
    responses=node_documents.PREVIEW | problems(404, 409, 413, 415, 422, 503),
    openapi_extra=node_documents.FIELDS,
)
async def preview(
    node_id: str,
    request: Request,
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    version: _Version = None,
) -> Response:
    """Merged node, prompt, seed, cache key and stand-in, as `understudy preview --json`; nothing is published.

    The body has fields of the request, such as `prompt` and `player_context`; it may be empty.
    """
    key = desk.key_of("node", principal, workspace, node_id)
    node = await _node(gateway, key, version)
    fields = await design_bodies.read_fields(gateway, request)
    kind, body = gateway.nodes.compose(node, _stamped(fields, key))
    return json_answer(await asyncio.to_thread(_preview, gateway, kind, body))


@router.post(
    "/test",
    summary="Generate with the node, for a test",
    status_code=202,
    responses=node_documents.TESTED | problems(404, 409, 413, 415, 422, 503),
    openapi_extra=node_documents.FIELDS,
)
async def generate_test(
    node_id: str,
    request: Request,
    gateway: Here,
    principal: _Designer,
    workspace: Workspace = None,
    version: _Version = None,
) -> Response:
    """Publish a shadow with the draft: the real pipeline writes it; no subscriber, cache or statistic sees it.

    The node's budget does not pay, that of the workspace does.  The body is that of `…/preview`.
    """
    key = desk.key_of("node", principal, workspace, node_id)
    node = await _node(gateway, key, version)
    fields = await design_bodies.read_fields(gateway, request)
    await require_sound(gateway, key.name, node_text(node))
    test = gateway.nodes.compose_test(key.name, node, _stamped(fields, key), token=uuid.uuid4().hex)
    async with gateway.wait(test.request_id):
        await gateway.require_broker()
        await record_change(gateway, principal, "nodes.test", key.name)
        await node_desk.publish_test(gateway.client, test)
    links = answers.links_of(test.request_id)
    return json_answer(
        {
            "request_id": test.request_id,
            "node": key.name,
            "kind": test.kind,
            "status": "pending",
            "links": links,
        },
        status=202,
        headers={"Location": links["self"], "Retry-After": "1", "Understudy-Request-Id": test.request_id},
    )


@router.post(
    "/invalidate",
    summary="Delete the cached results of a node",
    responses=node_documents.INVALIDATED | problems(404, 409, 422, 503),
)
async def invalidate(
    node_id: str, gateway: Here, principal: _Designer, workspace: Workspace = None
) -> Response:
    """The next request of each owner generates anew; raising the node's `version` does the same for good."""
    key = desk.key_of("node", principal, workspace, node_id)
    await desk.find(gateway, key)
    async with gateway.wait():
        await gateway.require_broker()
        entries = [each async for each in cache_listing.items(gateway.wire, CacheFilter(node=key.name))]
        ids = {each.entry.request_id for each in entries if each.entry is not None}
        own = await _of_workspace(gateway, key, ids)
        keys = [each.key for each in entries if each.entry is not None and each.entry.request_id in own]
        await record_change(gateway, principal, "nodes.invalidate", key.name)
        await cache_listing.purge_all(gateway.wire, keys)
    return json_answer({"id": key.name, "removed": len(keys)})


@router.post(
    "/duplicate",
    summary="Copy a node",
    status_code=201,
    responses=node_documents.NODE_CREATED | problems(404, 409, 415, 422, 503),
)
async def duplicate(
    node_id: str, order: _DuplicateBody, gateway: Here, principal: _Designer, workspace: Workspace = None
) -> Response:
    """Store the draft under another id; the copy is not published."""
    key = desk.key_of("node", principal, workspace, node_id)
    found = await desk.find(gateway, key)
    copy = DesignKey(kind="node", workspace=key.workspace, name=order.id)
    content = design_bodies.name_node(json.loads(found.content) | {"id": order.id}, order.id)
    if (
        await read_designs(gateway, lambda engine: designs.find_design(engine, copy), missing=None)
        is not None
    ):
        raise Problem(409, "conflict", f"there is a node {order.id!r} already; choose another id")
    await desk.require_room(gateway, copy)
    author = desk.author_of(gateway, principal)
    stored = await desk.change(
        gateway,
        principal,
        "nodes.duplicate",
        copy,
        lambda engine: designs.save_design(engine, copy, content, author, expected=None, action="duplicate"),
    )
    headers = {"ETag": stored.etag, "Location": f"/api/v1/nodes/{stored.name}"}
    return json_answer(design_to_json(stored), status=201, headers=headers)


@router.post("/disable", summary="Disable a node", responses=node_documents.STATE | problems(404, 422, 503))
async def disable(node_id: str, gateway: Here, principal: _Designer, workspace: Workspace = None) -> Response:
    """Requests that name the node get its fallback, without a model, from now on."""
    return await _switch(
        gateway, principal, desk.key_of("node", principal, workspace, node_id), disabled=True
    )


@router.post("/enable", summary="Enable a node", responses=node_documents.STATE | problems(404, 422, 503))
async def enable(node_id: str, gateway: Here, principal: _Designer, workspace: Workspace = None) -> Response:
    """The opposite of `…/disable`."""
    return await _switch(
        gateway, principal, desk.key_of("node", principal, workspace, node_id), disabled=False
    )


def _preview(gateway: Gateway, kind: str, body: bytes) -> previews.Preview:
    """The preview of a request; it reads files, so a thread does it."""
    return asyncio.run(previews.preview(gateway.settings, kind, body, now_ms=gateway.now_ms()))


async def _switch(gateway: Gateway, principal: Principal, key: DesignKey, *, disabled: bool) -> Response:
    await desk.find(gateway, key)
    author = desk.author_of(gateway, principal)
    stored: StoredDesign | None = await desk.change(
        gateway,
        principal,
        "nodes.disable" if disabled else "nodes.enable",
        key,
        lambda engine: designs.disable_design(engine, key, author, disabled=disabled),
    )
    if stored is None:
        raise desk.changed(key, None)
    return json_answer(design_to_json(stored), headers={"ETag": stored.etag})


async def _node(gateway: Gateway, key: DesignKey, version: int | None) -> dict[str, Any]:
    """The configuration of a version of a node."""
    found = await desk.find(gateway, key)
    content = found.content if version is None else (await desk.find_version(gateway, found, version)).content
    return json.loads(content)


def node_text(node: dict[str, Any]) -> str:
    """A node as it is stored."""
    return json.dumps(node, separators=(",", ":"))


def _stamped(fields: dict[str, Any], key: DesignKey) -> dict[str, Any]:
    """The fields of a request in the node's workspace."""
    if not key.workspace:
        return fields
    own = msgspec.json.encode(key.workspace)
    if bytes(fields.get("workspace", own)).strip() != own:
        raise parameter_problem("workspace", f"the node belongs to workspace {key.workspace!r}")
    return fields | {"workspace": msgspec.Raw(own)}


async def _of_workspace(gateway: Gateway, key: DesignKey, ids: set[str]) -> set[str]:
    """The requests that belong to the node's workspace."""
    wanted = key.workspace or None
    known = await gateway.query(
        lambda engine: archive.find_workspaces(engine, ids), missing=dict[str, str | None]()
    )
    own = {request_id for request_id, workspace in known.items() if workspace == wanted}
    for request_id in ids - known.keys():
        # The audit is behind the log, or has forgotten it.
        owner = await gateway.client.owner(request_id)
        if (workspace_of(owner) if owner is not None else None) == wanted:
            own.add(request_id)
    return own
