"""What do a node's style and duration settle in the document itself?

The writer is told them as a wish.  Where a kind's document has a field for it, the schema that structuring follows
is narrowed to what the node says.  A provider that is held to its schema cannot say anything else; what another
one says instead is content all the same, and the result tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from contracts.nodes.node import Duration, Node, Style

#: JSON Schema by name of a field at the top of the document.
Settled = Mapping[str, Mapping[str, Any]]

_DURATION: Final = "duration_s"
_BOUNDS: Final = ("minimum", "maximum")


def settled(node: Node, schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a node settles of the documents of a kind.

    Args:
        node: all layers merged.
        schema: JSON Schema of the kind; what it has no field for stays a wish, and so does a duration that it
            does not allow.
    """
    style, fields = node.style or Style(), schema.get("properties", {})
    said = {
        "mood_from": style.mood_from,
        "mood_to": style.mood_to,
        "pacing": style.pacing and str(style.pacing),
        "transition_type": style.transition_type and str(style.transition_type),
    }
    found: dict[str, dict[str, Any]] = {
        name: {"const": value} for name, value in said.items() if value is not None and name in fields
    }
    if _DURATION in fields:
        found |= _lasting(node.duration or Duration(), fields[_DURATION])
    return found


def _lasting(duration: Duration, field: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    longest = field.get("maximum")
    least, most = duration.min, duration.max
    if longest is not None:
        most = longest if most is None else min(most, longest)
    if most is not None and (most <= 0 or (least or 0) > most):
        return {}
    bounds = {"minimum": least if least and least > 0 else None, "maximum": duration.max and most}
    held = {name: value for name, value in bounds.items() if value is not None}
    return {_DURATION: held} if held else {}


def narrowed(schema: Mapping[str, Any], held: Settled | None) -> Mapping[str, Any]:
    """The schema of documents that say what is settled."""
    if not held:
        return schema
    fields = dict(cast("Mapping[str, Any]", schema["properties"]))
    for name, each in held.items():
        fields[name] = {"type": "string", **each} if "const" in each else {**fields[name], **each}
    required = [
        *schema.get("required", ()),
        *(name for name in held if name not in schema.get("required", ())),
    ]
    return {**schema, "properties": fields, "required": required}


def deviations(document: Any, held: Settled | None) -> tuple[str, ...]:
    """Where a document says something else; one line each."""
    said = cast("Mapping[str, Any]", document if isinstance(document, dict) else {})
    found: list[str] = []
    for name, each in (held or {}).items():
        value = said.get(name)
        if "const" in each:
            right = isinstance(value, str) and value.strip().casefold() == each["const"].strip().casefold()
            wanted = repr(each["const"])
        else:
            least, most = (each.get(bound) for bound in _BOUNDS)
            right = isinstance(value, int | float) and (least or value) <= value <= (most or value)
            ends = ((f"at least {least:g}",) if least else ()) + ((f"at most {most:g}",) if most else ())
            wanted = " and ".join(ends)
        if not right:
            found.append(f"{name} is {value!r}, and the node asks for {wanted}")
    return tuple(found)
