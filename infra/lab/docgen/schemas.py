"""JSON Schemas in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from infra.lab.docgen.markdown import code, codes

Schema = Mapping[str, Any]

_UNITS: Final = {
    "string": ("minLength", "maxLength", "characters"),
    "array": ("minItems", "maxItems", "items"),
}


def allowed(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    """A value's type and bounds as Markdown, such as ``integer, 1 to 10``.

    Args:
        schema: of one value.
        definitions: what its references mean.
    """
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        target = definitions[name]
        return f"[{name}](#{name.lower()})" if "properties" in target else allowed(target, definitions)
    if "enum" in schema:
        return f"one of {codes(map(str, schema['enum']))}"
    if "anyOf" in schema:
        return " or ".join(allowed(each, definitions) for each in schema["anyOf"])
    kind = str(schema.get("type", "any"))
    if schema.get("format") == "path":
        return "path"
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        kind = f"array of {allowed(cast('Schema', schema['items']), definitions)}"
    said = ", ".join(filter(None, (kind, _bounds(schema))))
    pattern = schema.get("pattern")
    return f"{said}, matching {code(str(pattern))}" if pattern else said


def _bounds(schema: Schema) -> str:
    least, most, unit = _UNITS.get(str(schema.get("type")), ("minimum", "maximum", ""))
    low = _low(schema.get(least), schema.get("exclusiveMinimum"))
    high = _high(schema.get(most), schema.get("exclusiveMaximum"))
    match low, high:
        case "", "":
            return ""
        case str(), "":
            said = f"at least {low}" if not low.startswith("above") else low
        case "", str():
            said = f"at most {high}" if not high.startswith("below") else high
        case _:
            said = f"{low} {'to' if not high.startswith('below') else 'and'} {high}"
    return f"{said} {unit}".strip()


def _low(inclusive: float | None, exclusive: float | None) -> str:
    return f"above {exclusive:,}" if exclusive is not None else "" if inclusive is None else f"{inclusive:,}"


def _high(inclusive: float | None, exclusive: float | None) -> str:
    if exclusive == 2**63:
        return "2^63 - 1"
    return f"below {exclusive:,}" if exclusive is not None else "" if inclusive is None else f"{inclusive:,}"
