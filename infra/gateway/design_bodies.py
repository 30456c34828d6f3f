"""Bodies of requests about designs: nodes, graphs, files, and the fields of a request that uses a node."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
from pydantic import ValidationError

from contracts.content import plain
from contracts.duplicate_names import find_duplicates
from contracts.errors import ErrorCode
from contracts.nodes.field_aliases import format_path
from contracts.request import build_refusal
from infra.authoring import node_files, scene_graphs
from infra.authoring.workload import WorkloadError
from infra.gateway.orders import read_body
from infra.gateway.problems import FieldProblem, Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from infra.authoring.scene_graphs import ImportedScenario, SceneGraph
    from infra.gateway.gateway import Gateway
    from infra.stores.designs import DesignKind

#: Largest node and largest graph, bytes of JSON in ASCII.
MAX_CONTENT: Final[Mapping[str, int]] = {"node": 64 * 1024, "graph": 512 * 1024}
#: Nodes of one import.
MOST_IMPORTED: Final = 1_000
#: Ids that are parts of paths.
RESERVED: Final = frozenset({"export", "health", "import", "validate"})
#: Bounds of the JSON values of a design.
_LEVELS: Final = 64
_VALUES: Final = 50_000
_NAMES: Final = 512
#: JSON or YAML; forms of other sites have none of these types.
_FILE: Final = re.compile(
    r"(?:application/(?:[\w.+-]+\+)?(?:json|yaml|x-yaml)|text/(?:x-)?yaml)\s*(?:;.*)?", re.IGNORECASE
)


def invalid(detail: str, faults: Iterable[tuple[str, str]]) -> Problem:
    """422: a node or a graph cannot be used; each fault is a JSON Pointer and a text."""
    errors = [FieldProblem(pointer=pointer, detail=said) for pointer, said in faults]
    return Problem(422, "invalid-design", detail, errors=errors)


async def read_node(gateway: Gateway, request: Request, name: str) -> str:
    """The content of a node with its id, as it is stored.

    Raises:
        Problem: the body is no JSON object, has another id, or is too large.
    """
    nodes = _parse_nodes(await _read_text(gateway, request), "json")
    if len(nodes) != 1:
        raise invalid("a node is one object", [("", "write one object with the node's fields")])
    return name_node(nodes[0], name)


async def read_nodes(gateway: Gateway, request: Request) -> dict[str, str]:
    """The nodes of a file by their ids, as they are stored.

    Raises:
        Problem: it cannot be read, or a node has no id.
    """
    text = await _read_text(gateway, request, form=_FILE)
    nodes = _parse_nodes(text, _language(request))
    if len(nodes) > MOST_IMPORTED:
        raise invalid(
            "too many nodes", [("", f"has {len(nodes)} nodes; at most {MOST_IMPORTED} are accepted")]
        )
    found: dict[str, str] = {}
    for index, node in enumerate(nodes):
        name = node.get("id")
        if not isinstance(name, str):
            raise invalid("a node has no id", [(f"/{index}/id", "is missing; name each node")])
        if name in found:
            raise invalid("two nodes have one id", [(f"/{index}/id", f"{name!r} is given twice")])
        found[name] = name_node(node, name, before=f"/{index}")
    return found


def name_node(node: Mapping[str, Any], name: str, *, before: str = "") -> str:
    """The content of a node with an id, as it is stored.

    Args:
        node: its fields.
        name: the id.
        before: pointer of the node in the body.

    Raises:
        Problem: 422, it has another id, or the id cannot be used; 413.
    """
    if node.get("id", name) != name:
        raise invalid(
            "the node has another id", [(f"{before}/id", f"must be {name!r}, as in the path, or missing")]
        )
    check_name("node", name, pointer=f"{before}/id")
    return check_content("node", node if "id" in node else {"id": name, **node}, before=before)


def check_name(kind: DesignKind, name: str, *, pointer: str | None = None) -> None:
    """Refuse an id that cannot be one.

    Raises:
        Problem: 422.
    """
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) is None or name in RESERVED:
        said = "is reserved" if name in RESERVED else "must have 1 to 64 letters, digits, _ or -"
        where = FieldProblem(pointer=pointer, parameter=None if pointer else f"{kind}_id", detail=said)
        raise Problem(422, "invalid-design", f"the id {name[:80]!r} {said}", errors=[where])


def check_content(kind: DesignKind, value: Mapping[str, Any], *, before: str = "") -> str:
    """JSON values as they are stored.

    Raises:
        Problem: 422 or 413, they are beyond the bounds.
    """
    beyond = plain.fault(dict(value), levels=_LEVELS, values=_VALUES, names=_NAMES)
    if beyond is not None:
        raise invalid(f"{beyond[0]} {beyond[1]}".strip(), [(before, beyond[1])])
    try:
        # ASCII: no database refuses it, whatever the texts have.
        content = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise invalid("a number is not finite", [(before, "has a number that is not finite")]) from None
    most = MAX_CONTENT[kind]
    if len(content) > most:
        raise Problem(
            413, "content-too-large", f"the {kind} has {len(content)} bytes; at most {most} are accepted"
        )
    return content


async def read_graph(gateway: Gateway, request: Request) -> tuple[SceneGraph, str]:
    """A graph, and its content as it is stored.

    Raises:
        Problem: 422, with the place of each fault.
    """
    text = await _read_text(gateway, request)
    try:
        source = node_files.read(text, "json")
    except node_files.UnparsableFile as error:
        raise invalid(str(error), [("", str(error))]) from None
    value: Any = list(source.nodes) if source.listed else source.nodes[0]
    if not isinstance(value, dict):
        raise invalid("a graph is an object", [("", "write an object with nodes and edges")])
    return parse_graph(cast("dict[str, Any]", value))


def parse_graph(value: Mapping[str, Any]) -> tuple[SceneGraph, str]:
    """A graph of JSON values, and its content as it is stored.

    Raises:
        Problem: 422, with the place of each fault.
    """
    content = check_content("graph", value)
    try:
        return scene_graphs.parse_graph(value), content
    except ValidationError as error:
        faults = scene_graphs.find_graph_faults(error)
        raise invalid(f"{faults[0][0]} {faults[0][1]}".strip(), faults[:20]) from None


async def read_scenario(gateway: Gateway, request: Request) -> ImportedScenario:
    """The scenario of a file.

    Raises:
        Problem: 422, with the position of the fault.
    """
    text = await _read_text(gateway, request, form=_FILE)
    try:
        return scene_graphs.read_scenario(text, _language(request))
    except WorkloadError as error:
        raise invalid(str(error), [("", str(error))]) from None


async def read_fields(gateway: Gateway, request: Request) -> dict[str, Any]:
    """The fields of a request that uses a node; an empty body has none.

    Raises:
        Problem: 415, 422.
        RequestError: a field appears twice.
    """
    if request.headers.get("content-length") in (None, "0") and "content-type" not in request.headers:
        return {}
    body = await read_body(gateway, request)
    twice = find_duplicates(body)
    if twice:
        raise build_refusal(
            [(format_path(map(str, place)), "appears twice; keep one of them") for place in twice]
        )
    try:
        return dict(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        said = f"the body is no JSON object: {error}"
        raise Problem(
            422, ErrorCode.GEN_INVALID_REQUEST, said, errors=[FieldProblem(pointer="", detail=said)]
        ) from None


async def _read_text(gateway: Gateway, request: Request, *, form: re.Pattern[str] | None = None) -> str:
    body = await (read_body(gateway, request) if form is None else read_body(gateway, request, form=form))
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        said = f"is not UTF-8 at byte {error.start}"
        raise invalid(f"the body {said}", [("", said)]) from None


def _language(request: Request) -> Literal["json", "yaml"]:
    return "yaml" if "yaml" in request.headers.get("content-type", "").lower() else "json"


def _parse_nodes(text: str, language: Literal["json", "yaml"]) -> list[dict[str, Any]]:
    try:
        source = node_files.read(text, language)
    except node_files.UnparsableFile as error:
        raise invalid(str(error), [("", str(error))]) from None
    for index, node in enumerate(source.nodes):
        if not isinstance(node, dict):
            where = f"/{index}" if source.listed else ""
            raise invalid("a node is an object", [(where, "write an object with the node's fields")])
    return cast("list[dict[str, Any]]", list(source.nodes))
