"""Can a request's own JSON Schema be used, does a document fit it, and what is its smallest one?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry as NoRemote
from referencing.exceptions import Unresolvable

#: Nodes that a request's schema may have.
MAX_NODES: Final = 2_000
#: Visible text of a placeholder.
PLACEHOLDER: Final = "[placeholder]"
#: Nesting at which building a placeholder is given up.
_MAX_DEPTH: Final = 24


def check_schema(own: Mapping[str, Any]) -> str | None:
    """Why a request's schema cannot be used, with the path; ``None`` when it can."""
    if not own:
        return "is empty: it accepts anything; say what the answer looks like"
    nodes = 0
    for path, node in _nodes(own, "schema"):
        nodes += 1
        if nodes > MAX_NODES:
            return f"has more than {MAX_NODES} nodes"
        ref = node.get("$ref", node.get("$dynamicRef"))
        if isinstance(ref, str) and not ref.startswith("#"):
            return f"{path}.$ref {ref!r} points outside the schema; only references inside it (#…) are followed"
        pattern = node.get("pattern")
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except re.error as error:
                return f"{path}.pattern {pattern!r} is no regular expression: {error}"
    try:
        Draft202012Validator.check_schema(own)
        faults(own, {"": None})
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        return f"is no JSON Schema (draft 2020-12): {where}: {error.message}"
    except (Unresolvable, RecursionError) as error:
        return f"cannot be followed: {error}"
    return None


def _nodes(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    stack: list[tuple[str, Any]] = [(path, value)]
    while stack:
        where, node = stack.pop()
        if isinstance(node, dict):
            known: dict[str, Any] = node  # pyright: ignore[reportUnknownVariableType]
            yield where, known
            stack += [(f"{where}.{key}", inner) for key, inner in known.items()]
        elif isinstance(node, list):
            items: list[Any] = node  # pyright: ignore[reportUnknownVariableType]
            stack += [(f"{where}.{index}", inner) for index, inner in enumerate(items)]


def faults(own: Mapping[str, Any], document: Any) -> tuple[str, ...]:
    """Why the document does not fit, one line per fault with its path.

    Remote references are never fetched.
    """
    validator = Draft202012Validator(dict(own), registry=NoRemote())
    found: list[str] = []
    for error in validator.iter_errors(document):
        where = ".".join(str(part) for part in error.absolute_path)
        found.append(f"{where}: {error.message[:300]}" if where else error.message[:300])
        if len(found) >= 20:  # noqa: PLR2004 - more would not help anybody
            break
    return tuple(found)


def placeholder(own: Mapping[str, Any]) -> Any | None:
    """The smallest document that fits, its texts marked; ``None`` where none can be built."""
    try:
        built = _build(own, own, 0)
    except (_GiveUpError, RecursionError):
        return None
    return built if built and not faults(own, built) else None


class _GiveUpError(Exception):
    """No placeholder can be built for this schema."""


def _build(schema: Any, root: Mapping[str, Any], depth: int) -> Any:  # noqa: C901, PLR0911, PLR0912 - a case per keyword
    if depth > _MAX_DEPTH or schema is False:
        raise _GiveUpError
    if schema is True or not schema:
        return PLACEHOLDER
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "$ref" in schema:
        return _build(_follow(schema["$ref"], root), root, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        for option in schema.get(keyword, ()):
            try:
                return _build({**{k: v for k, v in schema.items() if k != keyword}, **option}, root, depth + 1)
            except _GiveUpError:
                continue
    if "allOf" in schema:
        merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
        for option in schema["allOf"]:
            merged = {**merged, **option}
        return _build(merged, root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            wanted: list[str] = list(schema.get("required", ())) or list(schema.get("properties", {}))[:1]
            inner = schema.get("properties", {})
            return {name: _build(inner.get(name, True), root, depth + 1) for name in wanted}
        case "array":
            size = max(1, schema.get("minItems", 1))
            if size > 50 or schema.get("maxItems", size) < size:  # noqa: PLR2004 - bounded work
                raise _GiveUpError
            return [_build(schema.get("items", True), root, depth + 1) for _ in range(size)]
        case "integer" | "number":
            low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
            return low + 1 if "exclusiveMinimum" in schema else low
        case "boolean":
            return False
        case "null":
            return None
        case _:
            text = PLACEHOLDER.ljust(min(schema.get("minLength", 0), 10_000), ".")
            return text[: schema.get("maxLength", len(text))]


def _follow(ref: str, root: Mapping[str, Any]) -> Any:
    node: Any = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        if not part:
            continue
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, Mapping) or key not in node:
            raise _GiveUpError
        node = node[key]  # pyright: ignore[reportUnknownVariableType]
    return node  # pyright: ignore[reportUnknownVariableType]
