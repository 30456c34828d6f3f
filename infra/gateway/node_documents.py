"""Documents: what OpenAPI says of nodes and graphs."""

from __future__ import annotations

from typing import Any, Final

from contracts.nodes.node import Node
from infra.authoring.scene_graphs import SceneGraph

Responses = dict[int | str, dict[str, Any]]

_SCHEMAS: Final = "#/components/schemas"
_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_WHOLE: Final = {"type": "integer"}
_WHOLE_OR_NULL: Final = {"type": ["integer", "null"]}
_NUMBER_OR_NULL: Final = {"type": ["number", "null"]}
_BOOLEAN: Final = {"type": "boolean"}
_ANY: Final[dict[str, Any]] = {"type": "object"}
_COUNTS: Final = {"type": "object", "additionalProperties": _WHOLE}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"{_SCHEMAS}/{name}"}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _answer(what: str, name: str, *, status: int = 200, **headers: str) -> Responses:
    said = {key.replace("_", "-"): {"description": text, "schema": _TEXT} for key, text in headers.items()}
    return {
        status: {
            "description": what,
            "content": {"application/json": {"schema": _ref(name)}},
            **({"headers": said} if said else {}),
        }
    }


_TAG: Final = "Entity tag of this state, for `If-Match`."
NODES: Final = _answer("A page.", "NodePage")
NODE: Final = _answer("The node.", "StoredNode", ETag=_TAG)
NODE_CREATED: Final = _answer("The new node.", "StoredNode", status=201, ETag=_TAG, Location="Where it is.")
STATE: Final = _answer("The node.", "StoredNode", ETag=_TAG)
NODE_HISTORY: Final = _answer("A page.", "NodeHistory")
NODE_STATS: Final = _answer("The figures.", "NodeStats")
HEALTH: Final = _answer("Counts and warnings.", "NodesHealth")
PREVIEW: Final = _answer("As `understudy preview --json`.", "NodePreview")
TESTED: Final = _answer(
    "The test is published; its events and its result are at the links.",
    "NodeTest",
    status=202,
    Location="Where the test's state is.",
    Retry_After="Seconds after which to look.",
)
INVALIDATED: Final = _answer("How many cached results are gone.", "NodeInvalidated")
IMPORTED: Final = _answer("What became of each.", "ImportedDesigns")
GRAPHS: Final = _answer("A page.", "GraphPage")
GRAPH: Final = _answer("The graph.", "StoredGraph", ETag=_TAG)
GRAPH_CREATED: Final = _answer(
    "The new graph.", "StoredGraph", status=201, ETag=_TAG, Location="Where it is."
)
GRAPH_HISTORY: Final = _answer("A page.", "GraphHistory")
DELETED: Final[Responses] = {204: {"description": "It is deleted."}}
FILE: Final[Responses] = {
    200: {
        "description": "The file.",
        "content": {"application/json": {"schema": {}}, "application/yaml": {"schema": {}}},
        "headers": {"Content-Disposition": {"description": "Its name.", "schema": _TEXT}},
    }
}

_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": _TEXT,
    "description": "The `ETag` of the state that the change is based on; `*` is any.",
}
_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "const": "*"},
    "description": "Create it; it must not exist.",
}
_NODE: Final[dict[str, Any]] = {
    "generationType": "scene",
    "purpose": "gap_fill",
    "strategy": "once",
    "fallback": {"mode": "golden_sample"},
}
_GRAPH: Final[dict[str, Any]] = {
    "title": "One night",
    "request": {"node": "bridge"},
    "nodes": [
        {"type": "scene", "id": "rooftop", "mood": "romantic", "position": {"x": 0, "y": 0}},
        {
            "type": "generation",
            "id": "g1",
            "request": {"prompt": "A phone rings."},
            "position": {"x": 360, "y": 180},
        },
        {"type": "scene", "id": "stairwell", "mood": "tense", "position": {"x": 720, "y": 0}},
    ],
    "edges": [{"source": "rooftop", "target": "g1"}, {"source": "g1", "target": "stairwell"}],
}
_SCENARIO: Final[dict[str, Any]] = {
    "scenes": [{"id": "rooftop", "mood": "romantic"}, {"id": "stairwell", "mood": "tense"}],
    "request": {"node": {"id": "night_bridge", "generationType": "transition", "strategy": "once"}},
    "transitions": [{"from": "rooftop", "to": "stairwell", "prompt": "A phone rings."}],
}


def _body(schema: dict[str, Any], value: Any, *, required: bool = True, yaml: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": value}}
    if yaml:
        content["application/yaml"] = {"schema": schema}
    return {"required": required, "content": content}


#: What routes say of their input.
CHANGE: Final[dict[str, Any]] = {"parameters": [_MATCH]}
PUT_NODE: Final[dict[str, Any]] = {
    "parameters": [_MATCH, _NONE_MATCH],
    "requestBody": _body(_ref("NodeConfiguration"), _NODE),
}
PUT_GRAPH: Final[dict[str, Any]] = {
    "parameters": [_MATCH, _NONE_MATCH],
    "requestBody": _body(_ref("SceneGraph"), _GRAPH),
}
IMPORT: Final[dict[str, Any]] = {
    "requestBody": _body({"anyOf": [_ANY, _list(_ANY)]}, [{"id": "harbour_bridge", **_NODE}], yaml=True)
}
IMPORT_SCENARIO: Final[dict[str, Any]] = {"requestBody": _body(_ANY, _SCENARIO, yaml=True)}
_REQUEST: Final = {
    "type": "object",
    "description": "Fields of the request, as of `Order`, without `node`.",
}
FIELDS: Final[dict[str, Any]] = {
    "requestBody": _body(_REQUEST, {"prompt": "A phone rings and the dance is over."}, required=False)
}

_FINDINGS: Final = _list(
    _object(
        **dict.fromkeys(("code", "severity", "path", "message", "suggestion"), _TEXT),
        pointer={"type": "string", "description": "JSON Pointer of the field (RFC 6901)."},
        fixes=_list(
            _object(
                title=_TEXT,
                patch={"type": "array", "items": _ANY, "description": "JSON Patch of the body (RFC 6902)."},
            )
        ),
    )
)
_LINKS: Final = _object(self=_TEXT, events=_TEXT, cancel=_TEXT)
_STATUS: Final = {"type": "string", "enum": ["ok", "warnings", "errors", "disabled"]}
_DESIGN: Final[dict[str, dict[str, Any]]] = {
    "id": _TEXT,
    "workspace": _TEXT_OR_NULL,
    "version": {"type": "integer", "description": "Number of the draft."},
    "published_version": {"type": ["integer", "null"], "description": "The version that requests use."},
    "disabled": _BOOLEAN,
    "etag": _TEXT,
    "created": _TEXT,
    "updated": _TEXT,
    "updated_by": {"type": ["string", "null"], "description": "Id of the token."},
}
_VERSION: Final[dict[str, dict[str, Any]]] = {
    "version": _WHOLE,
    "at": _TEXT,
    "via": _TEXT,
    "token_id": _TEXT_OR_NULL,
    "action": {"type": "string", "enum": ["save", "restore", "import", "duplicate"]},
    "published": _BOOLEAN,
}
_PERCENTILES: Final = {
    "anyOf": [
        _object(p50={"type": "number"}, p95={"type": "number"}, p99={"type": "number"}),
        {"type": "null"},
    ]
}


def _page(item: dict[str, Any], following: dict[str, Any]) -> dict[str, Any]:
    return _object(items=_list(item), next=following)


def component_schemas() -> dict[str, Any]:
    """The schemas that the references of this module mean."""
    node = Node.model_json_schema(by_alias=False, ref_template=f"{_SCHEMAS}/{{model}}")
    graph = SceneGraph.model_json_schema(by_alias=False, ref_template=f"{_SCHEMAS}/{{model}}")
    parts = {**node.pop("$defs", {}), **graph.pop("$defs", {})}
    stored = {**_DESIGN, "node": _ANY}
    return {
        **parts,
        "NodeConfiguration": node | {"title": "NodeConfiguration"},
        "SceneGraph": graph,
        "ValidationReport": _object(ok=_BOOLEAN, errors=_FINDINGS, warnings=_FINDINGS, suggestions=_FINDINGS),
        "StoredNode": {
            "type": "object",
            "properties": {**stored, "status": _STATUS, "report": _ref("ValidationReport")},
            "required": list(stored),
        },
        "NodePage": _page(
            {
                "type": "object",
                "properties": {
                    **stored,
                    "status": _STATUS,
                    "findings": _object(errors=_WHOLE, warnings=_WHOLE, suggestions=_WHOLE),
                    "figures": _ref("NodeFigures"),
                },
                "required": [*stored, "status", "findings"],
            },
            _TEXT_OR_NULL,
        ),
        "NodeHistory": _page(_object(**_VERSION, node=_ANY), _WHOLE_OR_NULL),
        "NodeFigures": _object(
            requests=_WHOLE,
            statuses=_COUNTS,
            answered=_WHOLE,
            success_rate=_NUMBER_OR_NULL,
            stand_in_rate=_NUMBER_OR_NULL,
            failure_rate=_NUMBER_OR_NULL,
            cache_hits=_WHOLE,
            cache_hit_rate=_NUMBER_OR_NULL,
            latency_ms=_PERCENTILES,
            prompt_tokens=_WHOLE_OR_NULL,
            completion_tokens=_WHOLE_OR_NULL,
            cost=_NUMBER_OR_NULL,
            latest=_list(
                _object(
                    request_id=_TEXT,
                    status=_TEXT,
                    origin=_TEXT,
                    error_code=_TEXT_OR_NULL,
                    latency_ms=_WHOLE_OR_NULL,
                    ended_at_ms=_WHOLE,
                )
            ),
        ),
        "NodeStats": _object(id=_TEXT, window=_TEXT, figures=_ref("NodeFigures")),
        "NodesHealth": _object(
            nodes=_WHOLE,
            published=_WHOLE,
            changed=_WHOLE,
            statuses=_COUNTS,
            kinds=_COUNTS,
            strategies=_COUNTS,
            errors=_WHOLE,
            warnings=_list(_object(code=_TEXT, message=_TEXT, suggestion=_TEXT, nodes=_list(_TEXT))),
        ),
        "NodePreview": {"type": "object", "required": ["kind", "verdict"]},
        "NodeTest": _object(request_id=_TEXT, node=_TEXT, kind=_TEXT, status=_TEXT, links=_LINKS),
        "NodeInvalidated": _object(id=_TEXT, removed=_WHOLE),
        "ImportedDesigns": _object(
            items=_list(
                _object(
                    kind={"type": "string", "enum": ["node", "graph"]},
                    id=_TEXT,
                    outcome={"type": "string", "enum": ["created", "changed", "unchanged"]},
                )
            )
        ),
        "StoredGraph": _object(**_DESIGN, graph=_ANY, missing_nodes=_list(_TEXT)),
        "GraphPage": _page(
            _object(**_DESIGN, title=_TEXT_OR_NULL, nodes=_WHOLE, edges=_WHOLE), _TEXT_OR_NULL
        ),
        "GraphHistory": _page(_object(**_VERSION, graph=_ANY), _WHOLE_OR_NULL),
    }
