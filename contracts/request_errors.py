"""Messages for request bodies that cannot be accepted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, cast

from annotated_types import MaxLen
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from contracts.nodes import validation, wording
from contracts.nodes.field_aliases import Path, ResolvedNames, format_path, model_of_field, resolve_aliases
from contracts.nodes.node import Node

#: No part of a request has this many fields.
MOST_NAMES: Final = 100
_SMALLEST: Final = 'the smallest request is {"prompt": "a forest with three coins"}'
#: Fields that only a node has.
_OF_A_NODE: Final = frozenset(
    spelling
    for name, field in Node.model_fields.items()
    if name not in ("template_id", "fallback")
    for spelling in (name, field.alias)
)
#: A field at fault, dotted, and the message for it.
FieldFault = tuple[str, str]


def find_faults(
    body: bytes, error: ValidationError, model: type[BaseModel], *, kind: str, most: int
) -> list[FieldFault]:
    """All faults of a body, unknown fields first.

    Args:
        body: the body as it was sent.
        error: the validation error.
        model: the model of a request.
        kind: the content kind in the subject.
        most: maximum number of unknown fields that are reported one by one.
    """
    try:
        value: Any = from_json(body)
    except ValueError as no_json:
        return [
            ("", f"the body is not JSON: {no_json}" if body.strip() else f"the body is empty; {_SMALLEST}")
        ]
    if not isinstance(value, dict):
        return [("", f"the body is {wording.format_value(value)}, not an object; {_SMALLEST}")]
    fields = cast("dict[str, Any]", value)
    own = resolve_aliases(fields, model, camel=False)
    if own.twice:
        return [(own.path(place), "given in both spellings; keep one of them") for place in own.twice]
    unknown = list(islice(_unknown(own.value, model, ()), most + 1))
    if unknown and all(len(place) == 1 and place[0] in _OF_A_NODE for place, _ in unknown):
        return [
            (
                "",
                f"this looks like a node: put it under node, beside a prompt, or give it to the command with --node; {_SMALLEST}",
            )
        ]
    heaps = [(own.path(place), text) for place, text in _too_many(own.value, model, ())]
    found = [*_hints(unknown, own), *heaps]
    # Entries of an oversized list or object are not reported one by one: that alone would take long.
    if heaps or len(unknown) > most:
        return found
    meant = {wording.suggest_field(str(place[-1]), part) for place, part in unknown}
    return found + _value_faults(
        error, meant, fields.get("node"), validation.Facts(kind=kind, camel=own.camel)
    )


def node_path(finding: validation.Finding) -> str:
    """The field of a request that a finding about its node refers to."""
    return f"node.{finding.path}" if finding.path else "node"


def format_finding(finding: validation.Finding) -> str:
    """A finding without its path."""
    return f"{finding.code} {finding.message}; {finding.suggestion}"


def _value_faults(
    error: ValidationError, meant: set[Path | None], node: Any, facts: validation.Facts
) -> list[FieldFault]:
    """Values that are not allowed; the node's come last, with the messages of the node's own checks."""
    found: list[FieldFault] = []
    of_node: list[FieldFault] = []
    for item in error.errors(include_url=False):
        if item["loc"][0] == "node":
            of_node.append((_place(item["loc"]), wording.format_fault(item)))
        elif item["type"] != "extra_forbidden" and not (item["type"] == "missing" and item["loc"] in meant):
            found.append((_place(item["loc"]), wording.format_fault(item)))
    if not of_node:
        return found
    errors = validation.validate(node, facts=facts).errors
    return found + ([(node_path(each), format_finding(each)) for each in errors] or of_node)


def _hints(unknown: list[tuple[Path, type[BaseModel]]], own: ResolvedNames) -> list[FieldFault]:
    found: list[FieldFault] = []
    for place, model in unknown:
        hint = _hint(str(place[-1]), model, own)
        # One list of known fields is enough.
        found.append((own.path(place), "unknown field" if hint in dict(found).values() else hint))
    return found


def _place(loc: tuple[int | str, ...]) -> str:
    """A path from pydantic, with the names as they were given."""
    return format_path(str(part) for part in loc if part != "[key]")


def _unknown(value: Any, model: type[BaseModel], at: Path) -> Iterator[tuple[Path, type[BaseModel]]]:
    """Unknown names in a body, each with the model that is known there; not those of the node."""
    if not isinstance(value, dict):
        return
    for name, inner in cast("dict[str, Any]", value).items():
        path = (*at, name)
        if name not in model.model_fields:
            yield path, model
        elif path != ("node",) and (part := model_of_field(model, name)) is not None:
            yield from _unknown(inner, part, path)


def _too_many(value: Any, model: type[BaseModel], at: Path) -> Iterator[tuple[Path, str]]:
    """Lists and objects with far too many entries; pydantic reports the others."""
    if not isinstance(value, dict):
        return
    for name, inner in cast("dict[str, Any]", value).items():
        if name not in model.model_fields or not isinstance(inner, list | dict):
            continue
        path, part = (*at, name), model_of_field(model, name)
        if part is not None:
            if len(cast("list[Any]", inner)) > MOST_NAMES:
                yield (
                    path,
                    f"has {len(cast('list[Any]', inner))} entries; it knows {len(part.model_fields)} fields",
                )
            else:
                yield from _too_many(inner, part, path)
            continue
        bounds = model.model_fields[name].metadata
        most = next((each.max_length for each in bounds if isinstance(each, MaxLen)), None)
        entries = len(cast("list[Any]", inner))
        if most is not None and entries > most:
            yield path, f"has {entries} entries; at most {most} are accepted"


def _hint(name: str, model: type[BaseModel], own: ResolvedNames) -> str:
    near = wording.suggest_field(name, model)
    if near is not None:
        return f"unknown field; did you mean {'.'.join(map(own.spell, _shown_names(near)))}?"
    known = ", ".join(own.spell(name) for name in _shown_names(tuple(model.model_fields)))
    return f"unknown field; known are {known}"


def _shown_names(names: Path) -> list[str]:
    return ["schema" if name == "schema_" else str(name) for name in names]
