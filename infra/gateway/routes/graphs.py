"""`/api/v1/graphs`: scene graphs, and the scenario files of `understudy warm`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from infra.authoring import scene_graphs
from infra.gateway import design_bodies, design_routes, node_documents
from infra.gateway import designs as desk
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.design_queries import read_designs
from infra.gateway.designs import Workspace, design_to_json
from infra.gateway.documents import problems
from infra.gateway.gateway import Gateway, Here
from infra.stores import designs
from infra.stores.designs import DesignKey, StoredDesign

router: Final = APIRouter(prefix="/api/v1/graphs", tags=["graphs"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
_Designer = Annotated[Principal, require(AccessRole.DESIGNER)]


@router.get("", summary="List graphs", responses=node_documents.GRAPHS | problems(422, 503))
async def list_graphs(
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    limit: design_routes.Limit = design_routes.ROWS,
    cursor: design_routes.Cursor = None,
) -> Response:
    """A page of graphs by their ids, without their content."""
    where = desk.choose_workspace(principal, workspace)
    rows, following = await design_routes.list_page(gateway, "graph", where, limit=limit, after=cursor)
    items: list[dict[str, Any]] = []
    for each in rows:
        item = design_to_json(each)
        graph: dict[str, Any] = json.loads(bytes(item.pop("graph")))
        sizes = {name: len(graph.get(name, ())) for name in ("nodes", "edges")}
        items.append(item | {"title": graph.get("title"), **sizes})
    return json_answer({"items": items, "next": following})


@router.post(
    "/import",
    summary="Store a scenario file as a graph",
    responses=node_documents.IMPORTED | problems(409, 412, 413, 415, 422, 503),
    openapi_extra=node_documents.IMPORT_SCENARIO,
)
async def import_scenario(
    request: Request,
    gateway: Here,
    principal: _Designer,
    graph: Annotated[str, Query(max_length=64, description="Id of the graph.")] = "scenario",
    workspace: Workspace = None,
    replace: Annotated[bool, Query(description="Also change what exists.")] = False,  # noqa: FBT002 - a query parameter
) -> Response:
    """Store the scenes and transitions of a file, and its nodes that have an id as nodes: all or none.

    JSON or YAML; a graph or a node that exists with other content is a conflict.
    """
    where = desk.choose_workspace(principal, workspace)
    design_bodies.check_name("graph", graph)
    found = await design_bodies.read_scenario(gateway, request)
    contents = {
        DesignKey(kind="node", workspace=where, name=name): design_bodies.name_node(node, name)
        for name, node in found.nodes.items()
    }
    _, content = design_bodies.parse_graph(found.graph)
    contents = {DesignKey(kind="graph", workspace=where, name=graph): content, **contents}
    stored = await desk.import_designs(gateway, principal, "graphs.import", contents, replace=replace)
    return json_answer({"items": stored})


@router.get("/{graph_id}", summary="A graph", responses=node_documents.GRAPH | problems(404, 422, 503))
async def get(
    graph_id: str,
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    version: design_routes.Version = None,
) -> Response:
    """The graph, or an earlier version, and which of its nodes are not stored."""
    key = desk.key_of("graph", principal, workspace, graph_id)
    return await _answer(gateway, await design_routes.find_at(gateway, key, version))


@router.put(
    "/{graph_id}",
    summary="Store a graph",
    responses=node_documents.GRAPH
    | node_documents.GRAPH_CREATED
    | problems(404, 409, 412, 413, 415, 422, 428, 503),
    openapi_extra=node_documents.PUT_GRAPH,
)
async def put(
    graph_id: str, request: Request, gateway: Here, principal: _Designer, workspace: Workspace = None
) -> Response:
    """Create a graph (`If-None-Match: *`) or change it (`If-Match`); equal content changes nothing."""
    key = desk.key_of("graph", principal, workspace, graph_id)

    async def read() -> str:
        return (await design_bodies.read_graph(gateway, request))[1]

    stored, created = await design_routes.put(gateway, principal, request, key, read)
    return await _answer(gateway, stored, created=created)


@router.delete(
    "/{graph_id}",
    summary="Delete a graph",
    status_code=204,
    response_class=Response,
    responses=node_documents.DELETED | problems(404, 412, 422, 428, 503),
    openapi_extra=node_documents.CHANGE,
)
async def delete(
    graph_id: str, request: Request, gateway: Here, principal: _Designer, workspace: Workspace = None
) -> Response:
    """Delete a graph with its versions; its nodes stay."""
    key = desk.key_of("graph", principal, workspace, graph_id)
    return await design_routes.delete(gateway, principal, request, key)


@router.get(
    "/{graph_id}/history",
    summary="The versions of a graph",
    responses=node_documents.GRAPH_HISTORY | problems(404, 422, 503),
)
async def history(
    graph_id: str,
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    limit: design_routes.Limit = design_routes.ROWS,
    before: design_routes.Before = None,
) -> Response:
    """Who changed the graph when, newest first; the latest 50 versions are kept."""
    found = await desk.find(gateway, desk.key_of("graph", principal, workspace, graph_id))
    return await design_routes.answer_history(gateway, found, limit=limit, before=before)


@router.post(
    "/{graph_id}/restore",
    summary="Restore a version of a graph",
    responses=node_documents.GRAPH | problems(400, 404, 412, 415, 422, 428, 503),
    openapi_extra=node_documents.CHANGE,
)
async def restore(
    graph_id: str,
    order: design_routes.RestoreBody,
    request: Request,
    gateway: Here,
    principal: _Designer,
    workspace: Workspace = None,
) -> Response:
    """An earlier version becomes the graph, as a new version."""
    key = desk.key_of("graph", principal, workspace, graph_id)
    return await _answer(
        gateway, await design_routes.restore(gateway, principal, request, key, order.version)
    )


@router.get(
    "/{graph_id}/export",
    summary="A graph as a scenario file",
    responses=node_documents.FILE | problems(404, 409, 422, 503),
)
async def export(
    graph_id: str,
    gateway: Here,
    principal: _Viewer,
    workspace: Workspace = None,
    format: Annotated[Literal["json", "yaml"], Query(description="Language of the file.")] = "json",
) -> Response:
    """The file that `understudy warm` reads, with the drafts of its nodes; 409 where the graph is no scenario."""
    found = await desk.find(gateway, desk.key_of("graph", principal, workspace, graph_id))
    graph, _ = design_bodies.parse_graph(json.loads(found.content))
    nodes = await _nodes(gateway, found.workspace, graph)
    scenario = scene_graphs.write_scenario(
        graph, lambda name: json.loads(nodes[name].content) if name in nodes else None
    )
    return desk.answer_file(scenario, found.name, format)


async def _nodes(gateway: Gateway, workspace: str, graph: scene_graphs.SceneGraph) -> dict[str, StoredDesign]:
    names = graph.node_names()
    return await read_designs(
        gateway,
        lambda engine: designs.find_designs(engine, "node", workspace, names),
        missing=dict[str, StoredDesign](),
    )


async def _answer(gateway: Gateway, design: StoredDesign, *, created: bool = False) -> Response:
    graph, _ = design_bodies.parse_graph(json.loads(design.content))
    missing = sorted(graph.node_names() - (await _nodes(gateway, design.workspace, graph)).keys())
    return design_routes.answer_design(design, {"missing_nodes": missing}, created=created)
