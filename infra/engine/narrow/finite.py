"""Places of a narrowed schema that some finite value follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.engine.narrow.scope import Body, Entry


def endless(entries: Mapping[Any, Entry]) -> dict[Any, Entry]:
    """The entries whose values never end: each one requires another one.

    Args:
        entries: all of a schema, by any key; those without a body have no values at all.
    """
    left = {key: entry for key, entry in entries.items() if entry.body is not None}
    good: set[int] = set()
    while True:
        ended = [key for key, entry in left.items() if _ends(entry.body or {}, good)]
        if not ended:
            return left
        good |= {id(left.pop(key)) for key in ended}


def _ends(body: Body, good: set[int]) -> bool:
    if "anyOf" in body:
        return any(_ends(each, good) for each in body["anyOf"])
    if "enum" in body:
        return True
    named: Any = body["type"]
    return any(
        {"object": _object, "array": _array}.get(kind, _scalar)(body, good)
        for kind in ([named] if isinstance(named, str) else named)
    )


def _scalar(_body: Body, _good: set[int]) -> bool:
    return True


def _object(body: Body, good: set[int]) -> bool:
    fields, required = body["properties"], body.get("required", ())
    if not all(id(fields[name]) in good for name in required):
        return False
    wanted = body.get("minProperties", 0) - len(required)
    others = [*fields.values(), *body.get("patternProperties", {}).values(), body["additionalProperties"]]
    return wanted <= 0 or any(id(each) in good for each in others)


def _array(body: Body, good: set[int]) -> bool:
    least: int = body.get("minItems", 0)
    head = body.get("prefixItems", [])
    if not all(id(each) in good for each in head[:least]):
        return False
    return least <= len(head) or id(body["items"]) in good
