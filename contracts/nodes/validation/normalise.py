"""Normalisation: layers merged to a node, and their invalid values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError

from contracts.kinds import KINDS
from contracts.nodes import layers, wording
from contracts.nodes.field_aliases import (
    Path,
    ResolvedNames,
    annotation_types,
    model_of_field,
    resolve_aliases,
)
from contracts.nodes.node import FILM_RATINGS, Node, Rating
from contracts.nodes.validation.check import Facts, Fault, Reading

#: Maximum number of faults reported for one node.
MOST_FAULTS: Final = 100
#: More entries than any list of a node allows.
_LONGEST_LIST: Final = 1000


def read(
    node: Any,
    *,
    template: Mapping[str, Any] | None,
    rules: Mapping[str, Any] | None,
    request: Mapping[str, Any] | None,
    facts: Facts,
) -> tuple[Reading, ResolvedNames]:
    """Merge the layers, and separate invalid values.

    Args:
        node: any JSON value; names in either spelling, as in all layers.
        template: the layer below it; ``None``: there is none, or it is not known.
        rules: the layer above it.
        request: the layer above that.
        facts: facts from outside the node.

    Returns:
        the node with the faults of its values, and its author's spelling.
    """
    own = resolve_aliases(node, Node, camel=facts.camel)
    whole: Any = own.value
    fields = cast("dict[str, Any]", whole) if isinstance(whole, dict) else dict[str, Any]()
    said: dict[str, Mapping[str, Any]] = {
        layers.TEMPLATE: layers.template_layer(_fields(template)),
        layers.NODE: fields,
        layers.RULES: _fields(rules),
        layers.REQUEST: _fields(request),
    }
    kinds = [layer["generation_type"] for layer in said.values() if "generation_type" in layer]
    kind = kinds[-1] if kinds and isinstance(kinds[-1], str) else facts.kind
    own_node = facts.kind is None or any(
        layer.get(name) is not None for layer in said.values() for name in layers.OWN
    )
    if facts.kind is not None and not kinds:
        said[layers.REQUEST] = {**said[layers.REQUEST], "generation_type": facts.kind}
    said[layers.REQUEST] = _between(said, facts.moods)
    merged = layers.merge_layers({layers.DEFAULTS: layers.default_layer(kind), **said})
    made, faults = _made(merged.values, own)
    if fields is not whole:
        faults = [_no_object(node)]
    faults += [_twice(path, own) for path in own.twice]
    below_unknown = template is None and made.template_id is not None
    return (
        Reading(
            node=made,
            faults=tuple(faults),
            set_by=merged.set_by,
            below_unknown=below_unknown,
            own=own_node,
            facts=facts,
        ),
        own,
    )


def _between(said: Mapping[str, Mapping[str, Any]], moods: Mapping[str, str]) -> Mapping[str, Any]:
    """The request's layer, with its scenes' moods if no layer sets them."""
    styles = [layer["style"] for layer in said.values() if "style" in layer]
    style = {
        name: mood
        for name, mood in moods.items()
        if not any(not isinstance(each, dict) or name in each for each in styles)
    }
    top = said[layers.REQUEST]
    return {**top, "style": style} if style else top


def _fields(layer: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return resolve_aliases(dict(layer), Node).value if layer else {}


def _made(values: Mapping[str, Any], own: ResolvedNames) -> tuple[Node, list[Fault]]:
    """The node without invalid values; each round removes those that the last one found."""
    faults: list[Fault] = []
    left = _known(values, Node, (), faults, own)
    while True:
        try:
            return Node.model_validate(left), faults[:MOST_FAULTS]
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
        faults += [
            _fault(each["type"], each["msg"], each["loc"], each["input"]) for each in found[: MOST_FAULTS + 1]
        ]
        # From the end of a list to its start, because removal moves the entries after it.
        for each in reversed(found):
            _set_aside(left, each["loc"])


def _known(
    values: Mapping[str, Any], model: type[BaseModel], at: Path, faults: list[Fault], own: ResolvedNames
) -> dict[str, Any]:
    """A copy with the model's fields; all others are faults."""
    left: dict[str, Any] = {}
    # Read once, because pydantic looks it up each time.
    fields = model.model_fields
    for name, value in values.items():
        path = (*at, name)
        if name not in fields:
            # Suggestions take time, and a large invalid node must not take much of it.
            if len(faults) < MOST_FAULTS:
                faults.append(_unknown(path, model, own))
            continue
        inside = model_of_field(model, name)
        if isinstance(value, dict) and inside is not None:
            left[name] = _known(cast("dict[str, Any]", value), inside, path, faults, own)
        elif isinstance(value, list) and len(cast("list[Any]", value)) > _LONGEST_LIST:
            # Its entries are not checked, because each may be another fault.
            entries = len(cast("list[Any]", value))
            said = f"{wording.format_value(value)} is not allowed here: the list has {entries} entries"
            faults.append(
                Fault(kind="bounds", path=path, message=said, suggestion="change it so that it fits")
            )
        else:
            left[name] = list(cast("list[Any]", value)) if isinstance(value, list) else value
    return left


def _set_aside(left: dict[str, Any], place: Path) -> None:
    holder: Any = left
    for part in place[:-1]:
        holder = holder[part]
    del holder[place[-1]]


def _fault(kind: str, said: str, path: Path, value: Any) -> Fault:
    said = said.removeprefix("Value error, ").replace("Input should be", "must be")
    said = said.replace("Tuple should", "the list should").replace(" after validation", "")
    said = said[:1].lower() + said[1:]
    if kind == "enum" and isinstance(value, str):
        return _word(path, value)
    if kind == "enum":
        return Fault(
            kind="type",
            path=path,
            message=f"{wording.format_value(value)} is not a text",
            suggestion=f"write one of {', '.join(allowed_words(path))}",
        )
    if kind in wording.TYPES:
        wanted = wording.TYPES[kind]
        return Fault(
            kind="type",
            path=path,
            message=f"{wording.format_value(value)} is not {wanted}",
            suggestion=f"write {wanted}",
        )
    return Fault(
        kind="bounds",
        path=path,
        message=f"{wording.format_value(value)} is not allowed here: {said}",
        suggestion="change it so that it fits",
    )


def _unknown(path: Path, model: type[BaseModel], own: ResolvedNames) -> Fault:
    name = str(path[-1])
    near = wording.suggest_field(name, model)
    known = ", ".join(own.spell(field) for field in model.model_fields)
    return Fault(
        kind="field",
        path=path,
        message=f"there is no field {wording.format_value(name)}",
        suggestion=f"did you mean {'.'.join(own.spell(str(part)) for part in near)!r}?"
        if near
        else f"known here are {known}",
    )


def _word(path: Path, value: str) -> Fault:
    return Fault(
        kind="word",
        path=path,
        message=f"{wording.format_value(value)} is unknown",
        suggestion=wording.suggest_word(value, allowed_words(path)),
    )


def _twice(path: Path, own: ResolvedNames) -> Fault:
    return Fault(
        kind="twice",
        path=path,
        message=f"this field is given in both spellings, and only {own.names[path]!r} was read",
        suggestion="keep one of them",
    )


def _no_object(value: Any) -> Fault:
    return Fault(
        kind="object",
        path=(),
        message=f"{wording.format_value(value)} is not a node",
        suggestion="write an object with the node's fields",
    )


def allowed_words(path: Path) -> tuple[str, ...]:
    """The values of a field that takes one of some fixed words, by its path in snake_case."""
    if path == ("generation_type",):
        return tuple(KINDS)
    model: type[BaseModel] = Node
    for part in path[:-1]:
        model = model_of_field(model, str(part)) or model
    enum = next(
        each
        for each in annotation_types(model.model_fields[str(path[-1])].annotation)
        if issubclass(each, StrEnum)
    )
    return (*enum, *FILM_RATINGS) if enum is Rating else tuple(enum)
