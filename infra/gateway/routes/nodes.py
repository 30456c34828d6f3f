"""`/api/v1/nodes`: stored nodes, their drafts, versions and statistics."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from infra.authoring import node_health
from infra.authoring.node_health import HealthNode
from infra.gateway import design_bodies, design_routes, node_documents
from infra.gateway import designs as desk
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.design_queries import read_designs
from infra.gateway.designs import Workspace, design_to_json
from infra.gateway.documents import problems
from infra.gateway.gateway import Gateway, Here
from infra.gateway.node_checks import require_sound
from infra.inspect import node_stats
from infra.inspect.stats import WINDOWS, find_end
from infra.stores import designs
from infra.stores.designs import DesignKey, StoredDesign

router: Final = APIRouter(prefix="/api/v1/nodes", tags=["nodes"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
_Designer = Annotated[Principal, require(AccessRole.DESIGNER)]
Window = Literal["5m", "1h", "24h"]
_Format = Annotated[Literal["json", "yaml"], Query(description="Language of the file.")]


@router.get("", summary="List nodes", responses=node_documents.NODES | problems(422, 503))
async def list_nodes(
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    limit: design_routes.Limit = design_routes.ROWS,
    cursor: design_routes.Cursor = None,
    stats: Annotated[Window | None, Query(description="With the figures of this window.")] = None,
) -> Response:
    """A page of nodes by their ids, each with its badge; with `stats=1h` also with the figures of the last hour."""
    where = desk.choose_workspace(principal, workspace)
    rows, following = await design_routes.list_page(gateway, "node", where, limit=limit, after=cursor)
    figures = {} if stats is None else await _measure(gateway, where, [each.name for each in rows], stats)
    items = await asyncio.to_thread(_summaries, gateway, rows, figures)
    return json_answer({"items": items, "next": following})


@router.get(
    "/health", summary="The health of all nodes", responses=node_documents.HEALTH | problems(422, 503)
)
async def health(gateway: Here, principal: _Viewer, workspace: Workspace = None) -> Response:
    """Counts, and warnings that concern several nodes, such as too many that generate anew for every request."""
    where = desk.choose_workspace(principal, workspace)
    most = desk.MOST_DESIGNS["node"]
    rows = await read_designs(
        gateway,
        lambda engine: designs.list_designs(engine, "node", where, limit=most),
        missing=list[StoredDesign](),
    )
    published = await read_designs(
        gateway, lambda engine: designs.list_published(engine, "node", where), missing=dict[str, str]()
    )

    def measure() -> node_health.NodesHealth:
        return node_health.measure_health(
            _health_node(gateway, each, published.get(each.name)) for each in rows
        )

    return json_answer(await asyncio.to_thread(measure))


@router.get("/export", summary="All nodes as a file", responses=node_documents.FILE | problems(422, 503))
async def export_all(
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    format: _Format = "json",
) -> Response:
    """A list of the drafts, as `understudy validate` and `POST /api/v1/nodes/import` read it."""
    where = desk.choose_workspace(principal, workspace)
    rows = await read_designs(
        gateway,
        lambda engine: designs.list_designs(engine, "node", where, limit=desk.MOST_DESIGNS["node"]),
        missing=list[StoredDesign](),
    )
    return desk.answer_file([json.loads(each.content) for each in rows], "nodes", format)


@router.post(
    "/import",
    summary="Store the nodes of a file",
    responses=node_documents.IMPORTED | problems(409, 412, 413, 415, 422, 503),
    openapi_extra=node_documents.IMPORT,
)
async def import_nodes(
    request: Request,
    gateway: Here,
    principal: _Designer,
    workspace: Workspace = None,
    replace: Annotated[bool, Query(description="Also change nodes that exist.")] = False,  # noqa: FBT002 - a query parameter
) -> Response:
    """Store a node, or a list of nodes, as drafts: all or none.  A node that exists with other content is a conflict."""
    where = desk.choose_workspace(principal, workspace)
    contents = await design_bodies.read_nodes(gateway, request)
    keys = {DesignKey(kind="node", workspace=where, name=name): text for name, text in contents.items()}
    return json_answer(
        {"items": await desk.import_designs(gateway, principal, "nodes.import", keys, replace=replace)}
    )


@router.get("/{node_id}", summary="A node", responses=node_documents.NODE | problems(404, 422, 503))
async def get(
    node_id: str,
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    version: design_routes.Version = None,
) -> Response:
    """The draft with its findings, or an earlier version; `ETag` is for `If-Match` of a change."""
    key = desk.key_of("node", principal, workspace, node_id)
    return await _answer(gateway, await design_routes.find_at(gateway, key, version))


@router.put(
    "/{node_id}",
    summary="Store a node",
    responses=node_documents.NODE
    | node_documents.NODE_CREATED
    | problems(404, 409, 412, 413, 415, 422, 428, 503),
    openapi_extra=node_documents.PUT_NODE,
)
async def put(
    node_id: str, request: Request, gateway: Here, principal: _Designer, workspace: Workspace = None
) -> Response:
    """Create a node (`If-None-Match: *`) or change its draft (`If-Match`); a draft may have errors.

    Equal content changes nothing.  Requests use the new draft as soon as it is published.
    """
    key = desk.key_of("node", principal, workspace, node_id)
    stored, created = await design_routes.put(
        gateway, principal, request, key, lambda: design_bodies.read_node(gateway, request, key.name)
    )
    return await _answer(gateway, stored, created=created)


@router.delete(
    "/{node_id}",
    summary="Delete a node",
    status_code=204,
    response_class=Response,
    responses=node_documents.DELETED | problems(404, 412, 422, 428, 503),
    openapi_extra=node_documents.CHANGE,
)
async def delete(
    node_id: str, request: Request, gateway: Here, principal: _Designer, workspace: Workspace = None
) -> Response:
    """Delete a node with its versions; requests that name it are refused from then on."""
    key = desk.key_of("node", principal, workspace, node_id)
    return await design_routes.delete(gateway, principal, request, key)


@router.get(
    "/{node_id}/history",
    summary="The versions of a node",
    responses=node_documents.NODE_HISTORY | problems(404, 422, 503),
)
async def history(
    node_id: str,
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    limit: design_routes.Limit = design_routes.ROWS,
    before: design_routes.Before = None,
) -> Response:
    """Who changed the draft when, newest first; the latest 200 versions and the published one are kept."""
    found = await desk.find(gateway, desk.key_of("node", principal, workspace, node_id))
    return await design_routes.answer_history(gateway, found, limit=limit, before=before)


@router.post(
    "/{node_id}/restore",
    summary="Restore a version",
    responses=node_documents.NODE | problems(400, 404, 412, 415, 422, 428, 503),
    openapi_extra=node_documents.CHANGE,
)
async def restore(
    node_id: str,
    order: design_routes.RestoreBody,
    request: Request,
    gateway: Here,
    principal: _Designer,
    workspace: Workspace = None,
) -> Response:
    """An earlier version becomes the draft, as a new version."""
    key = desk.key_of("node", principal, workspace, node_id)
    stored = await design_routes.restore(gateway, principal, request, key, order.version)
    return await _answer(gateway, stored)


@router.post(
    "/{node_id}/publish",
    summary="Publish a node",
    responses=node_documents.NODE | problems(404, 412, 422, 428, 503),
    openapi_extra=node_documents.CHANGE,
)
async def publish(
    node_id: str, request: Request, gateway: Here, principal: _Designer, workspace: Workspace = None
) -> Response:
    """Requests that name the node use its draft from now on; a node with errors is refused."""
    key = desk.key_of("node", principal, workspace, node_id)
    found = await desk.find(gateway, key)
    expected = desk.require_match(request, found)
    await require_sound(gateway, found.name, found.content)
    author = desk.author_of(gateway, principal)
    stored = await desk.change(
        gateway,
        principal,
        "nodes.publish",
        key,
        lambda engine: designs.publish_design(engine, key, author, expected=expected),
    )
    return await _answer(gateway, stored)


@router.get(
    "/{node_id}/stats",
    summary="The figures of a node",
    responses=node_documents.NODE_STATS | problems(404, 422, 503),
)
async def figures(
    node_id: str, gateway: Here, principal: _Viewer, workspace: Workspace = None, window: Window = "1h"
) -> Response:
    """Latency, cost, cache hits and stand-ins of a window, and the latest 20 results; tests do not count."""
    key = desk.key_of("node", principal, workspace, node_id)
    await desk.find(gateway, key)
    found = await _measure(gateway, key.workspace, [key.name], window)
    return json_answer({"id": key.name, "window": window, "figures": found[key.name]})


@router.get(
    "/{node_id}/export", summary="A node as a file", responses=node_documents.FILE | problems(404, 422, 503)
)
async def export_one(
    node_id: str,
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    format: _Format = "json",
) -> Response:
    """The draft as a file, as templates and `understudy validate` have it."""
    found = await desk.find(gateway, desk.key_of("node", principal, workspace, node_id))
    return desk.answer_file(json.loads(found.content), found.name, format)


async def _measure(
    gateway: Gateway, workspace: str, names: list[str], window: str
) -> dict[str, node_stats.NodeFigures]:
    now_ms = gateway.now_ms()

    def measure(engine: Any) -> dict[str, node_stats.NodeFigures]:
        until_ms = find_end(engine, now_ms=now_ms)
        since_ms = until_ms - WINDOWS[window]
        return node_stats.measure_nodes(
            engine, names, workspace=workspace or None, since_ms=since_ms, until_ms=until_ms
        )

    return await gateway.query(measure, missing={})


def _summaries(
    gateway: Gateway, rows: list[StoredDesign], figures: dict[str, node_stats.NodeFigures]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for each in rows:
        measured = figures.get(each.name)
        latency = measured and measured.latency_ms
        judged = gateway.nodes.judge(each.content, p95_ms=latency.p95 if latency else None)
        row = design_to_json(each) | {
            "status": judged.status(disabled=each.disabled),
            "findings": {
                "errors": len(judged.report.errors),
                "warnings": len(judged.report.warnings),
                "suggestions": len(judged.report.suggestions),
            },
        }
        found.append(row if measured is None else row | {"figures": measured})
    return found


def _health_node(gateway: Gateway, design: StoredDesign, published: str | None) -> HealthNode:
    judged = gateway.nodes.judge(design.content)
    return HealthNode(
        name=design.name,
        judged=judged,
        disabled=design.disabled,
        published=published is not None,
        changed=published is not None and published != design.content,
        broken=published is not None and not gateway.nodes.judge(published).report.ok,
    )


async def _answer(gateway: Gateway, design: StoredDesign, *, created: bool = False) -> Response:
    """A node with its findings and its entity tag."""

    def examine() -> dict[str, Any]:
        judged = gateway.nodes.judge(design.content)
        return {
            "status": judged.status(disabled=design.disabled),
            "report": gateway.nodes.check(design.content),
        }

    return design_routes.answer_design(design, await asyncio.to_thread(examine), created=created)
