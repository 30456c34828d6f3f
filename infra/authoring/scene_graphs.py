"""Scene graphs: scenes and the generations between them as a designer draws them, and the scenario files of `warm`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, cast

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_snake

from contracts.errors import UnderstudyError
from contracts.nodes.adjacent_scenes import SceneRef
from contracts.nodes.node import PLAIN, ContentId, NodePart
from infra.authoring import node_files, workload

#: Most scenes and generations together, and most edges.
MOST_NODES: Final = 1_000
MOST_EDGES: Final = 4_000
#: Fields of a request that a graph names.
_MOST_FIELDS: Final = 64
#: Distances of a drawn scenario.
_WIDE: Final = 360.0
_HIGH: Final = 180.0
_ONE: Final = 1

VertexId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PLAIN)]
_Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]


class GraphError(UnderstudyError):
    """A graph that is no scenario; the text names the generation and what it lacks."""


class GraphPosition(NodePart):
    """Where something is drawn."""

    x: _Coordinate
    y: _Coordinate


class GraphScene(SceneRef):
    """A scene of the game."""

    type: Literal["scene"]
    position: GraphPosition | None = None


class GraphGeneration(NodePart):
    """A generation: the content between the scenes that its edges lead from and to."""

    type: Literal["generation"]
    id: VertexId
    #: Id of the stored node that it uses; default: the one of the graph's `request`.
    node: ContentId | None = None
    #: Further fields of its request, such as `prompt`.
    request: dict[str, JsonValue] = Field(default={}, max_length=_MOST_FIELDS)
    position: GraphPosition | None = None


class GraphEdge(NodePart):
    """An arrow of the graph."""

    id: VertexId | None = None
    source: VertexId
    target: VertexId


class SceneGraph(NodePart):
    """Scenes, the generations between them, and how they are drawn."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PLAIN)] | None = None
    #: Fields that the requests of all generations share; `node` is the id of a stored node, or a node.
    request: dict[str, JsonValue] = Field(default={}, max_length=_MOST_FIELDS)
    nodes: tuple[Annotated[GraphScene | GraphGeneration, Field(discriminator="type")], ...] = Field(
        default=(), max_length=MOST_NODES
    )
    edges: tuple[GraphEdge, ...] = Field(default=(), max_length=MOST_EDGES)

    @model_validator(mode="after")
    def _is_connected(self) -> SceneGraph:
        kinds: dict[str, str] = {}
        for each in self.nodes:
            if each.id in kinds:
                raise ValueError(f"nodes: the id {each.id!r} is given twice")
            kinds[each.id] = each.type
        pairs: set[tuple[str, str]] = set()
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in kinds:
                    raise ValueError(f"edges: there is no node {end!r}")
            if (edge.source, edge.target) in pairs:
                raise ValueError(f"edges: the edge from {edge.source!r} to {edge.target!r} is given twice")
            if kinds[edge.source] == kinds[edge.target] == "generation":
                raise ValueError(
                    f"edges: {edge.source!r} and {edge.target!r} are generations; put a scene between"
                )
            pairs.add((edge.source, edge.target))
        return self

    def node_names(self) -> frozenset[str]:
        """Ids of the stored nodes that it uses."""
        shared = self.request.get("node")
        own = {
            each.node for each in self.nodes if isinstance(each, GraphGeneration) and each.node is not None
        }
        return frozenset(own | {shared} if isinstance(shared, str) else own)


class ImportedScenario(BaseModel):
    """A scenario as a graph, and the nodes in it that have an id."""

    model_config = ConfigDict(frozen=True)

    graph: dict[str, Any]
    nodes: dict[str, dict[str, Any]]


def parse_graph(value: Any) -> SceneGraph:
    """A graph of JSON values.

    Raises:
        ValidationError: with the place of each fault.
    """
    return SceneGraph.model_validate(value)


def read_scenario(text: str, language: Literal["json", "yaml"]) -> ImportedScenario:
    """The graph of a scenario file; its nodes that have an id are taken out of it, and named.

    Args:
        text: of the file.
        language: of the text.

    Raises:
        WorkloadError: with the position of the fault.
    """
    workload.read(text, language)
    source = node_files.read(text, language)
    value = source.nodes[0]
    if source.listed or not isinstance(value, dict) or "transitions" not in value:
        raise workload.WorkloadError("it is no scenario; a graph has scenes and transitions")
    found = cast("dict[str, Any]", value)
    nodes: dict[str, dict[str, Any]] = {}
    request = _take_node(dict(found.get("request") or {}), nodes)
    places = {each["id"]: index for index, each in enumerate(found["scenes"])}
    drawn: list[dict[str, Any]] = [
        {"type": "scene", **each, "position": {"x": index * _WIDE, "y": 0.0}}
        for index, each in enumerate(found["scenes"])
    ]
    edges: list[dict[str, Any]] = []
    for number, each in enumerate(found["transitions"], start=_ONE):
        own = _take_node({name: field for name, field in each.items() if name not in ("from", "to")}, nodes)
        name = _free_id(f"generation_{number}", places)
        middle = (places[each["from"]] + places[each["to"]]) / 2
        vertex: dict[str, Any] = {"type": "generation", "id": name}
        if isinstance(own.get("node"), str):
            vertex["node"] = own.pop("node")
        if own:
            vertex["request"] = own
        drawn.append(vertex | {"position": {"x": middle * _WIDE, "y": _HIGH}})
        edges += [{"source": each["from"], "target": name}, {"source": name, "target": each["to"]}]
    graph = {"request": request, "nodes": drawn, "edges": edges}
    return ImportedScenario(graph=graph if request else {**graph, "request": {}}, nodes=nodes)


def write_scenario(graph: SceneGraph, find_node: Callable[[str], Mapping[str, Any] | None]) -> dict[str, Any]:
    """The scenario of a graph, as `warm` reads it.

    Args:
        graph: the graph.
        find_node: the configuration of a stored node; ``None``: there is none.

    Raises:
        GraphError: a generation is not between two scenes, or its node is not stored.
    """

    def resolve(fields: dict[str, Any]) -> dict[str, Any]:
        named = fields.get("node")
        if not isinstance(named, str):
            return fields
        node = find_node(named)
        if node is None:
            raise GraphError(
                f"there is no node {named!r}, which the graph uses; create it, or choose another"
            )
        return fields | {"node": dict(node)}

    scenes = [each for each in graph.nodes if isinstance(each, GraphScene)]
    ids = {each.id for each in scenes}
    transitions: list[dict[str, Any]] = []
    for each in graph.nodes:
        if isinstance(each, GraphScene):
            continue
        before = [edge.source for edge in graph.edges if edge.target == each.id and edge.source in ids]
        after = [edge.target for edge in graph.edges if edge.source == each.id and edge.target in ids]
        if len(before) != _ONE or len(after) != _ONE:
            raise GraphError(
                f"{each.id!r} has {len(before)} scenes before and {len(after)} after it; a transition needs one each"
            )
        own = {**each.request, **({} if each.node is None else {"node": each.node})}
        transitions.append({"from": before[0], "to": after[0], **resolve(own)})
    if not transitions:
        raise GraphError("the graph has no generation between two scenes, so it is no scenario")
    made: dict[str, Any] = {
        "scenes": [
            each.model_dump(mode="json", exclude_unset=True, exclude={"type", "position"}) for each in scenes
        ]
    }
    if graph.request:
        made["request"] = resolve(dict(graph.request))
    return made | {"transitions": transitions}


def to_yaml(value: Any) -> str:
    """A scenario or nodes as the text of a YAML file."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)


def to_json(value: Any) -> str:
    """The same as the text of a JSON file."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def find_graph_faults(error: ValidationError) -> list[tuple[str, str]]:
    """Each fault of a graph: the JSON Pointer of its place, and the text."""
    found: list[tuple[str, str]] = []
    for each in error.errors(include_url=False, include_input=False):
        # The union's tag is part of pydantic's path.
        parts = [str(part) for part in each["loc"] if part not in ("scene", "generation")]
        pointer = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)
        found.append((pointer, each["msg"].removeprefix("Value error, ")))
    return found


def _take_node(fields: dict[str, Any], nodes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Replace a node by its id, where it has one; another node of the same id stays as it is."""
    for written in [each for each in fields if to_snake(each) == "node"]:
        node = fields[written]
        name = cast("dict[str, Any]", node).get("id") if isinstance(node, dict) else None
        if isinstance(name, str) and nodes.setdefault(name, node) == node:
            fields[written] = name
    return fields


def _free_id(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name
