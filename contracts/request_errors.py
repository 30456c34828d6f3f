"""Every fault of a body that is no request, in our words and in bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, cast

from annotated_types import MaxLen
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from contracts.nodes import validation, wording
from contracts.nodes.field_aliases import Path, Spelled, dotted, part_of, spelled
from contracts.nodes.node import Node

#: No part of a request has nearly as many fields.
MOST_NAMES: Final = 100
_SMALLEST: Final = 'the smallest request is {"prompt": "a forest with three coins"}'
#: Fields that only a node has.
_OF_A_NODE: Final = frozenset(
    spelling
    for name, field in Node.model_fields.items()
    if name not in ("template_id", "fallback")
    for spelling in (name, field.alias)
)
#: A field at fault, dotted, and what to do about it.
Told = tuple[str, str]


def faults(
    body: bytes, error: ValidationError, model: type[BaseModel], *, kind: str, most: int
) -> list[Told]:
    """Everything that is wrong with a body, unknown fields first.

    Args:
        body: what was sent.
        error: why it is no request.
        model: what a request is.
        kind: the content kind that its subject names.
        most: faults that will be told; of more it is enough that there are some.
    """
    try:
        value: Any = from_json(body)
    except ValueError as no_json:
        return [
            ("", f"the body is not JSON: {no_json}" if body.strip() else f"the body is empty; {_SMALLEST}")
        ]
    if not isinstance(value, dict):
        return [("", f"the body is {wording.shown(value)}, not an object; {_SMALLEST}")]
    fields = cast("dict[str, Any]", value)
    own = spelled(fields, model, camel=False)
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
    heaps = [(own.path(place), said) for place, said in _too_many(own.value, model, ())]
    found = [*_hints(unknown, own), *heaps]
    # What is in a heap is not told one by one: that alone would take long.
    if heaps or len(unknown) > most:
        return found
    meant = {wording.meant(str(place[-1]), part) for place, part in unknown}
    return found + _wrong(error, meant, fields.get("node"), validation.Facts(kind=kind, camel=own.camel))


def in_the_node(finding: validation.Finding) -> str:
    """The field of a request that a finding about its node is about."""
    return f"node.{finding.path}" if finding.path else "node"


def told(finding: validation.Finding) -> str:
    """A finding without its place."""
    return f"{finding.code} {finding.message}; {finding.suggestion}"


def _wrong(error: ValidationError, meant: set[Path | None], node: Any, facts: validation.Facts) -> list[Told]:
    """The values that cannot stand where they are, the node's last and as its own checks tell them."""
    found: list[Told] = []
    of_node: list[Told] = []
    for item in error.errors(include_url=False):
        if item["loc"][0] == "node":
            of_node.append((_place(item["loc"]), wording.fault(item)))
        elif item["type"] != "extra_forbidden" and not (item["type"] == "missing" and item["loc"] in meant):
            found.append((_place(item["loc"]), wording.fault(item)))
    if not of_node:
        return found
    errors = validation.validate(node, facts=facts).errors
    return found + ([(in_the_node(each), told(each)) for each in errors] or of_node)


def _hints(unknown: list[tuple[Path, type[BaseModel]]], own: Spelled) -> list[Told]:
    found: list[Told] = []
    for place, model in unknown:
        said = _hint(str(place[-1]), model, own)
        # One list of what is known is enough.
        found.append((own.path(place), "unknown field" if said in dict(found).values() else said))
    return found


def _place(loc: tuple[int | str, ...]) -> str:
    """A place as pydantic tells it: names are spelled as they came."""
    return dotted(str(part) for part in loc if part != "[key]")


def _unknown(value: Any, model: type[BaseModel], at: Path) -> Iterator[tuple[Path, type[BaseModel]]]:
    """The names that a body's parts do not know, each with the fields that are known there; not a node's."""
    if not isinstance(value, dict):
        return
    for name, inner in cast("dict[str, Any]", value).items():
        path = (*at, name)
        if name not in model.model_fields:
            yield path, model
        elif path != ("node",) and (part := part_of(model, name)) is not None:
            yield from _unknown(inner, part, path)


def _too_many(value: Any, model: type[BaseModel], at: Path) -> Iterator[tuple[Path, str]]:
    """Lists and objects with more entries than are accepted; a few too many are for pydantic to tell."""
    if not isinstance(value, dict):
        return
    for name, inner in cast("dict[str, Any]", value).items():
        if name not in model.model_fields or not isinstance(inner, list | dict):
            continue
        path, part = (*at, name), part_of(model, name)
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


def _hint(name: str, model: type[BaseModel], own: Spelled) -> str:
    near = wording.meant(name, model)
    if near is not None:
        return f"unknown field; did you mean {'.'.join(map(own.spell, _shown_names(near)))}?"
    known = ", ".join(own.spell(name) for name in _shown_names(tuple(model.model_fields)))
    return f"unknown field; known are {known}"


def _shown_names(names: Path) -> list[str]:
    return ["schema" if name == "schema_" else str(name) for name in names]
