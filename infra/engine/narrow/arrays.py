"""Lists of a narrowed schema: every one is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contracts.content import keywords
from infra.engine.narrow.parts import Part

if TYPE_CHECKING:
    from infra.engine.narrow.scope import Narrowing, Scope

#: Most items if a schema sets no bound, and if it sets a larger one.
MAX_ITEMS: Final = 64
_MOST_ITEMS: Final = keywords.MAX_ITEMS


def narrow(narrower: Narrowing, parts: tuple[Part, ...], scope: Scope) -> dict[str, Any] | None:
    """The keywords of a list; ``None``: no list follows the parts.

    Args:
        narrower: builds the items.
        parts: what holds at the same time.
        scope: what is decided about the list.
    """
    least, most = _sizes(parts, scope)
    if least > most:
        return None
    made: dict[str, Any] = {}
    head = max((len(part["prefixItems"]) for part in parts if "prefixItems" in part), default=0)
    first: list[Any] = []
    for index in range(min(head, most)):
        entry = narrower.build(_at(index, parts))
        if entry is None:
            most = min(most, index)
            break
        first.append(entry)
    rest = _rest(narrower, parts, scope)
    others = narrower.build(rest) if most > len(first) else None
    if others is None:
        most = min(most, len(first))
    _leave_out(narrower, parts, most, first, others)
    if least > most:
        return None
    if first:
        made["prefixItems"] = first
    made["items"] = others if others is not None else False
    return {**made, **({"minItems": least} if least else {}), "maxItems": most}


def _sizes(parts: tuple[Part, ...], scope: Scope) -> tuple[int, int]:
    least = max((part["minItems"] for part in parts if "minItems" in part), default=0)
    for part in parts:
        if "contains" in part:
            least = max(least, part.get("minContains", 1))
    least = max(least, int(scope.root))
    most = min((part["maxItems"] for part in parts if "maxItems" in part), default=None)
    return least, max(MAX_ITEMS, least) if most is None else min(most, max(_MOST_ITEMS, least))


def _at(index: int, parts: tuple[Part, ...]) -> list[Any]:
    """The schemas of one of the first items."""
    found: list[Any] = []
    for part in parts:
        head: list[Any] = part.get("prefixItems", [])
        if index < len(head):
            found.append(head[index])
        elif "items" in part:
            found.append(part["items"])
    return found


def _rest(narrower: Narrowing, parts: tuple[Part, ...], scope: Scope) -> list[Any]:
    """The schemas of the items after the first ones."""
    found = [part["items"] for part in parts if "items" in part]
    for part in parts:
        if "unevaluatedItems" not in part:
            continue
        if part is not scope.top or any("contains" in each for each in parts):
            # What others evaluate is not seen from inside.
            narrower.leave_out(part, "unevaluatedItems")
        if not found:
            found = [part["unevaluatedItems"]]
    return found


def _leave_out(
    narrower: Narrowing, parts: tuple[Part, ...], most: int, first: list[Any], others: Any
) -> None:
    """Take down what is checked afterwards."""
    for part in parts:
        if part.get("uniqueItems") is True and most > 1:
            narrower.leave_out(part, "uniqueItems")
        if "contains" in part and not (part.get("minContains", 1) == 0 and "maxContains" not in part):
            narrower.leave_out(part, "contains")
    del first, others
