"""Schema pins: fields of the document that a node's style and duration fix.

The prompt states them as a wish.  Where the kind's schema has a field for them, the schema for structuring is
narrowed to the node's values.  A provider with constrained decoding then cannot deviate; a deviation by any
other provider does not invalidate the document, and the result reports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from contracts.nodes.node import Duration, Node, Style

#: JSON Schema by name of a top-level field of the document.
SchemaPins = Mapping[str, Mapping[str, Any]]

_NO_STYLE, _NO_DURATION = Style(), Duration()
_DURATION: Final = "duration_s"
_BOUNDS: Final = ("minimum", "maximum")


def pin_fields(node: Node, schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The schema pins of a node for the documents of a kind.

    Args:
        node: the node, all layers merged.
        schema: JSON Schema of the kind; values without a field in it, and a duration outside its bounds, stay
            wishes.
    """
    style, fields = node.style or _NO_STYLE, schema.get("properties", {})
    values = {
        "mood_from": style.mood_from,
        "mood_to": style.mood_to,
        "pacing": style.pacing and str(style.pacing),
        "transition_type": style.transition_type and str(style.transition_type),
    }
    found: dict[str, dict[str, Any]] = {
        name: {"const": value} for name, value in values.items() if value is not None and name in fields
    }
    if _DURATION in fields:
        found |= _pin_duration(node.duration or _NO_DURATION, fields[_DURATION])
    return found


def _pin_duration(duration: Duration, field: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    longest = field.get("maximum")
    least, most = duration.min, duration.max
    if longest is not None:
        most = longest if most is None else min(most, longest)
    if most is not None and (most <= 0 or (least or 0) > most):
        return {}
    bounds = {"minimum": least if least and least > 0 else None, "maximum": duration.max and most}
    held = {name: value for name, value in bounds.items() if value is not None}
    return {_DURATION: held} if held else {}


def apply_pins(schema: Mapping[str, Any], held: SchemaPins | None) -> Mapping[str, Any]:
    """The schema with the pins applied."""
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


def find_deviations(document: Any, held: SchemaPins | None) -> tuple[str, ...]:
    """Fields in which a document deviates from the pins; one line each."""
    given = cast("Mapping[str, Any]", document if isinstance(document, dict) else {})
    found: list[str] = []
    for name, each in (held or {}).items():
        value = given.get(name)
        if "const" in each:
            fits = isinstance(value, str) and value.strip().casefold() == each["const"].strip().casefold()
            expected = repr(each["const"])
        else:
            least, most = (each.get(bound) for bound in _BOUNDS)
            fits = isinstance(value, int | float) and (least or value) <= value <= (most or value)
            ends = ((f"at least {least:g}",) if least else ()) + ((f"at most {most:g}",) if most else ())
            expected = " and ".join(ends)
        if not fits:
            found.append(f"{name} is {value!r}; the node asks for {expected}")
    return tuple(found)
